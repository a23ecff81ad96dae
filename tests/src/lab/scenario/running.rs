//! Plays scenarios, each to its logs, several on one lab where each leaves it as it was.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use decision::FindingCode;
use tokio::time::timeout;

use super::reading::Scenario;
use super::staging::Stage;
use crate::lab::false_clock::FalseClock;
use crate::lab::kept::keep_logs;
use crate::lab::log_watch;
use crate::lab::narrative::Narrative;
use crate::lab::status;
use crate::lab::world::{Lab, Setup};

/// No scenario takes longer than this unless it hangs.
const WHOLE: Duration = Duration::from_mins(8);

/// How many held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those that held.
    pub passed: usize,
    /// Those that did not.
    pub failed: usize,
    /// Those that cannot be played on this machine.
    pub skipped: usize,
}

/// Plays one on a lab of its own.
///
/// # Errors
/// The first step that did not hold, or the log lines that nothing allows; all logs are kept and where is
/// said.
pub async fn run(scenario: &Scenario, narrative: &Narrative) -> Result<Played> {
    let Some(mut stage) = prepare(scenario, narrative).await? else {
        return Ok(Played::Skipped);
    };
    play(scenario, &mut stage, true).await?;
    Ok(Played::Held)
}

/// What became of a scenario that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Played {
    /// It held.
    Held,
    /// It cannot be played on this machine.
    Skipped,
}

/// Plays all of them and tells each outcome. Scenarios that want the same lab and leave it as it was share
/// one; those that move the stack come last on it.
pub async fn run_all(mut scenarios: Vec<Scenario>, narrative: &Narrative) -> Tally {
    let mut tally = Tally::default();
    let mut outcomes = Vec::new();
    while !scenarios.is_empty() {
        let batch = take_batch(&mut scenarios);
        let mut stage = None;
        for (index, scenario) in batch.iter().enumerate() {
            let began = Instant::now();
            let played = Box::pin(play_next(scenario, &mut stage, index == 0, narrative)).await;
            let (word, count) = match &played {
                Ok(Played::Held) => ("passed", &mut tally.passed),
                Ok(Played::Skipped) => ("skipped", &mut tally.skipped),
                Err(_) => ("FAILED", &mut tally.failed),
            };
            *count += 1;
            let outcome = format!(
                "{word:<8} {:>4} s  {}",
                began.elapsed().as_secs(),
                scenario.name
            );
            narrative.say(&outcome);
            outcomes.push(outcome);
            if let Err(error) = &played {
                narrative.show(&format!("{}: {error:#}", scenario.name));
            }
            if played.is_err() || is_worn(stage.as_ref()).await {
                stage = None;
            }
        }
    }
    narrative.head("scenarios");
    for outcome in outcomes {
        narrative.show(&outcome);
    }
    tally
}

/// Whether a lab remembers so many silences of a site that it would take longer to propose.
async fn is_worn(stage: Option<&Stage>) -> bool {
    let Some(stage) = stage else {
        return false;
    };
    let Ok(watcher) = stage.lab.watcher() else {
        return true;
    };
    let view = status::ask(watcher).await;
    view.map_or(true, |view| {
        !status::sentences(&view, FindingCode::Flapping).is_empty()
    })
}

/// The next ones that can follow each other on one lab.
fn take_batch(scenarios: &mut Vec<Scenario>) -> Vec<Scenario> {
    let first = scenarios.remove(0);
    let mut batch = Vec::new();
    let mut rest = Vec::new();
    let mut last = None;
    let all = std::iter::once(first.clone()).chain(std::mem::take(scenarios));
    for scenario in all {
        if !scenario.agrees_with(&first) {
            rest.push(scenario);
        } else if scenario.leaves_as_it_was() {
            batch.push(scenario);
        } else if last.is_none() {
            last = Some(scenario);
        } else {
            rest.push(scenario);
        }
    }
    batch.extend(last);
    *scenarios = rest;
    batch
}

async fn play_next(
    scenario: &Scenario,
    stage: &mut Option<Stage>,
    first: bool,
    narrative: &Narrative,
) -> Result<Played> {
    let fresh = stage.is_none();
    if fresh {
        *stage = prepare(scenario, narrative).await?;
    } else {
        narrative.head(&format!("scenario {}: {}", scenario.name, scenario.title));
    }
    let Some(stage) = stage else {
        return Ok(Played::Skipped);
    };
    if scenario.needs_namespaces && !stage.lab.links.has_namespaces() {
        return Ok(Played::Skipped);
    }
    play(scenario, stage, fresh || first).await?;
    Ok(Played::Held)
}

/// A lab as the scenario wants it; none when it cannot be had here.
async fn prepare(scenario: &Scenario, narrative: &Narrative) -> Result<Option<Stage>> {
    narrative.head(&format!("scenario {}: {}", scenario.name, scenario.title));
    let setup = Setup {
        policy: scenario.policy.clone(),
        lead: scenario.lead.clone(),
        tapped: false,
        small_disks: scenario.small_disks.clone(),
        false_clocks: scenario.false_clocks.clone(),
        keeps_plans: scenario.keeps_plans,
    };
    if !setup.false_clocks.is_empty() && !FalseClock::is_possible() {
        return Ok(None);
    }
    let lab = Box::pin(Lab::start(&setup, narrative)).await?;
    if scenario.needs_namespaces && !lab.links.has_namespaces() {
        return Ok(None);
    }
    narrative.keep_in(&lab.directory().join("narrative.txt"))?;
    Ok(Some(Stage::set(lab, narrative).await?))
}

async fn play(scenario: &Scenario, stage: &mut Stage, first: bool) -> Result<()> {
    stage.begin(first)?;
    let played = timeout(WHOLE, Box::pin(take_all(scenario, stage)));
    let outcome = match played.await {
        Ok(played) => played,
        Err(_elapsed) => Err(anyhow::anyhow!("not over after {WHOLE:?}")),
    };
    let outcome = outcome.and_then(|()| quiet(scenario, stage));
    outcome.map_err(|error| with_logs(error, stage.lab.directory(), &scenario.name))
}

async fn take_all(scenario: &Scenario, stage: &mut Stage) -> Result<()> {
    for (place, line, step) in &scenario.steps {
        stage.narrative.say(format!("-- {line}"));
        Box::pin(stage.take(step))
            .await
            .with_context(|| format!("{}.txt, line {place}: {line}", scenario.name))?;
    }
    stage.check_alive()
}

/// Nobody complained but where the scenario says so.
fn quiet(scenario: &Scenario, stage: &Stage) -> Result<()> {
    let complaints = log_watch::complaints(&stage.lab.logs(), &stage.marks)?;
    let unexpected = log_watch::unexpected(&complaints, &scenario.allowed);
    if unexpected.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = unexpected
        .iter()
        .map(|complaint| format!("  {}: {}", complaint.program, complaint.line))
        .collect();
    bail!(
        "{} log lines that the scenario does not name:\n{}",
        lines.len(),
        lines.join("\n")
    )
}

fn with_logs(error: anyhow::Error, directory: &Path, name: &str) -> anyhow::Error {
    match keep_logs(directory, name) {
        Ok(kept) => error.context(format!("all logs are kept in {}", kept.display())),
        Err(lost) => error.context(format!("the logs could not be kept: {lost:#}")),
    }
}
