//! The ledger's file: whole, checked, and replaced in one piece.
//!
//! Two lines: the content as JSON and its SHA-256. It is written beside, flushed, renamed and the directory
//! flushed, so that after a crash there is the old content or the new one. Writing happens on a thread of
//! its own, so that a hung disk holds up the command and not the heartbeats.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use shared::digest::ContentDigest;

use super::LedgerError;

/// Largest ledger read, in bytes.
const LEDGER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The text of a ledger file with this content, which has no line end.
pub fn file_of(content: &str) -> String {
    let digest = ContentDigest::of_bytes(content.as_bytes());
    format!("{content}\n{digest}\n")
}

/// The content of a ledger file.
///
/// # Errors
/// What is wrong with the file, as a sentence, for anything but what [`file_of`] gives.
pub fn content_of(file: &[u8]) -> Result<&str, &'static str> {
    let text = std::str::from_utf8(file).map_err(|_| "it is no text")?;
    let (content, digest) = text
        .strip_suffix('\n')
        .and_then(|lines| lines.split_once('\n'))
        .ok_or("it is cut short")?;
    if ContentDigest::of_bytes(content.as_bytes()).as_str() == digest {
        Ok(content)
    } else {
        Err("its content does not match its digest")
    }
}

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
        let beside = self.directory.join("ledger.new");
        let mut file = File::create(&beside)?;
        file.write_all(file_of(content).as_bytes())?;
        file.sync_all()?;
        drop(file);
        std::fs::rename(&beside, self.path())?;
        File::open(&self.directory)?.sync_all()
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
    let content = content_of(&bytes).map_err(corrupt)?;
    Ok(Some(content.to_owned()))
}

fn begun_marker(directory: &Path) -> PathBuf {
    directory.join("ledger.begun")
}
