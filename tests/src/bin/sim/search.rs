//! `sim search`: every state of a small world.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use tests::search::Campaign;

/// What to search.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Small horizons only.
    #[arg(long)]
    quick: bool,
    /// Only searches whose name holds this text.
    #[arg(long)]
    only: Option<String>,
    /// Shows how each seeded bug is found, step by step.
    #[arg(long)]
    traces: bool,
    /// Threads; as many as there are processors unless stated.
    #[arg(long)]
    threads: Option<usize>,
}

/// Searches; exit code 1 when an invariant did not hold or a seeded bug was not found.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let begun = Instant::now();
    let campaign = Campaign {
        quick: arguments.quick,
        only: arguments.only.clone(),
        threads: arguments.threads,
    };
    let mut out = std::io::stdout().lock();
    let summary = campaign.search(|found| {
        // A reader that has gone away is no failure of the search.
        let _ = writeln!(out, "{found}");
        let unwanted = !found.seeded && found.first.is_some();
        if let Some((_, trace)) = found
            .first
            .as_ref()
            .filter(|_| unwanted || arguments.traces)
        {
            for line in trace {
                let _ = writeln!(out, "      {line}");
            }
        }
    });
    let _ = writeln!(
        out,
        "search: states={} violations={} seeded_bugs={}/{} seconds={}",
        summary.states,
        summary.violations,
        summary.found,
        summary.seeded,
        begun.elapsed().as_secs()
    );
    let good = summary.violations == 0 && summary.found == summary.seeded;
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
