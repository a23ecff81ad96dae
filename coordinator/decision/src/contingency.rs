//! The plans for the day on which the store is lost together with the live site: what would be proposed now, made
//! while all is well. A query, like the status: it changes nothing.

use shared::id::SiteName;
use shared::stack::Mode;
use shared::wire::{CONTINGENCY_SCHEMA, Contingency, ContingencyStep, ContingencyWork};

use crate::assessment::{Scene, assess};
use crate::core::Core;
use crate::finding::{FindingCode, row_of};
use crate::input::Now;
use crate::leasing::wait_for;
use crate::loss::bound;
use crate::plan::{OnFailure, Step, Work};
use crate::plan_check;
use crate::planner::{Ground, plan};
use crate::readiness::choose_as_if_lost;

impl Core {
    /// For every site that may become live, the plan that would be proposed if the live one were lost now.
    ///
    /// Only a leader that could propose makes any: what blocks a proposal blocks this, but for a hold and the first
    /// seconds after a start, which say nothing about the sites.
    pub fn contingencies(&self, now: Now) -> Vec<Contingency> {
        let Some(view) = self.view(now.mono) else {
            return Vec::new();
        };
        let settled = self.leads()
            && !self.clocks.ticket_pending
            && self.durable.run.is_none()
            && view.ticket.is_some_and(|ticket| ticket.grant.is_some())
            && matches!(view.stack.policy.mode, Mode::Approval | Mode::Automatic);
        let passing = |code| matches!(code, FindingCode::HoldActive | FindingCode::JustStarted);
        let blocked = || {
            let findings = assess(&view);
            findings
                .iter()
                .any(|found| row_of(found.code).blocks && !passing(found.code))
        };
        if !settled || blocked() {
            return Vec::new();
        }
        let others = view.stack.eligible().filter(|site| *site != view.live());
        others
            .filter_map(|site| self.contingency(&view, site, now))
            .collect()
    }

    fn contingency(&self, view: &Scene<'_>, to: &SiteName, now: Now) -> Option<Contingency> {
        let ticket = view.ticket?;
        let choices = choose_as_if_lost(view, to);
        let ground = Ground {
            inventory: view.inventory,
            stack: view.stack,
            version: view.version,
            epoch: ticket.epoch,
            from: view.live(),
            to,
            grade: view.stack.policy.asked_grade(),
            promised: wait_for(ticket, view.stack),
        };
        let plan = plan(&ground, &choices).ok()?;
        if !plan_check::check(&plan, view.stack).is_empty() {
            return None;
        }
        let loss = bound(view.inventory, view.stack, view.live(), &choices, now.mono);
        Some(Contingency {
            schema: CONTINGENCY_SCHEMA,
            plan: plan.digest(),
            stack: plan.stack,
            stack_version: plan.stack_version,
            incarnation: ticket.incarnation,
            base_epoch: plan.base_epoch,
            from: plan.from,
            to: plan.to,
            loss: loss.summary,
            made_at: now.wall,
            made_by: self.ears.site.clone(),
            steps: plan.steps.iter().map(step).collect(),
        })
    }
}

fn step(step: &Step) -> ContingencyStep {
    ContingencyStep {
        number: step.number,
        group: step.group,
        title: step.title.clone(),
        deadline_ms: step.deadline_ms,
        needed: step.on_failure == OnFailure::Halt,
        work: match &step.work {
            Work::Revoke => ContingencyWork::Revoke,
            Work::Wait { for_ms } => ContingencyWork::Wait { for_ms: *for_ms },
            Work::Grant => ContingencyWork::Grant,
            Work::Agent { site, node, action } => ContingencyWork::Agent {
                site: site.clone(),
                node: node.clone(),
                action: action.clone(),
            },
        },
    }
}
