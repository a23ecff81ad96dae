//! `sim calibrate`: what noise alone would have proposed over years.

use std::io::Write as _;
use std::process::ExitCode;

/// How long to play.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Simulated years.
    #[arg(long, default_value_t = 10_000)]
    years: u64,
    /// The seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Plays them.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    // A reader that has gone away is no failure.
    let _ = writeln!(
        std::io::stderr(),
        "sim: {} years from seed {} are not played yet",
        arguments.years,
        arguments.seed
    );
    ExitCode::FAILURE
}
