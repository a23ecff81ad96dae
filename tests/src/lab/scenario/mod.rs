//! Scenarios: what happens to the lab, and what must come of it, as text files in `tests/scenarios`.
//!
//! A file has settings, then steps, one a line; `#` begins a comment. A scenario fails at the first step
//! that does not hold, and at its end on every WARN or ERROR line of an agent or coordinator that it does
//! not name.
//!
//! ```text
//! title TEXT                               what it shows
//! rows N N …                               rows of the fault matrix that it covers
//! fast                                     one of the few that every run of the tests plays
//! needs namespaces                         skipped where the sites share loopback
//! with NAME                                the settings of with/NAME.txt
//! policy KEY VALUE                         a rule of the stack file that differs from the usual one
//! lead lease SPAN renew SPAN               how the coordinators lead, when not as usual
//! small disk database|agent|nats NAME      its files lie on a disk that can be filled; takes root
//! false clock agent|coordinator NAME       its wall clock can be set wrong; takes libfaketime
//! keeps plans                              leaders sign plans for break glass, and agents keep them
//! may log PROGRAM TEXT                     such lines are no failure; PROGRAM may end with *
//! ```
//!
//! The steps are listed at [`step::Step`].

mod asking;
mod doing;
mod expecting;
mod glass;
mod reading;
mod running;
mod sentence;
mod staging;
pub mod step;

use std::path::PathBuf;

use anyhow::{Context, Result};

pub use reading::Scenario;
pub use running::{Played, Tally, run, run_all};

/// The directory of the scenarios.
pub fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// The names of all scenarios, in order.
///
/// # Errors
/// When the directory cannot be read.
pub fn names() -> Result<Vec<String>> {
    let directory = directory();
    let entries = std::fs::read_dir(&directory)
        .with_context(|| format!("reading {}", directory.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".txt")?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}
