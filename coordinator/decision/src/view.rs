//! What operators see, as plain values: the shells turn it into tables and JSON and add nothing.
//!
//! Every fact has its age; what is not known is `None`, never zero.

use serde::{Deserialize, Serialize};
use shared::clock::{Millis, UnixMillis};
use shared::epoch::{Epoch, StackVersion, Term};
use shared::id::{DatabaseName, NodeName, ProposalId, RunId, SiteName, StackName};
use shared::lsn::{LagBytes, Lsn, Timeline};
use shared::stack::SiteRole;
use shared::wire::{DatabaseRole, DatabaseState, LeasePromise, LeaseStanding, Severity};

use crate::finding::FindingCode;
use crate::memory::Seen;
use crate::phase::Phase;

/// The state of a stack at an instant, as one coordinator knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusView {
    /// Version of this JSON.
    pub schema: u32,
    /// One sentence: what is true and what is to be done.
    pub summary: String,
    /// The stack.
    pub stack: Option<StackName>,
    /// The version in force.
    pub stack_version: Option<StackVersion>,
    /// Wall clock of this coordinator.
    pub as_of: UnixMillis,
    /// Its site.
    pub answered_by: SiteName,
    /// True when it leads.
    pub leads: bool,
    /// The leader it knows of.
    pub leader: Option<SiteName>,
    /// The highest term it knows of.
    pub term: Term,
    /// The epoch.
    pub epoch: Option<Epoch>,
    /// The site that holds the right to be live.
    pub live_site: Option<SiteName>,
    /// The phase.
    pub phase: Phase,
    /// The phase's reason as a sentence.
    pub phase_why: String,
    /// Each site.
    pub sites: Vec<SiteView>,
    /// What was found, the gravest first.
    pub findings: Vec<FindingView>,
    /// Whether a failover would work now.
    pub readiness: ReadinessView,
    /// The store shows less than was seen of it: nothing automatic is done.
    #[serde(default)]
    pub store: Option<StoreView>,
    /// The leases of the live site's databases; none where the policy keeps none.
    #[serde(default)]
    pub leases: Vec<LeaseView>,
    /// Whether automatic mode would act; nothing in modes where it never does.
    #[serde(default)]
    pub automatic: Option<AutomaticView>,
    /// The open proposal.
    pub open_proposal: Option<ProposalId>,
    /// The current run.
    pub run: Option<RunId>,
    /// The sentence of a hold, if there is one.
    pub hold: Option<String>,
    /// What to do next, as a command or a sentence.
    pub next: Option<String>,
}

/// A store that shows less than was seen of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreView {
    /// One sentence.
    pub summary: String,
    /// Since when it is certain, by this coordinator's own memory; nothing when others say so.
    pub since: Option<UnixMillis>,
    /// What this coordinator remembers.
    pub remembered: Option<Seen>,
    /// What the store shows.
    pub shown: Option<Seen>,
}

/// One site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteView {
    /// The site.
    pub site: SiteName,
    /// Its role in the stack file.
    pub role: SiteRole,
    /// True when it holds the right to be live.
    pub live: bool,
    /// Who saw it, and how long ago.
    pub seen_by: Vec<SeenByView>,
    /// Its databases.
    pub databases: Vec<DatabaseView>,
    /// Its workloads: ready and wanted pods of those that the stack names; nothing when unknown.
    pub workloads: Option<WorkloadsView>,
    /// Its agents.
    pub agents: Vec<AgentView>,
}

/// Who saw a site, and how long ago.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenByView {
    /// The observing site.
    pub observer: SiteName,
    /// Age of its newest sighting; nothing when it never had one.
    pub age_ms: Option<Millis>,
    /// Whether that counts as silence.
    pub silent: bool,
    /// Why the observer has no vote, if it has none.
    pub no_vote: Option<String>,
}

/// One database member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseView {
    /// The database.
    pub database: DatabaseName,
    /// The agent beside it.
    pub node: NodeName,
    /// Whether it answers.
    pub state: DatabaseState,
    /// Its role.
    pub role: Option<DatabaseRole>,
    /// Its timeline.
    pub timeline: Option<Timeline>,
    /// Its durable position.
    pub lsn: Option<Lsn>,
    /// How far it is behind the primary's last known position.
    pub lag_bytes: Option<LagBytes>,
    /// The same in time, where that is known.
    pub lag_ms: Option<Millis>,
    /// True when it receives WAL now.
    pub streaming: Option<bool>,
    /// Age of this knowledge.
    pub age_ms: Option<Millis>,
}

/// The stack's workloads in one site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadsView {
    /// Ready pods.
    pub ready: u32,
    /// Wanted pods, as the cluster has them now.
    pub wanted: u32,
    /// Pods that the stack file declares for a live site.
    pub declared: u32,
    /// Age of this knowledge.
    pub age_ms: Millis,
}

/// One agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentView {
    /// Its node.
    pub node: NodeName,
    /// Age of its newest heartbeat; nothing when none was ever heard.
    pub heartbeat_age_ms: Option<Millis>,
    /// Its version.
    pub version: Option<String>,
    /// The highest epoch in its ledger.
    pub epoch: Option<Epoch>,
}

/// The lease of a database of the live site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseView {
    /// Its site.
    pub site: SiteName,
    /// The agent that renews it.
    pub node: NodeName,
    /// Its counter in the ticket; nothing when it never renewed.
    pub renewals: Option<u64>,
    /// Since the counter was last seen to grow; nothing when this coordinator never saw it grow.
    pub renewed_ms: Option<Millis>,
    /// What the agent promises without a renewal.
    pub promise: Option<LeasePromise>,
    /// Where the agent itself says it stands.
    pub standing: Option<LeaseStanding>,
    /// The longest renewal gap that the agent saw.
    pub worst_gap_ms: Option<Millis>,
    /// All of it as a sentence.
    pub sentence: String,
}

/// Whether automatic mode would act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutomaticView {
    /// True when no rule stands in the way now.
    pub armed: bool,
    /// Every rule that does not hold.
    pub blocked: Vec<BlockView>,
    /// What is left of the window, while the live site is silent for all and no rule stands in the way.
    pub acts_in_ms: Option<Millis>,
    /// One sentence.
    pub summary: String,
}

/// A rule that keeps automatic mode from acting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockView {
    /// The rule's name.
    pub rule: String,
    /// Its row in the table.
    pub row: u16,
    /// Why it does not hold.
    pub sentence: String,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingView {
    /// Its code.
    pub code: FindingCode,
    /// How grave it is.
    pub severity: Severity,
    /// One sentence.
    pub sentence: String,
}

/// Whether a failover would work now, and what would be lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadinessView {
    /// True when a candidate is there and nothing stands in the way.
    pub protected: bool,
    /// The site that would become live.
    pub target: Option<SiteName>,
    /// One sentence: the loss if it happened now.
    pub loss: Option<String>,
    /// What stands in the way.
    pub obstacles: Vec<String>,
    /// For each site that may become live: whether it could be made so by hand if the store were lost as well.
    #[serde(default)]
    pub break_glass: Vec<String>,
}

/// Why there is, or is not, a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainView {
    /// Version of this JSON.
    pub schema: u32,
    /// One sentence.
    pub summary: String,
    /// Wall clock of this coordinator.
    pub as_of: UnixMillis,
    /// The phase.
    pub phase: Phase,
    /// What is waited for, each as a sentence.
    pub waits_for: Vec<String>,
    /// What each observer of the live site says.
    pub observers: Vec<SeenByView>,
    /// The leases of the live site's databases: a renewal is a sign of life that the store has seen.
    #[serde(default)]
    pub leases: Vec<LeaseView>,
    /// Whether automatic mode would act; nothing in modes where it never does.
    #[serde(default)]
    pub automatic: Option<AutomaticView>,
    /// Every explanation, and whether it holds.
    pub hypotheses: Vec<HypothesisView>,
}

/// One explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HypothesisView {
    /// Its finding code.
    pub code: FindingCode,
    /// What it would mean.
    pub meaning: String,
    /// True when it holds now.
    pub holds: bool,
    /// Why, or why not.
    pub because: String,
}
