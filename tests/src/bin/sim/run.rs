//! `sim run`: histories of a faulty world, one from each seed.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tests::simulation::{Campaign, Depth, Summary, play};

/// Which histories to play. No group of its own name: these stand at the top too, beside another of that name.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// One seed.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Seeds from A up to, and without, B, written A..B.
    #[arg(long, value_parser = range)]
    seeds: Option<Range<u64>>,
    /// Shows every event of each history.
    #[arg(long)]
    replay: bool,
    /// As --replay, waiting for a line from the terminal after each event.
    #[arg(long)]
    step: bool,
    /// Goes on with further seeds for so many minutes.
    #[arg(long)]
    minutes: Option<u64>,
    /// Plays each seed twice and compares what happened, byte by byte.
    #[arg(long)]
    meta: bool,
    /// Threads; as many as there are processors unless stated.
    #[arg(long)]
    threads: Option<usize>,
}

/// Plays them.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let one = arguments.seed.map(|seed| seed..seed.saturating_add(1));
    let seeds = one.or_else(|| arguments.seeds.clone()).unwrap_or(0..1_000);
    if arguments.replay || arguments.step {
        for seed in seeds.clone() {
            show(seed, arguments.step);
        }
    }
    let begun = Instant::now();
    let mut campaign = Campaign::new(seeds.clone());
    campaign.meta = arguments.meta;
    campaign.threads = arguments.threads;
    let mut summary = campaign.play();
    let until = Duration::from_secs(arguments.minutes.unwrap_or(0).saturating_mul(60));
    while begun.elapsed() < until {
        let next = campaign.seeds.end..campaign.seeds.end.saturating_add(1_000);
        campaign.seeds = next;
        summary.merge(campaign.play());
    }
    conclude(&summary, begun.elapsed())
}

fn conclude(summary: &Summary, took: Duration) -> ExitCode {
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = summary.histories.saturating_mul(1_000) / millis;
    let (reached, all) = summary.fault_pairs();
    // A reader that has gone away is no failure of the simulation.
    let _ = writeln!(
        std::io::stdout(),
        "{summary}histories/s {rate}\nsim: histories={} violations={} fault_pairs={reached}/{all} seconds={}",
        summary.histories,
        summary.violated,
        millis / 1_000
    );
    if summary.violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Shows a history event by event.
fn show(seed: u64, stepwise: bool) {
    let waits = stepwise && std::io::stdin().is_terminal();
    let history = play(seed, Depth::Told);
    let mut out = std::io::stdout().lock();
    let mut answers = std::io::stdin().lock();
    for line in &history.log {
        if writeln!(out, "{line}").is_err() {
            return;
        }
        let mut answer = String::new();
        if waits && (out.flush().is_err() || answers.read_line(&mut answer).is_err()) {
            return;
        }
    }
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let parts = text
        .split_once("..")
        .and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    parts
        .filter(|(from, to)| from < to)
        .map(|(from, to)| from..to)
        .ok_or_else(|| {
            format!("{text:?} is not a range: A..B with A below B is needed, like 0..100")
        })
}
