//! Which steps of a plan are this node's, what comes before them elsewhere, and the code by which one node knows
//! that another has done its part. Pure.
//!
//! The code is no secret: it keeps an operator from starting workloads before the promotion, not an intruder.

use std::fmt;
use std::str::FromStr;

use shared::digest::ContentDigest;
use shared::epoch::Epoch;
use shared::id::{NodeName, SiteName};
use shared::wire::{Action, Contingency, ContingencyStep, ContingencyWork};

use crate::gate::Identity;

/// Where a step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// By this agent.
    Here(&'a Action),
    /// By another agent.
    Elsewhere(&'a SiteName, &'a NodeName),
    /// Nowhere: the operator vouches for what it would do.
    Vouched,
    /// A wait on the own clock, before the first effect.
    Wait,
}

/// Where a step is done, as this agent sees it.
pub(crate) fn place<'a>(
    plan: &Contingency,
    identity: &Identity,
    step: &'a ContingencyStep,
) -> Place<'a> {
    match &step.work {
        ContingencyWork::Revoke | ContingencyWork::Grant => Place::Vouched,
        ContingencyWork::Wait { .. } => Place::Wait,
        // Whatever would be done in the old site: the operator vouches that it is off.
        ContingencyWork::Agent { site, .. } if *site == plan.from => Place::Vouched,
        ContingencyWork::Agent { site, node, action } => {
            if (site, node) == (&identity.site, &identity.node) {
                Place::Here(action)
            } else {
                Place::Elsewhere(site, node)
            }
        }
    }
}

/// This agent's steps with what they do, in order.
pub(crate) fn own<'a>(
    plan: &'a Contingency,
    identity: &'a Identity,
) -> impl Iterator<Item = (&'a ContingencyStep, &'a Action)> {
    plan.steps
        .iter()
        .filter_map(move |step| match place(plan, identity, step) {
            Place::Here(action) => Some((step, action)),
            Place::Elsewhere(..) | Place::Vouched | Place::Wait => None,
        })
}

/// The last step of another agent that must be done before this one: it changes something and the site needs it.
pub(crate) fn predecessor<'a>(
    plan: &'a Contingency,
    identity: &Identity,
    step: &ContingencyStep,
) -> Option<&'a ContingencyStep> {
    let before = plan.steps.iter().filter(|other| {
        let elsewhere = matches!(place(plan, identity, other), Place::Elsewhere(..));
        let changes =
            matches!(&other.work, ContingencyWork::Agent { action, .. } if action.changes());
        other.group < step.group && other.needed && elsewhere && changes
    });
    before.max_by_key(|other| other.number)
}

/// That every needed step up to a number is done, in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) epoch: Epoch,
    pub(crate) step: u32,
    check: String,
}

/// A text that is no code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no code: it looks like 1003-7-0123456789ab, as the other host printed it")]
pub(crate) struct CodeError {
    found: String,
}

impl Code {
    /// The code that a node prints when it has done a step.
    pub(crate) fn of(plan: &Contingency, epoch: Epoch, step: u32) -> Self {
        let content = ("break-glass", epoch, step, plan.shape(), &plan.from);
        Self {
            epoch,
            step,
            check: ContentDigest::of(&content).short().to_owned(),
        }
    }

    /// True when it was printed for this plan.
    pub(crate) fn is_for(&self, plan: &Contingency) -> bool {
        *self == Self::of(plan, self.epoch, self.step)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.epoch, self.step, self.check)
    }
}

impl FromStr for Code {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let read = || {
            let mut parts = text.trim().split('-');
            let epoch = parts.next()?.parse().ok().map(Epoch)?;
            let step = parts.next()?.parse().ok()?;
            let check = parts.next()?.to_owned();
            parts
                .next()
                .is_none()
                .then_some(Self { epoch, step, check })
        };
        read().ok_or_else(|| CodeError {
            found: text.chars().take(80).collect(),
        })
    }
}
