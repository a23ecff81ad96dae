//! What operators get back, as values: the screens make tables of them, `.json` subjects send them as they are.
//!
//! Every reply says who answered, whether it leads, and when. A refusal is told by its field `refused`.

use decision::{ExplainView, Proposal, Run, ShadowProposal};
use serde::{Deserialize, Serialize};
use shared::clock::UnixMillis;
use shared::config::Problem;
use shared::digest::ContentDigest;
use shared::epoch::StackVersion;
use shared::id::{ProposalId, RunId, SiteName};
use shared::stack::{Difference, Forecast, Stack};
use shared::wire::AuditEvent;

/// Version of these replies.
pub const REPLY_SCHEMA: u32 = 1;

/// Who answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answerer {
    /// [`REPLY_SCHEMA`].
    pub schema: u32,
    /// The answering coordinator's site.
    pub answered_by: SiteName,
    /// True when it leads.
    pub leads: bool,
    /// The leader it knows of.
    pub leader: Option<SiteName>,
    /// Its wall clock.
    pub as_of: UnixMillis,
}

/// All proposals that are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalsReply {
    /// Who answered.
    #[serde(flatten)]
    pub from: Answerer,
    /// One sentence.
    pub summary: String,
    /// The proposals, newest first.
    pub proposals: Vec<Proposal>,
}

/// What would have been proposed in shadow mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowReply {
    /// Who answered.
    #[serde(flatten)]
    pub from: Answerer,
    /// One sentence.
    pub summary: String,
    /// The records, newest first.
    pub proposals: Vec<ShadowProposal>,
}

/// One proposal, and its run if it has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowReply {
    /// Who answered.
    #[serde(flatten)]
    pub from: Answerer,
    /// The proposal.
    pub proposal: Proposal,
    /// Its run.
    pub run: Option<Run>,
}

/// Why there is, or is not, a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainReply {
    /// Who answered.
    #[serde(flatten)]
    pub from: Answerer,
    /// The explanation.
    pub explain: ExplainView,
}

/// The audit trail's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryReply {
    /// Who answered.
    #[serde(flatten)]
    pub from: Answerer,
    /// The events, oldest first.
    pub events: Vec<HistoryEntry>,
    /// Records of the stream that are no events of this version.
    pub unreadable: u64,
}

/// One event and its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Its place in the audit stream.
    pub sequence: u64,
    /// The event.
    pub event: AuditEvent,
}

/// The stack in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackReply {
    /// Who answered.
    #[serde(flatten)]
    pub from: Answerer,
    /// Its version.
    pub version: StackVersion,
    /// Its digest.
    pub digest: ContentDigest,
    /// The stack.
    pub stack: Stack,
}

/// What a stack file would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReply {
    /// Who answered.
    #[serde(flatten)]
    pub from: Answerer,
    /// One sentence.
    pub summary: String,
    /// The version in force; nothing before the first.
    pub in_force: Option<StackVersion>,
    /// The changes.
    pub differences: Vec<Change>,
    /// How long a failover takes by the numbers of the file.
    pub timing: Forecast,
}

/// Something was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoneReply {
    /// Who answered.
    #[serde(flatten)]
    pub from: Answerer,
    /// One sentence.
    pub summary: String,
    /// Changes, where a stack was applied.
    pub differences: Vec<Change>,
    /// The proposal that the request was about.
    pub proposal: Option<ProposalId>,
    /// The run that goes on because of it.
    pub run: Option<RunId>,
}

/// Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedReply {
    /// Who answered.
    #[serde(flatten)]
    pub from: Answerer,
    /// Why.
    pub refused: Refused,
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The rule that refused, by its name: `not-leader`, `bad-request`, …
    pub rule: String,
    /// One sentence: why, and what would be needed.
    pub reason: String,
    /// True when a safety rule refused.
    pub safety: bool,
    /// What was wrong with the request, field by field.
    pub problems: Vec<WrongField>,
}

/// One wrong field of a request or stack file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrongField {
    /// Where.
    pub key: String,
    /// What was found.
    pub found: String,
    /// What is allowed.
    pub allowed: String,
}

/// One line of change of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The dotted place.
    pub key: String,
    /// The value in force, if any.
    pub before: Option<String>,
    /// The new value, if any.
    pub after: Option<String>,
}

impl From<Difference> for Change {
    fn from(difference: Difference) -> Self {
        Self {
            key: difference.key,
            before: difference.before,
            after: difference.after,
        }
    }
}

impl From<Problem> for WrongField {
    fn from(problem: Problem) -> Self {
        Self {
            key: problem.key,
            found: problem.found,
            allowed: problem.allowed,
        }
    }
}

impl Refused {
    /// A refusal by a rule that is no safety rule.
    pub fn new(rule: &str, reason: impl Into<String>) -> Self {
        Self {
            rule: rule.to_owned(),
            reason: reason.into(),
            safety: false,
            problems: Vec::new(),
        }
    }
}

/// Any reply.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// What is true.
    Status(Box<decision::StatusView>),
    /// All proposals.
    Proposals(ProposalsReply),
    /// What would have been proposed in shadow mode.
    Shadow(ShadowReply),
    /// One proposal.
    Show(Box<ShowReply>),
    /// Why there is, or is not, a proposal.
    Explain(ExplainReply),
    /// The audit trail's end.
    History(HistoryReply),
    /// The stack in force.
    Stack(Box<StackReply>),
    /// What a stack file would change.
    Check(CheckReply),
    /// Something was changed.
    Done(DoneReply),
    /// Nothing was done.
    Refused(RefusedReply),
}
