#!/usr/bin/env bash
# Changes what decides, one small thing at a time, and looks whether the tests of that package notice (cargo-mutants).
# A change that nobody notices must be explained in tests/README.md, section Mutation, or be noticed by a new test.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: tests/mutants.sh [--since REVISION] [--list] [FILE...]

  FILE              only changes of these files (default: gate, ledger, lease, detector, ticket and run)
  --since REVISION  only changes of lines that differ from REVISION
  --list            print the changes and end

The last line is `mutants: caught=N missed=N unviable=N timeout=N`. The exit code is 1 when a change that was not
noticed stands nowhere in tests/README.md, and 2 when the tests do not pass by themselves.

environment:
  POINTSMAN_CARGO_MUTANTS  a cargo-mutants to use before all others
  POINTSMAN_CACHE          where the tool, the builds and the logs are kept (default ~/.cache/pointsman)
TEXT
}

CARGO_MUTANTS_WANTED=27.1.0
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=../deploy/lab/lib/cache.sh
source "$ROOT/deploy/lab/lib/cache.sh"
# shellcheck source=../deploy/lab/lib/cargo.sh
source "$ROOT/deploy/lab/lib/cargo.sh"

refuse() {
    printf 'tests/mutants.sh: %s\n' "$*" >&2
    exit 2
}

SINCE=
LIST=
FILES=()
while [ $# -gt 0 ]; do
    case $1 in
        --since)
            SINCE=${2:-}
            git -C "$ROOT" rev-parse --verify --quiet "$SINCE^{commit}" >/dev/null ||
                refuse "--since wants a revision; got \"$SINCE\""
            shift
            ;;
        --list) LIST=--list ;;
        -h | --help)
            usage
            exit 0
            ;;
        -*)
            usage >&2
            refuse "unknown argument \"$1\""
            ;;
        *)
            [ -f "$ROOT/$1" ] || refuse "$1 is no file below $ROOT"
            FILES+=("$1")
            ;;
    esac
    shift
done
[ "${#FILES[@]}" -gt 0 ] || FILES=(
    agent/src/gate.rs 'agent/src/gate/*.rs'
    agent/src/ledger.rs 'agent/src/ledger/*.rs'
    agent/src/lease.rs 'agent/src/lease/*.rs'
    coordinator/decision/src/detector.rs 'coordinator/decision/src/execution/*.rs'
)

# explained CHANGE: true when tests/README.md names it, without line and column, which move.
explained() {
    grep -qF -- "$(sed -E 's/^([^:]+):[0-9]+:[0-9]+: /\1: /' <<<"$1")" "$ROOT/tests/README.md"
}

drop_all() {
    drop_scratch
    [ -z "${WORK:-}" ] || rm -rf "$WORK"
}
trap drop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

lock_cache
cargo_tool cargo-mutants "$CARGO_MUTANTS_WANTED" "${POINTSMAN_CARGO_MUTANTS:-}"
drop_scratch
unlock_cache

OUTPUT=$CACHE/mutants
mkdir -p "$OUTPUT"
# The changed trees: not in the cache's own scratch, which whoever holds the lock next sweeps away.
WORK=$(mktemp -d "$OUTPUT/work.XXXXXX")
ARGUMENTS=(--dir "$ROOT" --output "$OUTPUT" --no-shuffle --colors never --no-times)
for file in "${FILES[@]}"; do
    ARGUMENTS+=(--file "$file")
done
if [ -n "$SINCE" ]; then
    git -C "$ROOT" diff "$SINCE" >"$WORK/since.diff"
    ARGUMENTS+=(--in-diff "$WORK/since.diff")
fi
if [ -n "$LIST" ]; then
    "$TOOL" mutants "${ARGUMENTS[@]}" --list
    exit 0
fi

rm -rf "$OUTPUT/mutants.out"
OUTCOME=0
# A tree of its own, built once and then changed again and again: little optimisation, no debugging symbols, and
# fewer random cases, because a change that only one case in hundreds notices is not noticed.
env -u RUSTFLAGS TMPDIR="$WORK" CARGO_TARGET_DIR="$OUTPUT/target" PROPTEST_CASES=24 \
    CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=none CARGO_PROFILE_TEST_DEBUG=none \
    "$TOOL" mutants "${ARGUMENTS[@]}" --minimum-test-timeout 120 || OUTCOME=$?

count() {
    if [ -f "$OUTPUT/mutants.out/$1.txt" ]; then wc -l <"$OUTPUT/mutants.out/$1.txt"; else echo 0; fi
}

UNEXPLAINED=0
if [ "$(count missed)" -gt 0 ]; then
    while IFS= read -r change; do
        if ! explained "$change"; then
            printf 'not noticed and not explained: %s\n' "$change"
            UNEXPLAINED=$((UNEXPLAINED + 1))
        fi
    done <"$OUTPUT/mutants.out/missed.txt"
fi
printf 'logs: %s\n' "$OUTPUT/mutants.out"
printf 'mutants: caught=%s missed=%s unviable=%s timeout=%s\n' "$(count caught)" "$(count missed)" \
    "$(count unviable)" "$(count timeout)"
# 0: all noticed, 2: some not, 3: some ran out of time; else it was not done.
case $OUTCOME in
    0 | 2 | 3) ;;
    *) exit 2 ;;
esac
[ "$UNEXPLAINED" -eq 0 ]
