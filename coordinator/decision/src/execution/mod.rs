//! The run of a plan: one group of steps after the other, each intent written before it is sent.
//!
//! Must never: start a group before every step of the one before it is settled, send what a restart would
//! forget, or give an order a second identity while its first may still take effect.

mod clocks;
mod command;
mod outcome;

use shared::clock::Mono;
use shared::id::{CommandId, NodeName, Nonce, SiteName};
use shared::wire::{Report, Severity, Ticket};

pub(crate) use self::clocks::RunClocks;
use crate::core::Core;
use crate::durable::{Run, RunState, StepOutcome, StepRecord};
use crate::input::{Now, Unanswered};
use crate::journal::About;
use crate::output::{Output, Persist, WakeReason};
use crate::phase::Phase;
use crate::plan::{OnFailure, Step, Work};
use crate::sighting::Vote;

/// Steps that an operator may not waive: what follows would be unsafe or senseless without them.
const NOT_WAIVABLE: [&str; 4] = ["revoke", "wait", "grant", "promote"];

impl Core {
    /// Goes on with the run as far as it can be gone.
    pub(crate) fn advance_run(&mut self, now: Now) {
        loop {
            let Some(run) = self.going_run() else {
                return;
            };
            if self.clocks.ticket_pending {
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

    /// The store acknowledged a ticket.
    pub(crate) fn ticket_written(&mut self, now: Now, ticket: Ticket) {
        self.clocks.ticket_pending = false;
        self.ticket = Some(ticket);
        self.touch();
        self.settle_ticket_steps(now);
    }

    /// The store holds another ticket than this leader believes.
    pub(crate) fn ticket_conflict(&mut self, now: Now, found: Option<Ticket>) {
        self.clocks.ticket_pending = false;
        let shown = found.as_ref().map_or_else(
            || "no ticket".to_owned(),
            |ticket| format!("epoch {} held by {}", ticket.epoch, ticket.holder),
        );
        let fault = format!(
            "the store shows {shown}, this leader had written epoch {}",
            self.epoch()
        );
        let event = self
            .scene(now)
            .event("store-conflict", Severity::Critical, fault.clone());
        self.record(event);
        if let Some(step) = self.going_run().and_then(Run::current_step) {
            self.halt_run(now, step, &fault);
        }
        self.store_fault = Some(fault);
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
        if let Some(step) = steps.iter().find(|step| step.work == Work::Grant)
            && let Some(reason) = self.seen_again(now.mono)
        {
            self.halt_run(now, step.number, &reason);
            return false;
        }
        let next_epoch = self.epoch_max().next();
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

    /// The old site lives again between revoke and promotion, and nobody proved that its database is stopped.
    fn seen_again(&self, now: Mono) -> Option<String> {
        let run = self.durable.run.as_ref()?;
        let fenced = run
            .plan
            .steps
            .iter()
            .filter(|step| step.work.kind() == "fence");
        let proved =
            |step: &Step| matches!(run.outcome(step.number), Some(StepOutcome::Done { .. }));
        if run.resumed || fenced.clone().count() > 0 && fenced.clone().all(proved) {
            return None;
        }
        let view = self.view(now)?;
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

    fn write_ticket(&mut self, now: Now, step: &Step) {
        let Some(to) = self.ticket_of(now, step) else {
            return;
        };
        if self
            .ticket
            .as_ref()
            .is_some_and(|have| have.same_right(&to))
        {
            self.settle_ticket_steps(now);
            return;
        }
        if self.epoch_max() > to.epoch {
            let reason = format!(
                "epoch {} was seen and epoch {} was to be taken: the store has lost writes",
                self.epoch_max(),
                to.epoch
            );
            self.halt_run(now, step.number, &reason);
            return;
        }
        self.clocks.ticket_pending = true;
        let from = self.ticket.clone();
        self.push(Output::Persist(Persist::Ticket { from, to }));
    }

    /// The ticket that a revoke or grant step writes.
    fn ticket_of(&self, now: Now, step: &Step) -> Option<Ticket> {
        let run = self.durable.run.as_ref()?;
        let have = self.ticket.as_ref()?;
        let grant = if step.work == Work::Grant {
            run.grant
        } else {
            None
        };
        let to = &run.plan.to;
        let epoch = run.epoch?;
        let summary = if grant.is_some() {
            format!("{to} holds the right to be live in epoch {epoch}")
        } else {
            format!(
                "epoch {epoch} is revoked from {} and not yet granted to {to}",
                run.plan.from
            )
        };
        Some(Ticket {
            summary,
            incarnation: have.incarnation,
            epoch,
            holder: to.clone(),
            grant,
            changed_at: now.wall,
            confirmed_by: None,
            confirmations: 0,
        })
    }

    /// Settles the revoke or grant step whose ticket is in the store.
    fn settle_ticket_steps(&mut self, now: Now) {
        let Some(run) = self.going_run() else {
            return;
        };
        let step = run.current_group().and_then(|group| {
            let ticket_step = |step: &&Step| matches!(step.work, Work::Revoke | Work::Grant);
            run.steps_of(group).find(ticket_step).cloned()
        });
        let Some(step) = step else {
            return;
        };
        let fits = self
            .ticket_of(now, &step)
            .zip(self.ticket.as_ref())
            .is_some_and(|(to, have)| have.same_right(&to));
        if fits {
            let took = self.clocks.took(step.number, now.mono);
            let proof = shared::wire::ProofLine::new(
                "ticket",
                &self
                    .ticket
                    .as_ref()
                    .map_or_else(String::new, |t| t.summary.clone()),
            );
            self.finish_step(
                now,
                &step,
                StepOutcome::Done {
                    took_ms: took,
                    proof: vec![proof],
                },
            );
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

/// True when an operator may waive a step.
pub(crate) fn waivable(step: &Step) -> bool {
    !NOT_WAIVABLE.contains(&step.work.kind())
}
