//! What is told of a command: its state, as the reply to its sender and on the agent's report subject.
//!
//! A report that cannot be sent now is dropped: who needs it sends the command again and gets the recorded
//! state.

use bus::{Connection, Publication};
use shared::epoch::Epoch;
use shared::subject::Subject;
use shared::telemetry::Chain;
use shared::wire::v1::report::REPORT_TEXT_LEN_MAX;
use shared::wire::{Command, Report, ReportState};

use crate::clock;
use crate::gate::Identity;

/// Tells reports over the bus.
#[derive(Debug, Clone)]
pub(crate) struct Reporter {
    connection: Connection,
    identity: Identity,
    subject: Subject,
}

impl Reporter {
    pub(crate) fn new(connection: Connection, identity: Identity) -> Self {
        let subject = Subject::report(&identity.stack, &identity.site, &identity.node);
        Self {
            connection,
            identity,
            subject,
        }
    }

    /// Tells everybody who listens.
    pub(crate) async fn publish(&self, command: &Command, epoch: Epoch, state: ReportState) {
        self.send(&self.subject, command, epoch, state).await;
    }

    /// Answers the sender of a command, if it waits.
    pub(crate) async fn reply(
        &self,
        to: Option<&Subject>,
        command: &Command,
        epoch: Epoch,
        state: ReportState,
    ) {
        if let Some(to) = to {
            self.send(to, command, epoch, state).await;
        }
    }

    async fn send(&self, to: &Subject, command: &Command, epoch: Epoch, state: ReportState) {
        let report = Report {
            command: command.id,
            run: command.run,
            step: command.step,
            process: self.identity.process,
            epoch,
            sent_at: clock::wall(),
            state,
        };
        match self.connection.publish(to, &report).await {
            Ok(Publication::Published) => {}
            Ok(Publication::Dropped(why)) => {
                tracing::debug!(command = %command.id, ?why, "a report was dropped");
            }
            Err(error) => {
                tracing::error!(command = %command.id, error = %Chain(&error), "a report cannot be sent");
            }
        }
    }
}

/// A text as reports carry it: bounded, without control characters except line ends.
pub(crate) fn bounded(text: &str) -> String {
    let clean = text
        .chars()
        .map(|c| if c.is_control() && c != '\n' { ' ' } else { c });
    clean.take(REPORT_TEXT_LEN_MAX).collect()
}

/// A state in one word, for logs.
pub(crate) const fn outcome_word(state: &ReportState) -> &'static str {
    match state {
        ReportState::Running { .. } => "running",
        ReportState::Done { .. } => "done",
        ReportState::Failed { .. } => "failed",
        ReportState::Refused(_) => "refused",
        ReportState::Interrupted { .. } => "interrupted",
    }
}

/// A state in detail, for logs.
pub(crate) fn detail(state: &ReportState) -> String {
    match state {
        ReportState::Running { progress, .. } => progress.clone(),
        ReportState::Done { proof, .. } => format!("{} lines of proof", proof.len()),
        ReportState::Failed { reason, .. } => reason.clone(),
        ReportState::Refused(refusal) => refusal.to_string(),
        ReportState::Interrupted { found, .. } => found.clone(),
    }
}
