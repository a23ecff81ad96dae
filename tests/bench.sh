#!/usr/bin/env bash
# Measures what Pointsman costs and how soon it acts, on a release build of this tree: sets up what is
# needed, builds, runs for about six minutes, and shows each figure beside its aim.
# Ends with 0 when everything was measured, whether the aims are met or not.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: tests/bench.sh [--report FILE]

  --report FILE   also write the figures as JSON

Nothing else should run on the machine meanwhile: the figures are of this machine as it is.
TEXT
}

REPORT=()
while [ $# -gt 0 ]; do
    case $1 in
        --report)
            [ -n "${2:-}" ] || {
                printf 'tests/bench.sh: --report wants a file\n\n' >&2
                usage >&2
                exit 2
            }
            # The measuring program gets it as it is meant here.
            case $2 in
                /*) REPORT=(--report "$2") ;;
                *) REPORT=(--report "$PWD/$2") ;;
            esac
            shift
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            printf 'tests/bench.sh: unknown argument "%s"\n\n' "$1" >&2
            usage >&2
            exit 2
            ;;
    esac
    shift
done

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
ASSIGNMENTS=$(deploy/lab/setup.sh --print-env)
set -a
eval "$ASSIGNMENTS"
set +a
cargo build --release --locked --bin pointsman --bin pointsman-agent --bin pointsman-coordinator \
    --bin kube-standin --bin bench
TARGET=$(cargo metadata --format-version 1 --no-deps --locked | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
exec "$TARGET/release/bench" "${REPORT[@]}"
