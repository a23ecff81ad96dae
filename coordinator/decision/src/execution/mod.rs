//! The run of a plan: one group of steps after the other, each intent written before it is sent.
//!
//! Must never: start a group before every step of the one before it is settled, send what a restart would
//! forget, or give an order a second identity while its first may still take effect.

mod clocks;
mod command;
mod cursor;
mod fencing;
mod outcome;
mod ticket;

use shared::clock::Mono;
use shared::grade::FenceGrade;
use shared::id::{CommandId, NodeName, Nonce, SiteName};
use shared::wire::{Report, Severity};

pub(crate) use self::clocks::RunClocks;
pub(crate) use self::fencing::{FENCE_GRADE, retry};
use crate::core::Core;
use crate::durable::{Run, RunState, StepOutcome, StepRecord};
use crate::input::{Now, Unanswered};
use crate::journal::About;
use crate::output::WakeReason;
use crate::phase::Phase;
use crate::plan::{Step, Work};
use crate::proof::attained;
use crate::sighting::Vote;

/// Steps that an operator may not waive: what follows would be unsafe or senseless without them.
const NOT_WAIVABLE: [&str; 4] = ["revoke", "wait", "grant", "promote"];

impl Core {
    /// Goes on with the run as far as it can be gone.
    pub(crate) fn advance_run(&mut self, now: Now) {
        // A run of which every step is settled orders nothing any more: it ends, whatever the store shows.
        let unsettled = self.going_run().map(|run| run.current_step().is_some());
        if unsettled.is_none_or(|unsettled| unsettled && self.distrust(now).is_some()) {
            return;
        }
        loop {
            let Some(run) = self.going_run() else {
                return;
            };
            if self.clocks.ticket_pending || self.automatic.switch_pending {
                return;
            }
            let Some(group) = run.current_group() else {
                self.complete_run(now);
                return;
            };
            let unstarted: Vec<Step> = run
                .steps_of(group)
                .filter(|step| !run.steps.contains_key(&step.number))
                .cloned()
                .collect();
            if unstarted.is_empty() {
                self.rearm(now, group);
                self.send_due(now);
                if !self.settle_time(now, group) {
                    return;
                }
            } else if !self.start_group(now, &unstarted) {
                return;
            }
        }
    }

    /// A new leader's clocks for a run that it found: waits and deadlines start anew on its own clock.
    pub(crate) fn adopt_run(&mut self, now: Now) {
        match self
            .durable
            .run
            .as_ref()
            .map(|run| (run.id, run.plan.to.clone(), run.state.clone()))
        {
            Some((id, to, RunState::Halted { .. })) => {
                self.wait_anew();
                self.go(now, Phase::Halted);
                let summary = format!(
                    "run {} to {to} is halted and waits for an operator",
                    id.short()
                );
                let event = self
                    .scene(now)
                    .event("run-adopted", Severity::Critical, summary)
                    .of_run(id);
                self.record(event);
            }
            Some((id, to, _)) => {
                self.go(now, Phase::Running);
                self.wait_anew();
                let summary = format!("the new leader goes on with run {} to {to}", id.short());
                let event = self
                    .scene(now)
                    .event("run-adopted", Severity::Warning, summary)
                    .of_run(id);
                self.record(event);
                self.touch();
            }
            None => {}
        }
    }

    /// An agent's word on a command.
    pub(crate) fn reported(&mut self, now: Now, site: &SiteName, node: &NodeName, report: Report) {
        let Some(step) = self.step_of_command(report.command) else {
            return;
        };
        let Work::Agent {
            site: wanted_site,
            node: wanted_node,
            ..
        } = &step.work
        else {
            return;
        };
        if wanted_site != site || wanted_node != node {
            let summary = format!(
                "{site}/{node} reported on a command that is not its own; it was not believed"
            );
            let event = self
                .scene(now)
                .event("report-refused", Severity::Warning, summary);
            self.record(event.of_step(step.number));
            return;
        }
        self.take_report(now, &step, report.state);
    }

    /// A command that got no answer is sent again.
    pub(crate) fn unanswered(&mut self, now: Now, command: CommandId, cause: Unanswered) {
        let Some(step) = self.step_of_command(command) else {
            return;
        };
        let words = match cause {
            Unanswered::NotConnected => "this coordinator is not connected to NATS",
            Unanswered::NoResponder => "nobody listens for its agent's commands",
            Unanswered::TimedOut => "its agent did not answer in time",
            Unanswered::Garbage => "its agent's answer could not be read",
        };
        self.clocks.heard(step.number, words);
        self.clocks
            .resend(step.number, now.mono.after(clocks::RETRY_AFTER));
    }

    /// When the run needs to be looked at.
    pub(crate) fn run_wake(&self) -> Option<(Mono, WakeReason)> {
        let run = self.going_run()?;
        let group = run.current_group()?;
        let mut wakes = Vec::new();
        for step in run
            .steps_of(group)
            .filter(|step| run.outcome(step.number) == Some(&StepOutcome::Started))
        {
            if let Work::Wait { for_ms } = step.work {
                wakes.extend(
                    self.clocks
                        .started(step.number)
                        .map(|at| (at.after(for_ms), WakeReason::EpochWait)),
                );
            } else if matches!(step.work, Work::Agent { .. }) {
                wakes.extend(
                    self.clocks
                        .next_send(step.number)
                        .map(|at| (at, WakeReason::Resend)),
                );
                let deadline = self
                    .clocks
                    .started(step.number)
                    .map(|at| at.after(clocks::deadline(step)));
                wakes.extend(deadline.map(|at| (at, WakeReason::StepDeadline)));
            }
        }
        wakes.into_iter().min()
    }

    /// The run, if it goes on.
    pub(crate) fn going_run(&self) -> Option<&Run> {
        self.durable
            .run
            .as_ref()
            .filter(|run| run.state == RunState::Running)
    }

    /// Halts the run at a step until an operator decides.
    pub(crate) fn halt_run(&mut self, now: Now, step: u32, reason: &str) {
        let Some(run) = self.durable.run.as_mut() else {
            return;
        };
        run.state = RunState::Halted {
            step,
            reason: reason.to_owned(),
        };
        let id = run.id;
        self.touch();
        let summary = format!("run {} halted at step {step}: {reason}", id.short());
        let event = self
            .scene(now)
            .event("run-halted", Severity::Critical, summary);
        self.record(event.of_run(id).of_step(step).because(reason));
        self.go(now, Phase::Halted);
    }

    fn complete_run(&mut self, now: Now) {
        let Some(mut run) = self.durable.run.take() else {
            return;
        };
        let unlike_done = |(number, record): (&u32, &StepRecord)| {
            (!matches!(record.outcome, StepOutcome::Done { .. })).then_some(*number)
        };
        let with_exceptions: Vec<u32> = run.steps.iter().filter_map(unlike_done).collect();
        run.ended_at = Some(now.wall);
        let took = shared::clock::Millis(now.wall.0.saturating_sub(run.started_at.0));
        let summary = format!(
            "{} is live in epoch {}: run {} took {}{}",
            run.plan.to,
            self.epoch(),
            run.id.short(),
            took.human(),
            if with_exceptions.is_empty() {
                String::new()
            } else {
                format!(", with exceptions in steps {with_exceptions:?}")
            }
        );
        run.state = RunState::Completed { with_exceptions };
        let event = self
            .scene(now)
            .event("run-completed", Severity::Warning, summary);
        self.record(event.of_run(run.id).of_proposal(run.proposal));
        self.begin_cool_down(now, &run);
        self.keep_past(run);
        self.touch();
        self.go(now, Phase::Completed);
        self.detector.reset();
    }

    /// Puts a run that is over among the past ones.
    pub(crate) fn keep_past(&mut self, run: Run) {
        self.clocks = RunClocks::default();
        self.durable.past_runs.push(run);
        let spare = self
            .durable
            .past_runs
            .len()
            .saturating_sub(crate::durable::RUNS_KEPT_MAX);
        self.durable.past_runs.drain(..spare);
    }

    /// Writes the intent of a group's steps and begins them. False when the run halted instead.
    fn start_group(&mut self, now: Now, steps: &[Step]) -> bool {
        // A promotion that was refused may be resumed long after the grant: the old site may live by then.
        let moves_the_right =
            |step: &&Step| matches!(step.work.kind(), "revoke" | "grant" | "promote");
        if let Some(step) = steps.iter().find(moves_the_right)
            && let Some(reason) = self.seen_again(now.mono)
        {
            self.halt_run(now, step.number, &reason);
            return false;
        }
        for step in steps {
            let unproved = match step.work {
                Work::Wait { .. } => self.wait_too_short(step),
                Work::Grant => self.ungraded(),
                Work::Revoke | Work::Agent { .. } => None,
            };
            if let Some(reason) = unproved {
                self.halt_run(now, step.number, &reason);
                return false;
            }
        }
        let next_epoch = self.next_epoch();
        let grant = Nonce::new(self.draw("grant"));
        for step in steps {
            let command = matches!(step.work, Work::Agent { .. })
                .then(|| CommandId::new(self.draw("command")));
            let Some(run) = self.durable.run.as_mut() else {
                return false;
            };
            match step.work {
                Work::Revoke => run.epoch = Some(next_epoch),
                Work::Grant => run.grant = Some(grant),
                Work::Wait { .. } | Work::Agent { .. } => {}
            }
            let record = StepRecord {
                command,
                started_at: now.wall,
                outcome: StepOutcome::Started,
            };
            run.steps.insert(step.number, record);
            self.clocks.start(step.number, now.mono);
            self.say_started(now, step);
        }
        self.touch();
        true
    }

    /// Why nothing may be promoted now: the old site lives, and nobody proved that its database is stopped.
    ///
    /// An operator who resumes may know better than a sighting; nobody knows better than the old database's own
    /// agent, when that one says that it writes.
    pub(super) fn seen_again(&self, now: Mono) -> Option<String> {
        let run = self.durable.run.as_ref()?;
        let view = self.view(now)?;
        if let Some(node) = view.writer_in(&run.plan.from) {
            return Some(format!(
                "{node} says that its database writes: stop it, then resume, or abandon"
            ));
        }
        // Without anybody to ask, a run goes on when the old site has surely stopped by its own promise.
        let enough = if run.approval.automatic {
            FenceGrade::LeaseExpired
        } else {
            FenceGrade::AgentConfirmed
        };
        if run.resumed || attained(&run.proofs, run.plan.base_epoch) >= enough {
            return None;
        }
        let votes = view.votes(&run.plan.from);
        let sighted = votes.iter().find(|vote| vote.vote == Vote::Sighted)?;
        let words = crate::proposing::sighted_words(sighted, now, Some(&run.plan.from));
        Some(format!(
            "{words}, and its database is not proved to be stopped: resume only when you know that it is, or abandon"
        ))
    }

    /// Gives clocks to started steps that have none (a new leader), and writes tickets that are due.
    fn rearm(&mut self, now: Now, group: u32) {
        let Some(run) = self.going_run() else {
            return;
        };
        let started: Vec<Step> = run
            .steps_of(group)
            .filter(|step| run.outcome(step.number) == Some(&StepOutcome::Started))
            .cloned()
            .collect();
        for step in started {
            if self.clocks.started(step.number).is_none() {
                self.clocks.start(step.number, now.mono);
            }
            if matches!(step.work, Work::Revoke | Work::Grant) {
                self.write_ticket(now, &step);
            }
        }
    }

    /// Ends waits and overdue steps. True when something was settled.
    fn settle_time(&mut self, now: Now, group: u32) -> bool {
        let Some(run) = self.going_run() else {
            return false;
        };
        let started: Vec<Step> = run
            .steps_of(group)
            .filter(|step| run.outcome(step.number) == Some(&StepOutcome::Started))
            .cloned()
            .collect();
        let mut settled = started.is_empty();
        for step in started {
            let Some(since) = self.clocks.started(step.number) else {
                continue;
            };
            let took_ms = now.mono.since(since);
            if let Work::Wait { for_ms } = step.work {
                if took_ms >= for_ms {
                    self.finish_step(
                        now,
                        &step,
                        StepOutcome::Done {
                            took_ms,
                            proof: Vec::new(),
                        },
                    );
                    settled = true;
                }
            } else if matches!(step.work, Work::Agent { .. }) && took_ms >= clocks::deadline(&step)
            {
                let word = self
                    .clocks
                    .last_word(step.number)
                    .unwrap_or("nothing was heard of it")
                    .to_owned();
                let reason = format!("no outcome within {}: {word}", took_ms.human());
                self.finish_step(
                    now,
                    &step,
                    StepOutcome::Failed {
                        took_ms,
                        reason,
                        pending: true,
                    },
                );
                settled = true;
            }
        }
        settled
    }

    fn step_of_command(&self, command: CommandId) -> Option<Step> {
        let run = self.durable.run.as_ref()?;
        let (number, _) = run
            .steps
            .iter()
            .find(|(_, record)| record.command == Some(command))?;
        run.plan.step(*number).cloned()
    }
}

/// True when an operator may waive a step.
pub(crate) fn waivable(step: &Step) -> bool {
    !NOT_WAIVABLE.contains(&step.work.kind())
}

#[cfg(test)]
mod tests;
