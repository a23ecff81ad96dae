//! A plan: immutable, numbered steps in which nothing is left to choose at run time.
//!
//! Steps of one `group` run together; a group starts when every step of the one before it has succeeded or
//! was waived by name.

use serde::{Deserialize, Serialize};
use shared::clock::Millis;
use shared::epoch::{Epoch, StackVersion};
use shared::grade::FenceGrade;
use shared::id::{FenceName, NodeName, SiteName, StackName};
use shared::wire::{Action, PlanDigest};

/// An ordered move of a stack from one site to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The stack.
    pub stack: StackName,
    /// The version it was made for.
    pub stack_version: StackVersion,
    /// The epoch that is revoked.
    pub base_epoch: Epoch,
    /// The site that is left.
    pub from: SiteName,
    /// The site that becomes live.
    pub to: SiteName,
    /// The steps, numbered from 1 without a gap.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its number.
    pub number: u32,
    /// Steps of one group run together.
    pub group: u32,
    /// What it does, for people.
    pub title: String,
    /// What it does.
    pub work: Work,
    /// How long it may take.
    pub deadline_ms: Millis,
    /// True for the first step after which there is no way back but forward.
    pub point_of_no_return: bool,
    /// What its failure means.
    pub on_failure: OnFailure,
    /// The way of stopping the old site from outside that it is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<OutsideFence>,
}

/// A way of stopping the old site from outside: which of the stack's, and what its success proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutsideFence {
    /// Its name in the stack.
    pub name: FenceName,
    /// What its success proves.
    pub grade: FenceGrade,
}

/// Who does a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// The leader revokes the epoch from the old site by compare-and-set.
    Revoke,
    /// The leader waits on its own clock.
    Wait {
        /// How long.
        for_ms: Millis,
    },
    /// The leader grants the new epoch.
    Grant,
    /// An agent acts.
    Agent {
        /// Its site.
        site: SiteName,
        /// Its node.
        node: NodeName,
        /// The action.
        action: Action,
    },
}

/// What a step's failure means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFailure {
    /// The run halts until an operator decides.
    Halt,
    /// The run goes on, and its report says so.
    Continue {
        /// Why that is safe.
        because: String,
    },
}

impl Plan {
    /// The digest that an approval is for: over the whole plan.
    pub fn digest(&self) -> PlanDigest {
        PlanDigest::of(self)
    }

    /// A step by its number.
    pub fn step(&self, number: u32) -> Option<&Step> {
        self.steps.iter().find(|step| step.number == number)
    }

    /// The number of the step at the point of no return.
    pub fn point_of_no_return(&self) -> Option<u32> {
        self.steps
            .iter()
            .find(|step| step.point_of_no_return)
            .map(|step| step.number)
    }
}

impl Work {
    /// The step kind's word: `check`, `revoke`, `promote`, …
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Wait { .. } => "wait",
            Self::Grant => "grant",
            Self::Agent { action, .. } => action.kind(),
        }
    }
}
