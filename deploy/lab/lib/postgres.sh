# shellcheck shell=bash
# PostgreSQL server programs. The lab makes its own clusters in its own directories, so the one that
# the distribution's package would create and start at install is kept from coming into being.

POSTGRES_WANTED=13
POSTGRES_PROGRAMS=(initdb pg_ctl postgres psql pg_basebackup pg_rewind pg_controldata)

# postgres_complete DIR: true when every program the lab runs is there and the version is enough.
postgres_complete() {
    local program
    [ -n "$1" ] || return 1
    for program in "${POSTGRES_PROGRAMS[@]}"; do
        [ -x "$1/$program" ] || return 1
    done
    at_least "$("$1/postgres" --version 2>/dev/null | sed -n 's/^postgres (PostgreSQL) \([0-9]*\).*/\1/p')" "$POSTGRES_WANTED"
}

# postgres_places: directories that may hold server programs, newest version first.
postgres_places() {
    local on_path
    printf '%s\n' "${POINTSMAN_PG_BIN:-}"
    printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/local/pgsql/bin | sort -rV
    on_path=$(command -v postgres || true)
    [ -z "$on_path" ] || dirname "$(readlink -f "$on_path")"
}

# find_postgres: sets PG_BIN to the first complete directory; false when there is none.
# shellcheck disable=SC2034 # PG_BIN is what the sourcing script reads.
find_postgres() {
    local place
    while IFS= read -r place; do
        if postgres_complete "$place"; then
            PG_BIN=$place
            return 0
        fi
    done < <(postgres_places)
    return 1
}

# install_postgres: installs the distribution's server without letting it create or start a cluster.
# The setting that says so is taken away afterwards: what the administrator installs later is theirs.
install_postgres() {
    find_postgres && return 0
    local setting=/etc/postgresql-common/createcluster.d/pointsman-setup.conf
    may_install "PostgreSQL $POSTGRES_WANTED or newer, server and client programs," postgresql
    as_root mkdir -p "${setting%/*}"
    printf 'create_main_cluster = false\nstart_conf = manual\n' | as_root tee "$setting" >/dev/null
    POSTGRES_SETTING=$setting
    install_packages "PostgreSQL $POSTGRES_WANTED or newer" postgresql
    drop_postgres_setting
    find_postgres ||
        fail "the postgresql package is installed but offers no server of version $POSTGRES_WANTED or newer: install one and name its directory in POINTSMAN_PG_BIN"
}

drop_postgres_setting() {
    if [ -n "${POSTGRES_SETTING:-}" ]; then
        as_root rm -f "$POSTGRES_SETTING"
        POSTGRES_SETTING=
    fi
}
