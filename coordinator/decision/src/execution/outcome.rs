//! What an agent's word means for its step.

use shared::clock::Millis;
use shared::refusal::Refusal;
use shared::wire::{PROGRESS_BEGUN, ReportState, Severity};

use super::clocks::{ASK_AFTER, RETRY_AFTER};
use crate::core::Core;
use crate::durable::StepOutcome;
use crate::input::Now;
use crate::journal::About;
use crate::output::{Announcement, Output};
use crate::plan::{OnFailure, Step};

impl Core {
    /// Takes a report on a step of the run.
    pub(super) fn take_report(&mut self, now: Now, step: &Step, state: ReportState) {
        let open = self
            .durable
            .run
            .as_ref()
            .and_then(|run| run.outcome(step.number))
            == Some(&StepOutcome::Started);
        if !open {
            // A word that comes twice, or after the step was settled, changes nothing.
            return;
        }
        match state {
            ReportState::Running { progress, .. } => {
                // That it was begun is said by the step's own event.
                let news = progress != PROGRESS_BEGUN
                    && self.clocks.last_word(step.number) != Some(progress.as_str());
                self.clocks.heard(step.number, &progress);
                self.clocks.resend(step.number, now.mono.after(ASK_AFTER));
                if news {
                    self.say_progress(now, step, &progress);
                }
            }
            ReportState::Done { took_ms, proof } => {
                self.finish_step(now, step, StepOutcome::Done { took_ms, proof });
            }
            ReportState::Failed {
                took_ms,
                reason,
                pending,
            } => {
                self.finish_step(
                    now,
                    step,
                    StepOutcome::Failed {
                        took_ms,
                        reason,
                        pending,
                    },
                );
            }
            ReportState::Refused(refusal) => self.take_refusal(now, step, &refusal),
            ReportState::Interrupted {
                found,
                repeatable: true,
            } => {
                self.clocks.heard(
                    step.number,
                    &format!("its agent was restarted while it ran: {found}"),
                );
                self.clocks.resend(step.number, now.mono.after(RETRY_AFTER));
            }
            ReportState::Interrupted {
                found,
                repeatable: false,
            } => {
                let took_ms = self.clocks.took(step.number, now.mono);
                let reason = format!(
                    "its agent was restarted while it ran, and it cannot be repeated safely: {found}"
                );
                self.finish_step(
                    now,
                    step,
                    StepOutcome::Failed {
                        took_ms,
                        reason,
                        pending: true,
                    },
                );
            }
        }
    }

    /// Some refusals only mean *not yet*: a newer heartbeat, the end of another command, or a store that has a
    /// leader again lets the next one in.
    fn take_refusal(&mut self, now: Now, step: &Step, refusal: &Refusal) {
        let words = format!("its agent refused: {refusal}");
        match refusal {
            Refusal::PastDeadline { .. }
            | Refusal::OtherProcess
            | Refusal::Busy { .. }
            | Refusal::Promised { .. }
            | Refusal::GrantNotConfirmed { .. } => {
                // The sentence may hold an age that grows: it is said once, not at each attempt.
                let news = self.clocks.last_word(step.number).is_none();
                self.clocks.heard(step.number, &words);
                self.clocks.resend(step.number, now.mono.after(RETRY_AFTER));
                if news {
                    self.say_progress(now, step, &words);
                }
            }
            Refusal::OtherTarget { .. }
            | Refusal::OldEpoch { .. }
            | Refusal::OldTerm { .. }
            | Refusal::OtherContent { .. }
            | Refusal::WrongDigest
            | Refusal::NoApproval
            | Refusal::OtherApproval
            | Refusal::NoGrant
            | Refusal::NoModule { .. }
            | Refusal::WrongRole { .. }
            | Refusal::LedgerUnwritable { .. }
            | Refusal::StoreRegressed { .. }
            | Refusal::AutomaticRefused
            | Refusal::AutomaticNotAllowed { .. }
            | Refusal::AutomaticOff { .. }
            | Refusal::Unknown => {
                let took_ms = self.clocks.took(step.number, now.mono);
                self.finish_step(
                    now,
                    step,
                    StepOutcome::Failed {
                        took_ms,
                        reason: words,
                        pending: false,
                    },
                );
            }
        }
    }

    /// Writes a step's outcome and, when it may not fail, halts the run.
    pub(super) fn finish_step(&mut self, now: Now, step: &Step, outcome: StepOutcome) {
        let Some(run) = self.durable.run.as_mut() else {
            return;
        };
        let id = run.id;
        let Some(record) = run.steps.get_mut(&step.number) else {
            return;
        };
        record.outcome = outcome.clone();
        self.clocks.end(step.number);
        self.touch();
        let done = outcome.clone();
        match outcome {
            StepOutcome::Done { took_ms, proof } => {
                let summary = format!(
                    "step {} done in {}: {}",
                    step.number,
                    took_ms.human(),
                    step.title
                );
                let mut event = self.scene(now).event("step-done", Severity::Info, summary);
                event = event
                    .of_run(id)
                    .of_step(step.number)
                    .with("took_ms", took_ms.0);
                for line in &proof {
                    event = event.with(&line.what, &line.found);
                }
                self.record(event);
                self.record_proof(now, step, &done);
            }
            StepOutcome::Failed {
                took_ms,
                reason,
                pending,
            } => {
                self.say_failed(now, step, took_ms, &reason);
                if step.on_failure == OnFailure::Halt {
                    let more = if pending {
                        " (its effect may still come)"
                    } else {
                        ""
                    };
                    self.halt_run(now, step.number, &format!("{}: {reason}{more}", step.title));
                }
            }
            StepOutcome::Started | StepOutcome::Waived { .. } => {}
        }
    }

    /// Says that a step began.
    pub(super) fn say_started(&mut self, now: Now, step: &Step) {
        let summary = format!("step {}: {}", step.number, step.title);
        let event = self
            .scene(now)
            .event("step-started", Severity::Info, summary)
            .of_step(step.number);
        let run = self.durable.run.as_ref().map(|run| run.id);
        self.record(match run {
            Some(run) => event.of_run(run),
            None => event,
        });
    }

    fn say_failed(&mut self, now: Now, step: &Step, took_ms: Millis, reason: &str) {
        let goes_on = match &step.on_failure {
            OnFailure::Halt => String::new(),
            OnFailure::Continue { because } => format!("; the run goes on: {because}"),
        };
        let summary = format!(
            "step {} failed after {}: {reason}{goes_on}",
            step.number,
            took_ms.human()
        );
        let event = self
            .scene(now)
            .event("step-failed", Severity::Warning, summary);
        let event = event
            .of_step(step.number)
            .because(reason)
            .with("took_ms", took_ms.0);
        let run = self.durable.run.as_ref().map(|run| run.id);
        self.record(match run {
            Some(run) => event.of_run(run),
            None => event,
        });
    }

    fn say_progress(&mut self, now: Now, step: &Step, progress: &str) {
        let summary = format!("step {}: {progress}", step.number);
        let event = self
            .scene(now)
            .event("step-progress", Severity::Info, summary)
            .of_step(step.number);
        self.push(Output::Announce(Announcement::Progress(Box::new(event))));
    }
}
