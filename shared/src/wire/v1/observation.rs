//! What one coordinator hears of each site: the leader counts observers, not its own ears.

use serde::{Deserialize, Serialize};

use super::heartbeat::Fitness;
use crate::clock::{Millis, UnixMillis};
use crate::codec::{Kind, Message};
use crate::epoch::{StackVersion, Term};
use crate::id::{NodeName, ProcessId, SiteName};

/// One observation. Whose it is stands in its subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The sending process.
    pub process: ProcessId,
    /// Counts up from 1 for a process.
    pub sequence: u64,
    /// Wall clock at sending, for display.
    pub sent_at: UnixMillis,
    /// Milliseconds that the process has run on its own clock: a drained backlog shows here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_ms: Option<Millis>,
    /// The highest term it knows.
    pub term: Term,
    /// True when it leads.
    pub leads: bool,
    /// The stack version it works with; nothing when it has none.
    pub stack_version: Option<StackVersion>,
    /// Whether it may be counted.
    pub fitness: Fitness,
    /// What it hears, one entry a site.
    pub sites: Vec<SiteSighting>,
    /// The store shows less than this coordinator has seen of it, and no operator has accepted that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreHalt>,
}

/// A coordinator does not believe the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreHalt {
    /// The newest acceptance by an operator that it knows of: a later one outdates this word.
    pub accepted: u64,
    /// Why, as a sentence.
    pub why: String,
}

impl Message for Observation {
    const KIND: Kind = Kind::Observation;
}

/// The newest sign of life of one site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteSighting {
    /// The site.
    pub site: SiteName,
    /// Age of the newest sighting at sending, on the observer's clock; nothing when it never had one.
    pub age_ms: Option<Millis>,
    /// Who was sighted, and how.
    pub by: Option<(NodeName, SightingChannel)>,
}

/// How a site was sighted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SightingChannel {
    /// A heartbeat of one of its agents.
    Heartbeat,
    /// An observation of its coordinator.
    Coordinator,
    /// A standby elsewhere receives WAL from it.
    WalReceiver,
    /// A peer probe to its database port.
    PeerPostgres,
    /// A peer probe to its ingress.
    PeerHttp,
    /// A peer probe to one of its agents.
    PeerAgent,
    /// A renewal of its lease, which the store accepted.
    Lease,
    /// A channel that this build does not know.
    #[serde(other)]
    Unknown,
}

impl SightingChannel {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Coordinator => "coordinator",
            Self::WalReceiver => "WAL stream",
            Self::PeerPostgres => "probe of its database port",
            Self::PeerHttp => "probe of its ingress",
            Self::PeerAgent => "probe of its agent",
            Self::Lease => "renewal of its lease",
            Self::Unknown => "unknown channel",
        }
    }
}
