//! What the store has shown, on this coordinator's own disk: it outlasts the process, and the store.
//!
//! Two lines: the content as JSON and its SHA-256, written beside, flushed, renamed and the directory flushed, so that
//! a crash leaves the old or the new. A file that cannot be read is an error and never nothing: who forgets what was
//! seen believes a store that lost writes. Writing happens beside the loop: a hung disk holds up what a leader does,
//! and not what it hears.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use decision::Memory;
use serde::{Deserialize, Serialize};
use shared::clock::{Millis, Mono};
use shared::id::{SiteName, StackName};
use shared::sealed::{seal, unseal};
use shared::telemetry::Chain;
use tokio::task::JoinHandle;

use crate::screen::json;

/// The file in the state directory.
pub const FILE: &str = "store-seen";
/// Version of the file's JSON.
const SCHEMA: u32 = 1;
/// Largest file read, in bytes.
const BYTES_MAX: u64 = 64 * 1024;
/// Pause before a write that failed is tried again.
const RETRY: Millis = Millis::seconds(1);
/// A disk that has taken nothing for so long is taken for broken.
const PATIENCE: Millis = Millis::seconds(10);

/// Why the memory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// Another coordinator works in the same state directory.
    #[error("{} is locked: another coordinator works with this state directory", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It cannot be written.
    #[error("{} cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It holds something else.
    #[error(
        "{} is damaged: {why}; what this coordinator has seen of the store is unknown, so it does not start. Restore \
         the file, or remove it when the store is known to have lost nothing",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// In what way.
        why: String,
    },
    /// It belongs to another coordinator.
    #[error("{} is of {found}, not of {wanted}: each coordinator needs a state directory of its own", path.display())]
    OtherCoordinator {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asks.
        wanted: String,
    },
}

/// The file's content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Content {
    schema: u32,
    stack: StackName,
    site: SiteName,
    memory: Memory,
}

/// The memory on disk. It belongs to one process at a time.
#[derive(Debug)]
pub struct Keeper {
    directory: PathBuf,
    content: Content,
    writing: Option<Writing>,
    failing_since: Option<Mono>,
    not_before: Mono,
    /// Held open: the lock falls with the process.
    _lock: File,
}

#[derive(Debug)]
struct Writing {
    content: Content,
    since: Mono,
    task: JoinHandle<io::Result<()>>,
}

impl Keeper {
    /// Reads and locks it; a directory without one is of a coordinator that has seen nothing yet. It is written at
    /// once, so that a disk that takes nothing is an error of the start and not one in a failover.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub fn open(directory: &Path, stack: &StackName, site: &SiteName) -> Result<Self, MemoryError> {
        let lock = lock(directory)?;
        let path = directory.join(FILE);
        let content = read(&path)?.unwrap_or_else(|| Content {
            schema: SCHEMA,
            stack: stack.clone(),
            site: site.clone(),
            memory: Memory::default(),
        });
        if (&content.stack, &content.site) != (stack, site) {
            return Err(MemoryError::OtherCoordinator {
                path,
                found: format!("{}/{}", content.stack, content.site),
                wanted: format!("{stack}/{site}"),
            });
        }
        write(directory, &content).map_err(|source| MemoryError::Unwritable { path, source })?;
        Ok(Self {
            directory: directory.to_owned(),
            content,
            writing: None,
            failing_since: None,
            not_before: Mono(0),
            _lock: lock,
        })
    }

    /// What is on the disk.
    pub const fn memory(&self) -> &Memory {
        &self.content.memory
    }

    /// True when this is on the disk; else it is being written, or will be tried again.
    pub fn keep(&mut self, memory: &Memory, now: Mono) -> bool {
        if self.writing.is_some() {
            return false;
        }
        if self.content.memory == *memory {
            return true;
        }
        if now >= self.not_before {
            let content = Content {
                memory: memory.clone(),
                ..self.content.clone()
            };
            let (directory, new) = (self.directory.clone(), content.clone());
            self.writing = Some(Writing {
                content,
                since: now,
                task: tokio::task::spawn_blocking(move || write(&directory, &new)),
            });
        }
        false
    }

    /// The end of the write that goes on; never, while none does. It may be dropped and asked for again.
    pub async fn written(&mut self) {
        let Some(writing) = &mut self.writing else {
            return std::future::pending().await;
        };
        let ended = (&mut writing.task).await;
        let outcome = ended.unwrap_or_else(|error| Err(io::Error::other(error)));
        let Some(writing) = self.writing.take() else {
            return;
        };
        match outcome {
            Ok(()) => {
                self.content = writing.content;
                if self.failing_since.take().is_some() {
                    tracing::warn!("what the store has shown is kept again");
                }
            }
            Err(error) => {
                self.not_before = writing.since.after(RETRY);
                if self.failing_since.is_none() {
                    tracing::error!(
                        path = %self.directory.join(FILE).display(),
                        error = %Chain(&error),
                        "what the store has shown cannot be kept: nothing is done by this coordinator until it can"
                    );
                    self.failing_since = Some(writing.since);
                }
            }
        }
    }

    /// Why this process must not lead: its disk has taken nothing for too long.
    pub fn stuck(&self, now: Mono) -> Option<String> {
        let since = self.failing_since;
        let since = since.or_else(|| self.writing.as_ref().map(|writing| writing.since))?;
        let span = now.since(since);
        (span >= PATIENCE).then(|| {
            format!(
                "the disk of this coordinator has taken nothing for {}",
                span.human()
            )
        })
    }
}

fn lock(directory: &Path) -> Result<File, MemoryError> {
    let path = directory.join("store-seen.lock");
    let opened = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let file = match opened {
        Ok(file) => file,
        Err(source) => return Err(MemoryError::Unwritable { path, source }),
    };
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(MemoryError::Locked { path }),
        Err(TryLockError::Error(source)) => Err(MemoryError::Unwritable { path, source }),
    }
}

fn read(path: &Path) -> Result<Option<Content>, MemoryError> {
    let corrupt = |why: String| MemoryError::Corrupt {
        path: path.to_owned(),
        why,
    };
    let unreadable = |source| MemoryError::Unreadable {
        path: path.to_owned(),
        source,
    };
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() > BYTES_MAX => return Err(corrupt("it is too large".to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(unreadable(source)),
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let line = unseal(&bytes).map_err(|why| corrupt(why.to_owned()))?;
    let content: Content =
        serde_json::from_str(line).map_err(|error| corrupt(Chain(&error).to_string()))?;
    if content.schema != SCHEMA {
        let why = format!(
            "it is of version {}, and this build knows version {SCHEMA}",
            content.schema
        );
        return Err(corrupt(why));
    }
    Ok(Some(content))
}

fn write(directory: &Path, content: &Content) -> io::Result<()> {
    let beside = directory.join("store-seen.new");
    let mut file = File::create(&beside)?;
    file.write_all(seal(&json::line(content)).as_bytes())?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(&beside, directory.join(FILE))?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests;
