//! An order to one agent.
//!
//! A request that timed out may still be delivered later, so a command carries everything by which the agent
//! can refuse it: epoch, term, digest, approval, grant, and an anchor that ages on the agent's own clock.

use serde::{Deserialize, Serialize};

use super::action::{Action, PlanDigest};
use crate::clock::{Millis, UnixMillis};
use crate::codec::{Kind, Message};
use crate::digest::ContentDigest;
use crate::epoch::{Epoch, StackVersion, Term};
use crate::id::{
    Actor, CommandId, NodeName, Nonce, ProcessId, ProposalId, RunId, SiteName, StackName,
};

/// One order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Its identity: the same for every sending of this step of this run.
    pub id: CommandId,
    /// The stack.
    pub stack: StackName,
    /// The target's site.
    pub site: SiteName,
    /// The target.
    pub node: NodeName,
    /// The run.
    pub run: RunId,
    /// The step's number in the plan, from 1.
    pub step: u32,
    /// The epoch of the run.
    pub epoch: Epoch,
    /// The sending leader's term.
    pub term: Term,
    /// The plan that the step is of.
    pub plan: PlanDigest,
    /// The approval, without which nothing that changes is done.
    pub approval: Option<ApprovalProof>,
    /// The right to be live, for steps that need it.
    pub grant: Option<Grant>,
    /// The heartbeat by which the command's age is counted.
    pub anchor: Anchor,
    /// How long the command is valid from the anchor's sending on the agent's clock.
    pub valid_for_ms: Millis,
    /// How long the step may take.
    pub deadline_ms: Millis,
    /// The work.
    pub action: Action,
    /// Digest of the work and whom it is for: [`Command::content_digest`].
    pub digest: ContentDigest,
}

impl Message for Command {
    const KIND: Kind = Kind::Command;
}

/// The heartbeat that a command answers to: its age is known to its sender alone, so no two clocks are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// The agent's process.
    pub process: ProcessId,
    /// The heartbeat's sequence.
    pub sequence: u64,
}

/// What the agent checks of an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalProof {
    /// The proposal approved.
    pub proposal: ProposalId,
    /// The plan approved.
    pub plan: PlanDigest,
    /// Who approved.
    pub operator: Actor,
    /// When, for display.
    pub approved_at: UnixMillis,
    /// True when nobody approved it but the stack's automatic mode: an agent may refuse such orders altogether.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// The stack version whose policy allowed an automatic approval: an agent that knows another refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack_version: Option<StackVersion>,
}

/// The right to be live, as the ticket in the store shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The epoch granted.
    pub epoch: Epoch,
    /// The grant's own nonce: a ticket that was made anew has another.
    pub nonce: Nonce,
}

impl Command {
    /// The digest over what must not change between two sendings: whom it is for, the run, the step, the work.
    pub fn content_digest(&self) -> ContentDigest {
        ContentDigest::of(&(
            &self.id,
            &self.stack,
            &self.site,
            &self.node,
            &self.run,
            self.step,
            self.epoch,
            &self.plan,
            &self.action,
        ))
    }

    /// The same command with its digest set.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.digest = self.content_digest();
        self
    }
}
