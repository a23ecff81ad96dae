//! What a ledger holds, and how it changes. Pure: the disk around it stands in the parent module.
//!
//! It must never let an epoch, a term or what was seen of the store fall, nor drop a command whose effect is not
//! known.

use std::path::Path;

use serde::{Deserialize, Serialize};
use shared::clock::{Millis, UnixMillis};
use shared::epoch::{Epoch, Term};
use shared::id::{CommandId, NodeName, Nonce, SiteName, StackName};
use shared::wire::{Command, ReportState, Ticket};

use super::LedgerError;
use crate::gate::{Identity, Known};
use crate::glass::Broken;

/// Version of the file's format.
const FORMAT: u32 = 1;

/// One command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The command as it was admitted.
    pub command: Command,
    /// When, for people who read the file.
    pub accepted_at: UnixMillis,
    /// How it ended; nothing while it is not finished.
    pub outcome: Option<ReportState>,
}

/// What was last seen of the store by a write that it accepted: one that shows less has lost writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seen {
    /// The ticket's incarnation.
    pub incarnation: Nonce,
    /// Its epoch.
    pub epoch: Epoch,
    /// The revision at which it stood.
    pub revision: u64,
    /// The newest acceptance of a store that showed less.
    #[serde(default)]
    pub accepted: u64,
}

/// That this agent stopped its database and keeps it down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fenced {
    /// The epoch that its site does not hold; only a grant of a higher one, or of this one to its site, ends it.
    pub epoch: Epoch,
    /// When, for people who read the file.
    pub at: UnixMillis,
    /// Why, as a sentence.
    pub reason: String,
}

/// That this agent promised another site's not to be promoted for some time. The clock of a promise does not outlive
/// its process, so after a restart the whole span counts anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Promised {
    /// The epoch of the site that it was promised to.
    pub epoch: Epoch,
    /// For so long.
    pub span_ms: Millis,
}

/// The content of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    format: u32,
    stack: StackName,
    site: SiteName,
    node: NodeName,
    epoch: Epoch,
    term: Term,
    entries: Vec<Entry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<Seen>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fenced: Option<Fenced>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    promised: Option<Promised>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    glass: Option<Box<Broken>>,
}

/// Why a text is no record of this agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is no whole record of a known format.
    #[error("{0}")]
    Damaged(String),
    /// It belongs to another agent.
    #[error("it is of agent {found}, not of {wanted}")]
    OtherAgent {
        /// Whose it is.
        found: String,
        /// Who asks.
        wanted: String,
    },
}

impl RecordError {
    /// The error of a file.
    pub(super) fn of(self, path: &Path) -> LedgerError {
        let path = path.to_owned();
        match self {
            Self::Damaged(why) => LedgerError::Corrupt { path, why },
            Self::OtherAgent { found, wanted } => LedgerError::OtherAgent {
                path,
                found,
                wanted,
            },
        }
    }
}

impl Record {
    /// The record of an agent that has obeyed nothing.
    pub fn empty(identity: &Identity) -> Self {
        Self {
            format: FORMAT,
            stack: identity.stack.clone(),
            site: identity.site.clone(),
            node: identity.node.clone(),
            epoch: Epoch(0),
            term: Term(0),
            entries: Vec::new(),
            seen: None,
            fenced: None,
            promised: None,
            glass: None,
        }
    }

    /// Reads a text.
    ///
    /// # Errors
    /// [`RecordError`] for anything but a whole record of this agent.
    pub fn parse(text: &str, identity: &Identity) -> Result<Self, RecordError> {
        let record: Self =
            serde_json::from_str(text).map_err(|error| RecordError::Damaged(error.to_string()))?;
        if record.format != FORMAT {
            return Err(RecordError::Damaged(format!(
                "its format is {}, this version reads {FORMAT}",
                record.format
            )));
        }
        let own = (&record.stack, &record.site, &record.node)
            == (&identity.stack, &identity.site, &identity.node);
        if !own {
            return Err(RecordError::OtherAgent {
                found: format!("{}/{}/{}", record.stack, record.site, record.node),
                wanted: format!("{}/{}/{}", identity.stack, identity.site, identity.node),
            });
        }
        Ok(record)
    }

    /// As text.
    ///
    /// # Panics
    /// Never: plain data with text keys is always JSON.
    pub fn text(&self) -> String {
        match serde_json::to_string(self) {
            Ok(text) => text,
            Err(error) => unreachable!("a ledger that cannot be written as JSON: {error}"),
        }
    }

    /// The highest epoch obeyed.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The highest epoch obeyed or seen in the store.
    pub fn epoch_known(&self) -> Epoch {
        self.seen
            .map_or(self.epoch, |seen| self.epoch.max(seen.epoch))
    }

    /// The highest term obeyed in that epoch.
    pub const fn term(&self) -> Term {
        self.term
    }

    /// What is known of a command, for the gate.
    pub fn known(&self, id: CommandId) -> Option<Known> {
        let entry = self.entries.iter().find(|entry| entry.command.id == id)?;
        Some(Known {
            digest: entry.command.digest.clone(),
            outcome: entry.outcome.clone(),
        })
    }

    /// The commands that were begun and have no outcome, oldest first.
    pub fn unfinished(&self) -> impl Iterator<Item = &Command> {
        let open = self.entries.iter().filter(|entry| entry.outcome.is_none());
        open.map(|entry| &entry.command)
    }

    /// All commands that are kept, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// A command begins; one that changes something raises epoch and term.
    pub fn begin(&mut self, command: &Command, at: UnixMillis, capacity: usize) {
        if command.action.changes() {
            if command.epoch > self.epoch {
                self.epoch = command.epoch;
                self.term = command.term;
            }
            self.term = self.term.max(command.term);
        }
        self.entries.retain(|entry| entry.command.id != command.id);
        self.entries.push(Entry {
            command: command.clone(),
            accepted_at: at,
            outcome: None,
        });
        while self.entries.len() > capacity {
            // An unfinished command is never dropped: its effect is not known.
            let Some(oldest) = self
                .entries
                .iter()
                .position(|entry| entry.outcome.is_some())
            else {
                break;
            };
            self.entries.remove(oldest);
        }
    }

    /// A command has ended.
    pub fn finish(&mut self, id: CommandId, outcome: ReportState) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.command.id == id) {
            entry.outcome = Some(outcome);
        }
    }

    /// Takes a command out that was begun and refused before it did anything. Its epoch stays.
    pub fn forget(&mut self, id: CommandId) {
        self.entries.retain(|entry| entry.command.id != id);
    }

    /// What was last seen of the store.
    pub const fn seen(&self) -> Option<Seen> {
        self.seen
    }

    /// Remembers what the store has shown by an accepted write, and the epoch in it; true when that is news
    /// worth the disk: another epoch or incarnation.
    pub fn see(&mut self, ticket: &Ticket, revision: u64) -> bool {
        let seen = Seen {
            incarnation: ticket.incarnation,
            epoch: ticket.epoch,
            revision,
            accepted: ticket.accepted,
        };
        let news = self.seen.is_none_or(|before| {
            let known = |seen: Seen| (seen.incarnation, seen.epoch, seen.accepted);
            known(before) != known(seen)
        });
        self.seen = Some(seen);
        news
    }

    /// In what the store shows less than this agent has seen or obeyed, as a sentence; nothing when it does not.
    pub fn regression(&self, ticket: &Ticket, revision: u64) -> Option<String> {
        if ticket.epoch < self.epoch {
            return Some(format!(
                "the store shows epoch {}, this agent has obeyed epoch {}",
                ticket.epoch, self.epoch
            ));
        }
        let seen = self.seen?;
        // An operator has said since that what the store shows is what counts.
        if ticket.accepted > seen.accepted {
            return None;
        }
        if seen.incarnation != ticket.incarnation {
            return Some(
                "the store was made anew: its ticket is of another incarnation".to_owned(),
            );
        }
        if ticket.epoch < seen.epoch {
            return Some(format!(
                "the store shows epoch {}, this agent has seen epoch {}",
                ticket.epoch, seen.epoch
            ));
        }
        (revision < seen.revision).then(|| {
            format!(
                "the store shows revision {revision}, this agent has seen revision {}",
                seen.revision
            )
        })
    }

    /// Why its database is kept down, if it is.
    pub const fn fenced(&self) -> Option<&Fenced> {
        self.fenced.as_ref()
    }

    /// That an operator broke the glass here, until a later epoch is obeyed.
    ///
    /// While it is not reconciled the store shows less than this epoch, which [`Record::regression`] says; what this
    /// agent serves, it serves by the operator's word.
    pub fn glass(&self) -> Option<&Broken> {
        self.glass
            .as_deref()
            .filter(|broken| broken.epoch == self.epoch)
    }

    /// The glass is broken: its epoch is the highest one from now on.
    ///
    /// # Panics
    /// When its epoch is not above the highest: a bug of the judgement before.
    pub fn break_glass(&mut self, broken: Broken) {
        assert!(
            broken.epoch > self.epoch,
            "a broken glass takes a new epoch"
        );
        self.epoch = broken.epoch;
        self.term = Term(0);
        self.glass = Some(Box::new(broken));
    }

    /// The store's ticket has taken the broken glass's epoch over.
    pub fn reconcile_glass(&mut self) {
        if let Some(broken) = self.glass.as_deref_mut() {
            broken.reconciled = true;
        }
    }

    /// Its database is kept down from now on, or not any more.
    pub fn keep_fenced(&mut self, fenced: Option<Fenced>) {
        self.fenced = fenced;
    }

    /// The promise that may still be outstanding.
    pub const fn promised(&self) -> Option<Promised> {
        self.promised
    }

    /// A promise is given, or has run out; true when that is news: another epoch, a longer span, or an end.
    pub fn keep_promise(&mut self, promised: Option<Promised>) -> bool {
        let news = match (self.promised, promised) {
            (Some(before), Some(now)) => before.epoch != now.epoch || before.span_ms < now.span_ms,
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => true,
        };
        if news {
            self.promised = promised;
        }
        news
    }
}
