//! A run's times on this leader's own clock: not kept, because they mean nothing to another process.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::clock::{Millis, Mono};

use crate::plan::Step;

/// An unanswered command is sent again after this time.
pub(crate) const RETRY_AFTER: Millis = Millis(500);

/// A running command is asked about after this time.
pub(crate) const ASK_AFTER: Millis = Millis(1_000);

/// An agent keeps a step's deadline itself; the leader waits this much longer for its word.
const DEADLINE_GRACE: Millis = Millis(3_000);

/// Times of the steps that are going on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub(crate) struct RunClocks {
    /// A ticket is being written.
    pub(crate) ticket_pending: bool,
    /// When the core last looked at everything.
    pub(crate) looked: Option<Mono>,
    /// The newest sighting of the live site by anybody.
    pub(crate) newest: Option<Mono>,
    started: BTreeMap<u32, Mono>,
    next_send: BTreeMap<u32, Mono>,
    words: BTreeMap<u32, String>,
}

impl RunClocks {
    /// A step begins.
    pub(crate) fn start(&mut self, step: u32, now: Mono) {
        self.started.insert(step, now);
        self.next_send.insert(step, now);
        self.words.remove(&step);
    }

    /// When a step began.
    pub(crate) fn started(&self, step: u32) -> Option<Mono> {
        self.started.get(&step).copied()
    }

    /// How long a step has taken.
    pub(crate) fn took(&self, step: u32, now: Mono) -> Millis {
        self.started(step)
            .map(|since| now.since(since))
            .unwrap_or_default()
    }

    /// When a step's command is sent next.
    pub(crate) fn next_send(&self, step: u32) -> Option<Mono> {
        self.next_send.get(&step).copied()
    }

    /// A step's command is sent again then.
    pub(crate) fn resend(&mut self, step: u32, at: Mono) {
        self.next_send.insert(step, at);
    }

    /// What was last heard of a step.
    pub(crate) fn heard(&mut self, step: u32, words: &str) {
        self.words.insert(step, words.to_owned());
    }

    /// What was last heard of a step.
    pub(crate) fn last_word(&self, step: u32) -> Option<&str> {
        self.words.get(&step).map(String::as_str)
    }

    /// A step is over.
    pub(crate) fn end(&mut self, step: u32) {
        self.started.remove(&step);
        self.next_send.remove(&step);
        self.words.remove(&step);
    }
}

/// How long the leader waits for a step: a fence that may fail is not waited for longer than its time.
pub(crate) fn deadline(step: &Step) -> Millis {
    match (&step.on_failure, step.work.kind()) {
        (crate::plan::OnFailure::Continue { .. }, "fence") => step.deadline_ms,
        _ => Millis(step.deadline_ms.0.saturating_add(DEADLINE_GRACE.0)),
    }
}
