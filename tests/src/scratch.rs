//! A directory of its own for one test or one lab run.
//!
//! It decides where that directory lives, so that servers under another account can reach it, and
//! that it is gone afterwards even when the run was killed. It must never remove anything that it
//! did not create.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::account::Account;
use crate::process::guard;

/// Passable, not listable: a server under another account reaches only what it is given.
const MODE: u32 = 0o711;

/// A directory that is removed on drop, and by the guard when the run is killed.
#[derive(Debug)]
pub struct Scratch {
    directory: TempDir,
}

impl Scratch {
    /// Makes a new empty directory.
    ///
    /// # Errors
    /// When no temporary directory is writable or the guard cannot be started.
    pub fn new() -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("pointsman-")
            .permissions(Permissions::from_mode(MODE))
            .tempdir_in(base())
            .context("making a temporary directory")?;
        guard::remove_at_end(directory.path())?;
        Ok(Self { directory })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Makes `path` (and its parents) as a directory that belongs to `account`.
///
/// # Errors
/// When it cannot be made or given away.
pub fn create_directory(path: &Path, account: &Account, mode: u32) -> Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
    std::fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| format!("setting the mode of {}", path.display()))?;
    account.own(path)
}

/// The first temporary directory that any account can reach.
fn base() -> PathBuf {
    let configured = std::env::temp_dir();
    [
        configured.clone(),
        PathBuf::from("/tmp"),
        PathBuf::from("/var/tmp"),
    ]
    .into_iter()
    .find(|candidate| passable(candidate))
    .unwrap_or(configured)
}

fn passable(path: &Path) -> bool {
    path.ancestors().all(|part| {
        std::fs::metadata(part).is_ok_and(|found| found.permissions().mode() & 0o001 != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_directory_is_not_passable_nor_is_anything_in_it() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("inner");
        create_directory(&inner, &Account::Caller, 0o755).unwrap();
        std::fs::set_permissions(outer.path(), Permissions::from_mode(0o700)).unwrap();
        assert!(!passable(outer.path()));
        assert!(!passable(&inner));
    }
}
