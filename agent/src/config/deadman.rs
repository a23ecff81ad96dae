//! The `[deadman]` table: what guards the database when the agent does not run any more.

use std::path::PathBuf;

use shared::config::Section;

use super::{Maybe, Place, PostgresConfig, Said, optional_absolute};

/// What guards the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadmanConfig {
    /// Whether the kernel closes `postgres.port` when the lease runs out.
    pub guard_port: bool,
    /// The watchdog device that resets the host then.
    pub watchdog: Option<PathBuf>,
}

pub(super) fn read(
    section: Section<'_>,
    postgres: &Maybe<PostgresConfig>,
) -> Option<DeadmanConfig> {
    let guard_port = section.flag("guard_port", true)?;
    let watchdog = optional_absolute(
        &section,
        "watchdog",
        "the absolute path of a watchdog device, such as /dev/watchdog0",
    );
    match postgres {
        Ok(None) => section.problem("", "no [postgres] table", "a database to guard"),
        // The agent would lock itself out: it could neither look nor show that the server is stopped.
        Ok(Some(postgres)) if guard_port => {
            if let Place::Host(host) = &postgres.place {
                section.problem(
                    "guard_port",
                    format!("true with postgres.host = {host:?}"),
                    "postgres.socket: a closed port is closed for the agent, too",
                );
            }
        }
        Ok(Some(_)) | Err(Said) => {}
    }
    section.finish();
    Some(DeadmanConfig {
        guard_port,
        watchdog: watchdog.ok()?,
    })
}
