# shellcheck shell=bash
# A real Kubernetes API server, with the etcd that it stores in and the controllers that make a
# Deployment's replicas move, for the tests that hold the stand-in against the real thing.
# There are no containers and no nodes: pods are made but never run.

KUBERNETES_WANTED=1.36.3
ETCD_WANTED=3.6.8
KUBERNETES_PROGRAMS=(etcd kube-apiserver kube-controller-manager)

# kubernetes_complete DIR: true when the two programs that tests cannot do without are in DIR.
kubernetes_complete() {
    [ -n "$1" ] && [ -x "$1/etcd" ] && [ -x "$1/kube-apiserver" ]
}

fetch_kubernetes_program() {
    local base=https://dl.k8s.io/v$KUBERNETES_WANTED/bin/linux/$2/$1
    fetch "$base.sha256" "$SCRATCH/$1.sha256" && fetch "$base" "$SCRATCH/$1" || return 1
    checked "$SCRATCH/$1" "$(head -c 64 "$SCRATCH/$1.sha256")" ||
        { say "$1 does not have the digest that its release lists: not used"; return 1; }
}

fetch_etcd() {
    local name=etcd-v$ETCD_WANTED-linux-$1.tar.gz
    local base=https://github.com/etcd-io/etcd/releases/download/v$ETCD_WANTED
    fetch "$base/SHA256SUMS" "$SCRATCH/etcd.sums" && fetch "$base/$name" "$SCRATCH/$name" || return 1
    checked "$SCRATCH/$name" "$(listed_sha256 "$SCRATCH/etcd.sums" "$name")" ||
        { say "$name does not have the digest that its release lists: not used"; return 1; }
    tar -xzf "$SCRATCH/$name" -C "$SCRATCH" --strip-components=1 --wildcards '*/etcd'
}

# write_kubernetes_module DIR: a module that requires Kubernetes and pins each library which its
# release keeps beside itself to the published version of the same release. The list is read from the
# release's own go.mod, so it cannot go stale.
write_kubernetes_module() {
    local source_mod
    source_mod=$(cd "$1" && go_quietly mod download -json "k8s.io/kubernetes@v$KUBERNETES_WANTED" |
        sed -n 's/^[[:space:]]*"GoMod": "\(.*\)",*$/\1/p')
    [ -s "$source_mod" ] || return 1
    {
        printf 'module kubernetes.invalid/programs\n\n'
        grep '^go ' "$source_mod"
        grep '^godebug ' "$source_mod" || true
        printf '\nrequire k8s.io/kubernetes v%s\n\nreplace (\n' "$KUBERNETES_WANTED"
        sed -n "s|^\t\(k8s\.io/[^ ]*\) => \./staging/.*|\t\1 => \1 v0${KUBERNETES_WANTED#1}|p" "$source_mod"
        printf ')\n'
    } >"$1/go.mod"
}

# build_kubernetes PROGRAM...: builds them from source into $SCRATCH; minutes, and some gigabytes of
# disk while it lasts. Which version a program says it is decides how it behaves, so it is set.
build_kubernetes() {
    local program package version=k8s.io/component-base/version started module=$CACHE/build/kubernetes
    install_go || { say "no Go $GO_WANTED or newer to build with"; return 1; }
    mkdir -p "$module"
    write_kubernetes_module "$module" || { say "the source of Kubernetes $KUBERNETES_WANTED could not be had"; return 1; }
    for program in "$@"; do
        package=k8s.io/kubernetes/cmd/$program
        [ "$program" != etcd ] || package=go.etcd.io/etcd/server/v3
        say "building $program (Kubernetes $KUBERNETES_WANTED) from source; this takes minutes, once"
        started=$SECONDS
        (cd "$module" && go_quietly build -p 2 -trimpath -o "$SCRATCH/$program" -ldflags \
            "-s -w -X $version.gitVersion=v$KUBERNETES_WANTED -X $version.gitMajor=1 -X $version.gitMinor=$(cut -d. -f2 <<<"$KUBERNETES_WANTED")" \
            "$package") >"$CACHE/kubernetes.log" 2>&1 || {
            tail -n 5 "$CACHE/kubernetes.log" >&2
            return 1
        }
        say "built $program in $((SECONDS - started)) s"
    done
}

# install_kubernetes: sets ASSETS to a directory with the programs, or to nothing, and says why.
install_kubernetes() {
    local program arch missing=() own=$CACHE/kubernetes/v$KUBERNETES_WANTED
    ASSETS=${KUBEBUILDER_ASSETS:-}
    if [ -n "$ASSETS" ]; then
        kubernetes_complete "$ASSETS" && return 0
        say "KUBEBUILDER_ASSETS=$ASSETS lacks etcd or kube-apiserver: not used"
    fi
    ASSETS=$own
    arch=$(machine_arch)
    scratch
    for program in "${KUBERNETES_PROGRAMS[@]}"; do
        [ ! -x "$own/$program" ] || continue
        if [ "${#missing[@]}" -eq 0 ]; then
            say "installing $program into $own (release)"
            if [ "$program" = etcd ]; then
                fetch_etcd "$arch" && keep "$SCRATCH/$program" "$own/$program" && continue
            else
                fetch_kubernetes_program "$program" "$arch" && keep "$SCRATCH/$program" "$own/$program" && continue
            fi
            say "release downloads cannot be had here"
        fi
        missing+=("$program")
    done
    for program in "${missing[@]}"; do
        build_kubernetes "$program" || break
        keep "$SCRATCH/$program" "$own/$program"
    done
    if ! kubernetes_complete "$own"; then
        say "no real kube-apiserver: the tests that need one will say that they are skipped (give one by KUBEBUILDER_ASSETS)"
        ASSETS=
    fi
}
