//! The ledger's file: whole, checked, and replaced in one piece.
//!
//! Two lines: the content as JSON and its SHA-256. Writing happens on a thread of
//! its own, so that a hung disk holds up the command and not the heartbeats.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use shared::sealed::{seal, unseal};

use super::LedgerError;
use crate::replacement;

/// Largest ledger read, in bytes.
const LEDGER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The state directory, locked.
#[derive(Debug)]
pub(super) struct Disk {
    directory: PathBuf,
    /// Held open: the lock falls with the process.
    _lock: File,
}

impl Disk {
    /// Locks the directory, which is made when it is missing.
    pub(super) fn open(directory: &Path) -> Result<Self, LedgerError> {
        let unwritable = |source| LedgerError::Unwritable {
            path: directory.to_owned(),
            source,
        };
        std::fs::create_dir_all(directory).map_err(unwritable)?;
        let path = directory.join("ledger.lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|source| LedgerError::Unwritable {
                path: path.clone(),
                source,
            })?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                directory: directory.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(LedgerError::Locked { path }),
            Err(TryLockError::Error(source)) => Err(LedgerError::Unwritable { path, source }),
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.join("ledger")
    }

    /// The content; nothing in a directory that never had a ledger.
    pub(super) fn read(&self) -> Result<Option<String>, LedgerError> {
        read(&self.directory)
    }

    /// Replaces the content; it is on the disk when this returns.
    pub(super) fn write(&self, content: &str) -> io::Result<()> {
        replacement::replace(&self.path(), seal(content).as_bytes())
    }

    /// Remembers that this directory has had a ledger, so that a lost one is not taken for a first start.
    pub(super) fn mark_begun(&self) -> io::Result<()> {
        let marker = begun_marker(&self.directory);
        if !marker.exists() {
            let text = "This directory has had a ledger. If the file `ledger` is gone, what this agent obeyed is \
                        unknown: restore it, or remove this file to begin anew.\n";
            let mut file = File::create(&marker)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            File::open(&self.directory)?.sync_all()?;
        }
        Ok(())
    }
}

/// The content of a directory, whoever has it open; nothing where there never was a ledger.
pub(super) fn read(directory: &Path) -> Result<Option<String>, LedgerError> {
    let path = directory.join("ledger");
    let corrupt = |why: &str| LedgerError::Corrupt {
        path: path.clone(),
        why: why.to_owned(),
    };
    match std::fs::metadata(&path) {
        Ok(meta) if meta.len() > LEDGER_BYTES_MAX => return Err(corrupt("it is too large")),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return if begun_marker(directory).exists() {
                Err(LedgerError::Lost {
                    path,
                    marker: begun_marker(directory),
                })
            } else {
                Ok(None)
            };
        }
        Err(source) => return Err(LedgerError::Unreadable { path, source }),
    }
    let bytes = std::fs::read(&path).map_err(|source| LedgerError::Unreadable {
        path: path.clone(),
        source,
    })?;
    let content = unseal(&bytes).map_err(corrupt)?;
    Ok(Some(content.to_owned()))
}

fn begun_marker(directory: &Path) -> PathBuf {
    directory.join("ledger.begun")
}
