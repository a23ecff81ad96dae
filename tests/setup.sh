#!/usr/bin/env bash
# Gets what the tests run on: all that the lab needs, a real Kubernetes API server, the nats command,
# and cargo-deny. The last three are had once and kept in the cache. A missing Kubernetes or nats
# command takes tests away, which those tests say; everything else missing ends the set-up.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: tests/setup.sh [--print-env]

Finds or installs what the tests need and prints where it is.

  --print-env   print shell assignments, and nothing else, on standard output:
                POINTSMAN_NATS_SERVER, POINTSMAN_PG_BIN, KUBEBUILDER_ASSETS,
                POINTSMAN_NATS_CLI, POINTSMAN_CARGO_DENY
                (the third and fourth are empty where they cannot be had)

environment, besides that of deploy/lab/setup.sh:
  KUBEBUILDER_ASSETS      a directory with etcd and kube-apiserver to use before all others
  POINTSMAN_NATS_CLI      a nats command to use before all others
  POINTSMAN_CARGO_DENY    a cargo-deny to use before all others
  POINTSMAN_TEST_SKIP_KUBERNETES=1
                          do not fetch or build Kubernetes (the build takes minutes, once)
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

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LAB_ENV=$("$ROOT/deploy/lab/setup.sh" --print-env)

# shellcheck source=deploy/lab/lib/cache.sh
source "$ROOT/deploy/lab/lib/cache.sh"
# shellcheck source=deploy/lab/lib/packages.sh
source "$ROOT/deploy/lab/lib/packages.sh"
# shellcheck source=deploy/lab/lib/cargo.sh
source "$ROOT/deploy/lab/lib/cargo.sh"
# shellcheck source=deploy/lab/lib/go.sh
source "$ROOT/deploy/lab/lib/go.sh"
# shellcheck source=deploy/lab/lib/kubernetes.sh
source "$ROOT/deploy/lab/lib/kubernetes.sh"

NATS_CLI_WANTED=0.5.1
CARGO_DENY_WANTED=0.20.2

# install_nats_cli: sets NATS_CLI, empty where there is neither the command nor Go to build it with.
install_nats_cli() {
    local candidate
    for candidate in "${POINTSMAN_NATS_CLI:-}" "$(command -v nats || true)" "$CACHE/bin/nats"; do
        if [ -x "$candidate" ]; then
            NATS_CLI=$candidate
            return 0
        fi
    done
    NATS_CLI=
    if go_ready; then
        say "building the nats command $NATS_CLI_WANTED into $CACHE/bin"
        if go_install "github.com/nats-io/natscli/nats@v$NATS_CLI_WANTED" nats; then
            NATS_CLI=$CACHE/bin/nats
            return 0
        fi
    fi
    say "no nats command: the tests that need it will say that they are skipped (give one by POINTSMAN_NATS_CLI)"
}

install_cargo_deny() {
    cargo_tool cargo-deny "$CARGO_DENY_WANTED" "${POINTSMAN_CARGO_DENY:-}"
    CARGO_DENY=$TOOL
}

trap drop_scratch EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

lock_cache
install_cargo_deny
if [ "${POINTSMAN_TEST_SKIP_KUBERNETES:-}" = 1 ]; then
    say "POINTSMAN_TEST_SKIP_KUBERNETES=1: the tests that need a kube-apiserver will say that they are skipped"
    ASSETS=
else
    install_kubernetes
fi
install_nats_cli
drop_go_build
unlock_cache

if [ -n "$PRINT_ENV" ]; then
    printf '%s\n' "$LAB_ENV"
    shell_line KUBEBUILDER_ASSETS "$ASSETS"
    shell_line POINTSMAN_NATS_CLI "$NATS_CLI"
    shell_line POINTSMAN_CARGO_DENY "$CARGO_DENY"
else
    printf '%s\n' "$LAB_ENV"
    printf 'Kubernetes   %s\nnats         %s\ncargo-deny   %s\n' \
        "${ASSETS:-none}" "${NATS_CLI:-none}" "$CARGO_DENY"
fi
