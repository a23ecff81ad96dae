//! Runs a scenario from its first step to its logs.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::timeout;

use super::reading::Scenario;
use super::staging::Stage;
use crate::lab::kept::keep_logs;
use crate::lab::log_watch;
use crate::lab::narrative::Narrative;
use crate::lab::world::{Lab, Setup};

/// No scenario takes longer than this unless it hangs.
const WHOLE: Duration = Duration::from_mins(8);

/// Runs it.
///
/// # Errors
/// The first step that did not hold, or the log lines that nothing allows; all logs are kept and where is
/// said.
pub async fn run(scenario: &Scenario, narrative: &Narrative) -> Result<()> {
    narrative.head(&format!("scenario {}: {}", scenario.name, scenario.title));
    let setup = Setup {
        policy: scenario.policy.clone(),
        lead: scenario.lead.clone(),
    };
    let mut lab = Box::pin(Lab::start(&setup, narrative)).await?;
    narrative.keep_in(&lab.directory().join("narrative.txt"))?;
    let played = timeout(WHOLE, Box::pin(play(scenario, &mut lab, narrative)));
    let outcome = match played.await {
        Ok(played) => played,
        Err(_elapsed) => Err(anyhow::anyhow!("not over after {WHOLE:?}")),
    };
    let outcome = outcome.and_then(|()| quiet(scenario, &lab));
    outcome.map_err(|error| with_logs(error, lab.directory(), &scenario.name))
}

async fn play(scenario: &Scenario, lab: &mut Lab, narrative: &Narrative) -> Result<()> {
    let mut stage = Stage::set(lab, narrative).await?;
    for (place, line, step) in &scenario.steps {
        narrative.say(format!("-- {line}"));
        Box::pin(stage.take(step))
            .await
            .with_context(|| format!("{}.txt, line {place}: {line}", scenario.name))?;
    }
    stage.check_alive()
}

/// Nobody complained but where the scenario says so.
fn quiet(scenario: &Scenario, lab: &Lab) -> Result<()> {
    let complaints = log_watch::complaints(&lab.logs())?;
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
