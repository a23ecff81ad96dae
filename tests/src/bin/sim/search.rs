//! `sim search`: every state of a small world.

use std::io::Write as _;
use std::process::ExitCode;

/// What to search.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

/// Searches.
pub(crate) fn run(_arguments: &Arguments) -> ExitCode {
    // A reader that has gone away is no failure.
    let _ = writeln!(std::io::stderr(), "sim: nothing is searched yet");
    ExitCode::FAILURE
}
