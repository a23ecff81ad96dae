//! What must survive a restart, as the store keeps it: one JSON value, versioned, bounded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::clock::{Millis, UnixMillis};
use shared::epoch::{Epoch, Term};
use shared::id::{Actor, CommandId, Nonce, ProposalId, RunId};
use shared::wire::{ApprovalProof, AuditEvent, ProofLine};

use crate::automatic::CoolDown;
use crate::memory::Acceptance;
use crate::plan::Plan;
use crate::proof::{FenceProof, Shown};
use crate::proposal::Proposal;
use crate::shadow::ShadowProposal;

/// Version of the state's JSON.
pub const DURABLE_SCHEMA: u32 = 1;

/// Proposals kept in the state; older ones stand in the audit stream.
pub const PROPOSALS_KEPT_MAX: usize = 8;

/// Ended runs kept in the state; older ones stand in the audit stream.
pub const RUNS_KEPT_MAX: usize = 8;

/// The state of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durable {
    /// [`DURABLE_SCHEMA`].
    pub schema: u32,
    /// One sentence for people who look with `nats kv get`.
    pub summary: String,
    /// The term of the leader that wrote it.
    pub term: Term,
    /// The highest epoch that was ever written here.
    pub epoch_max: Epoch,
    /// The incarnation of the ticket that this state belongs to.
    pub incarnation: Option<Nonce>,
    /// Proposals, oldest first.
    pub proposals: Vec<Proposal>,
    /// The run, from its approval until it is over.
    pub run: Option<Run>,
    /// Runs that are over, oldest first.
    pub past_runs: Vec<Run>,
    /// Proposals are suspended.
    pub hold: Option<Hold>,
    /// Events that speak of this state and were to be said after it was written: a new leader says them again, and
    /// the audit stream drops those that it has.
    #[serde(default)]
    pub unrecorded: Vec<AuditEvent>,
    /// An operator accepted a store that showed less than was seen of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Acceptance>,
    /// An operator rejected the last proposal: why no other is raised until the site was sighted again.
    #[serde(default)]
    pub rejection: Option<String>,
    /// The highest epoch of a broken glass that an operator has acknowledged.
    #[serde(default)]
    pub glass_acknowledged: Epoch,
    /// An operator has switched automatic mode off.
    #[serde(default)]
    pub automatic_off: Option<Hold>,
    /// The last run, until it was long ago or somebody acknowledged it.
    #[serde(default)]
    pub cool_down: Option<CoolDown>,
    /// What would have been proposed in shadow mode, oldest first.
    #[serde(default)]
    pub shadow: Vec<ShadowProposal>,
}

/// Something is suspended by an operator: proposals, or automatic mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// By whom.
    pub by: Actor,
    /// Since when.
    pub at: UnixMillis,
    /// Why.
    pub reason: String,
}

/// One execution of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its identity.
    pub id: RunId,
    /// The proposal it came from.
    pub proposal: ProposalId,
    /// The plan.
    pub plan: Plan,
    /// The approval that agents check.
    pub approval: ApprovalProof,
    /// The operator's word that the old site is off, if given: the typed site and the reason.
    pub attestation: Option<Attestation>,
    /// Rules overridden, with reasons.
    pub overrides: BTreeMap<String, String>,
    /// When it was approved.
    pub started_at: UnixMillis,
    /// When it was over.
    pub ended_at: Option<UnixMillis>,
    /// Whether it goes on.
    pub state: RunState,
    /// The epoch that it takes, once revoked.
    pub epoch: Option<Epoch>,
    /// The grant, once given.
    pub grant: Option<Nonce>,
    /// True once an operator has resumed it although the old site was sighted again: a person has looked at that.
    #[serde(default)]
    pub resumed: bool,
    /// What was shown of the old holder, oldest first.
    #[serde(default)]
    pub proofs: Vec<FenceProof>,
    /// Each step by its number.
    pub steps: BTreeMap<u32, StepRecord>,
}

/// An operator's word that a site is off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestation {
    /// The site.
    pub site: shared::id::SiteName,
    /// Who vouches.
    pub by: Actor,
    /// Why they know.
    pub reason: String,
}

impl Attestation {
    /// The word as a proof for an epoch.
    pub(crate) fn proof(&self, at: UnixMillis, epoch: Epoch) -> FenceProof {
        FenceProof {
            epoch,
            at,
            shown: Shown::Attested {
                by: self.by.clone(),
                site: self.site.clone(),
                reason: self.reason.clone(),
            },
        }
    }
}

/// Whether a run goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It goes on.
    Running,
    /// It waits for an operator.
    Halted {
        /// The step.
        step: u32,
        /// Why, as a sentence.
        reason: String,
    },
    /// Every step succeeded, was waived, or failed where that was allowed.
    Completed {
        /// Steps that failed or were waived.
        with_exceptions: Vec<u32>,
    },
    /// An operator ended it.
    Abandoned {
        /// By whom.
        by: Actor,
        /// Why.
        reason: String,
    },
}

/// What is known of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its command's identity, for an agent's step: made once, kept for every sending.
    pub command: Option<CommandId>,
    /// When its intent was written.
    pub started_at: UnixMillis,
    /// What became of it.
    pub outcome: StepOutcome,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// Its intent is written; it may have been sent.
    Started,
    /// It succeeded.
    Done {
        /// How long it took, by the doer's clock.
        took_ms: Millis,
        /// What proves it.
        proof: Vec<ProofLine>,
    },
    /// It failed.
    Failed {
        /// How long it took.
        took_ms: Millis,
        /// Why.
        reason: String,
        /// True when its effect may still come.
        pending: bool,
    },
    /// An operator waived it.
    Waived {
        /// By whom.
        by: Actor,
        /// Why.
        reason: String,
    },
}

impl StepOutcome {
    /// The outcome's word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::Waived { .. } => "waived",
        }
    }
}

impl Durable {
    /// The state of a stack that nothing has happened to.
    pub fn empty() -> Self {
        Self {
            schema: DURABLE_SCHEMA,
            summary: "nothing has happened yet".to_owned(),
            term: Term(0),
            epoch_max: Epoch(0),
            incarnation: None,
            proposals: Vec::new(),
            run: None,
            past_runs: Vec::new(),
            hold: None,
            unrecorded: Vec::new(),
            accepted: None,
            rejection: None,
            glass_acknowledged: Epoch(0),
            automatic_off: None,
            cool_down: None,
            shadow: Vec::new(),
        }
    }

    /// The proposal that waits for an operator.
    pub fn open_proposal(&self) -> Option<&Proposal> {
        self.proposals
            .iter()
            .find(|p| p.state == crate::proposal::ProposalState::Raised)
    }

    /// A proposal by its identity.
    pub fn proposal(&self, id: ProposalId) -> Option<&Proposal> {
        self.proposals.iter().find(|p| p.id == id)
    }
}
