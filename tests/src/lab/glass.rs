//! Break glass in the lab: the key that signs plans, and what the files of coordinators and agents say of it.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nkeys::KeyPair;

/// The key with which the lab's coordinators sign plans; all of them have the same.
#[derive(Debug)]
pub struct SigningKey {
    seed_file: PathBuf,
    public: String,
}

impl SigningKey {
    /// A new key, with its seed in a file of the lab that only its owner reads.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn make(home: &Path) -> Result<Self> {
        let pair = KeyPair::new_user();
        let seed = pair.seed().context("a key without a seed")?;
        let seed_file = home.join("break-glass.seed");
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600);
        let mut file = file
            .open(&seed_file)
            .with_context(|| format!("making {}", seed_file.display()))?;
        std::io::Write::write_all(&mut file, format!("{seed}\n").as_bytes())?;
        Ok(Self {
            seed_file,
            public: pair.public_key(),
        })
    }

    /// What a coordinator's file says of it.
    pub fn for_coordinator(&self) -> String {
        let file = self.seed_file.display();
        format!("\n[break_glass]\nsigning_seed_file = \"{file}\"\n")
    }

    /// What an agent's file says of it.
    pub fn for_agent(&self) -> String {
        format!("\n[break_glass]\ntrusted_keys = [\"{}\"]\n", self.public)
    }
}
