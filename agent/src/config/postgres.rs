//! The `[postgres]` table: the server beside this agent, and how the fence stops it.

use std::path::PathBuf;

use shared::clock::Millis;
use shared::config::Section;
use shared::id::DatabaseName;

use super::{Maybe, Said, filled, optional_absolute, optional_argv, optional_filled};

/// The database server beside this agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresConfig {
    /// Which database of the stack it is a member of.
    pub database: DatabaseName,
    /// Where it listens.
    pub place: Place,
    /// Its port; also names the socket file.
    pub port: u16,
    /// The agent's role there.
    pub user: String,
    /// The database that holds the agent's grants.
    pub dbname: String,
    /// File with the role's password; none for peer authentication.
    pub password_file: Option<PathBuf>,
    /// TLS.
    pub tls: Tls,
    /// Its data directory; needed to fence it.
    pub pgdata: Option<PathBuf>,
    /// Directory of `pg_controldata`, to explain a paused replay.
    pub bin_dir: Option<PathBuf>,
    /// Run first by the fence, so that a supervisor does not start the server again.
    pub stop_command: Option<Vec<String>>,
    /// Starts the server again, read-only after the agent has demoted it, or as the primary that it was.
    pub start_command: Option<Vec<String>>,
    /// Longest run of `stop_command`.
    pub stop_timeout: Millis,
    /// Whether a primary writes a beat each second.
    pub beat: bool,
    /// What a standby's `primary_conninfo` says besides host and port.
    pub follow_conninfo: String,
    /// The standby's slot, where the plan names none.
    pub slot: Option<String>,
    /// Between two samples.
    pub every: Millis,
    /// Longest wait for one answer.
    pub timeout: Millis,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A TCP host.
    Host(String),
    /// The directory of its socket.
    Socket(PathBuf),
}

/// Whether the connection is encrypted. There is no `prefer`: it falls back to clear text in silence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Clear text.
    Disable,
    /// Encrypted; the server's certificate must be vouched for by one of these.
    Require {
        /// PEM certificates; the system's when absent.
        ca_file: Option<PathBuf>,
    },
}

pub(super) fn read(section: Section<'_>) -> Option<PostgresConfig> {
    let database = section.required("database", "a database name of the stack file");
    let place = read_place(&section);
    let port = section.number("port", Some(5432), 1..=65_535);
    let user = filled(&section, "user", "a role name");
    let dbname = optional_filled(&section, "dbname", "a database name");
    let password_file = optional_absolute(&section, "password_file", "an absolute path");
    let tls = read_tls(&section, place.as_ref());
    let pgdata = optional_absolute(
        &section,
        "pgdata",
        "the absolute path of the data directory",
    );
    let bin_dir = optional_absolute(
        &section,
        "bin_dir",
        "the absolute directory of pg_controldata",
    );
    let stop_command = optional_argv(&section, "stop_command");
    let start_command = optional_argv(&section, "start_command");
    let seconds = |from, to| Millis::seconds(from)..=Millis::seconds(to);
    let stop_timeout = section.span("stop_timeout", Millis::seconds(2), seconds(1, 60));
    let beat = section.flag("beat", true);
    let follow = read_follow(&section);
    let slot = read_slot(&section);
    let every = section.span(
        "every",
        Millis::seconds(1),
        Millis(250)..=Millis::seconds(10),
    );
    let timeout = section.span("timeout", Millis(800), Millis(100)..=Millis::seconds(10));
    section.finish();
    Some(PostgresConfig {
        database: database?,
        place: place?,
        port: u16::try_from(port?).ok()?,
        user: user?,
        dbname: dbname.ok()?.unwrap_or_else(|| "postgres".to_owned()),
        password_file: password_file.ok()?,
        tls: tls?,
        pgdata: pgdata.ok()?,
        bin_dir: bin_dir.ok()?,
        stop_command: stop_command.ok()?,
        start_command: start_command.ok()?,
        stop_timeout: stop_timeout?,
        beat: beat?,
        follow_conninfo: follow?,
        slot: slot.ok()?,
        every: every?,
        timeout: timeout?,
    })
}

fn read_place(section: &Section<'_>) -> Option<Place> {
    let host = optional_filled(section, "host", "a host name or IP address");
    let socket = optional_absolute(
        section,
        "socket",
        "the absolute directory of the server's socket",
    );
    match (host.ok()?, socket.ok()?) {
        (Some(host), None) => Some(Place::Host(host)),
        (None, Some(directory)) => Some(Place::Socket(directory)),
        (None, None) => Some(Place::Socket(PathBuf::from("/var/run/postgresql"))),
        (Some(_), Some(_)) => {
            section.problem("host", "host and socket", "one of host | socket");
            None
        }
    }
}

fn read_tls(section: &Section<'_>, place: Option<&Place>) -> Option<Tls> {
    let require = section.word(
        "sslmode",
        &[("disable", false), ("require", true)],
        Some(false),
    );
    let ca_file = optional_absolute(
        section,
        "ssl_ca_file",
        "an absolute path to PEM certificates",
    );
    match (require?, ca_file.ok()?) {
        (true, _) if matches!(place, Some(Place::Socket(_))) => {
            section.problem(
                "sslmode",
                "\"require\" with a socket",
                "\"disable\": a socket has no TLS",
            );
            None
        }
        (true, ca_file) => Some(Tls::Require { ca_file }),
        (false, None) => Some(Tls::Disable),
        (false, Some(_)) => {
            section.problem(
                "ssl_ca_file",
                "a path",
                "nothing, unless sslmode = \"require\"",
            );
            None
        }
    }
}

/// The text goes into `primary_conninfo` as it is, so what would change the target is refused.
fn read_follow(section: &Section<'_>) -> Option<String> {
    const ALLOWED: &str = "libpq keyword=value pairs without host, hostaddr and port";
    let text = optional_filled(section, "follow_conninfo", ALLOWED)
        .ok()?
        .unwrap_or_default();
    let targets = ["host", "hostaddr", "port"];
    let odd = text.split_whitespace().find(|pair| {
        pair.split_once('=')
            .is_none_or(|(key, value)| key.is_empty() || value.is_empty() || targets.contains(&key))
    });
    if let Some(pair) = odd {
        section.problem("follow_conninfo", format!("{pair:?}"), ALLOWED);
        return None;
    }
    Some(text)
}

fn read_slot(section: &Section<'_>) -> Maybe<String> {
    const ALLOWED: &str = "a slot name: 1 to 63 of a-z, 0-9 and '_'";
    let slot = optional_filled(section, "slot", ALLOWED)?;
    let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if let Some(name) = slot
        .as_ref()
        .filter(|name| name.len() > 63 || !name.chars().all(named))
    {
        section.problem("slot", format!("{name:?}"), ALLOWED);
        return Err(Said);
    }
    Ok(slot)
}
