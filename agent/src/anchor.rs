//! When the lease that is kept was last renewed, for the next process of this boot: a restart of the agent must not
//! stop a healthy database, and must not make its lease younger either.
//!
//! The file is replaced at each renewal and never flushed: after a crash of the host its clock is gone anyhow, and
//! what is read then names another boot.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shared::epoch::Epoch;
use shared::id::BootId;

use crate::lease::Reading;

const FILE: &str = "lease.json";

/// A kept lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Anchor {
    pub(crate) boot: BootId,
    pub(crate) epoch: Epoch,
    /// When the renewal was sent that it rests on.
    pub(crate) sent: Reading,
}

impl Anchor {
    /// What an earlier process has left.
    pub(crate) fn read(state_dir: &Path) -> Option<Self> {
        let text = std::fs::read(state_dir.join(FILE)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// The reading, when it is of this boot and not from the future.
    pub(crate) fn of_boot(&self, boot: BootId, now: Reading) -> Option<Reading> {
        (self.boot == boot && self.sent.mono <= now.mono).then_some(self.sent)
    }
}

/// Replaces the file, or removes it when no lease is kept.
///
/// # Errors
/// What the disk said.
pub(crate) fn write(state_dir: PathBuf, anchor: Option<Anchor>) -> std::io::Result<()> {
    let path = state_dir.join(FILE);
    let Some(anchor) = anchor else {
        return match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        };
    };
    let beside = state_dir.join("lease.new");
    std::fs::write(&beside, serde_json::to_vec(&anchor)?)?;
    std::fs::rename(&beside, &path)
}

#[cfg(test)]
mod tests {
    use shared::clock::{Mono, UnixMillis};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_kept_lease_is_read_by_the_next_process_of_the_same_boot_only() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().to_owned();
        assert_eq!(Anchor::read(&state), None);
        let at = |mono| Reading {
            mono: Mono(mono),
            wall: UnixMillis(9),
        };
        let boot = |n| BootId::new(Uuid::from_u128(n));
        let anchor = Anchor {
            boot: boot(1),
            epoch: Epoch(2),
            sent: at(1_000),
        };
        write(state.clone(), Some(anchor)).unwrap();
        let read = Anchor::read(&state).unwrap();
        assert_eq!(read, anchor);
        assert_eq!(read.of_boot(boot(1), at(5_000)), Some(at(1_000)));
        assert_eq!(read.of_boot(boot(2), at(5_000)), None);
        assert_eq!(read.of_boot(boot(1), at(999)), None);
        write(state.clone(), None).unwrap();
        write(state.clone(), None).unwrap();
        assert_eq!(Anchor::read(&state), None);
    }
}
