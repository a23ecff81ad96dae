//! The agent's own file: which modules are on, and where their parts are.
//!
//! [`AgentConfig`] is only made by [`AgentConfig::parse`] and [`AgentConfig::load`], which find all problems
//! at once. It holds file names of secrets, never the secrets.

mod deadman;
mod glass;
mod limits;
mod modules;
mod nats;
mod postgres;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use shared::config::{Document, Problem, Problems, Section};
use shared::id::{HookName, NodeName, SiteName, StackName};
use shared::telemetry::LogFormat;

pub use self::deadman::DeadmanConfig;
pub use self::glass::GlassConfig;
pub use self::limits::Limits;
pub(crate) use self::modules::is_variable;
pub use self::modules::{
    HookConfig, HostConfig, KubernetesConfig, PeerConfig, ResponderConfig, Watched,
};
pub use self::nats::NatsConfig;
pub use self::postgres::{Place, PostgresConfig, Tls};

use crate::automatic::AutomaticOrders;

/// The bus client's library tells in words of its own what the bus package tells already.
const DEFAULT_LOG: &str = "info,async_nats=warn";
/// Largest file read, in bytes.
const CONFIG_BYTES_MAX: u64 = 256 * 1024;

/// Everything that the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    /// The stack that the agent serves.
    pub stack: StackName,
    /// The agent's site.
    pub site: SiteName,
    /// The agent's name, unique in the stack.
    pub node: NodeName,
    /// Directory of the ledger.
    pub state_dir: PathBuf,
    /// Log filter, such as `info` or `warn,agent=debug`.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// How orders are taken that nobody approved but automatic mode.
    pub automatic: AutomaticOrders,
    /// The bus.
    pub nats: NatsConfig,
    /// Host metrics, when on.
    pub host: Option<HostConfig>,
    /// The database, when on.
    pub postgres: Option<PostgresConfig>,
    /// What guards the database when the agent does not run, when on.
    pub deadman: Option<DeadmanConfig>,
    /// The Kubernetes cluster, when on.
    pub kubernetes: Option<KubernetesConfig>,
    /// What is looked at in other sites.
    pub peers: Vec<PeerConfig>,
    /// Where this agent answers the looks of others, when on.
    pub responder: Option<ResponderConfig>,
    /// File with the key by which agents know each other's vows.
    pub vow_key_file: Option<PathBuf>,
    /// The programs that steps may run.
    pub hooks: BTreeMap<HookName, HookConfig>,
    /// Break glass, when on.
    pub glass: Option<GlassConfig>,
    /// Bounds.
    pub limits: Limits,
}

impl AgentConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Problems`] with everything that is wrong, the file being unreadable included.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let file = path.display().to_string();
        let refuse = |found: String, allowed: &str| Problems {
            file: file.clone(),
            problems: vec![Problem {
                key: String::new(),
                found,
                allowed: allowed.to_owned(),
            }],
        };
        let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
        if size > CONFIG_BYTES_MAX {
            return Err(refuse(
                format!("{size} bytes"),
                &format!("at most {CONFIG_BYTES_MAX} bytes"),
            ));
        }
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&file, &text),
            Err(error) => Err(refuse(error.to_string(), "a readable TOML file")),
        }
    }

    /// Reads a text; `file` is its name in messages.
    ///
    /// # Errors
    /// [`Problems`] with everything that is wrong.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let document = Document::parse(file, text)?;
        let config = read(document.top());
        document.finish(config)
    }
}

fn read(top: Section<'_>) -> Option<AgentConfig> {
    let stack = top.required("stack", "the stack's name: a-z, 0-9 and '-'");
    let site = top.required("site", "the agent's site, as the stack file names it");
    let node = top.required("node", "the agent's name, as the stack file names it");
    let state_dir = absolute(&top, "state_dir", "an absolute directory for the ledger");
    let log = read_log(&top);
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let log_format = top.word("log_format", &formats, Some(LogFormat::Text));
    let orders = [
        ("allowed", AutomaticOrders::Allowed),
        ("refused", AutomaticOrders::Refused),
    ];
    let automatic = top.word("automatic", &orders, Some(AutomaticOrders::Allowed));
    let nats = nats::read(top.section("nats"));
    let host = optional_section(&top, "host", modules::read_host);
    let postgres = optional_section(&top, "postgres", postgres::read);
    let deadman = optional_section(&top, "deadman", |table| deadman::read(table, &postgres));
    let kubernetes = optional_section(&top, "kubernetes", modules::read_kubernetes);
    let own_site: Option<&SiteName> = site.as_ref();
    let peers = top
        .sections("peer")
        .into_iter()
        .map(|peer| modules::read_peer(peer, own_site))
        .collect();
    let responder = optional_section(&top, "responder", modules::read_responder);
    let vow_key_file = optional_absolute(
        &top,
        "vow_key_file",
        "the absolute path of a file with at least 32 bytes",
    );
    let hooks = modules::read_hooks(&top);
    let glass = optional_section(&top, "break_glass", glass::read);
    let limits = limits::read(top.section("limits"));
    top.finish();
    Some(AgentConfig {
        stack: stack?,
        site: site?,
        node: node?,
        state_dir: state_dir?,
        log: log?,
        log_format: log_format?,
        automatic: automatic?,
        nats: nats?,
        host: host.ok()?,
        postgres: postgres.ok()?,
        deadman: deadman.ok()?,
        kubernetes: kubernetes.ok()?,
        peers: all(peers)?,
        responder: responder.ok()?,
        vow_key_file: vow_key_file.ok()?,
        hooks: hooks?,
        glass: glass.ok()?,
        limits: limits?,
    })
}

fn read_log(top: &Section<'_>) -> Option<String> {
    let filter: String = top
        .optional("log", "a log filter")
        .unwrap_or_else(|| DEFAULT_LOG.to_owned());
    let plain = |c: char| c.is_ascii_alphanumeric() || "=,:_-[]{}\"*. ".contains(c);
    if filter.is_empty() || !filter.chars().all(plain) {
        let allowed = "a level (error, warn, info, debug, trace) or target=level pairs";
        top.problem("log", format!("{filter:?}"), allowed);
        return None;
    }
    Some(filter)
}

/// A value was wrong, and that has been said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said;

/// A value that may be absent.
type Maybe<T> = Result<Option<T>, Said>;

/// A module that is on when its table is there.
fn optional_section<'a, T>(
    top: &Section<'a>,
    key: &'static str,
    read: impl FnOnce(Section<'a>) -> Option<T>,
) -> Maybe<T> {
    let present = top.has(key);
    let section = top.section(key);
    if present {
        read(section).map(Some).ok_or(Said)
    } else {
        Ok(None)
    }
}

/// All of them, or nothing when one could not be made.
fn all<T>(items: Vec<Option<T>>) -> Option<Vec<T>> {
    items.into_iter().collect()
}

/// A path that must be there and absolute: a service has no useful working directory.
fn absolute(section: &Section<'_>, key: &'static str, allowed: &str) -> Option<PathBuf> {
    let path: PathBuf = section.required(key, allowed)?;
    check_absolute(section, key, path, allowed)
}

/// A path that, if there, must be absolute.
fn optional_absolute(section: &Section<'_>, key: &'static str, allowed: &str) -> Maybe<PathBuf> {
    let present = section.has(key);
    let path: Option<PathBuf> = section.optional(key, allowed);
    match path {
        Some(path) => check_absolute(section, key, path, allowed)
            .map(Some)
            .ok_or(Said),
        None if present => Err(Said),
        None => Ok(None),
    }
}

fn check_absolute(
    section: &Section<'_>,
    key: &'static str,
    path: PathBuf,
    allowed: &str,
) -> Option<PathBuf> {
    if path.is_absolute() {
        Some(path)
    } else {
        section.problem(key, format!("{:?}", path.display().to_string()), allowed);
        None
    }
}

/// A text that must be there and not be empty.
fn filled(section: &Section<'_>, key: &'static str, allowed: &str) -> Option<String> {
    let text: String = section.required(key, allowed)?;
    check_filled(section, key, text, allowed)
}

/// A text that, if there, must not be empty.
fn optional_filled(section: &Section<'_>, key: &'static str, allowed: &str) -> Maybe<String> {
    let present = section.has(key);
    let text: Option<String> = section.optional(key, allowed);
    match text {
        Some(text) => check_filled(section, key, text, allowed)
            .map(Some)
            .ok_or(Said),
        None if present => Err(Said),
        None => Ok(None),
    }
}

fn check_filled(
    section: &Section<'_>,
    key: &'static str,
    text: String,
    allowed: &str,
) -> Option<String> {
    if text.is_empty() || text.chars().any(char::is_control) {
        section.problem(key, format!("{text:?}"), allowed);
        return None;
    }
    Some(text)
}

/// A program that may be absent.
fn optional_argv(section: &Section<'_>, key: &'static str) -> Maybe<Vec<String>> {
    if section.has(key) {
        argv(section, key).map(Some).ok_or(Said)
    } else {
        // Asked for all the same, so that the key is known.
        drop(section.texts(key, ""));
        Ok(None)
    }
}

/// A program with its arguments, its absolute path first.
fn argv(section: &Section<'_>, key: &'static str) -> Option<Vec<String>> {
    const ALLOWED: &str =
        "a list of texts, the program's absolute path first; no shell is involved";
    let words = section.texts(key, ALLOWED);
    match words.first() {
        Some(program) if Path::new(program).is_absolute() => Some(words),
        Some(program) => {
            section.problem(key, format!("{program:?}"), ALLOWED);
            None
        }
        None => {
            section.problem(key, "nothing", ALLOWED);
            None
        }
    }
}

#[cfg(test)]
mod tests;
