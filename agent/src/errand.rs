//! One command on its way: written down, carried out, written down again, told.
//!
//! Nothing is done before the ledger holds the command and its epoch; nothing is told before it holds the
//! outcome.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::Mono;
use shared::refusal::Refusal;
use shared::subject::Subject;
use shared::telemetry::Chain;
use shared::wire::{Command, ReportState};

use crate::action::{self, Outcome, Progress, Scene};
use crate::clock;
use crate::gate::RunningCommand;
use crate::grant::Authority;
use crate::ledger::{Ledger, LedgerError};
use crate::report::Reporter;

/// Attempts to write an outcome before it is told without.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// A command and what it is carried out with.
pub(crate) struct Errand {
    pub(crate) scene: Scene,
    pub(crate) ledger: Ledger,
    pub(crate) reporter: Reporter,
    pub(crate) command: Arc<Command>,
    pub(crate) authority: Authority,
    pub(crate) progress: Progress,
}

/// What the loop knows of the command that runs.
pub(crate) struct Running {
    pub(crate) command: Arc<Command>,
    pub(crate) since: Mono,
    progress: Progress,
}

impl Running {
    /// What a report says of it now.
    pub(crate) fn state(&self, now: Mono) -> ReportState {
        ReportState::Running {
            for_ms: now.since(self.since),
            progress: self.progress.text(),
        }
    }

    /// As the gate sees it.
    pub(crate) fn for_gate(&self, now: Mono) -> RunningCommand {
        RunningCommand {
            id: self.command.id,
            state: self.state(now),
        }
    }
}

impl Errand {
    pub(crate) fn running(&self, since: Mono) -> Running {
        Running {
            command: Arc::clone(&self.command),
            since,
            progress: self.progress.clone(),
        }
    }

    /// Carries the command out and gives its final state.
    pub(crate) async fn carry_out(self, reply: Option<Subject>, resumed: bool) -> ReportState {
        let begun = clock::mono();
        self.progress.set("writing the ledger");
        if let Err(error) = self.ledger.begin(&self.command, clock::wall()).await {
            tracing::error!(command = %self.command.id, error = %Chain(&error), "a command was not begun");
            let state = ReportState::Refused(unwritable(&error));
            self.reporter
                .reply(
                    reply.as_ref(),
                    &self.command,
                    self.ledger.epoch(),
                    state.clone(),
                )
                .await;
            return state;
        }
        self.progress.set(shared::wire::PROGRESS_BEGUN);
        let running = ReportState::Running {
            for_ms: clock::mono().since(begun),
            progress: self.progress.text(),
        };
        self.reporter
            .reply(reply.as_ref(), &self.command, self.ledger.epoch(), running)
            .await;
        let outcome = action::perform(
            &self.scene,
            &self.command,
            &self.authority,
            &self.progress,
            resumed,
        )
        .await;
        let took_ms = clock::mono().since(begun);
        let state = match outcome {
            Outcome::Done(proof) => ReportState::Done { took_ms, proof },
            Outcome::Failed { reason, pending } => ReportState::Failed {
                took_ms,
                reason,
                pending,
            },
            Outcome::Refused(refusal) => ReportState::Refused(refusal),
        };
        self.record(&state).await;
        state
    }

    /// Looks at what the command has done before a restart, and gives what is known of it now.
    pub(crate) async fn examine(self) -> ReportState {
        self.progress
            .set("looking at what it had done before the agent was restarted");
        let state = action::examine(&self.scene, &self.command, &self.progress).await;
        self.record(&state).await;
        state
    }

    /// A refused command did nothing, so it is not remembered: sent again, it is looked at again.
    async fn record(&self, state: &ReportState) {
        for attempt in 1..=ATTEMPTS {
            let written = match state {
                ReportState::Refused(_) => self.ledger.forget(&self.command).await,
                ReportState::Done { .. }
                | ReportState::Failed { .. }
                | ReportState::Interrupted { .. }
                | ReportState::Running { .. } => {
                    self.ledger.finish(&self.command, state.clone()).await
                }
            };
            let Err(error) = written else { return };
            tracing::error!(command = %self.command.id, attempt, error = %Chain(&error), "an outcome was not written");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn unwritable(error: &LedgerError) -> Refusal {
    Refusal::LedgerUnwritable {
        reason: Chain(error).to_string(),
    }
}
