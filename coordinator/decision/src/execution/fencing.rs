//! The fence ladder of a run: proofs are recorded as they come, and the grant needs the policy's grade of them.

use std::collections::BTreeMap;

use shared::clock::Millis;
use shared::grade::FenceGrade;
use shared::id::NodeName;
use shared::wire::{LeasePromise, ProofLine, Severity, Ticket};

use crate::core::Core;
use crate::durable::{Run, StepOutcome};
use crate::input::Now;
use crate::journal::About;
use crate::leasing::{promises, wait_for};
use crate::plan::{Step, Work};
use crate::proof::{FenceProof, Shown, attained};

/// The rule that asks for a grade, by the name under which it is overridden.
pub(crate) const FENCE_GRADE: &str = "fence-grade";

impl Core {
    /// Records what a finished step proves of the old holder.
    pub(super) fn record_proof(&mut self, now: Now, step: &Step, outcome: &StepOutcome) {
        let StepOutcome::Done { took_ms, proof } = outcome else {
            return;
        };
        let Some(shown) = self.shown_by(step, *took_ms, proof) else {
            return;
        };
        let Some(run) = self.durable.run.as_mut() else {
            return;
        };
        let epoch = run.plan.base_epoch;
        let id = run.id;
        let (words, grade) = (shown.words(), shown.grade());
        run.proofs.push(FenceProof {
            epoch,
            at: now.wall,
            shown,
        });
        let summary = format!("fence grade {grade} for epoch {epoch}: {words}");
        let event = self
            .scene(now)
            .event("fence-proof", Severity::Info, summary);
        self.record(event.of_run(id).of_step(step.number).with("grade", grade));
    }

    fn shown_by(&self, step: &Step, took_ms: Millis, proof: &[ProofLine]) -> Option<Shown> {
        let run = self.durable.run.as_ref()?;
        match (&step.work, &step.fence) {
            (Work::Wait { .. }, _) => self.lease_expired(run, took_ms),
            (Work::Agent { node, .. }, Some(fence)) => {
                let (fence, grade) = (fence.name.clone(), fence.grade);
                let (node, receipt) = (node.clone(), proof.to_vec());
                Some(match grade {
                    FenceGrade::PoweredOff => Shown::PoweredOff {
                        fence,
                        node,
                        receipt,
                    },
                    FenceGrade::None
                    | FenceGrade::Attested
                    | FenceGrade::LeaseExpired
                    | FenceGrade::AgentConfirmed
                    | FenceGrade::CutOff => Shown::CutOff {
                        fence,
                        node,
                        receipt,
                    },
                })
            }
            (Work::Agent { .. }, None) if step.work.kind() == "fence" => all_confirmed(run),
            (Work::Agent { .. } | Work::Revoke | Work::Grant, _) => None,
        }
    }

    /// The revoked ticket's promises, when they cover every database and were outwaited by this leader itself.
    fn lease_expired(&self, run: &Run, waited_ms: Millis) -> Option<Shown> {
        let ticket = self.revoked(run)?;
        let (_, stack) = self.stack.as_ref()?;
        if waited_ms < wait_for(ticket, stack)? {
            return None;
        }
        let of_all: Option<BTreeMap<NodeName, LeasePromise>> =
            promises(stack, ticket, &run.plan.from)
                .map(|(node, promise)| {
                    let kept = promise.filter(|promise| promise.deadman)?;
                    Some((node.clone(), kept))
                })
                .collect();
        let promises = of_all.filter(|promises| !promises.is_empty())?;
        Some(Shown::LeaseExpired {
            promises,
            waited_ms,
        })
    }

    /// The ticket as this run revoked it.
    fn revoked(&self, run: &Run) -> Option<&Ticket> {
        self.ticket
            .as_ref()
            .filter(|ticket| run.epoch == Some(ticket.epoch))
    }

    /// Why the planned wait is no proof: what the revocation really carried over promises to stop later.
    pub(super) fn wait_too_short(&self, step: &Step) -> Option<String> {
        let run = self.durable.run.as_ref()?;
        let Work::Wait { for_ms } = step.work else {
            return None;
        };
        if run.overrides.contains_key(FENCE_GRADE) {
            return None;
        }
        let (_, stack) = self.stack.as_ref()?;
        let needed = wait_for(self.revoked(run)?, stack)?;
        (needed > for_ms).then(|| {
            format!(
                "the old site has promised to stop only within {}, and the plan waits {}: abandon the run and approve \
                 a new proposal, or override rule {FENCE_GRADE} with a reason",
                needed.human(),
                for_ms.human()
            )
        })
    }

    /// Why the right may not be granted yet: the proofs do not reach the grade that the policy asks for.
    pub(crate) fn ungraded(&self) -> Option<String> {
        let run = self.durable.run.as_ref()?;
        let (_, stack) = self.stack.as_ref()?;
        let needed = if run.approval.automatic {
            stack.policy.automatic.fence_grade
        } else {
            stack.policy.fence_grade
        };
        let reached = attained(&run.proofs, run.plan.base_epoch);
        // Nothing at all is never enough.
        if reached >= needed.max(FenceGrade::Attested) {
            return None;
        }
        let overridden = run.overrides.contains_key(FENCE_GRADE);
        let from = &run.plan.from;
        if overridden && reached > FenceGrade::None {
            return None;
        }
        if overridden {
            return Some(format!(
                "nothing at all shows that {from} is stopped: vouch that it is off (--attest-site-off {from})"
            ));
        }
        Some(format!(
            "fence grade {needed} is asked and {reached} is reached: resume to try the fences again, or go on with \
             --override {FENCE_GRADE}=REASON"
        ))
    }

    /// A new leader waits itself: what another's clock has waited is no proof of its own.
    pub(super) fn wait_anew(&mut self) {
        let Some(run) = self.durable.run.as_mut() else {
            return;
        };
        let granted = self
            .ticket
            .as_ref()
            .is_some_and(|ticket| ticket.grant.is_some() && ticket.grant == run.grant);
        let step = |kind: &str| run.plan.steps.iter().find(|step| step.work.kind() == kind);
        let (Some(wait), Some(grant)) = (step("wait"), step("grant")) else {
            return;
        };
        let (wait, grant) = (wait.number, grant.number);
        let over = matches!(run.outcome(grant), Some(StepOutcome::Done { .. }));
        if granted || over {
            return;
        }
        if matches!(run.outcome(wait), Some(StepOutcome::Done { .. })) {
            run.steps.remove(&wait);
            run.proofs
                .retain(|proof| !matches!(proof.shown, Shown::LeaseExpired { .. }));
            self.touch();
        }
    }
}

/// Every database of the old site was stopped by its own agent.
fn all_confirmed(run: &Run) -> Option<Shown> {
    let steps = run.plan.steps.iter();
    let mut nodes = Vec::new();
    for fence in steps.filter(|step| step.work.kind() == "fence") {
        let Work::Agent { node, .. } = &fence.work else {
            continue;
        };
        if !matches!(run.outcome(fence.number), Some(StepOutcome::Done { .. })) {
            return None;
        }
        nodes.push(node.clone());
    }
    Some(Shown::AgentConfirmed { nodes })
}

/// Takes back the failed steps of which `which` is true, so that they are tried again.
///
/// A step whose effect may still come keeps its command: its agent then looks at what has become of it instead
/// of taking it for a new order. Any other is begun anew, with another command.
pub(crate) fn retry(run: &mut Run, which: impl Fn(&Step) -> bool) {
    let steps = run.plan.steps.iter().filter(|step| which(step));
    let numbers: Vec<u32> = steps.map(|step| step.number).collect();
    for number in numbers {
        match run.steps.get_mut(&number).map(|record| &mut record.outcome) {
            Some(outcome @ StepOutcome::Failed { pending: true, .. }) => {
                *outcome = StepOutcome::Started;
            }
            Some(StepOutcome::Failed { pending: false, .. }) => {
                run.steps.remove(&number);
            }
            Some(StepOutcome::Started | StepOutcome::Done { .. } | StepOutcome::Waived { .. })
            | None => {}
        }
    }
}
