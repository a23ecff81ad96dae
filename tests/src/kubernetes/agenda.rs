//! When the controller loop has to look again.
//!
//! Each simulated delay asks whether its time has come; the earliest one still ahead is when the
//! loop wakes without a write.

use std::time::Duration;

use tokio::time::Instant;

/// The present moment of one pass, and the earliest moment still ahead.
#[derive(Debug)]
pub(super) struct Agenda {
    now: Instant,
    next: Option<Instant>,
}

impl Agenda {
    /// An agenda for a pass at `now`.
    pub(super) fn at(now: Instant) -> Self {
        Self { now, next: None }
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// Whether `moment` has come; if not, it is put on the agenda.
    pub(super) fn is_due(&mut self, moment: Instant) -> bool {
        if self.now >= moment {
            return true;
        }
        self.next = Some(self.next.map_or(moment, |next| next.min(moment)));
        false
    }

    /// Whether `delay` has passed since `start`; if not, its end is put on the agenda.
    pub(super) fn passed(&mut self, start: Instant, delay: Duration) -> bool {
        self.is_due(start + delay)
    }

    /// The earliest moment still ahead.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }
}
