//! The record that an operator broke the glass here, and the right to act that follows from it.
//!
//! The record is on the disk before anything is done. The right is a type of its own that only this module makes,
//! so that no commanded step can ever take the way around the store.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::clock::{Millis, UnixMillis};
use shared::digest::ContentDigest;
use shared::epoch::{Epoch, Term};
use shared::id::{Actor, CommandId, Nonce, ProposalId, RunId};
use shared::wire::{
    Action, Anchor, ApprovalProof, BrokenGlass, Command, Contingency, ContingencyStep, Grant,
};
use uuid::Uuid;

use crate::gate::Identity;
use crate::ledger::Ledger;

/// By so much a broken glass's epoch is above every one that was seen: whatever the lost store still granted stays
/// below it.
pub const EPOCH_JUMP: u64 = 1_000;

/// That an operator broke the glass here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// The epoch that was taken.
    pub epoch: Epoch,
    /// The plan, whole: a second run goes on with this one, whatever is cached by then.
    pub plan: Contingency,
    /// Who vouches that the old site is off, and for all that the store cannot say.
    pub operator: Actor,
    /// Why they know.
    pub reason: String,
    /// Rules overridden, by name, with reasons.
    pub overrides: BTreeMap<String, String>,
    /// When, by the own wall clock.
    pub at: UnixMillis,
    /// The run: every command's identity follows from it.
    pub run: RunId,
    /// Stands where a commanded step names its grant.
    pub grant: Nonce,
    /// True once the store's ticket has taken the epoch over.
    pub reconciled: bool,
}

/// The right to make a site live without the store: an operator's word, on the disk.
///
/// Only [`Vouched::of`] makes one. What comes over the bus never holds one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vouched {
    epoch: Epoch,
}

impl Vouched {
    /// The right that the ledger's record gives; nothing without a record, or when it has been reconciled: then
    /// the store is back, and its grant counts again.
    pub(super) fn of(ledger: &Ledger) -> Option<Self> {
        let broken = ledger.glass().filter(|broken| !broken.reconciled)?;
        Some(Self {
            epoch: broken.epoch,
        })
    }

    /// The epoch that it is for, and no other.
    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }
}

impl Broken {
    /// As heartbeats tell it.
    pub fn sample(&self) -> BrokenGlass {
        BrokenGlass {
            epoch: self.epoch,
            plan: self.plan.plan.clone(),
            operator: self.operator.clone(),
            reason: self.reason.clone(),
            to: self.plan.to.clone(),
            site_off: self.plan.from.clone(),
            at: self.at,
            reconciled: self.reconciled,
        }
    }

    /// The command of one of its steps. The same step and attempt give the same command, so that the ledger knows it
    /// again after a restart.
    pub(super) fn command(
        &self,
        identity: &Identity,
        step: &ContingencyStep,
        action: &Action,
        attempt: u32,
    ) -> Command {
        let grant = action.needs_grant().then_some(Grant {
            epoch: self.epoch,
            nonce: self.grant,
        });
        let command = Command {
            id: CommandId::new(derived(&(self.run, step.number, attempt))),
            stack: self.plan.stack.clone(),
            site: identity.site.clone(),
            node: identity.node.clone(),
            run: self.run,
            step: step.number,
            epoch: self.epoch,
            term: Term(0),
            plan: self.plan.plan.clone(),
            approval: Some(ApprovalProof {
                proposal: ProposalId::new(derived(&(self.run, "break-glass"))),
                plan: self.plan.plan.clone(),
                operator: Actor::new(&format!("break-glass by {}", self.operator)),
                approved_at: self.at,
                automatic: false,
                stack_version: None,
            }),
            grant,
            anchor: Anchor {
                process: identity.process,
                sequence: 0,
            },
            valid_for_ms: Millis(0),
            deadline_ms: step.deadline_ms,
            action: action.clone(),
            digest: ContentDigest::of(&()),
        };
        command.sealed()
    }
}

/// An identity that follows from a value.
fn derived<T: Serialize>(value: &T) -> Uuid {
    let digest = ContentDigest::of(value);
    let hex = digest.as_str().get(..32).unwrap_or_default();
    // Thirty-two hexadecimal digits always are a 128-bit number.
    let bits = u128::from_str_radix(hex, 16).unwrap_or_default();
    uuid::Builder::from_u128(bits)
        .with_version(uuid::Version::Custom)
        .into_uuid()
}
