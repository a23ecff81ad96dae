//! `sim calibrate`: what noise alone would have proposed over years.

use std::io::Write as _;
use std::process::ExitCode;

use tests::simulation::calibrate;

/// How long to play.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Simulated years of the noise profile N1.
    #[arg(long, default_value_t = 10_000)]
    years: u64,
    /// The seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads; as many as there are processors unless stated.
    #[arg(long)]
    threads: Option<usize>,
}

/// Plays them; exit code 1 when something was done automatically about an outage of less than a minute.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = arguments.threads.unwrap_or(processors);
    let begun = std::time::Instant::now();
    let found = calibrate(arguments.years, arguments.seed, threads);
    // A reader that has gone away is no failure.
    let _ = writeln!(
        std::io::stdout(),
        "groups of troubles {} ({} played), automatic runs {}, a wrong proposal in {} years, seconds {}\n\
         calibrate: years={} wrong={} isolation={} early_automatic={}",
        found.groups,
        found.played,
        found.automatic,
        found
            .years
            .checked_div(found.wrong)
            .map_or_else(|| "more than all".to_owned(), |years| years.to_string()),
        begun.elapsed().as_secs(),
        found.years,
        found.wrong,
        found.isolation,
        found.early_automatic
    );
    if found.early_automatic == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
