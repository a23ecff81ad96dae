//! A failover proposal: verdict, evidence, loss bound and plan, waiting for an operator.
//!
//! It never changes but for its state; when the facts change it is withdrawn or superseded.

use serde::{Deserialize, Serialize};
use shared::clock::{Millis, UnixMillis};
use shared::grade::FenceGrade;
use shared::id::{Actor, NodeName, ProposalId, SiteName};
use shared::lsn::{LagBytes, Lsn};
use shared::wire::PlanDigest;

use crate::candidate::CandidateRefusal;
use crate::finding::FindingCode;
use crate::plan::Plan;

/// A proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Its identity.
    pub id: ProposalId,
    /// The digest of its plan: what an approval is for.
    pub digest: PlanDigest,
    /// Its state.
    pub state: ProposalState,
    /// When it was raised.
    pub raised_at: UnixMillis,
    /// When it ends by itself, for display.
    pub expires_at: UnixMillis,
    /// The verdict as a sentence.
    pub verdict: String,
    /// What each observer saw when it was raised.
    pub evidence: Vec<EvidenceLine>,
    /// Other explanations, and why they were ruled out.
    pub ruled_out: Vec<RuledOut>,
    /// The node chosen for promotion in each database, and those refused.
    pub candidates: Vec<CandidateChoice>,
    /// What would be lost.
    pub loss: LossBound,
    /// What an approval must bring.
    pub needs: ApprovalNeeds,
    /// The plan.
    pub plan: Plan,
}

/// What became of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposalState {
    /// It waits for an operator.
    Raised,
    /// It was approved and its plan is being, or was, run.
    Approved {
        /// By whom.
        by: Actor,
        /// When.
        at: UnixMillis,
    },
    /// It was rejected.
    Rejected {
        /// By whom.
        by: Actor,
        /// When.
        at: UnixMillis,
        /// Why.
        reason: String,
    },
    /// Nobody answered in time.
    Expired {
        /// When.
        at: UnixMillis,
    },
    /// It withdrew itself because the facts changed.
    Withdrawn {
        /// When.
        at: UnixMillis,
        /// What changed.
        reason: String,
    },
    /// Another proposal took its place.
    Superseded {
        /// When.
        at: UnixMillis,
        /// The newer one.
        by: ProposalId,
        /// What changed.
        reason: String,
    },
}

/// What one observer saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceLine {
    /// The observing site.
    pub observer: SiteName,
    /// One sentence.
    pub saw: String,
    /// Time since its last sighting of the lost site; nothing when it never had one.
    pub silent_for_ms: Option<Millis>,
    /// Age of this knowledge when the proposal was raised.
    pub age_ms: Millis,
}

/// An explanation that was ruled out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuledOut {
    /// The finding that would have been raised.
    pub code: FindingCode,
    /// Why it is not so.
    pub because: String,
}

/// The choice of a node to promote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateChoice {
    /// The database.
    pub database: shared::id::DatabaseName,
    /// The node chosen.
    pub chosen: Option<ChosenCandidate>,
    /// Those that were not, and why.
    pub refused: Vec<RefusedCandidate>,
}

/// A node chosen for promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenCandidate {
    /// Its site.
    pub site: SiteName,
    /// The node.
    pub node: NodeName,
    /// Its durable position.
    pub lsn: Lsn,
}

/// A node not chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedCandidate {
    /// Its site.
    pub site: SiteName,
    /// The node.
    pub node: NodeName,
    /// Why, as a sentence.
    pub because: String,
    /// Why, for programs; nothing in what an earlier build kept.
    #[serde(default)]
    pub why: Option<CandidateRefusal>,
}

/// What would be lost: three numbers, never one, each unknown when it is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossBound {
    /// Bytes that the primary had flushed at its last sample and the candidate does not have: a lower bound.
    pub known_bytes: Option<LagBytes>,
    /// Time from the primary's last sample until now: writes in it are not counted above.
    pub blind_ms: Option<Millis>,
    /// What the primary would have written in the blind time up to its last sighting, at its recent rate.
    pub projected_bytes: Option<LagBytes>,
    /// One sentence that says all three.
    pub summary: String,
}

/// What an approval must bring besides the digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalNeeds {
    /// The fence grade that the policy asks for.
    pub fence_grade: FenceGrade,
    /// The site that the operator must vouch to be off by typing its name.
    pub attest_site_off: Option<SiteName>,
    /// Rules that must be overridden by name, each with what it says.
    pub overrides: Vec<RuleToOverride>,
    /// What will be proved of the old site, by what, and what will not, each as a sentence.
    #[serde(default)]
    pub proofs: Vec<String>,
}

/// A rule that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleToOverride {
    /// Its name.
    pub rule: String,
    /// What it says here.
    pub says: String,
}

impl ProposalState {
    /// The state's word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Approved { .. } => "approved",
            Self::Rejected { .. } => "rejected",
            Self::Expired { .. } => "expired",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Superseded { .. } => "superseded",
        }
    }
}
