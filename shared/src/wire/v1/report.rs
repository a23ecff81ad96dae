//! What became of a command.

use serde::{Deserialize, Serialize};

use crate::clock::{Millis, UnixMillis};
use crate::codec::{Kind, Message};
use crate::epoch::Epoch;
use crate::id::{CommandId, ProcessId, RunId};
use crate::refusal::Refusal;

/// Longest text in a report, in characters.
pub const REPORT_TEXT_LEN_MAX: usize = 1_000;

/// The progress of a command that was taken up and has nothing else to say yet.
pub const PROGRESS_BEGUN: &str = "begun";

/// One report. Who sent it stands in its subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The command.
    pub command: CommandId,
    /// Its run.
    pub run: RunId,
    /// Its step.
    pub step: u32,
    /// The reporting process.
    pub process: ProcessId,
    /// The highest epoch in the agent's ledger.
    pub epoch: Epoch,
    /// Wall clock at sending, for display.
    pub sent_at: UnixMillis,
    /// What became of it.
    pub state: ReportState,
}

impl Message for Report {
    const KIND: Kind = Kind::Report;
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReportState {
    /// It is in the ledger and running.
    Running {
        /// Time since it was accepted.
        for_ms: Millis,
        /// What it is waiting for.
        progress: String,
    },
    /// It is done and proved.
    Done {
        /// How long it took.
        took_ms: Millis,
        /// What proves it.
        proof: Vec<ProofLine>,
    },
    /// It was tried and failed; the agent will not try again by itself.
    Failed {
        /// How long it took.
        took_ms: Millis,
        /// Why, for the operator.
        reason: String,
        /// True when the effect may still come, so that no other node may be chosen.
        pending: bool,
    },
    /// It was not admitted.
    Refused(Refusal),
    /// The agent was restarted while it ran, and reality does not show it done.
    Interrupted {
        /// What reality shows.
        found: String,
        /// True when the same command may be given again.
        repeatable: bool,
    },
}

/// One thing that was looked at, and what it showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofLine {
    /// What was looked at.
    pub what: String,
    /// What it showed.
    pub found: String,
}

impl ProofLine {
    /// A line of proof, each side cut to [`REPORT_TEXT_LEN_MAX`] characters.
    pub fn new(what: &str, found: &str) -> Self {
        let cut = |text: &str| text.chars().take(REPORT_TEXT_LEN_MAX).collect();
        Self {
            what: cut(what),
            found: cut(found),
        }
    }
}

impl ReportState {
    /// True when the command will not change its state any more by itself.
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Running { .. })
    }
}
