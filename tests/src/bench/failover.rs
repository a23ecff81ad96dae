//! One failover of the lab with the times that matter: loss, proposal, approval, promotion.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use decision::{Run, RunState, StepOutcome};
use shared::stack::Policy;

use super::listening::Heartbeats;
use crate::lab::events::Events;
use crate::lab::loss::Loss;
use crate::lab::narrative::Narrative;
use crate::lab::operator::approval;
use crate::lab::traffic::Traffic;
use crate::lab::world::Lab;

const LOST: &str = "dc1";
const TO: &str = "dc2";
/// Writes before the loss.
const QUIET_LIFE: Duration = Duration::from_secs(3);
const PROPOSED: Duration = Duration::from_mins(2);
const COMMAND: Duration = Duration::from_secs(20);
const DONE: Duration = Duration::from_mins(2);

/// The times of one failover.
#[derive(Debug, Clone)]
pub struct Failover {
    /// From the last heartbeat of the lost site to the proposal, less silence and confirmation, in milliseconds.
    pub detect_over_window_ms: i64,
    /// From the acceptance of the approval to the server's receipt of the promotion, less the epoch wait, in
    /// milliseconds.
    pub approve_to_promote_ms: i64,
    /// What the promote step took, in milliseconds.
    pub promote_ms: u64,
}

/// Takes the live site of a protected lab away, approves, and waits for the end of the run.
///
/// # Errors
/// When the failover does not come to its end, or one of the times cannot be told.
pub async fn measure(lab: &mut Lab, loss: Loss) -> Result<Failover> {
    // The times are counted from the rules in force, which the lab leaves at their defaults.
    let policy = Policy::default();
    let heartbeats = Heartbeats::follow(lab.watcher()?).await?;
    let events = Events::follow(lab.ears()?, Narrative::new(false)).await?;
    let traffic = Traffic::start(lab).await?;
    tokio::time::sleep(QUIET_LIFE).await;
    lab.lose(LOST, loss).await?;
    let raised = events
        .wait("proposal", 0, PROPOSED, |event| {
            event.kind == "proposal-raised"
        })
        .await?;
    let silent_for = raised.at.duration_since(heartbeats.last_of(LOST)?);
    let window = policy.silence_ms.duration() + policy.confirm_ms.duration();
    let proposal = lab.operator.show("latest").await?.proposal;
    let words = approval(
        &proposal,
        proposal.digest.as_str(),
        "it was taken away to be measured",
    );
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    lab.operator.must(&words, COMMAND).await?;
    let over = |kind: &str| matches!(kind, "run-completed" | "run-halted");
    events
        .wait("end of the run", 0, DONE, |event| over(&event.kind))
        .await?;
    lab.check_alive()?;
    drop(traffic);
    let run = lab
        .operator
        .show(&proposal.id.to_string())
        .await?
        .run
        .context("no run")?;
    ensure!(
        matches!(run.state, RunState::Completed { .. }),
        "the run is {:?}",
        run.state
    );
    let asked = promote_request(&lab.database(TO)?.log())?;
    let waited = i64::try_from(policy.epoch_wait_ms.0)?;
    Ok(Failover {
        detect_over_window_ms: millis(silent_for)? - millis(window)?,
        approve_to_promote_ms: asked - i64::try_from(run.started_at.0)? - waited,
        promote_ms: promote_step(&run)?,
    })
}

fn millis(span: Duration) -> Result<i64> {
    i64::try_from(span.as_millis()).context("a span of ages")
}

/// What the promote step took.
fn promote_step(run: &Run) -> Result<u64> {
    let step = run
        .plan
        .steps
        .iter()
        .find(|step| step.work.kind() == "promote");
    let step = step.context("the plan promotes nothing")?;
    let record = run
        .steps
        .get(&step.number)
        .context("the promote step was not begun")?;
    match &record.outcome {
        StepOutcome::Done { took_ms, .. } => Ok(took_ms.0),
        other
        @ (StepOutcome::Started | StepOutcome::Failed { .. } | StepOutcome::Waived { .. }) => {
            bail!("the promote step is {other:?}")
        }
    }
}

/// When the server received the promotion, in milliseconds since 1970, from its own log.
fn promote_request(log: &Path) -> Result<i64> {
    let text =
        std::fs::read_to_string(log).with_context(|| format!("reading {}", log.display()))?;
    let line = text
        .lines()
        .find(|line| line.contains("received promote request"));
    let line = line.with_context(|| format!("{} has no promotion", log.display()))?;
    unix_millis(line).with_context(|| format!("no time in {line:?}"))
}

/// The time at the beginning of a line, `2026-11-23 07:38:30.123 UTC`.
fn unix_millis(line: &str) -> Option<i64> {
    let number = |from: usize, to: usize| line.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let milli = number(20, 23)?;
    // Days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let yoe = year.rem_euclid(400);
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    let days = era * 146_097 + doe - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    line.contains(" UTC ").then_some(seconds * 1000 + milli)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_times_are_read() {
        let line = "2024-02-29 12:34:56.789 UTC [7] startup LOG:  received promote request";
        assert_eq!(unix_millis(line), Some(1_709_210_096_789));
        assert_eq!(unix_millis("1970-01-01 00:00:00.001 UTC [1]"), Some(1));
        assert_eq!(unix_millis("2024-02-29 12:34:56.789 CET [7]"), None);
        assert_eq!(unix_millis("no time"), None);
    }
}
