//! What this agent has obeyed: the highest epoch and term, and the newest commands with their outcomes.
//!
//! The epoch and the command are on the disk before anything is done, the outcome before it is told. It must
//! never start empty in silence: an agent that forgot its epoch obeys an old order.

mod disk;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use shared::clock::UnixMillis;
use shared::epoch::{Epoch, Term};
use shared::id::{CommandId, NodeName, SiteName, StackName};
use shared::wire::{Command, ReportState};
use tokio::sync::oneshot;

use self::disk::Disk;
use crate::gate::{Identity, Known};

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

/// The agent's memory. Clones share it.
#[derive(Debug, Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    content: Mutex<Content>,
    disk: Mutex<Disk>,
    path: PathBuf,
    capacity: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    format: u32,
    stack: StackName,
    site: SiteName,
    node: NodeName,
    epoch: Epoch,
    term: Term,
    entries: Vec<Entry>,
}

/// Why there is no ledger, or it could not be written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another agent works in the same state directory.
    #[error("{} is locked: another agent works with this state directory", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("ledger {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It cannot be written.
    #[error("ledger {} cannot be written", path.display())]
    Unwritable {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is damaged.
    #[error(
        "ledger {} is damaged: {why}; what this agent obeyed is unknown, so it does not start. Restore the file, \
         or remove the state directory to begin anew",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// In what way.
        why: String,
    },
    /// It is gone from a directory that had one.
    #[error(
        "ledger {} is gone, and {} says that there was one; restore it, or remove that file to begin anew",
        path.display(),
        marker.display()
    )]
    Lost {
        /// The file.
        path: PathBuf,
        /// What remembers it.
        marker: PathBuf,
    },
    /// It belongs to another agent.
    #[error("ledger {} is of agent {found}, not of {wanted}", path.display())]
    OtherAgent {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asks.
        wanted: String,
    },
}

impl Ledger {
    /// Opens the ledger of a state directory, and locks it for this process.
    ///
    /// # Errors
    /// [`LedgerError`] for anything but a whole ledger of this agent or a directory that never had one.
    pub fn open(
        directory: &Path,
        identity: &Identity,
        capacity: usize,
    ) -> Result<Self, LedgerError> {
        let disk = Disk::open(directory)?;
        let path = disk.path();
        let content = match disk.read()? {
            Some(text) => Content::parse(&path, &text, identity)?,
            None => Content::empty(identity),
        };
        let unwritable = |source| LedgerError::Unwritable {
            path: path.clone(),
            source,
        };
        // Written at once, so that a read-only disk is a start-up error and not one in a failover.
        disk.write(&content.text()).map_err(unwritable)?;
        disk.mark_begun().map_err(unwritable)?;
        let (content, disk) = (Mutex::new(content), Mutex::new(disk));
        Ok(Self {
            inner: Arc::new(Inner {
                content,
                disk,
                path,
                capacity,
            }),
        })
    }

    /// The highest epoch obeyed.
    pub fn epoch(&self) -> Epoch {
        self.content().epoch
    }

    /// The highest term obeyed in that epoch.
    pub fn term(&self) -> Term {
        self.content().term
    }

    /// What is known of a command, for the gate.
    pub fn known(&self, id: CommandId) -> Option<Known> {
        let content = self.content();
        let entry = content
            .entries
            .iter()
            .find(|entry| entry.command.id == id)?;
        Some(Known {
            digest: entry.command.digest.clone(),
            outcome: entry.outcome.clone(),
        })
    }

    /// The commands that were begun and have no outcome, oldest first.
    pub fn unfinished(&self) -> Vec<Command> {
        let content = self.content();
        let open = content
            .entries
            .iter()
            .filter(|entry| entry.outcome.is_none());
        open.map(|entry| entry.command.clone()).collect()
    }

    /// Writes that a command begins, and its epoch and term; both are on the disk when this returns.
    ///
    /// A command that changes nothing raises neither and is kept in memory only: after a crash it is asked again.
    ///
    /// # Errors
    /// [`LedgerError::Unwritable`]: then nothing may be done, and nothing is remembered.
    pub async fn begin(&self, command: &Command, at: UnixMillis) -> Result<(), LedgerError> {
        let before = self.content().clone();
        self.content().begin(command, at, self.inner.capacity);
        if !command.action.changes() {
            return Ok(());
        }
        let written = self.write().await;
        if written.is_err() {
            *self.content() = before;
        }
        written
    }

    /// Writes how a command ended; it is on the disk when this returns.
    ///
    /// # Errors
    /// [`LedgerError::Unwritable`]: the outcome is remembered in memory all the same.
    pub async fn finish(&self, command: &Command, outcome: ReportState) -> Result<(), LedgerError> {
        self.content().finish(command.id, outcome);
        if command.action.changes() {
            self.write().await
        } else {
            Ok(())
        }
    }

    /// Takes a command out that was begun and refused before it did anything. Its epoch stays.
    ///
    /// # Errors
    /// [`LedgerError::Unwritable`].
    pub async fn forget(&self, command: &Command) -> Result<(), LedgerError> {
        self.content()
            .entries
            .retain(|entry| entry.command.id != command.id);
        if command.action.changes() {
            self.write().await
        } else {
            Ok(())
        }
    }

    async fn write(&self) -> Result<(), LedgerError> {
        let (sender, receiver) = oneshot::channel();
        let inner = Arc::clone(&self.inner);
        let writing = std::thread::Builder::new()
            .name("ledger".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || {
                let disk = inner.disk.lock().unwrap_or_else(PoisonError::into_inner);
                // Taken under the disk's lock, so that the newest content is never overwritten by an older one.
                let text = inner
                    .content
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .text();
                let written = disk.write(&text);
                drop(disk);
                // Before the answer, so that whoever drops the ledger then has released its lock.
                drop(inner);
                // Nobody waits any more when the agent is ending.
                drop(sender.send(written));
            });
        let unwritable = |source| LedgerError::Unwritable {
            path: self.inner.path.clone(),
            source,
        };
        writing.map_err(unwritable)?;
        receiver
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the writer ended")))
            .map_err(unwritable)
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.inner
            .content
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn empty(identity: &Identity) -> Self {
        Self {
            format: FORMAT,
            stack: identity.stack.clone(),
            site: identity.site.clone(),
            node: identity.node.clone(),
            epoch: Epoch(0),
            term: Term(0),
            entries: Vec::new(),
        }
    }

    fn parse(path: &Path, text: &str, identity: &Identity) -> Result<Self, LedgerError> {
        let corrupt = |why: String| LedgerError::Corrupt {
            path: path.to_owned(),
            why,
        };
        let content: Self =
            serde_json::from_str(text).map_err(|error| corrupt(error.to_string()))?;
        if content.format != FORMAT {
            return Err(corrupt(format!(
                "its format is {}, this version reads {FORMAT}",
                content.format
            )));
        }
        let own = (&content.stack, &content.site, &content.node)
            == (&identity.stack, &identity.site, &identity.node);
        if !own {
            return Err(LedgerError::OtherAgent {
                path: path.to_owned(),
                found: format!("{}/{}/{}", content.stack, content.site, content.node),
                wanted: format!("{}/{}/{}", identity.stack, identity.site, identity.node),
            });
        }
        Ok(content)
    }

    /// # Panics
    /// Never: plain data with text keys is always JSON.
    fn text(&self) -> String {
        match serde_json::to_string(self) {
            Ok(text) => text,
            Err(error) => unreachable!("a ledger that cannot be written as JSON: {error}"),
        }
    }

    fn begin(&mut self, command: &Command, at: UnixMillis, capacity: usize) {
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

    fn finish(&mut self, id: CommandId, outcome: ReportState) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.command.id == id) {
            entry.outcome = Some(outcome);
        }
    }
}

#[cfg(test)]
mod tests;
