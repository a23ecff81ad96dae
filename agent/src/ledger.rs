//! What this agent has obeyed: the highest epoch and term, and the newest commands with their outcomes.
//!
//! The epoch and the command are on the disk before anything is done, the outcome before it is told. It must
//! never start empty in silence: an agent that forgot its epoch obeys an old order.

mod disk;
mod record;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::clock::UnixMillis;
use shared::epoch::{Epoch, Term};
use shared::id::CommandId;
use shared::wire::{Command, ReportState, Ticket};
use tokio::sync::oneshot;

use self::disk::Disk;
pub use self::record::{Entry, Fenced, Promised, Record, RecordError, Seen};
use crate::gate::{Identity, Known};
use crate::glass::Broken;

/// The agent's memory. Clones share it.
#[derive(Debug, Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    content: Mutex<Record>,
    disk: Mutex<Disk>,
    path: PathBuf,
    capacity: usize,
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

/// Enough for one write, and far below a thread's usual share.
const WRITER_STACK_BYTES: usize = 256 * 1024;

/// What a ledger holds, seen from beside the agent that has it open; empty where there never was one.
///
/// # Errors
/// [`LedgerError`] for anything but a whole ledger of this agent or a directory that never had one.
pub fn peek(directory: &Path, identity: &Identity) -> Result<Record, LedgerError> {
    let path = directory.join("ledger");
    match disk::read(directory)? {
        Some(text) => Record::parse(&text, identity).map_err(|error| error.of(&path)),
        None => Ok(Record::empty(identity)),
    }
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
            Some(text) => Record::parse(&text, identity).map_err(|error| error.of(&path))?,
            None => Record::empty(identity),
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
        self.content().epoch()
    }

    /// The highest epoch obeyed or seen in the store.
    pub fn epoch_known(&self) -> Epoch {
        self.content().epoch_known()
    }

    /// The highest term obeyed in that epoch.
    pub fn term(&self) -> Term {
        self.content().term()
    }

    /// What is known of a command, for the gate.
    pub fn known(&self, id: CommandId) -> Option<Known> {
        self.content().known(id)
    }

    /// The commands that were begun and have no outcome, oldest first.
    pub fn unfinished(&self) -> Vec<Command> {
        self.content().unfinished().cloned().collect()
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
        self.content().forget(command.id);
        if command.action.changes() {
            self.write().await
        } else {
            Ok(())
        }
    }

    /// What was last seen of the store.
    pub fn seen(&self) -> Option<Seen> {
        self.content().seen()
    }

    /// In what the store shows less than was seen before; nothing when it does not.
    pub fn regression(&self, ticket: &Ticket, revision: u64) -> Option<String> {
        self.content().regression(ticket, revision)
    }

    /// Remembers what the store has shown by an accepted write; another epoch is on the disk when this returns.
    ///
    /// # Errors
    /// [`LedgerError::Unwritable`]: it is remembered in memory all the same.
    pub async fn see(&self, ticket: &Ticket, revision: u64) -> Result<(), LedgerError> {
        let news = self.content().see(ticket, revision);
        if news { self.write().await } else { Ok(()) }
    }

    /// That an operator broke the glass here, until a later epoch is obeyed.
    pub fn glass(&self) -> Option<Broken> {
        self.content().glass().cloned()
    }

    /// The glass is broken, in a new epoch; both are on the disk when this returns.
    ///
    /// # Errors
    /// [`LedgerError::Unwritable`]: then nothing may be done, and nothing is remembered.
    pub async fn break_glass(&self, broken: Broken) -> Result<(), LedgerError> {
        let before = self.content().clone();
        self.content().break_glass(broken);
        let written = self.write().await;
        if written.is_err() {
            *self.content() = before;
        }
        written
    }

    /// The store's ticket has taken the broken glass's epoch over; it is on the disk when this returns.
    ///
    /// # Errors
    /// [`LedgerError::Unwritable`]: it is remembered in memory all the same.
    pub async fn reconcile_glass(&self) -> Result<(), LedgerError> {
        self.content().reconcile_glass();
        self.write().await
    }

    /// Why the database is kept down, if it is.
    pub fn fenced(&self) -> Option<Fenced> {
        self.content().fenced().cloned()
    }

    /// The database is kept down from now on, or not any more; it is on the disk when this returns.
    ///
    /// # Errors
    /// [`LedgerError::Unwritable`]: it is remembered in memory all the same.
    pub async fn keep_fenced(&self, fenced: Option<Fenced>) -> Result<(), LedgerError> {
        self.content().keep_fenced(fenced);
        self.write().await
    }

    /// The promise to another site that may still be outstanding.
    pub fn promised(&self) -> Option<Promised> {
        self.content().promised()
    }

    /// A promise is given or has run out; news of it is on the disk when this returns.
    ///
    /// # Errors
    /// [`LedgerError::Unwritable`]: it must not be given, and the next attempt writes again.
    pub async fn keep_promise(&self, promised: Option<Promised>) -> Result<(), LedgerError> {
        let before = self.content().promised();
        if !self.content().keep_promise(promised) {
            return Ok(());
        }
        let written = self.write().await;
        if written.is_err() {
            self.content().keep_promise(before);
        }
        written
    }

    async fn write(&self) -> Result<(), LedgerError> {
        let (sender, receiver) = oneshot::channel();
        let inner = Arc::clone(&self.inner);
        let writing = std::thread::Builder::new()
            .name("ledger".to_owned())
            .stack_size(WRITER_STACK_BYTES)
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

    fn content(&self) -> MutexGuard<'_, Record> {
        self.inner
            .content
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
