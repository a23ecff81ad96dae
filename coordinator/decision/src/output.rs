//! What the core wants done, strictly in the order in which it is polled.
//!
//! A [`Output::Persist`] is finished before the next output is polled: what a restart would forget is never
//! spoken. When a persist fails for good the shell feeds [`crate::Input::LeadLost`] and drops the rest.

use serde::{Deserialize, Serialize};
use shared::epoch::StackVersion;
use shared::stack::{Difference, Stack};
use shared::wire::{AuditEvent, Command, Ticket};

use crate::durable::Durable;
use crate::input::RequestId;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::large_enum_variant,
    reason = "outputs are few and short-lived; a box would only be one more thing to take apart"
)]
pub enum Output {
    /// Write to the store by compare-and-set, and wait until it is acknowledged.
    Persist(Persist),
    /// Append to the audit stream; the same message is what operators see on the event subjects.
    Record(Box<AuditEvent>),
    /// Send a command and feed back its reply as [`crate::Input::Reported`] or [`crate::Input::Unanswered`].
    Send(Box<Command>),
    /// Tell somebody; nothing depends on it.
    Announce(Announcement),
}

/// A write to the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::large_enum_variant,
    reason = "outputs are few and short-lived; a box would only be one more thing to take apart"
)]
pub enum Persist {
    /// The state, key `state`.
    State(Box<Durable>),
    /// The ticket, key `ticket`. `from` is what this leader believes to be there, but for confirmations, which
    /// agents write. Anything else there is a [`crate::Input::TicketConflict`].
    Ticket {
        /// What is believed to be there; nothing for the first.
        from: Option<Ticket>,
        /// What is to be there.
        to: Ticket,
    },
    /// A stack version, key `stack`.
    Stack {
        /// Its version.
        version: StackVersion,
        /// The stack.
        stack: Box<Stack>,
    },
}

/// Something said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Announcement {
    /// The answer to an operator's request.
    Answer {
        /// The request.
        request: RequestId,
        /// The answer.
        answer: Answer,
    },
    /// An event that is shown and not kept for ever: progress of a step.
    Progress(Box<AuditEvent>),
}

/// The answer to an operator's request that changes something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Done; a sentence, and the differences where a stack was applied.
    Accepted {
        /// One sentence.
        summary: String,
        /// Changes, for a stack.
        differences: Vec<Difference>,
    },
    /// Not done, and nothing was changed.
    Refused {
        /// The rule that refused, by its name.
        rule: String,
        /// One sentence: why, and what would be needed.
        reason: String,
        /// True when a safety rule refused, false when the request does not fit what is there.
        safety: bool,
    },
}

/// Why the core wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WakeReason {
    /// A site will have been silent for long enough.
    Silence,
    /// An observation will be too old.
    ObservationAge,
    /// Silence will have been confirmed.
    Confirm,
    /// The automatic window will be over.
    AutomaticWindow,
    /// A proposal ends.
    ProposalExpiry,
    /// A site will have been sighted for long enough.
    Clear,
    /// The wait between revoke and grant is over.
    EpochWait,
    /// A command is sent again.
    Resend,
    /// A step's deadline.
    StepDeadline,
}

impl WakeReason {
    /// For logs.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Silence => "a site will have been silent for long enough",
            Self::ObservationAge => "an observation will be too old",
            Self::Confirm => "silence will have been confirmed",
            Self::AutomaticWindow => "the automatic window will be over",
            Self::ProposalExpiry => "a proposal ends",
            Self::Clear => "a site will have been sighted for long enough",
            Self::EpochWait => "the wait between revoke and grant is over",
            Self::Resend => "a command is sent again",
            Self::StepDeadline => "a step's deadline",
        }
    }
}
