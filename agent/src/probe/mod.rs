//! What the agent looks at. Every probe is a task that writes its newest reading; nobody waits for one.
//!
//! A reading carries the moment it was taken on the own clock; ages are counted when a heartbeat is sent.

pub(crate) mod host;
pub(crate) mod kubernetes;
pub(crate) mod peer;
pub(crate) mod postgres;
pub(crate) mod responder;

use shared::clock::Mono;
use shared::id::SiteName;
use shared::wire::{ClusterSample, DatabaseSample, HostSample, PeerChannel, PeerOutcome};
use tokio::sync::watch;

/// The newest of something, and when it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading<T> {
    pub(crate) at: Mono,
    pub(crate) value: T,
}

/// Where a probe writes.
pub(crate) type Writer<T> = watch::Sender<Option<Reading<T>>>;
/// Where the heartbeat reads.
pub(crate) type Reader<T> = watch::Receiver<Option<Reading<T>>>;

/// What one peer probe knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerReading {
    pub(crate) site: SiteName,
    pub(crate) channel: PeerChannel,
    pub(crate) outcome: PeerOutcome,
    /// When an answer last came.
    pub(crate) answered: Option<Mono>,
}

/// What the database probe knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DatabaseReading {
    /// Ages in it are those at the moment of the sample.
    pub(crate) sample: DatabaseSample,
    /// Since when its position has not moved.
    pub(crate) still_since: Mono,
}

/// All readings.
#[derive(Debug)]
pub(crate) struct Readings {
    pub(crate) host: Option<Reader<HostSample>>,
    pub(crate) database: Option<Reader<DatabaseReading>>,
    pub(crate) cluster: Option<Reader<ClusterSample>>,
    pub(crate) peers: Vec<Reader<PeerReading>>,
}
