# shellcheck shell=bash
# Distribution packages: asks for root only when something is missing, and says which packages it
# installs. Where it cannot install, it names what a person must.

# as_root COMMAND...: runs it as root, directly or by sudo.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@" 9>&-
    else
        sudo "$@" 9>&-
    fi
}

# may_install WHAT: ends the set-up with a sentence that names WHAT unless packages can be installed.
may_install() {
    have apt-get || fail "$1 is missing, and this system has no apt-get: install it by hand, then run this again"
    if [ "$(id -u)" -ne 0 ]; then
        have sudo || fail "$1 is missing, and neither root nor sudo is at hand: as root, run: apt-get install ${2:-}"
        sudo -n true 2>/dev/null 9>&- || [ -t 0 ] ||
            fail "$1 is missing, and sudo would ask for a password without a terminal: as root, run: apt-get install ${2:-}"
    fi
}

# can_install: true when install_packages would not end the set-up.
can_install() {
    (may_install '' '') >/dev/null 2>&1
}

# refresh_index: reads the package index once a run.
refresh_index() {
    if [ -z "${INDEX_READ:-}" ]; then
        say "reading the package index (apt-get update)"
        as_root apt-get update -qq >&2 ||
            say "apt-get update failed; going on with the index that is there"
        INDEX_READ=yes
    fi
}

# install_packages WHY PACKAGE...: installs distribution packages without recommendations or questions.
install_packages() {
    local why=$1
    shift
    may_install "$why" "$*"
    refresh_index
    say "installing packages: $* ($why is missing)"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o DPkg::Lock::Timeout=300 "$@" >"$CACHE/apt.log" 2>&1 </dev/null || {
        tail -n 20 "$CACHE/apt.log" >&2
        fail "apt-get install $* failed (all of it: $CACHE/apt.log)"
    }
}

# candidate_version PACKAGE: the version apt would install, without epoch and revision; empty if none.
candidate_version() {
    have apt-cache || return 0
    apt-cache policy "$1" 2>/dev/null |
        awk '$1 == "Candidate:" && $2 != "(none)" { sub(/^[0-9]+:/, "", $2); sub(/[-~+].*/, "", $2); print $2 }'
}
