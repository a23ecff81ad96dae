//! The plan that the agent keeps for the loss of the store: taken from the store while there is one, on the disk
//! before it counts.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use shared::clock::{Millis, UnixMillis};
use shared::telemetry::Chain;
use shared::wire::{Contingency, SignedContingency};

use super::trust::{self, Untrusted};
use crate::gate::Identity;
use crate::ledger::Ledger;
use crate::replacement;

/// Largest plan read, in bytes.
pub(crate) const PLAN_BYTES_MAX: u64 = 1024 * 1024;

/// What the file holds.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    /// When this agent took it, by its own wall clock: it outlives a restart of the host.
    received_at: UnixMillis,
    signed: SignedContingency,
}

/// A plan that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) received_at: UnixMillis,
    pub(crate) signed: SignedContingency,
    pub(crate) plan: Contingency,
}

impl Kept {
    /// Its age by the own wall clock, of its making or of its taking: the greater one, because the two clocks may
    /// differ.
    pub(crate) fn age(&self, now: UnixMillis) -> Millis {
        let since = |at: UnixMillis| now.0.saturating_sub(at.0);
        Millis(since(self.received_at).max(since(self.plan.made_at)))
    }
}

/// The kept plan. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    path: PathBuf,
    kept: Arc<Mutex<Option<Kept>>>,
}

impl Cache {
    /// Opens the cache of a state directory. What cannot be read or is not believed any more is not kept, and the log
    /// says so: the store gives it again.
    pub(crate) fn open(directory: &Path, trusted: &[String]) -> Self {
        let path = directory.join("contingency.json");
        let kept = match read(&path, trusted) {
            Ok(kept) => kept,
            Err(why) => {
                tracing::warn!(file = %path.display(), why, "the kept plan for break glass is not usable");
                None
            }
        };
        Self {
            path,
            kept: Arc::new(Mutex::new(kept)),
        }
    }

    /// The plan.
    pub(crate) fn kept(&self) -> Option<Kept> {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Keeps a plan; it is on the disk when this returns.
    pub(crate) fn keep(&self, kept: Kept) -> io::Result<()> {
        let content = Content {
            received_at: kept.received_at,
            signed: kept.signed.clone(),
        };
        let text = serde_json::to_string_pretty(&content)?;
        replacement::replace(&self.path, text.as_bytes())?;
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(())
    }
}

fn read(path: &Path, trusted: &[String]) -> Result<Option<Kept>, String> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() > PLAN_BYTES_MAX => return Err("it is too large".to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    }
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let content: Content = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let plan = trust::verify(&content.signed, trusted)
        .map_err(|error: Untrusted| Chain(&error).to_string())?;
    Ok(Some(Kept {
        received_at: content.received_at,
        signed: content.signed,
        plan,
    }))
}

/// Whether a plan that the store gives replaces what is kept; why not, as a sentence.
pub(crate) fn accepts(
    identity: &Identity,
    ledger: &Ledger,
    kept: Option<&Contingency>,
    new: &Contingency,
) -> Result<(), String> {
    if (&new.stack, &new.to) != (&identity.stack, &identity.site) {
        return Err(format!("it makes {} of stack {} live", new.to, new.stack));
    }
    if new.base_epoch < ledger.epoch() {
        return Err(format!(
            "it was made in epoch {}, this agent has obeyed epoch {}",
            new.base_epoch,
            ledger.epoch()
        ));
    }
    let known = ledger
        .seen()
        .map(|seen| seen.incarnation)
        .or_else(|| kept.map(|kept| kept.incarnation));
    if known.is_some_and(|known| known != new.incarnation) {
        return Err(
            "it is of another store than the one that this agent knows: if the store was made anew on purpose, remove \
             contingency.json from the state directory and restart the agent"
                .to_owned(),
        );
    }
    match kept {
        Some(kept) if kept.base_epoch > new.base_epoch => Err(format!(
            "it was made in epoch {}, the kept one in epoch {}",
            new.base_epoch, kept.base_epoch
        )),
        Some(kept) if kept.stack_version > new.stack_version => Err(format!(
            "it was made for stack version {}, the kept one for {}",
            new.stack_version, kept.stack_version
        )),
        Some(_) | None => Ok(()),
    }
}
