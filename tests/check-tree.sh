#!/usr/bin/env bash
# Rules about the shape of the tree that no compiler keeps: what the core may depend on, that agent
# and coordinator stay apart, and how long files are and what they are called.
# Prints every breach, and ends with 1 if there was one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

MAX_LINES=500
# The core decides; it reads no clock, no socket and no randomness.
CORE_FORBIDDEN='tokio|async-nats|kube|tokio-postgres|sysinfo|rand|getrandom'
BREACHES=0

breach() {
    printf 'tree: %s\n' "$*" >&2
    BREACHES=$((BREACHES + 1))
}

# packages_under PACKAGE: the names of everything it links in a normal build, itself included. Each
# tree is read into a variable first, so that a failing cargo ends the check instead of passing it.
packages_under() {
    cargo tree --package "$1" --edges normal --prefix none --format '{p}' --locked | awk '{ print $1 }' | sort -u
}

# forbid PACKAGE PATTERN WHY: no dependency of PACKAGE may have a name that PATTERN matches whole.
forbid() {
    local names hit
    names=$(packages_under "$1")
    grep -qx -- "$1" <<<"$names" || breach "cargo tree does not know the package $1"
    while IFS= read -r hit; do
        [ -z "$hit" ] || breach "$1 depends on $hit: $3 (cargo tree --package $1 --invert $hit)"
    done < <(grep -xE -- "$2" <<<"$names" || true)
}

# sources: every Rust file that is in the tree or would be added to it.
sources() {
    git ls-files --cached --others --exclude-standard -- '*.rs' | while IFS= read -r file; do
        [ ! -f "$file" ] || printf '%s\n' "$file"
    done
}

forbid decision "$CORE_FORBIDDEN" "the core does no IO, reads no clock and draws no randomness"
forbid shared 'tokio|async-nats|kube|tokio-postgres|sysinfo' "the vocabulary does no IO"
forbid agent 'coordinator|decision|tests' "the agent obeys orders, it does not make them"
forbid coordinator 'agent|tests|kube|tokio-postgres|sysinfo' "the coordinator acts only through agents"
forbid bus 'agent|coordinator|decision|tests' "the bus carries messages, it knows nobody"

FILES=$(sources)
[ -n "$FILES" ] || breach "no Rust file found"
while IFS= read -r file; do
    lines=$(wc -l <"$file")
    [ "$lines" -le "$MAX_LINES" ] || breach "$file has $lines lines, more than $MAX_LINES: one concept a file"
    case ${file##*/} in
        util.rs | utils.rs | common.rs | helper.rs | helpers.rs | manager.rs | managers.rs | *_utils.rs | *_helpers.rs | *_manager.rs)
            breach "$file: name it by the concept it holds"
            ;;
    esac
    case /$file in
        */util/* | */utils/* | */common/* | */helpers/* | */manager/*)
            breach "$file: name its directory by the concept it holds"
            ;;
    esac
done <<<"$FILES"

if [ "$BREACHES" -gt 0 ]; then
    printf 'tree: %s breaches\n' "$BREACHES" >&2
    exit 1
fi
printf 'tree: %s Rust files and 5 dependency rules hold\n' "$(wc -l <<<"$FILES")"
