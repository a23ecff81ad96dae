# shellcheck shell=bash
# What gives each site of the lab a network namespace of its own, and its agents a packet filter to cut
# a database's port with. Only root can make use of them; without them the lab shares loopback.

# install_network_tools: installs iproute2 and nftables where they are missing and can be of use.
install_network_tools() {
    local missing=()
    [ "$(id -u)" -eq 0 ] || return 0
    have ip || missing+=(iproute2)
    have nft || missing+=(nftables)
    [ "${#missing[@]}" -gt 0 ] || return 0
    if can_install; then
        install_packages "a tool for network namespaces" "${missing[@]}"
    else
        say "${missing[*]} missing and not to be installed here: the lab's sites will share loopback, without deadman and one-way cuts"
    fi
}
