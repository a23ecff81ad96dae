#!/usr/bin/env bash
# Gets what the lab runs on besides Rust: nats-server and the PostgreSQL server programs, a C compiler
# for the build, and, for root, iproute2 and nftables. Uses what is there, installs what is missing, and says which.
# Safe to run again and at the same time as another run.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: deploy/lab/setup.sh [--print-env]

Finds or installs what the lab needs and prints where it is.

  --print-env   print shell assignments, and nothing else, on standard output:
                POINTSMAN_NATS_SERVER, POINTSMAN_PG_BIN

environment:
  POINTSMAN_CACHE         directory for what is fetched or built (default: ~/.cache/pointsman)
  POINTSMAN_NATS_SERVER   a nats-server to use before all others
  POINTSMAN_PG_BIN        a directory of PostgreSQL server programs to use before all others
TEXT
}

PRINT_ENV=
case ${1:-} in
    '') ;;
    --print-env) PRINT_ENV=yes ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
esac

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/lab/lib/cache.sh
source "$HERE/lib/cache.sh"
# shellcheck source=deploy/lab/lib/packages.sh
source "$HERE/lib/packages.sh"
# shellcheck source=deploy/lab/lib/go.sh
source "$HERE/lib/go.sh"
# shellcheck source=deploy/lab/lib/nats.sh
source "$HERE/lib/nats.sh"
# shellcheck source=deploy/lab/lib/postgres.sh
source "$HERE/lib/postgres.sh"
# shellcheck source=deploy/lab/lib/network.sh
source "$HERE/lib/network.sh"

tidy() {
    drop_scratch
    drop_postgres_setting
}
trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

[ "$(uname -s)" = Linux ] || fail "the lab runs on Linux; this is $(uname -s)"
have cargo || fail "cargo is missing: install Rust with rustup (https://rustup.rs), then run this again"

lock_cache
have cc || install_packages "a C compiler" gcc libc6-dev
install_nats
install_postgres
install_network_tools
unlock_cache

if [ -n "$PRINT_ENV" ]; then
    shell_line POINTSMAN_NATS_SERVER "$NATS_SERVER"
    shell_line POINTSMAN_PG_BIN "$PG_BIN"
else
    printf 'nats-server  %s (%s)\n' "$NATS_SERVER" "$(nats_version "$NATS_SERVER")"
    printf 'PostgreSQL   %s (%s)\n' "$PG_BIN" "$("$PG_BIN/postgres" --version | sed 's/^postgres (PostgreSQL) //')"
fi
