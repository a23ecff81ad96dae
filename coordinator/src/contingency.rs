//! The leader's plans for the loss of the store: signed with this coordinator's own key, and kept in the store, from
//! where the agents of each site fetch theirs.
//!
//! A plan decides nothing, so it is not written by compare-and-set: an agent takes none of an older epoch or of another
//! store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bus::Bucket;
use nkeys::KeyPair;
use shared::clock::{Millis, Mono};
use shared::digest::ContentDigest;
use shared::id::SiteName;
use shared::subject::key;
use shared::telemetry::Chain;
use shared::wire::{CONTINGENCY_SCHEMA, Contingency, SignedContingency};

use crate::clock;
use crate::screen::json;

/// Between two looks whether something has changed.
const LOOK_EVERY: Millis = Millis::seconds(5);
/// An unchanged plan is written again after so long: its positions and its age move.
const RENEW_EVERY: Millis = Millis::seconds(60);
/// Largest seed file read, in bytes.
const SEED_BYTES_MAX: u64 = 4_096;

/// Why plans cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The seed's file cannot be read.
    #[error("break_glass.signing_seed_file {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file holds no seed. What it holds is not repeated.
    #[error(
        "break_glass.signing_seed_file {} holds no nkey seed: one line that begins with S, as `nk -gen user` writes it",
        path.display()
    )]
    NoSeed {
        /// The file.
        path: PathBuf,
    },
}

/// Signs and writes plans while this coordinator leads.
pub struct Contingencies {
    signer: Option<Arc<KeyPair>>,
    written: Arc<Mutex<Written>>,
    next_look: Mono,
}

/// What stands in the store, as far as this process has written it.
#[derive(Debug, Default)]
struct Written {
    busy: bool,
    plans: BTreeMap<SiteName, (ContentDigest, Mono)>,
}

impl Contingencies {
    /// Reads the seed, when the file names one.
    ///
    /// # Errors
    /// [`SignerError`].
    pub fn open(seed_file: Option<&Path>) -> Result<Self, SignerError> {
        let signer = seed_file.map(read_seed).transpose()?;
        if let Some(signer) = &signer {
            tracing::info!(
                key = signer.public_key(),
                "plans for break glass are signed with this key"
            );
        }
        Ok(Self {
            signer: signer.map(Arc::new),
            written: Arc::default(),
            next_look: clock::mono(),
        })
    }

    /// True when it is time to look whether the plans have changed.
    pub fn is_due(&mut self, now: Mono) -> bool {
        let due = self.signer.is_some() && now >= self.next_look;
        if due {
            self.next_look = now.after(LOOK_EVERY);
        }
        due
    }

    /// Writes the plans that have changed or have become old, in a task of its own.
    pub fn keep(&self, now: Mono, plans: Vec<Contingency>, bucket: &Bucket) {
        let Some(signer) = &self.signer else { return };
        let mut due = Vec::new();
        {
            let mut written = self.lock();
            if written.busy {
                return;
            }
            for plan in plans {
                let known = written.plans.get(&plan.to);
                let fresh = known.is_some_and(|(shape, at)| {
                    *shape == plan.shape() && now.since(*at) < RENEW_EVERY
                });
                if !fresh {
                    due.push(plan);
                }
            }
            written.busy = !due.is_empty();
        }
        if due.is_empty() {
            return;
        }
        let (signer, written, bucket) = (
            Arc::clone(signer),
            Arc::clone(&self.written),
            bucket.clone(),
        );
        tokio::spawn(async move {
            for plan in due {
                if write(&signer, &plan, &bucket).await {
                    let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
                    written.plans.insert(plan.to.clone(), (plan.shape(), now));
                }
            }
            written.lock().unwrap_or_else(PoisonError::into_inner).busy = false;
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write(signer: &KeyPair, plan: &Contingency, bucket: &Bucket) -> bool {
    let Some(signed) = sign(signer, plan) else {
        tracing::error!(to = %plan.to, "a plan for break glass cannot be signed");
        return false;
    };
    let key = key::contingency(&plan.to);
    match bucket.put(&key, json::line(&signed).into_bytes()).await {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(key, error = %Chain(&error), "a plan for break glass is not written yet");
            false
        }
    }
}

/// A plan with its signature.
pub fn sign(signer: &KeyPair, plan: &Contingency) -> Option<SignedContingency> {
    let content = serde_json::to_string(plan).ok()?;
    let signature = signer
        .sign(&SignedContingency::signed_bytes(&content))
        .ok()?;
    Some(SignedContingency {
        schema: CONTINGENCY_SCHEMA,
        summary: format!(
            "plan {} to make {} live by `pointsman-agent break-glass`, should {} and the store be lost; made {}",
            plan.plan.short(),
            plan.to,
            plan.from,
            plan.made_at.rfc3339()
        ),
        key: signer.public_key(),
        signature: SignedContingency::hex(&signature),
        content,
    })
}

fn read_seed(path: &Path) -> Result<KeyPair, SignerError> {
    let unreadable = |source| SignerError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let no_seed = || SignerError::NoSeed {
        path: path.to_owned(),
    };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > SEED_BYTES_MAX {
        return Err(no_seed());
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let seed = text
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with('S'));
    KeyPair::from_seed(seed.ok_or_else(no_seed)?).map_err(|_| no_seed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_seed_is_refused_and_its_content_is_not_repeated() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seed");
        let said = |text: &str| {
            std::fs::write(&path, text).unwrap();
            match read_seed(&path) {
                Ok(pair) => pair.public_key(),
                Err(error) => error.to_string(),
            }
        };
        let pair = KeyPair::new_user();
        let seed = pair.seed().unwrap();
        assert_eq!(said(&format!("# ours\n{seed}\n")), pair.public_key());
        for wrong in ["", "SUsecret", &pair.public_key(), &seed[..40]] {
            let words = said(wrong);
            assert!(words.contains("holds no nkey seed"), "{words}");
            assert!(!words.contains("SUsecret"), "{words}");
        }
        let missing = read_seed(Path::new("/nonexistent/seed")).unwrap_err();
        assert!(missing.to_string().contains("/nonexistent/seed"));
    }
}
