#!/usr/bin/env bash
# Runs every check of the tree, in order, each to its end whatever the one before found, and sets up
# what they need first. Ends with 0 only if all of them passed.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: tests/run.sh [--quick] [--only STAGE] [-- ARGUMENT...]

Stages, in order:
  fmt      layout of the sources
  clippy   lints, warnings refused
  tree     dependency rules, length and names of files
  deny     licences, bans and origins of the dependencies (known advisories are only shown)
  doc      documentation builds without a warning
  test     every test, doc tests included, with the programs built first

  --quick       leave out the lab's scenarios (sets POINTSMAN_TEST_SKIP_LAB=1)
  --only STAGE  run one stage; set-up runs where the stage needs it
  -- ARGUMENT   handed to cargo test, such as a filter

The last line is `N passed, N failed`, summed over all test binaries, with `, N skipped` where tests
were marked so. The test stage's whole output is kept in a file, which is named at the end.
TEXT
}

STAGES=(fmt clippy tree deny doc test)
ONLY=
TEST_ARGUMENTS=()
while [ $# -gt 0 ]; do
    case $1 in
        --quick) export POINTSMAN_TEST_SKIP_LAB=1 ;;
        --only)
            ONLY=${2:-}
            case " ${STAGES[*]} " in
                *" $ONLY "*) [ -n "$ONLY" ] ;;
                *) false ;;
            esac || {
                printf 'tests/run.sh: --only wants one of: %s; got "%s"\n' "${STAGES[*]}" "$ONLY" >&2
                exit 2
            }
            shift
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        --)
            shift
            TEST_ARGUMENTS=("$@")
            break
            ;;
        *)
            printf 'tests/run.sh: unknown argument "%s"\n\n' "$1" >&2
            usage >&2
            exit 2
            ;;
    esac
    shift
done

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
# shellcheck source=deploy/lab/lib/cache.sh
source deploy/lab/lib/cache.sh

# Set-up is told apart from the stages: without it nothing after it means anything.
prepare() {
    local started=$SECONDS assignments
    printf '== set-up\n'
    assignments=$(tests/setup.sh --print-env) || {
        printf '== set-up: FAILED after %s s\n' "$((SECONDS - started))"
        exit 1
    }
    set -a
    eval "$assignments"
    set +a
    printf '== set-up: ok, %s s\n' "$((SECONDS - started))"
}

stage_fmt() {
    cargo fmt --all --check && rustfmt --check --edition 2024 tests/fuzz/targets/*.rs
}

stage_clippy() {
    cargo clippy --workspace --all-targets --locked -- -D warnings
}

stage_tree() {
    tests/check-tree.sh
}

# Advisories come from a database that is fetched; a run without that network, or on the day of a new
# advisory, must not turn the tree red for what is not in it.
stage_deny() {
    cargo fetch --locked --quiet || return 1
    "$POINTSMAN_CARGO_DENY" --offline check --hide-inclusion-graph bans licenses sources || return 1
    if ! timeout 90 "$POINTSMAN_CARGO_DENY" check advisories >"$LOG.advisories" 2>&1; then
        printf 'warning: advisories not passed or not to be had:\n'
        tail -n 8 "$LOG.advisories"
    fi
    rm -f "$LOG.advisories"
}

stage_doc() {
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
}

# Tests start the programs from the target directory, so those are built first.
stage_test() {
    # No colour, because the result lines are read.
    {
        cargo --color never build --workspace --bins --locked &&
            CARGO_TERM_COLOR=never cargo test --workspace --locked --no-fail-fast "${TEST_ARGUMENTS[@]}"
    } 2>&1 | tee "$LOG"
}

# run_stage NAME: a function called in a condition loses set -e, so each stage above ends with the
# command that decides, or returns by itself.
run_stage() {
    local started=$SECONDS outcome=ok
    printf '\n== %s\n' "$1"
    "stage_$1" || outcome=FAILED
    [ "$outcome" = ok ] || FAILED+=("$1")
    REPORT+=("$(printf '%-8s %-6s %5s s' "$1" "$outcome" "$((SECONDS - started))")")
    printf '== %s: %s, %s s\n' "$1" "$outcome" "$((SECONDS - started))"
}

# tally WORD: the sum of the numbers before WORD in cargo's own result lines.
tally() {
    awk -v word="$1" '/^test result:/ { for (i = 2; i <= NF; i++) if ($i == word ";") sum += $(i - 1) } END { print sum + 0 }' "$LOG"
}

mkdir -p "$CACHE/log"
find "$CACHE/log" -type f -mtime +14 -delete
LOG=$(mktemp "$CACHE/log/tests.XXXXXX")
REPORT=()
FAILED=()

case $ONLY in
    '' | deny | test) prepare ;;
esac
for stage in "${STAGES[@]}"; do
    if [ -z "$ONLY" ] || [ "$ONLY" = "$stage" ]; then
        run_stage "$stage"
    fi
done

printf '\n== summary\n'
printf '%s\n' "${REPORT[@]}"
case $ONLY in
    '' | test)
        # A skip is a sentence a test prints past the test runner's capture.
        grep -o 'skipped: .*' "$LOG" | sort -u || true
        printf 'output of the tests: %s\n' "$LOG"
        grep '^test result:' "$LOG" || printf 'no test binary ran to its end\n'
        PASSED=$(tally passed)
        SKIPPED=$(tally ignored)
        [ "$PASSED" -gt 0 ] || [ "${#FAILED[@]}" -gt 0 ] || FAILED+=("test: nothing was run")
        LAST="$PASSED passed, $(tally failed) failed"
        [ "$SKIPPED" -eq 0 ] || LAST="$LAST, $SKIPPED skipped"
        ;;
    *)
        rm -f "$LOG"
        LAST=
        ;;
esac
[ "${#FAILED[@]}" -eq 0 ] || printf 'failed: %s\n' "${FAILED[*]}"
[ -z "$LAST" ] || printf '%s\n' "$LAST"
[ "${#FAILED[@]}" -eq 0 ]
