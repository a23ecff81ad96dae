//! Plays histories of the simulation from seeds.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use tests::simulation::{Summary, play};

/// Plays histories of the simulated world; exit code 1 when an invariant did not hold.
#[derive(Debug, Parser)]
struct Arguments {
    /// One seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Seeds from A up to, and without, B, written A..B.
    #[arg(long, value_parser = range)]
    seeds: Option<std::ops::Range<u64>>,
    /// Shows every event of the history.
    #[arg(long)]
    step: bool,
    /// Plays each seed twice and compares.
    #[arg(long)]
    meta: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let one = arguments.seed.map(|seed| seed..seed.saturating_add(1));
    let seeds = one.or_else(|| arguments.seeds.clone()).unwrap_or(0..100);
    let begun = Instant::now();
    let mut summary = Summary::default();
    let mut text = String::new();
    for seed in seeds {
        let history = play(seed);
        if arguments.step {
            text.push_str(&history.log.join("\n"));
            text.push('\n');
        }
        summary.add(&history);
        if arguments.meta && play(seed) != history {
            summary
                .violations
                .push((seed, "the same seed played twice differs".to_owned()));
        }
    }
    let millis = u64::try_from(begun.elapsed().as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    let rate = summary.histories * 1_000 / millis;
    // Writing to a String never fails.
    let _ = writeln!(text, "{summary}histories/s {rate}");
    // A reader that has gone away is no failure of the simulation.
    let _ = std::io::stdout().write_all(text.as_bytes());
    if summary.violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn range(text: &str) -> Result<std::ops::Range<u64>, String> {
    let parts = text
        .split_once("..")
        .and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    parts
        .map(|(from, to)| from..to)
        .ok_or_else(|| format!("{text:?} is not a range: A..B is needed, like 0..100"))
}
