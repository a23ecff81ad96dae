//! Whether replay is paused because a setting is lower here than it was on the primary.
//!
//! Promoting such a standby shuts it down. The primary's values travel in the WAL and are shown by
//! `pg_controldata`; without that program nothing is found, and the pause alone speaks against promotion.

use std::time::Duration;

use crate::config::PostgresConfig;
use crate::control_file;
use crate::database::Session;

const PATIENCE: Duration = Duration::from_secs(2);
/// Settings that must not be lower than the primary's, as `pg_controldata` names them.
const SETTINGS: [&str; 5] = [
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
];
/// What `pg_controldata` writes before the name.
const SUFFIX: &str = " setting:";

/// The first setting that is too low.
pub(super) async fn found(config: &PostgresConfig) -> Option<String> {
    let text = control_file::read(config, PATIENCE).await?;
    let session = Session::open(config, config.timeout.duration())
        .await
        .ok()?;
    for name in SETTINGS {
        let needed = needed(&text, name)?;
        let own: u64 = session
            .first_text(&format!("SHOW {name}"))
            .await
            .ok()??
            .parse()
            .ok()?;
        if own < needed {
            return Some(format!("{name} is {own}, the primary had {needed}"));
        }
    }
    None
}

fn needed(text: &str, name: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(SUFFIX))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_data_names_the_primarys_settings() {
        let text = "wal_level setting:                    replica\nmax_connections setting:              100\n";
        assert_eq!(needed(text, "max_connections"), Some(100));
        assert_eq!(needed(text, "max_wal_senders"), None);
    }
}
