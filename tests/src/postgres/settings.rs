//! Names, settings and statements of the instances.

use std::net::SocketAddr;
use std::path::Path;

/// Superuser that tests and the lab itself use.
pub const OWNER: &str = "postgres";
/// The agent's role: what it may do is granted, nothing more.
pub const AGENT: &str = "pointsman";
/// The role that `pg_rewind` reads the new primary with.
pub const REWINDER: &str = "pointsman_rewind";
/// The role of the service's clients.
pub const CLIENT: &str = "client";
/// The database the agent uses; its grants count only there.
pub const MAINTENANCE: &str = "postgres";
/// The service's database, owned by [`CLIENT`].
pub const SERVICE: &str = "service";

/// Settings of one instance, beside its data directory: neither a base backup nor a rewind brings
/// another instance's along.
pub(super) const INSTANCE_FILE: &str = "instance.conf";

/// Settings that all instances share; they lie in the data directory and travel with a copy.
pub(super) const COMMON: &str = "
unix_socket_directories = ''
max_connections = 60
max_wal_senders = 10
max_replication_slots = 10
max_worker_processes = 4
max_parallel_workers = 0
shared_buffers = 16MB
fsync = on
full_page_writes = on
synchronous_commit = on
wal_level = replica
wal_log_hints = on
wal_keep_size = 64MB
max_slot_wal_keep_size = 512MB
min_wal_size = 32MB
hot_standby = on
wal_receiver_timeout = 5s
wal_sender_timeout = 5s
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 500ms
logging_collector = off
log_line_prefix = '%m [%p] %b '
log_timezone = 'UTC'
jit = off
include = '../instance.conf'
";

/// Who may connect besides loopback: the sites that have a namespace of their own, and the lab.
pub(super) const SITES: &str =
    "host all all 198.18.0.0/15 trust\nhost replication all 198.18.0.0/15 trust\n";

/// Grants of the agent's and the rewinder's roles; one statement a line, for single-user mode.
pub(super) const MAINTENANCE_SETUP: &str = "\
CREATE ROLE pointsman LOGIN REPLICATION
CREATE ROLE pointsman_rewind LOGIN
CREATE ROLE client LOGIN
GRANT pg_monitor, pg_signal_backend TO pointsman
DO $$ BEGIN IF current_setting('server_version_num')::int >= 150000 THEN GRANT pg_checkpoint TO pointsman; GRANT ALTER SYSTEM ON PARAMETER primary_conninfo, primary_slot_name, synchronous_standby_names, default_transaction_read_only, recovery_min_apply_delay TO pointsman; END IF; IF current_setting('server_version_num')::int >= 160000 THEN GRANT pg_use_reserved_connections TO pointsman; END IF; END $$
GRANT EXECUTE ON FUNCTION pg_promote(boolean,integer), pg_wal_replay_pause(), pg_wal_replay_resume(), pg_switch_wal(), pg_reload_conf(), pg_create_restore_point(text) TO pointsman
GRANT EXECUTE ON FUNCTION pg_ls_dir(text,boolean,boolean), pg_stat_file(text,boolean), pg_read_binary_file(text), pg_read_binary_file(text,bigint,bigint,boolean) TO pointsman_rewind
CREATE DATABASE service OWNER client
";

pub(super) const CURRENT_LSN: &str = "SELECT (CASE WHEN pg_is_in_recovery() \
     THEN GREATEST(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) \
     ELSE pg_current_wal_flush_lsn() END - '0/0'::pg_lsn)::bigint";

pub(super) const REPLAYED_LSN: &str = "SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
     ELSE pg_current_wal_flush_lsn() END - '0/0'::pg_lsn)::bigint";

pub(super) const STREAMING_STANDBYS: &str = "SELECT application_name FROM pg_stat_replication \
     WHERE state = 'streaming' ORDER BY application_name";

/// A fresh row has no `latest_end_lsn` and only the timeline that was asked for.
pub(super) const RECEIVED_TIMELINE: &str = "SELECT received_tli FROM pg_stat_wal_receiver \
     WHERE status = 'streaming' AND latest_end_lsn IS NOT NULL";

/// With a directory for its socket where the port may be closed to the agent beside it, too.
pub(super) fn instance(site: &str, address: SocketAddr, socket: Option<&Path>) -> String {
    let (host, port) = (address.ip(), address.port());
    let socket = socket.map_or_else(String::new, |directory| {
        format!("unix_socket_directories = '{}'\n", directory.display())
    });
    format!("listen_addresses = '{host}'\nport = {port}\ncluster_name = '{site}'\n{socket}")
}
