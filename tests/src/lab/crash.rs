//! Crash points: whoever writes in a run is killed before and after every one of its writes.
//!
//! A run has two kinds of writers. A leading coordinator writes the run's state and the ticket to the store;
//! it is killed once with the write swallowed, and once with the write done and its acknowledgement swallowed.
//! An agent is told a command and reports; it is killed before it hears the command, after it has taken it,
//! before its report leaves, and after. Taps between them and their NATS servers make each of these exact, so
//! the programs need no switch for it. It must never count a crash as survived before the run has gone on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use decision::Durable;
use futures_util::future::select_all;
use shared::codec;
use shared::wire::{Command, Report, ReportState};

use super::STACK;
use super::events::Events;
use super::judgement::judge;
use super::loss::Loss;
use super::narrative::Narrative;
use super::operator::approval;
use super::tap::{Judge, Passing, Verdict};
use super::traffic::Traffic;
use super::world::Lab;

const PROPOSED: Duration = Duration::from_mins(1);
/// A lease that runs out, a leader that takes over, a command whose time is over, and a slow machine.
const GOES_ON: Duration = Duration::from_mins(2);
const COMMAND: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(20);
const REASON: &str = "the lab killed it itself";

/// Whose crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The leading coordinator's.
    Coordinator,
    /// The agents'.
    Agent,
}

/// How many crashes there were, and after how many of them the run went on or halted with a reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Survived {
    /// Crashes after which the run went on.
    pub resumed: usize,
    /// All of them.
    pub crashes: usize,
}

/// How often each point was passed: first it is crashed before, then after, then it passes.
type Points = Arc<Mutex<BTreeMap<String, u8>>>;

/// Takes dc1 away, approves, and kills at every point of the run.
///
/// # Errors
/// When the run neither goes on nor halts with a reason after a crash, or is not whole at its end.
pub async fn crash_all(
    lab: &mut Lab,
    whose: Whose,
    survived: &mut Survived,
    narrative: &Narrative,
) -> Result<()> {
    let traffic = Traffic::start(lab).await?;
    let events = Events::follow(lab.ears()?, narrative.clone()).await?;
    traffic.wait_more(20, SOON).await?;
    lab.lose("dc1", Loss::Kill).await?;
    let raised = |event: &shared::wire::AuditEvent| event.kind == "proposal-raised";
    events.wait("proposal", 0, PROPOSED, raised).await?;
    let proposal = lab.operator.show("latest").await?.proposal;
    let words = approval(&proposal, proposal.digest.as_str(), REASON);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    lab.operator.must(&words, COMMAND).await?;
    let points = Points::default();
    for (name, tap) in &lab.taps {
        let is_agent = name.starts_with("agent-");
        if is_agent == (whose == Whose::Agent) && !name.contains("-dc1") {
            tap.set_judge(Some(judge_of(whose, name, &points)));
        }
    }
    kill_until_over(lab, &events, survived, narrative).await?;
    let run = lab.operator.show("latest").await?.run;
    let run = run.context("the proposal has no run")?;
    for check in judge(lab, &traffic, &run).await {
        let word = if check.holds { "ok" } else { "FAILED" };
        narrative.say(format!("{word} {}: {}", check.what, check.found));
        ensure!(check.holds, "not whole: {check:?}");
    }
    Ok(())
}

async fn kill_until_over(
    lab: &mut Lab,
    events: &Events,
    survived: &mut Survived,
    narrative: &Narrative,
) -> Result<()> {
    let mut heard = events.count();
    let mut deadline = Instant::now() + GOES_ON;
    loop {
        let next = tokio::select! {
            (name, which) = next_stop(lab) => Next::Stopped(name, which),
            next = next_end(events, heard, deadline) => next?,
        };
        survived.resumed = survived.crashes;
        deadline = Instant::now() + GOES_ON;
        match next {
            Next::Stopped(name, which) => {
                survived.crashes += 1;
                narrative.say(format!("crash {}: {name} {which}", survived.crashes));
                lab.restart(&name).await?;
            }
            Next::Halted(reason) => {
                narrative.say(format!("halted, and goes on by an operator: {reason}"));
                heard = events.count();
                let words = ["resume", "latest", "--reason", REASON];
                lab.operator.must(&words, COMMAND).await?;
            }
            Next::Completed => return Ok(()),
        }
    }
}

enum Next {
    Stopped(String, String),
    Halted(String),
    Completed,
}

async fn next_stop(lab: &mut Lab) -> (String, String) {
    let stops = lab
        .taps
        .iter_mut()
        .map(|(name, tap)| Box::pin(async move { (name.clone(), tap.stopped().await) }));
    select_all(stops).await.0
}

async fn next_end(events: &Events, heard: usize, deadline: Instant) -> Result<Next> {
    let over = |event: &shared::wire::AuditEvent| {
        matches!(event.kind.as_str(), "run-completed" | "run-halted")
    };
    let within = deadline.saturating_duration_since(Instant::now());
    let seen = events
        .wait("next crash or end", heard, within, over)
        .await?;
    Ok(if seen.event.kind == "run-completed" {
        Next::Completed
    } else if seen.event.summary.is_empty() {
        bail!("the run halted without a reason")
    } else {
        Next::Halted(seen.event.summary)
    })
}

fn judge_of(whose: Whose, name: &str, points: &Points) -> Judge {
    let (name, points) = (name.to_owned(), Arc::clone(points));
    Box::new(move |passing| {
        let point = match whose {
            Whose::Coordinator => write_of_coordinator(passing),
            Whose::Agent => word_of_agent(passing).map(|point| format!("{name} {point}")),
        };
        let Some(point) = point else {
            return Verdict::Pass;
        };
        let mut points = points.lock().unwrap_or_else(PoisonError::into_inner);
        let times = points.entry(point.clone()).or_default();
        *times = times.saturating_add(1);
        match times {
            1 => Verdict::StopBefore(format!("before {point}")),
            2 => Verdict::StopAfter(format!("after {point}")),
            _ => Verdict::Pass,
        }
    })
}

/// Names a write of the run's state or of the ticket by what it says of the run, not by who writes it.
fn write_of_coordinator(passing: &Passing) -> Option<String> {
    let key = passing
        .subject
        .strip_prefix(&format!("$KV.POINTSMAN_{STACK}."))?;
    passing.outward.then_some(())?;
    match key {
        "state" => {
            let state: Durable = serde_json::from_slice(&passing.payload).ok()?;
            let run = state.run.or_else(|| state.past_runs.last().cloned())?;
            let last = run.steps.iter().next_back();
            let (number, record) = last?;
            let word = record.outcome.word();
            let done = run.steps.len();
            let over = if run.ended_at.is_some() {
                ", run over"
            } else {
                ""
            };
            Some(format!(
                "the state with step {number} of {done} {word}{over}"
            ))
        }
        "ticket" => {
            let ticket: shared::wire::Ticket = serde_json::from_slice(&passing.payload).ok()?;
            let word = if ticket.grant.is_some() {
                "granted"
            } else {
                "revoked"
            };
            Some(format!("the ticket with epoch {} {word}", ticket.epoch))
        }
        _ => None,
    }
}

/// Names a command that an agent hears, or a report that it makes.
fn word_of_agent(passing: &Passing) -> Option<String> {
    let subject = passing
        .subject
        .strip_prefix(&format!("pointsman.{STACK}."))?;
    if subject.starts_with("cmd.") && !passing.outward {
        let command: Command = codec::decode(&passing.payload).ok()?;
        return Some(format!("it takes step {}", command.step));
    }
    if subject.starts_with("report.") && passing.outward {
        let report: Report = codec::decode(&passing.payload).ok()?;
        let word = match report.state {
            ReportState::Running { .. } => "the beginning",
            ReportState::Done { .. } => "the end",
            ReportState::Failed { .. } => "the failure",
            ReportState::Refused(_) => "the refusal",
            ReportState::Interrupted { .. } => "the interruption",
        };
        return Some(format!("it reports {word} of step {}", report.step));
    }
    None
}
