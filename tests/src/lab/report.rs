//! The report of one failover, for people and as JSON.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use decision::{Run, StepOutcome};
use serde::Serialize;

use super::homecoming::Homecoming;
use super::judgement::Check;
use super::shown_run::Play;
use super::traffic::Traffic;
use super::world::Lab;
use crate::postgres::{OWNER, SERVICE};

/// When the turning points were.
#[derive(Debug, Clone, Copy)]
pub struct Moments {
    /// The site began to be lost.
    pub lost: Instant,
    /// The proposal was seen.
    pub proposed: Instant,
    /// The operator approved.
    pub approved: Instant,
    /// The run's completion was seen.
    pub completed: Instant,
}

/// One step of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepLine {
    /// What it did.
    pub name: String,
    /// How long it took, in milliseconds; nothing when it did not run to its end.
    pub ms: Option<u64>,
    /// What became of it.
    pub outcome: String,
}

/// The report. The order of its fields is that of its JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// From the loss to the proposal, in milliseconds.
    pub detect_ms: u64,
    /// From the approval to the first write that the new site accepted, in milliseconds.
    pub approve_to_writable_ms: Option<u64>,
    /// From the approval to the end of the run, in milliseconds.
    pub approve_to_done_ms: u64,
    /// Acknowledged rows that the new primary does not have.
    pub acked_writes_lost: usize,
    /// Acknowledged rows in all.
    pub acked_writes_total: usize,
    /// The longest time for which two sites may have accepted writes together, in milliseconds, rounded up.
    pub overlap_ms: u64,
    /// Writes that the old site acknowledged after the new one was granted its right, once it was back;
    /// nothing when it did not come back.
    pub acked_by_old_after: Option<usize>,
    /// What a database did that could not renew its site's right: `off`, `demote` or `stop`.
    pub self_fence: String,
    /// Whether the kernel closed such a database's port.
    pub deadman: bool,
    /// Whether commits waited for the standby: `asynchronous` or `synchronous`.
    pub replication: String,
    /// Each step.
    pub steps: Vec<StepLine>,
    /// How the site was lost.
    pub loss: String,
    /// The longest time in which the client was acknowledged nothing, in milliseconds.
    pub client_gap_ms: u64,
    /// What had to be so.
    pub checks: Vec<Check>,
    /// Whether all of it was.
    pub whole: bool,
}

impl Report {
    /// Gathers the figures of a finished run.
    ///
    /// # Errors
    /// When the new primary does not answer.
    pub async fn gather(
        lab: &Lab,
        traffic: &Traffic,
        (play, moments): (&Play, &Moments),
        run: &Run,
        mut checks: Vec<Check>,
    ) -> Result<Self> {
        let to = run.plan.to.as_str();
        let record = traffic.record();
        let session = lab.database(to)?.connect(OWNER, SERVICE).await?;
        let lost = record.lost_in(&session).await?;
        let first = traffic.accepted(to)?.first().copied();
        if play.replication == "synchronous" {
            checks.push(Check {
                what: "nothing that was acknowledged is lost",
                holds: lost.is_empty(),
                found: format!("{} writes", lost.len()),
            });
        }
        let whole = checks.iter().all(|check| check.holds);
        Ok(Self {
            detect_ms: millis(moments.proposed - moments.lost),
            approve_to_writable_ms: first
                .map(|first| millis(first.acknowledged - moments.approved)),
            approve_to_done_ms: millis(moments.completed - moments.approved),
            acked_writes_lost: lost.len(),
            acked_writes_total: record.acknowledged.len(),
            overlap_ms: millis(traffic.overlap()?),
            acked_by_old_after: None,
            self_fence: play.self_fence.clone(),
            deadman: play.self_fence != "off" && lab.links.has_namespaces(),
            replication: play.replication.clone(),
            steps: steps(run),
            loss: play.loss.word().to_owned(),
            client_gap_ms: millis(record.longest_gap()),
            checks,
            whole,
        })
    }

    /// Adds what the old site did when it came back. With self-fencing and deadman, or with commits that wait for the
    /// other site, it may have acknowledged nothing; without them the number is only shown.
    pub fn add_homecoming(&mut self, came: Homecoming, overlap: Duration) {
        self.acked_by_old_after = Some(came.acknowledged);
        self.overlap_ms = millis(overlap);
        self.checks.push(came.quarantine);
        if self.deadman || self.replication == "synchronous" {
            self.checks.push(Check {
                what: "the old site acknowledged nothing after the grant",
                holds: came.acknowledged == 0,
                found: format!("{} writes", came.acknowledged),
            });
        }
        self.whole = self.checks.iter().all(|check| check.holds);
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("the report as JSON")?;
        std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))
    }

    /// The report for people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for step in &self.steps {
            let ms = step.ms.map_or_else(|| "-".to_owned(), |ms| ms.to_string());
            out.extend([format!("  {ms:>7} ms  {:<9} {}\n", step.outcome, step.name)]);
        }
        let writable = self.approve_to_writable_ms;
        let writable = writable.map_or_else(|| "never".to_owned(), |ms| format!("{ms} ms"));
        let lines = [
            ("loss until proposal", format!("{} ms", self.detect_ms)),
            ("approval until writable", writable),
            (
                "approval until done (RTA)",
                format!("{} ms", self.approve_to_done_ms),
            ),
            (
                "client without an answer",
                format!("{} ms at most", self.client_gap_ms),
            ),
            (
                "acknowledged writes lost",
                format!("{} of {}", self.acked_writes_lost, self.acked_writes_total),
            ),
            (
                "two sites writable at once",
                format!("{} ms", self.overlap_ms),
            ),
        ];
        let mut lines = Vec::from(lines);
        if let Some(count) = self.acked_by_old_after {
            let (fence, deadman) = (&self.self_fence, if self.deadman { "on" } else { "off" });
            let replication = &self.replication;
            let value =
                format!("{count} writes (self-fence {fence}, deadman {deadman}, {replication})");
            lines.push(("old site, after the grant", value));
        }
        out.push('\n');
        for (name, value) in lines {
            out.extend([format!("  {name:<27} {value}\n")]);
        }
        out.push('\n');
        for check in &self.checks {
            let word = if check.holds { "ok    " } else { "FAILED" };
            out.extend([format!("  {word}  {}: {}\n", check.what, check.found)]);
        }
        out
    }
}

fn steps(run: &Run) -> Vec<StepLine> {
    let line = |step: &decision::Step| {
        let outcome = run.steps.get(&step.number).map(|record| &record.outcome);
        let ms = match outcome {
            Some(StepOutcome::Done { took_ms, .. } | StepOutcome::Failed { took_ms, .. }) => {
                Some(took_ms.0)
            }
            Some(StepOutcome::Started | StepOutcome::Waived { .. }) | None => None,
        };
        StepLine {
            name: step.title.clone(),
            ms,
            outcome: outcome.map_or("waits", StepOutcome::word).to_owned(),
        }
    };
    run.plan.steps.iter().map(line).collect()
}

/// Milliseconds, rounded up: nothing that lasted is shown as zero.
fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_lasted_is_zero() {
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_nanos(1_500)), 1);
        assert_eq!(millis(Duration::from_millis(2)), 2);
    }
}
