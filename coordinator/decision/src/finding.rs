//! Named findings: what is seen, each with a code and an operator's sentence.

use std::fmt;

use serde::{Deserialize, Serialize};
use shared::wire::Severity;

/// What a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingCode {
    /// Two databases of one cluster write.
    TwoPrimaries,
    /// The store shows less than something that an agent or this process has seen.
    StoreRegressed,
    /// A site was made live while the store was lost, and no operator has acknowledged that.
    GlassBroken,
    /// The live site is lost, or cut off from everybody: from outside these are the same.
    SiteLost,
    /// The live site is silent for all, and it is not confirmed yet.
    SiteSilent,
    /// Only one link is lost: one observer does not sight a site that another one does.
    LinkLost,
    /// Nobody hears anybody: the bus is at fault, judgement is suspended.
    BusFault,
    /// A site's NATS server or agents are gone, and its database answers.
    SiteBusLost,
    /// An observer is not fit and has no vote.
    ObserverUnfit,
    /// An observer is not heard.
    ObserverMissing,
    /// A coordinator is silent while agents of its site live.
    CoordinatorSilent,
    /// An agent is silent while its site is sighted.
    AgentSilent,
    /// A database does not answer while its site is sighted.
    DatabaseDown,
    /// The live site is up and its service is not.
    ServiceDown,
    /// The live site's database is in recovery: a restart or a local failover goes on.
    LocalFailover,
    /// One direction between two sites does not work.
    AsymmetricReach,
    /// A standby does not receive WAL while the primary is up.
    ReplicationBroken,
    /// A standby is further behind than the policy allows.
    LagAboveRpo,
    /// A host is slow or was paused.
    SlowHost,
    /// A host's wall clock jumped.
    ClockJump,
    /// The live site comes and goes.
    Flapping,
    /// A site that is not live runs workloads.
    PassiveSiteActive,
    /// A database writes in a site that is not live.
    OldPrimaryActive,
    /// No standby could be promoted now.
    NoCandidate,
    /// An agent that the stack names was never heard.
    AgentUnknown,
    /// Coordinators work with different stack versions.
    StackDiffers,
    /// Proposals are suspended by an operator.
    HoldActive,
    /// The policy says that commits wait for the standby that would become live, and that is not shown.
    NotSynchronous,
    /// This coordinator started, or took the lead, too short a time ago to judge.
    JustStarted,
}

/// A finding's fixed part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FindingRow {
    /// Its code.
    pub code: FindingCode,
    /// How grave it is.
    pub severity: Severity,
    /// True when no proposal may be raised while it holds.
    pub blocks: bool,
    /// What it means.
    pub meaning: &'static str,
}

/// One finding that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Its code.
    pub code: FindingCode,
    /// The operator's sentence, with the names and numbers of this case.
    pub sentence: String,
}

use FindingCode as C;
use Severity::{Critical, Info, Warning};

const fn row(code: C, severity: Severity, blocks: bool, meaning: &'static str) -> FindingRow {
    FindingRow {
        code,
        severity,
        blocks,
        meaning,
    }
}

/// Every finding, the gravest first.
pub const FINDINGS: [FindingRow; 29] = [
    row(
        C::TwoPrimaries,
        Critical,
        true,
        "two databases of one cluster write: a split brain",
    ),
    row(
        C::StoreRegressed,
        Critical,
        true,
        "the store shows less than what agents have obeyed: it lost writes or was made anew",
    ),
    row(
        C::GlassBroken,
        Critical,
        true,
        "an operator made a site live while the store was lost: nothing is proposed until that is acknowledged",
    ),
    row(
        C::SiteLost,
        Critical,
        false,
        "the live site is lost, or cut off from everybody; from outside these are the same",
    ),
    row(
        C::SiteSilent,
        Warning,
        false,
        "nobody sights the live site; the silence is being confirmed",
    ),
    row(
        C::OldPrimaryActive,
        Critical,
        true,
        "a database writes in a site that does not hold the right to be live",
    ),
    row(
        C::BusFault,
        Critical,
        true,
        "nobody hears anybody: the bus is at fault and judgement is suspended",
    ),
    row(
        C::ServiceDown,
        Critical,
        false,
        "the live site is up and its database does not serve: not a site loss, only an operator may move it",
    ),
    row(
        C::DatabaseDown,
        Warning,
        false,
        "a database does not answer while its site is sighted",
    ),
    row(
        C::LocalFailover,
        Warning,
        false,
        "the live site's database is in recovery: a restart or a local failover goes on",
    ),
    row(
        C::LinkLost,
        Warning,
        false,
        "one link between sites is lost; others still sight the site",
    ),
    row(
        C::AsymmetricReach,
        Warning,
        false,
        "one direction between two sites does not work",
    ),
    row(
        C::SiteBusLost,
        Warning,
        false,
        "a site's NATS server or agents are gone while the site itself answers",
    ),
    row(C::Flapping, Warning, false, "the live site comes and goes"),
    row(
        C::ReplicationBroken,
        Warning,
        false,
        "a standby does not receive WAL while the primary is up",
    ),
    row(
        C::NoCandidate,
        Warning,
        false,
        "no standby could be promoted now: the stack is unprotected",
    ),
    row(
        C::NotSynchronous,
        Warning,
        false,
        "the policy says that commits wait for the standby that would become live: they do not, or it does not answer",
    ),
    row(
        C::LagAboveRpo,
        Warning,
        false,
        "a standby is further behind than the policy allows",
    ),
    row(
        C::ObserverMissing,
        Warning,
        false,
        "an observer is not heard and has no vote",
    ),
    row(
        C::ObserverUnfit,
        Warning,
        false,
        "an observer judges itself unfit and has no vote",
    ),
    row(
        C::CoordinatorSilent,
        Warning,
        false,
        "a coordinator is silent while agents of its site live: one fewer can lead",
    ),
    row(
        C::AgentSilent,
        Warning,
        false,
        "an agent is silent while its site is sighted",
    ),
    row(
        C::AgentUnknown,
        Warning,
        false,
        "an agent that the stack names was never heard",
    ),
    row(
        C::PassiveSiteActive,
        Warning,
        false,
        "workloads run in a site that is not live",
    ),
    row(
        C::StackDiffers,
        Warning,
        false,
        "coordinators work with different stack versions",
    ),
    row(C::SlowHost, Info, false, "a host is slow or was paused"),
    row(
        C::ClockJump,
        Info,
        false,
        "a host's wall clock jumped; no decision uses it",
    ),
    row(
        C::HoldActive,
        Info,
        true,
        "an operator has suspended proposals",
    ),
    row(
        C::JustStarted,
        Info,
        true,
        "this coordinator has not watched for long enough to judge",
    ),
];

/// The fixed part of a finding.
///
/// # Panics
/// Never: a test holds the table against the enum.
pub fn row_of(code: FindingCode) -> &'static FindingRow {
    let found = FINDINGS.iter().find(|row| row.code == code);
    found.unwrap_or_else(|| unreachable!("every finding code has a row"))
}

/// The place of a finding in the order of gravity.
pub fn gravity(code: FindingCode) -> usize {
    FINDINGS
        .iter()
        .position(|row| row.code == code)
        .unwrap_or(FINDINGS.len())
}

impl FindingCode {
    /// The code's word, as operators type it.
    pub fn word(self) -> String {
        serde_json::to_value(self)
            .ok()
            .and_then(|v| v.as_str().map(ToOwned::to_owned))
            .unwrap_or_default()
    }
}

impl fmt::Display for FindingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.word())
    }
}
