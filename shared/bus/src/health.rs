//! What went well and wrong on a connection, counted since it was opened.
//!
//! Counters only grow. They are written by the library's event callback, which may lose events when
//! thousands arrive at once: drops and denials are lower bounds.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use async_nats::{Event, ServerError};
use tokio::sync::watch;

/// Denials remembered for the canary.
const DENIALS_KEPT: usize = 128;
/// Different server complaints that are logged at full level.
const COMPLAINTS_LOGGED: usize = 256;

/// Counters of one connection since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BusHealth {
    /// Connections that stood, the first included.
    pub connects: u64,
    /// Connections that replaced a lost one.
    pub reconnects: u64,
    /// Messages handed to the socket.
    pub published: u64,
    /// Messages dropped instead of queued.
    pub publish_drops: u64,
    /// Messages a full subscription lost (lower bound). More than a moment ago: the observer is impaired.
    pub slow_consumer_drops: u64,
    /// Subjects the server denied (each occurrence).
    pub permission_errors: u64,
    /// Other complaints of the server.
    pub server_errors: u64,
    /// Received messages that could not be read.
    pub garbage: u64,
}

/// The live counters behind [`BusHealth`].
#[derive(Debug)]
pub(crate) struct Tally {
    connects: AtomicU64,
    published: AtomicU64,
    publish_drops: AtomicU64,
    slow_consumer_drops: AtomicU64,
    permission_errors: AtomicU64,
    server_errors: AtomicU64,
    garbage: AtomicU64,
    denials: Mutex<Denials>,
    denial_count: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Denials {
    recent: VecDeque<(u64, String)>,
    logged: BTreeSet<String>,
}

/// What the server refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    Subscription,
    Publish,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            connects: AtomicU64::new(0),
            published: AtomicU64::new(0),
            publish_drops: AtomicU64::new(0),
            slow_consumer_drops: AtomicU64::new(0),
            permission_errors: AtomicU64::new(0),
            server_errors: AtomicU64::new(0),
            garbage: AtomicU64::new(0),
            denials: Mutex::new(Denials::default()),
            denial_count: watch::Sender::new(0),
        }
    }

    pub(crate) fn read(&self) -> BusHealth {
        let connects = self.connects.load(Ordering::Relaxed);
        BusHealth {
            connects,
            reconnects: connects.saturating_sub(1),
            published: self.published.load(Ordering::Relaxed),
            publish_drops: self.publish_drops.load(Ordering::Relaxed),
            slow_consumer_drops: self.slow_consumer_drops.load(Ordering::Relaxed),
            permission_errors: self.permission_errors.load(Ordering::Relaxed),
            server_errors: self.server_errors.load(Ordering::Relaxed),
            garbage: self.garbage.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn connected(&self) {
        self.connects.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn published(&self) {
        self.published.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self) {
        self.publish_drops.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn garbage(&self) {
        self.garbage.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an event of the library.
    pub(crate) fn note(&self, event: &Event) {
        match event {
            Event::SlowConsumer(_) | Event::ServerError(ServerError::SlowConsumer(_)) => {
                self.slow_consumer_drops.fetch_add(1, Ordering::Relaxed);
            }
            Event::ServerError(ServerError::Other(text)) => self.note_complaint(text),
            Event::ServerError(ServerError::AuthorizationViolation) => {
                self.note_complaint("authorization violation");
            }
            Event::Connected
            | Event::Disconnected
            | Event::LameDuckMode
            | Event::Draining
            | Event::Closed
            | Event::ClientError(_) => {}
        }
    }

    /// Number of denials so far, and a receiver that wakes on the next.
    pub(crate) fn watch_denials(&self) -> watch::Receiver<u64> {
        self.denial_count.subscribe()
    }

    /// Whether the server denied exactly this since the denial numbered `since`.
    pub(crate) fn denied_since(&self, since: u64, what: Denied, subject: &str) -> bool {
        let wanted = match what {
            Denied::Subscription => {
                format!("permissions violation for subscription to \"{subject}\"")
            }
            Denied::Publish => format!("permissions violation for publish to \"{subject}\""),
        }
        .to_lowercase();
        let denials = self.denials.lock().unwrap_or_else(PoisonError::into_inner);
        denials
            .recent
            .iter()
            .any(|(number, text)| *number > since && text.to_lowercase().starts_with(&wanted))
    }

    fn note_complaint(&self, text: &str) {
        let denial = text.to_lowercase().starts_with("permissions violation");
        let counter = if denial {
            &self.permission_errors
        } else {
            &self.server_errors
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let mut denials = self.denials.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh =
            denials.logged.len() < COMPLAINTS_LOGGED && denials.logged.insert(text.to_owned());
        match (denial, fresh) {
            (true, true) => {
                tracing::error!(complaint = text, "the bus denies a subject to this client");
            }
            (false, true) => {
                tracing::warn!(complaint = text, "the bus server complains");
            }
            (_, false) => {
                tracing::debug!(complaint = text, "the bus server complains again");
            }
        }
        if denial {
            let number = *self.denial_count.borrow() + 1;
            if denials.recent.len() == DENIALS_KEPT {
                denials.recent.pop_front();
            }
            denials.recent.push_back((number, text.to_owned()));
            drop(denials);
            self.denial_count.send_replace(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> Event {
        Event::ServerError(ServerError::Other(text.to_owned()))
    }

    #[test]
    fn denials_are_told_apart_by_subject_and_time() {
        let tally = Tally::new();
        tally.note(&complaint(
            "Permissions Violation for Subscription to \"a.>\"",
        ));
        tally.note(&complaint("Permissions Violation for Publish to \"a.b\""));
        tally.note(&complaint("Stale Connection"));
        tally.note(&Event::SlowConsumer(7));
        assert!(tally.denied_since(0, Denied::Subscription, "a.>"));
        assert!(!tally.denied_since(0, Denied::Subscription, "a"));
        assert!(!tally.denied_since(1, Denied::Subscription, "a.>"));
        assert!(tally.denied_since(1, Denied::Publish, "a.b"));
        let health = tally.read();
        assert_eq!(
            (
                health.permission_errors,
                health.server_errors,
                health.slow_consumer_drops
            ),
            (2, 1, 1)
        );
    }
}
