#!/usr/bin/env bash
# Plays the lab's scenarios and crash points, each with the real programs: sets up what they need, builds
# them, runs them one after the other, and ends with one line for scripts.
# Ends with 0 only if nothing failed.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: tests/lab.sh scenarios [--all]
       tests/lab.sh scenario NAME...
       tests/lab.sh crash-points

  scenarios        those that every run of the tests plays; with --all, every one of tests/scenarios
                   last line: scenarios: passed=N failed=N skipped=N
  scenario NAME    only these; the same last line
  crash-points     a coordinator, and an agent, is killed before and after every write of a run
                   last line: crash_points: resumed=N/N

`cargo lab scenarios` lists their names. As root each site is a network namespace; without root the
scenarios that need one are skipped, and counted so; those with a wrong clock also where libfaketime
is missing and cannot be installed.
TEXT
}

case ${1:-} in
    scenarios)
        case ${2:-} in
            '') WORDS=(scenarios --fast) ;;
            --all) WORDS=(scenarios --all) ;;
            *)
                printf 'tests/lab.sh: scenarios: found "%s"; allowed: --all\n\n' "$2" >&2
                usage >&2
                exit 2
                ;;
        esac
        ;;
    scenario)
        [ $# -ge 2 ] || {
            printf 'tests/lab.sh: scenario wants a name\n\n' >&2
            usage >&2
            exit 2
        }
        WORDS=("$@")
        ;;
    crash-points) WORDS=(crash-points) ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        printf 'tests/lab.sh: unknown argument "%s"\n\n' "${1:-}" >&2
        usage >&2
        exit 2
        ;;
esac

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ASSIGNMENTS=$("$ROOT/deploy/lab/setup.sh" --print-env)
set -a
eval "$ASSIGNMENTS"
set +a
# Some scenarios give a program a wrong clock.
if [ "${WORDS[0]}" != crash-points ] &&
    ! compgen -G '/usr/lib*/faketime/libfaketimeMT.so.1' >/dev/null &&
    ! compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null; then
    # shellcheck source=deploy/lab/lib/cache.sh
    source "$ROOT/deploy/lab/lib/cache.sh"
    # shellcheck source=deploy/lab/lib/packages.sh
    source "$ROOT/deploy/lab/lib/packages.sh"
    if can_install; then
        lock_cache
        install_packages "a clock that only one program sees" libfaketime
        unlock_cache
    else
        say "libfaketime is missing: scenarios with a wrong clock are skipped"
    fi
fi
cd "$ROOT"
cargo build --locked --quiet --package agent --package coordinator --package tests --bins
exec "${CARGO_TARGET_DIR:-$ROOT/target}/debug/lab" "${WORDS[@]}"
