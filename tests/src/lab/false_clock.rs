//! A wall clock that only one program sees, and that jumps when a scenario says so.
//!
//! libfaketime answers the program's questions for the time from a file; the clocks that count on are left
//! alone. It must never touch the clock of the machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Where distributions put the library.
const PLACES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// The clock of one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FalseClock {
    file: PathBuf,
}

impl FalseClock {
    /// Whether this machine has the library.
    pub fn is_possible() -> bool {
        library().is_some()
    }

    /// A clock that is right so far, kept in a directory.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn right(directory: &Path) -> Result<Self> {
        let clock = Self {
            file: directory.join("clock"),
        };
        clock.set("+0")?;
        Ok(clock)
    }

    /// Sets it off by so many seconds, such as `+3600`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set(&self, offset: &str) -> Result<()> {
        std::fs::write(&self.file, format!("{offset}\n")).context("setting a clock")
    }

    /// The environment of the program.
    ///
    /// # Errors
    /// When libfaketime is not installed.
    pub fn environment(&self) -> Result<Vec<(String, String)>> {
        let Some(library) = library() else {
            bail!("libfaketime is not installed");
        };
        let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        Ok(vec![
            set("LD_PRELOAD", library),
            set("FAKETIME_TIMESTAMP_FILE", &self.file.to_string_lossy()),
            set("FAKETIME_NO_CACHE", "1"),
            set("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ])
    }
}

fn library() -> Option<&'static str> {
    PLACES.into_iter().find(|place| Path::new(place).exists())
}
