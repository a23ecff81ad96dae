# shellcheck shell=bash
# Tools that cargo builds: found on the machine, or built once into the cache.
# Sourced after cache.sh; ROOT is the workspace.

# cargo_tool NAME VERSION GIVEN: sets TOOL to a NAME of at least VERSION: GIVEN (a path, may be empty), the machine's,
# the cache's, or one that is built now. Must be called with the cache locked.
cargo_tool() {
    local name=$1 wanted=$2 candidate started=$SECONDS
    for candidate in "$3" "$(command -v "$name" || true)" "$CACHE/bin/$name"; do
        if [ -x "$candidate" ] && at_least "$(cargo_tool_version "$name" "$candidate")" "$wanted"; then
            TOOL=$candidate
            return 0
        fi
    done
    say "building $name $wanted into $CACHE/bin; this takes minutes, once"
    scratch
    # By the workspace's toolchain, but not into its target directory: this is a tool, not a part.
    (cd "$ROOT" && env -u RUSTFLAGS -u CARGO_BUILD_TARGET CARGO_TARGET_DIR="$SCRATCH/$name" nice -n 10 \
        cargo install --quiet --locked --no-track --root "$SCRATCH/$name-root" \
        --version "$wanted" "$name" >&2 9>&-) ||
        fail "$name could not be built: install it (cargo install --locked $name), then run this again"
    keep "$SCRATCH/$name-root/bin/$name" "$CACHE/bin/$name"
    TOOL=$CACHE/bin/$name
    say "built $name in $((SECONDS - started)) s"
}

# cargo_tool_version NAME PROGRAM: its version; a tool that only answers as cargo's subcommand is asked that way.
cargo_tool_version() {
    { "$2" --version 2>/dev/null || "$2" "${1#cargo-}" --version 2>/dev/null || true; } |
        sed -n "s/^$1 //p" | head -n 1
}
