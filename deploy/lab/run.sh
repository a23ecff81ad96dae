#!/usr/bin/env bash
# The lab: three sites on this machine, made of the real programs. Takes dc1 away and moves the service to
# dc2, with the operator's approval, and shows every step. Installs what is missing and says what.
# Ends with 0 only if the failover was whole. Whatever ends it, nothing of it is left behind.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: deploy/lab/run.sh [--yes] [--report FILE] [--loss kill|freeze] [--return] [--self-fence off|demote|stop]
                         [--replication asynchronous|synchronous] [--keep] [--release]
       deploy/lab/run.sh --scenario NAME [--release]
       deploy/lab/run.sh scenarios | status | down

  --yes            approve the failover without asking
  --report FILE    write the figures of the run as JSON
  --loss kill      dc1's processes are killed: connections are refused (the default)
  --loss freeze    dc1's processes are stopped and its links cut: connections go silent
  --return         afterwards dc1 comes back: it thaws, or its programs are started again, the database
                   included; it must end quarantined, and what it still acknowledged is counted
  --self-fence W   what a database does that cannot renew its site's right to be live: off, demote or stop;
                   stop with --return, else off, as in a new stack. The run then waits 45 s for it
  --replication W  whether commits in dc1 wait for the standby in dc2: asynchronous (the default) or synchronous
  --keep           leave the lab up afterwards, with the commands to look around printed
  --scenario NAME  run one of tests/scenarios instead
  --release        build with optimisation (slower to build)
  scenarios        list the scenarios
  status           whether a kept lab is up
  down             take a kept lab down
TEXT
}

COMMAND=up
PROFILE=debug
BUILD=()
ARGUMENTS=()
# value OPTION VALUE...: the option's value must be there.
value() {
    [ $# -ge 2 ] || {
        printf 'deploy/lab/run.sh: %s wants a value\n\n' "$1" >&2
        usage >&2
        exit 2
    }
}
while [ $# -gt 0 ]; do
    case $1 in
        --yes | --keep | --return) ARGUMENTS+=("$1") ;;
        --report)
            value "$@"
            # The driver may work elsewhere than the caller.
            case $2 in
                /*) ARGUMENTS+=("$1" "$2") ;;
                *) ARGUMENTS+=("$1" "$PWD/$2") ;;
            esac
            shift
            ;;
        --loss)
            value "$@"
            case $2 in
                kill | freeze) ;;
                *)
                    printf 'deploy/lab/run.sh: --loss: found "%s"; allowed: kill | freeze\n' "$2" >&2
                    exit 2
                    ;;
            esac
            ARGUMENTS+=("$1" "$2")
            shift
            ;;
        --self-fence)
            value "$@"
            case $2 in
                off | demote | stop) ;;
                *)
                    printf 'deploy/lab/run.sh: --self-fence: found "%s"; allowed: off | demote | stop\n' "$2" >&2
                    exit 2
                    ;;
            esac
            ARGUMENTS+=("$1" "$2")
            shift
            ;;
        --replication)
            value "$@"
            case $2 in
                asynchronous | synchronous) ;;
                *)
                    printf 'deploy/lab/run.sh: --replication: found "%s"; allowed: asynchronous | synchronous\n' "$2" >&2
                    exit 2
                    ;;
            esac
            ARGUMENTS+=("$1" "$2")
            shift
            ;;
        --scenario)
            value "$@"
            COMMAND=scenario
            ARGUMENTS+=("$2")
            shift
            ;;
        --release)
            PROFILE=release
            BUILD=(--release)
            ;;
        down | status | scenarios) COMMAND=$1 ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            printf 'deploy/lab/run.sh: unknown argument "%s"\n\n' "$1" >&2
            usage >&2
            exit 2
            ;;
    esac
    shift
done

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
ASSIGNMENTS=$("$ROOT/deploy/lab/setup.sh" --print-env)
set -a
eval "$ASSIGNMENTS"
set +a

cd "$ROOT"
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
# What takes a lab down must work with what put it up, whatever state the sources are in by now.
case $COMMAND in
    down | status)
        [ ! -x "$TARGET/$PROFILE/lab" ] || exec "$TARGET/$PROFILE/lab" "$COMMAND"
        ;;
esac
printf '== building (%s)\n' "$PROFILE"
cargo build --locked --quiet "${BUILD[@]}" --package agent --package coordinator --package tests --bins
exec "$TARGET/$PROFILE/lab" "$COMMAND" "${ARGUMENTS[@]}"
