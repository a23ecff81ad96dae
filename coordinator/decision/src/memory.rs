//! What the store has shown: the most of it that this coordinator remembers, and in what another look shows less.
//!
//! The shell keeps it on this coordinator's own disk, so that it outlasts a restart and the store itself. Must never:
//! fall because the store fell. Only an operator's word lets it ([`crate::Ask::AcceptStore`]).

use std::fmt;

use serde::{Deserialize, Serialize};
use shared::clock::UnixMillis;
use shared::epoch::Epoch;
use shared::id::{Actor, Nonce};
use shared::wire::Ticket;

/// What one look at the ticket showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The ticket's incarnation.
    pub incarnation: Nonce,
    /// Its epoch.
    pub epoch: Epoch,
    /// The revision of its key, which every write of it raises.
    pub revision: u64,
}

/// The most that the store has shown to the coordinator of a site, over all its processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Memory {
    /// The most of the incarnation that counts; nothing before a ticket was seen.
    pub seen: Option<Seen>,
    /// The highest epoch of any incarnation: the next one is above it, whatever a store forgot.
    #[serde(default)]
    pub epoch_max: Epoch,
    /// The number of the newest acceptance that is known.
    #[serde(default)]
    pub accepted: u64,
    /// The store showed less, and no operator has accepted that.
    #[serde(default)]
    pub halt: Option<Halt>,
}

/// The store showed less than was seen of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// When that was certain, for display.
    pub at: UnixMillis,
    /// Less of what.
    pub less: Less,
    /// What was remembered.
    pub remembered: Option<Seen>,
    /// What was shown instead; nothing when there was no ticket.
    pub shown: Option<Seen>,
}

/// Less of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Less {
    /// There is no ticket any more.
    NoTicket,
    /// The ticket is of another incarnation.
    Incarnation,
    /// The epoch fell.
    Epoch,
    /// The epoch is the same, and writes of the ticket are gone.
    Revision,
}

/// An operator's word that a store that shows less than was seen is the one to go on with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// Grows with every acceptance: a coordinator that knows a lower one takes up what is shown.
    pub number: u64,
    /// By whom.
    pub by: Actor,
    /// When, for display.
    pub at: UnixMillis,
    /// Why.
    pub reason: String,
}

impl Memory {
    /// In what a look shows less than is remembered; nothing when it does not. Without a revision, only epochs and
    /// incarnations are compared.
    pub fn less(&self, ticket: Option<&Ticket>, revision: Option<u64>) -> Option<Less> {
        let seen = self.seen?;
        let Some(ticket) = ticket else {
            return Some(Less::NoTicket);
        };
        if seen.incarnation != ticket.incarnation {
            return Some(Less::Incarnation);
        }
        if ticket.epoch < seen.epoch {
            return Some(Less::Epoch);
        }
        let fell = revision.is_some_and(|revision| revision < seen.revision);
        fell.then_some(Less::Revision)
    }

    /// Remembers what the store has shown, unless that is less than what is remembered, or was once and nobody has
    /// accepted it.
    pub fn see(&mut self, ticket: &Ticket, revision: u64) {
        if self.halt.is_some() || self.less(Some(ticket), None).is_some() {
            return;
        }
        let before = self.seen.map_or(0, |seen| seen.revision);
        self.seen = Some(Seen {
            revision: before.max(revision),
            ..Seen::of(ticket, revision)
        });
        self.epoch_max = self.epoch_max.max(ticket.epoch);
    }

    /// From here on what the store shows counts; the highest epoch stays.
    pub(crate) fn accept(&mut self, number: u64) {
        self.accepted = number;
        self.seen = None;
        self.halt = None;
    }
}

impl Seen {
    /// What a look showed.
    pub const fn of(ticket: &Ticket, revision: u64) -> Self {
        Self {
            incarnation: ticket.incarnation,
            epoch: ticket.epoch,
            revision,
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let incarnation = self.incarnation.to_string();
        write!(
            f,
            "epoch {} at revision {} of incarnation {}",
            self.epoch,
            self.revision,
            incarnation.get(..8).unwrap_or_default()
        )
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |seen: Option<Seen>, of: fn(Seen) -> String| seen.map_or_else(String::new, of);
        let epoch = |seen| number(seen, |seen| seen.epoch.to_string());
        let revision = |seen| number(seen, |seen| seen.revision.to_string());
        match self.less {
            Less::NoTicket => f.write_str("the store has no ticket any more: it has lost writes"),
            Less::Incarnation => {
                f.write_str("the store was made anew: its ticket is of another incarnation")
            }
            Less::Epoch => write!(
                f,
                "the store shows epoch {}, this coordinator has seen epoch {}: the store has lost writes",
                epoch(self.shown),
                epoch(self.remembered)
            ),
            Less::Revision => write!(
                f,
                "the store shows the ticket at revision {}, this coordinator has seen revision {}: the store has lost \
                 writes",
                revision(self.shown),
                revision(self.remembered)
            ),
        }
    }
}
