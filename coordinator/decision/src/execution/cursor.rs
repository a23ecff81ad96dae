//! Where a run stands: which group is due, and which of its steps are settled.

use crate::durable::{Run, StepOutcome};
use crate::plan::{OnFailure, Step};

impl Run {
    /// The steps of a group.
    pub(crate) fn steps_of(&self, group: u32) -> impl Iterator<Item = &Step> {
        self.plan
            .steps
            .iter()
            .filter(move |step| step.group == group)
    }

    /// What became of a step; nothing when its intent is not written.
    pub fn outcome(&self, number: u32) -> Option<&StepOutcome> {
        self.steps.get(&number).map(|record| &record.outcome)
    }

    /// The first group with a step that is not settled.
    pub(crate) fn current_group(&self) -> Option<u32> {
        self.plan
            .steps
            .iter()
            .find(|step| !self.settled(step))
            .map(|step| step.group)
    }

    /// The first step that is not settled.
    pub(crate) fn current_step(&self) -> Option<u32> {
        self.plan
            .steps
            .iter()
            .find(|step| !self.settled(step))
            .map(|step| step.number)
    }

    fn settled(&self, step: &Step) -> bool {
        match self.outcome(step.number) {
            Some(StepOutcome::Done { .. } | StepOutcome::Waived { .. }) => true,
            Some(StepOutcome::Failed { .. }) => {
                matches!(step.on_failure, OnFailure::Continue { .. })
            }
            Some(StepOutcome::Started) | None => false,
        }
    }
}
