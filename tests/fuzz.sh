#!/usr/bin/env bash
# Throws millions of changed inputs at what reads bytes from outside (tests/src/fuzzing), by libFuzzer, on the
# workspace's own stable toolchain. What it finds stays in the cache; `--keep` brings what is worth it into the tree.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: tests/fuzz.sh [--executions N] [--target NAME]... [--keep] [--list]

  --executions N  executions of each target (default 2000000)
  --target NAME   only this target; may be given again
  --keep          afterwards choose tests/fuzz/corpus anew: of what is kept there and what was found, the inputs that
                  reach most for their size, up to a bound for each target
  --list          print the targets and end

The last line is `fuzz: targets=N executions=N crashes=N seconds=S`. The exit code is 1 when a target crashed, ran out
of its time or memory for one input, or did not run to its end; the input is kept in the cache and named.

environment:
  POINTSMAN_CARGO_FUZZ  a cargo-fuzz to use before all others
  POINTSMAN_CACHE       where tools, builds and found inputs are kept (default ~/.cache/pointsman)
TEXT
}

CARGO_FUZZ_WANTED=0.13.2
# Longest input tried, in bytes; the message limit itself has its tests.
INPUT_BYTES_MAX=8192
# The inputs of one target that are kept in the tree, in bytes together; tests/tests/fuzz_corpus.rs bounds all of them.
KEPT_BYTES_MAX=160000
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
FUZZ=$ROOT/tests/fuzz
# shellcheck source=../deploy/lab/lib/cache.sh
source "$ROOT/deploy/lab/lib/cache.sh"
# shellcheck source=../deploy/lab/lib/packages.sh
source "$ROOT/deploy/lab/lib/packages.sh"
# shellcheck source=../deploy/lab/lib/cargo.sh
source "$ROOT/deploy/lab/lib/cargo.sh"

refuse() {
    printf 'tests/fuzz.sh: %s\n' "$*" >&2
    exit 2
}

all_targets() {
    find "$FUZZ/targets" -name '*.rs' -printf '%f\n' | sed 's/\.rs$//' | sort
}

EXECUTIONS=2000000
TARGETS=()
KEEP=
while [ $# -gt 0 ]; do
    case $1 in
        --executions)
            EXECUTIONS=${2:-}
            [[ $EXECUTIONS =~ ^[1-9][0-9]{0,11}$ ]] ||
                refuse "--executions wants a whole number from 1; got \"$EXECUTIONS\""
            shift
            ;;
        --target)
            all_targets | grep -qx -- "${2:-}" ||
                refuse "--target wants one of: $(all_targets | tr '\n' ' '); got \"${2:-}\""
            TARGETS+=("$2")
            shift
            ;;
        --keep) KEEP=yes ;;
        --list)
            all_targets
            exit 0
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            usage >&2
            refuse "unknown argument \"$1\""
            ;;
    esac
    shift
done
[ "${#TARGETS[@]}" -gt 0 ] || mapfile -t TARGETS < <(all_targets)

prepare() {
    lock_cache
    if ! have c++ && ! have g++ && ! have clang++; then
        install_packages "a C++ compiler" g++
    fi
    cargo_tool cargo-fuzz "$CARGO_FUZZ_WANTED" "${POINTSMAN_CARGO_FUZZ:-}"
    drop_scratch
    unlock_cache
}

# build: sets BINARIES. Without a sanitizer everything needed is stable: the code is safe Rust, and what is looked for
# are panics, broken properties, and inputs that take too much time or memory.
build() {
    local host
    host=$(cd "$ROOT" && rustc -vV | sed -n 's/^host: //p')
    (cd "$ROOT/tests" && env -u RUSTFLAGS CARGO_TARGET_DIR="$CACHE/fuzz/target" \
        "$TOOL" fuzz build --sanitizer none --strip-dead-code --target "$host")
    BINARIES=$CACHE/fuzz/target/$host/release
}

# dictionary TARGET: the words of the kept inputs, commonest first, so that whole keys are put in and not letters.
dictionary() {
    grep -aohE '[A-Za-z_][A-Za-z0-9_.-]{2,30}' -r "$FUZZ/corpus/$1" | sort | uniq -c | sort -rn |
        awk 'NR <= 300 { printf "\"%s\"\n", $2 }'
}

# run_target TARGET: adds to EXECUTED and CRASHES.
run_target() {
    local target=$1 found=$CACHE/fuzz/corpus/$1 log=$CACHE/fuzz/$1.log executed outcome=ok
    mkdir -p "$found"
    dictionary "$target" >"$CACHE/fuzz/$target.dict"
    printf '== %s\n' "$target"
    "$BINARIES/$target" "$found" "$FUZZ/corpus/$target" -runs="$EXECUTIONS" -max_len="$INPUT_BYTES_MAX" \
        -dict="$CACHE/fuzz/$target.dict" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$CACHE/fuzz/$target-" >"$log" 2>&1 || outcome=CRASHED
    executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
    EXECUTED=$((EXECUTED + ${executed:-0}))
    if [ "$outcome" != ok ]; then
        CRASHES=$((CRASHES + 1))
        grep -A 4 'panicked at\|ERROR: libFuzzer' "$log" || tail -n 5 "$log"
        sed -n 's/.*Test unit written to /input: /p' "$log"
        printf 'again: %s INPUT; all of it: %s\n' "$BINARIES/$target" "$log"
    fi
    printf '== %s: %s, %s executions, %s inputs reach something\n' "$target" "$outcome" "${executed:-0}" \
        "$(find "$found" "$FUZZ/corpus/$target" -type f | wc -l)"
}

# choose: reads what libFuzzer wrote of a merge (paths, then of each input its size and what it reaches), and prints
# inputs whose gain is best for their size, until the bound. The bar is halved from round to round: what passes it is
# taken at once, which is nearly as good as taking the best one each time, without sorting after each.
choose() {
    awk -v budget="$KEPT_BYTES_MAX" '
        NR == 1 { files = $1; next }
        NR == 2 { next }
        NR <= files + 2 {
            # The same input may be kept and found: its name is its digest.
            name = $0
            sub(/.*\//, "", name)
            if (!(name in named))
                path[NR - 3] = $0
            named[name]
            next
        }
        $1 == "STARTED" { size[$2] = $3 + 1 }
        $1 == "FT" && $2 in path { reaches[$2] = $0 }
        END {
            for (bar = 1024; bar > 1 / 16384; bar /= 2)
                for (file = 0; file < files; file++) {
                    if (!(file in reaches) || size[file] > budget)
                        continue
                    count = split(reaches[file], feature, " ")
                    gain = 0
                    for (i = 3; i <= count; i++)
                        gain += !(feature[i] in reached)
                    if (gain < bar * size[file])
                        continue
                    for (i = 3; i <= count; i++)
                        reached[feature[i]]
                    budget -= size[file]
                    delete reaches[file]
                    print path[file]
                }
        }'
}

# keep_found TARGET: what reaches most for its size, of the kept inputs and the found ones. Only a merge by set cover
# writes down all that an input reaches, and not merely what those before it did not.
keep_found() {
    local target=$1 work=$CACHE/fuzz/$1.keep
    rm -rf "$work"
    mkdir -p "$work/all" "$work/kept"
    "$BINARIES/$target" -set_cover_merge=1 -use_counters=0 -max_len="$INPUT_BYTES_MAX" \
        -merge_control_file="$work/control" "$work/all" "$FUZZ/corpus/$target" "$CACHE/fuzz/corpus/$target" >"$work/log" 2>&1 ||
        fail "the inputs of $target could not be merged: $work/log"
    choose <"$work/control" | xargs -d '\n' cp -t "$work/kept"
    rm -rf "${FUZZ:?}/corpus/$target"
    mv "$work/kept" "$FUZZ/corpus/$target"
    printf '== %s: %s inputs kept\n' "$target" "$(find "$FUZZ/corpus/$target" -type f | wc -l)"
}

trap drop_scratch EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

STARTED=$SECONDS
EXECUTED=0
CRASHES=0
prepare
build
for target in "${TARGETS[@]}"; do
    run_target "$target"
done
if [ -n "$KEEP" ] && [ "$CRASHES" -eq 0 ]; then
    for target in "${TARGETS[@]}"; do
        keep_found "$target"
    done
fi
printf 'fuzz: targets=%s executions=%s crashes=%s seconds=%s\n' "${#TARGETS[@]}" "$EXECUTED" "$CRASHES" \
    "$((SECONDS - STARTED))"
[ "$CRASHES" -eq 0 ]
