//! What an agent says of itself, its host, database and cluster, once a second.
//!
//! Field names are short on purpose: the aim is 512 bytes for a database agent. Ages are counted by the
//! sender at the moment of sending, on its own clock; wall times are for display only.

use serde::{Deserialize, Serialize};

use super::contingency::BrokenGlass;
use crate::clock::{Millis, UnixMillis};
use crate::codec::{Kind, Message};
use crate::epoch::{Epoch, StackVersion};
use crate::id::{BootId, CommandId, DatabaseName, ProcessId, SiteName};
use crate::lsn::{LagBytes, Lsn, SystemIdentifier, Timeline};

/// One heartbeat. Who sent it stands in its subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The sending process: changes with every start of the agent.
    #[serde(rename = "p")]
    pub process: ProcessId,
    /// The boot of its host.
    #[serde(rename = "bt")]
    pub boot: BootId,
    /// Counts up from 1 for a process. A drained backlog shows here, not in its time of arrival.
    #[serde(rename = "n")]
    pub sequence: u64,
    /// Wall clock at sending, for display.
    #[serde(rename = "at")]
    pub sent_at: UnixMillis,
    /// Milliseconds that the process has run on its own clock: with `sequence` it shows a stall.
    #[serde(rename = "up")]
    pub uptime_ms: Millis,
    /// How late the agent's own loop was at worst since the last heartbeat.
    #[serde(rename = "lag")]
    pub loop_lag_ms: Millis,
    /// The highest epoch in its ledger.
    #[serde(rename = "e")]
    pub epoch: Epoch,
    /// Whether this agent may be counted as an observer, by its own judgement.
    #[serde(rename = "fit")]
    pub fitness: Fitness,
    /// The agent's version.
    #[serde(rename = "ver")]
    pub version: String,
    /// The NATS server that it is connected to, when it is not of its own site: a sign that the own one is gone.
    #[serde(rename = "via", default, skip_serializing_if = "Option::is_none")]
    pub foreign_server: Option<String>,
    /// Its host, when the module is on.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostSample>,
    /// Its database, when the module is on.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseSample>,
    /// Its Kubernetes cluster, when the module is on.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterSample>,
    /// What it sees of the other sites without NATS.
    #[serde(rename = "s", default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<PeerSample>,
    /// The command that is running, if any.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub running: Option<CommandId>,
    /// Its lease on the right to be live, when it keeps one.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseSample>,
    /// How it stands to break glass, when its file allows that.
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub glass: Option<GlassSample>,
}

impl Message for Heartbeat {
    const KIND: Kind = Kind::Heartbeat;
}

/// How an agent stands to break glass: the plan that it keeps for the loss of the store, and whether it was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlassSample {
    /// Age of the signed plan that it keeps; nothing while it keeps none.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub plan_age_ms: Option<Millis>,
    /// What an operator did with it, until a later epoch is obeyed.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<Box<BrokenGlass>>,
}

/// How a database agent stands to the right to be live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseSample {
    /// Where it stands.
    #[serde(rename = "st")]
    pub standing: LeaseStanding,
    /// Since the sending of the last accepted renewal.
    #[serde(rename = "age", default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<Millis>,
    /// The longest such age since the agent was started: what a roll-out is judged by.
    #[serde(rename = "gap", default, skip_serializing_if = "Option::is_none")]
    pub worst_gap_ms: Option<Millis>,
    /// What stops the database when the agent hangs.
    #[serde(rename = "dm")]
    pub deadman: DeadmanKind,
    /// The stack version whose policy it keeps.
    #[serde(rename = "v")]
    pub stack_version: StackVersion,
}

/// Where a database agent stands to the right to be live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseStanding {
    /// Its site does not hold the right: nothing to renew.
    NotHolder,
    /// Renewed, and the promise is kept.
    Held,
    /// Renewed, and nothing would be done without: the policy only records.
    Recorded,
    /// Kept by the word of all peers, because the store does not answer.
    Vouched,
    /// Lost; the database is being stopped, or would be if the policy did not only record.
    Lost,
    /// The database was stopped and is kept down.
    Fenced,
    /// The store shows less than was seen before: nothing is believed.
    Regressed,
    /// A word of a newer agent.
    #[serde(other)]
    Unknown,
}

/// What stops a database when its agent does not run any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadmanKind {
    /// Nothing.
    None,
    /// The kernel closes the port when a timed set runs out.
    Nftables,
    /// A watchdog resets the host.
    Watchdog,
    /// Both.
    Both,
    /// A word of a newer agent.
    #[serde(other)]
    Unknown,
}

/// Whether a process may be counted as an observer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fitness {
    /// It may.
    #[serde(rename = "y")]
    Fit,
    /// It may not, for these reasons.
    #[serde(rename = "n")]
    Unfit(Vec<Unfit>),
}

/// Why a process does not count itself as an observer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unfit {
    /// Its own loop was late: it may have been paused.
    LoopLag,
    /// It started too short a time ago to know anything.
    JustStarted,
    /// It does not hear its own canary: a denied or lost subscription looks like a dead site.
    NoCanary,
    /// It is not connected to NATS.
    NotConnected,
    /// It hears no other site at all: it is itself the isolated one.
    Isolated,
    /// Messages to it were dropped because it read too slowly.
    SlowConsumer,
    /// A reason that this build does not know.
    #[serde(other)]
    Unknown,
}

/// A host's load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSample {
    /// Busy share of all processors, in thousandths.
    #[serde(rename = "cpu")]
    pub cpu_permille: u16,
    /// Available memory in MiB.
    #[serde(rename = "mem")]
    pub memory_available_mib: u32,
    /// Installed memory in MiB.
    #[serde(rename = "tot")]
    pub memory_total_mib: u32,
    /// One-minute load average, in hundredths.
    #[serde(rename = "ld")]
    pub load_centi: u32,
    /// Free space of the fullest watched filesystem, in MiB, if one is watched.
    #[serde(rename = "dsk", default, skip_serializing_if = "Option::is_none")]
    pub disk_free_mib: Option<u32>,
}

/// What an agent knows of its database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSample {
    /// Which database of the stack it is a member of.
    #[serde(rename = "db")]
    pub database: DatabaseName,
    /// Age of this sample at sending.
    #[serde(rename = "age")]
    pub age_ms: Millis,
    /// Whether it answers.
    #[serde(rename = "st")]
    pub state: DatabaseState,
    /// Its role; nothing while it does not answer.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub role: Option<DatabaseRole>,
    /// Its system identifier.
    #[serde(rename = "id", default, skip_serializing_if = "Option::is_none")]
    pub system_identifier: Option<SystemIdentifier>,
    /// Its timeline: of the WAL it writes (primary) or receives (standby).
    #[serde(rename = "tl", default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<Timeline>,
    /// WAL flushed (primary), or the greater of received and replayed (standby).
    #[serde(rename = "rx", default, skip_serializing_if = "Option::is_none")]
    pub received_lsn: Option<Lsn>,
    /// WAL replayed (standby).
    #[serde(rename = "rp", default, skip_serializing_if = "Option::is_none")]
    pub replayed_lsn: Option<Lsn>,
    /// The standby's WAL receiver, if it has one.
    #[serde(rename = "wr", default, skip_serializing_if = "Option::is_none")]
    pub receiver: Option<ReceiverSample>,
    /// The standbys that a primary sends to.
    #[serde(rename = "snd", default, skip_serializing_if = "Vec::is_empty")]
    pub senders: Vec<SenderSample>,
    /// Bytes by which replay is behind what the sender last told, when that can be known.
    #[serde(rename = "lb", default, skip_serializing_if = "Option::is_none")]
    pub lag_bytes: Option<LagBytes>,
    /// Age of the newest replayed commit, when the primary's beat makes that meaningful.
    #[serde(rename = "ls", default, skip_serializing_if = "Option::is_none")]
    pub lag_ms: Option<Millis>,
    /// What speaks against promoting this standby.
    #[serde(rename = "no", default, skip_serializing_if = "Vec::is_empty")]
    pub obstacles: Vec<PromotionObstacle>,
    /// The `application_name` under which this standby streams.
    #[serde(rename = "ap", default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// Whom a commit of this primary waits for.
    #[serde(rename = "sy", default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncSample>,
}

/// Whom a commit waits for, as the primary's own settings say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncSample {
    /// `synchronous_standby_names`, as it is in force.
    #[serde(rename = "n")]
    pub names: String,
    /// `synchronous_commit` for sessions that do not set their own.
    #[serde(rename = "c")]
    pub commit: SyncCommit,
    /// Roles or databases that have a weaker `synchronous_commit` of their own, in words.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<String>,
    /// The application names of the standbys that count now: without one, commits wait.
    #[serde(rename = "s", default, skip_serializing_if = "Vec::is_empty")]
    pub answering: Vec<String>,
}

/// How far a commit is when it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncCommit {
    /// Not even on the own disk.
    Off,
    /// On the own disk.
    Local,
    /// In the memory of the standby's machine.
    RemoteWrite,
    /// On the standby's disk.
    On,
    /// Visible on the standby.
    RemoteApply,
    /// A level that this build does not know.
    #[serde(other)]
    Unknown,
}

impl SyncCommit {
    /// PostgreSQL's word.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Local => "local",
            Self::RemoteWrite => "remote_write",
            Self::On => "on",
            Self::RemoteApply => "remote_apply",
            Self::Unknown => "unknown",
        }
    }
}

impl DatabaseSample {
    /// True for a database that answers and is not in recovery: it takes writes.
    pub fn writes(&self) -> bool {
        self.state == DatabaseState::Up && self.role == Some(DatabaseRole::Primary)
    }
}

/// What speaks against promoting a standby, as its own agent sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromotionObstacle {
    /// Replay is paused.
    ReplayPaused,
    /// A recovery target is set: promotion would discard received WAL beyond it.
    RecoveryTarget,
    /// A setting is lower than the primary's: promotion would shut the server down.
    SettingsTooLow,
    /// It has never streamed since its start: it may be as old as its base backup.
    NeverStreamed,
    /// The agent's role lacks a privilege that promotion needs.
    Privilege,
    /// An obstacle that this build does not know.
    #[serde(other)]
    Unknown,
}

/// Whether a database answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseState {
    /// It answers.
    Up,
    /// It is alive and does not serve: starting, shutting down, or out of connections.
    NotServing,
    /// It answers and refuses the agent: a grant or a password is missing.
    Denied,
    /// It accepts connections and does not answer in time.
    Hung,
    /// Nothing listens.
    Down,
    /// The agent does not know.
    #[serde(other)]
    Unknown,
}

/// A database's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseRole {
    /// Not in recovery: it writes.
    Primary,
    /// In recovery.
    Standby,
    /// A role that this build does not know.
    #[serde(other)]
    Unknown,
}

/// A standby's WAL receiver (`pg_stat_wal_receiver`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverSample {
    /// Its status.
    #[serde(rename = "st")]
    pub status: ReceiverStatus,
    /// Age of its last message from the sender, at sending.
    #[serde(rename = "age", default, skip_serializing_if = "Option::is_none")]
    pub message_age_ms: Option<Millis>,
    /// Who it receives from, `host:port`.
    #[serde(rename = "from", default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
}

/// What a WAL receiver does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiverStatus {
    /// It receives.
    Streaming,
    /// It exists and does not receive.
    Waiting,
    /// The agent lacks the privilege to see it.
    Hidden,
    /// A status that this build does not know.
    #[serde(other)]
    Unknown,
}

/// A standby as its primary sees it (`pg_stat_replication`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SenderSample {
    /// The standby's application name.
    #[serde(rename = "a")]
    pub application: String,
    /// True while it streams.
    #[serde(rename = "s")]
    pub streaming: bool,
    /// What the standby has flushed.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub flushed_lsn: Option<Lsn>,
}

/// What an agent knows of its site's Kubernetes cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSample {
    /// Whether its API answers.
    #[serde(rename = "up")]
    pub reachable: bool,
    /// Age of this sample at sending.
    #[serde(rename = "age")]
    pub age_ms: Millis,
    /// The workloads that the agent's file watches.
    #[serde(rename = "w", default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<WorkloadSample>,
}

/// One workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadSample {
    /// `namespace/object`.
    #[serde(rename = "o")]
    pub object: String,
    /// Wanted replicas; nothing when the object is missing.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<u32>,
    /// Ready replicas.
    #[serde(rename = "r", default)]
    pub ready: u32,
}

/// What an agent sees of another site without NATS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerSample {
    /// The site looked at.
    #[serde(rename = "t")]
    pub site: SiteName,
    /// How it was looked at.
    #[serde(rename = "ch")]
    pub channel: PeerChannel,
    /// What the newest look gave.
    #[serde(rename = "o")]
    pub outcome: PeerOutcome,
    /// Age of the newest answer, at sending; nothing when there never was one.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub answered_ms: Option<Millis>,
}

/// By what an agent looks at another site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PeerChannel {
    /// The database port: it must answer an `SSLRequest`; an accepted connection alone proves nothing.
    #[serde(rename = "pg")]
    Postgres,
    /// The ingress: any HTTP status is an answer.
    #[serde(rename = "http")]
    Http,
    /// The other site's agent.
    #[serde(rename = "ag")]
    Agent,
    /// A channel that this build does not know.
    #[serde(other)]
    Unknown,
}

/// What one look at another site gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PeerOutcome {
    /// It answered.
    #[serde(rename = "ok")]
    Answered,
    /// Its host said that nothing listens.
    #[serde(rename = "rf")]
    Refused,
    /// Nothing came back in time.
    #[serde(rename = "to")]
    Silent,
    /// The network said that there is no way.
    #[serde(rename = "un")]
    Unreachable,
    /// Not looked at yet.
    #[serde(other)]
    Unknown,
}
