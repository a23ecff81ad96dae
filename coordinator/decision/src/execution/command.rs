//! The making and sending of commands.

use shared::clock::Millis;
use shared::wire::{Anchor, Command, Grant};

use super::clocks::{ASK_AFTER, RETRY_AFTER};
use crate::core::Core;
use crate::durable::StepOutcome;
use crate::input::Now;
use crate::output::Output;
use crate::plan::{Step, Work};

/// How long a command is valid, counted by its agent from the sending of the heartbeat that it answers to.
const VALID_FOR: Millis = Millis(6_000);

impl Core {
    /// Sends the commands of started steps that are due.
    pub(super) fn send_due(&mut self, now: Now) {
        let Some(run) = self.going_run() else {
            return;
        };
        let due: Vec<Step> = run
            .plan
            .steps
            .iter()
            .filter(|step| run.outcome(step.number) == Some(&StepOutcome::Started))
            .filter(|step| matches!(step.work, Work::Agent { .. }))
            .filter(|step| {
                self.clocks
                    .next_send(step.number)
                    .is_some_and(|at| at <= now.mono)
            })
            .cloned()
            .collect();
        for step in due {
            if let Some(command) = self.command(&step) {
                self.clocks.resend(step.number, now.mono.after(ASK_AFTER));
                self.push(Output::Send(Box::new(command)));
            } else {
                self.clocks
                    .heard(step.number, "its agent was never heard by this coordinator");
                self.clocks.resend(step.number, now.mono.after(RETRY_AFTER));
            }
        }
    }

    /// The command of a started agent step; nothing while the agent was never heard.
    fn command(&self, step: &Step) -> Option<Command> {
        let run = self.durable.run.as_ref()?;
        let Work::Agent { site, node, action } = &step.work else {
            return None;
        };
        let heartbeat = &self.inventory.agent(site, node)?.heartbeat;
        let epoch = run.epoch.unwrap_or(run.plan.base_epoch);
        let grant = run
            .grant
            .filter(|_| action.needs_grant())
            .map(|nonce| Grant { epoch, nonce });
        let command = Command {
            id: run.steps.get(&step.number)?.command?,
            stack: run.plan.stack.clone(),
            site: site.clone(),
            node: node.clone(),
            run: run.id,
            step: step.number,
            epoch,
            term: self.term(),
            plan: run.approval.plan.clone(),
            approval: Some(run.approval.clone()),
            grant,
            anchor: Anchor {
                process: heartbeat.process,
                sequence: heartbeat.sequence,
            },
            valid_for_ms: VALID_FOR,
            deadline_ms: step.deadline_ms,
            action: action.clone(),
            digest: shared::digest::ContentDigest::of(&()),
        };
        Some(command.sealed())
    }
}
