//! The failover that the README's first command shows, from a healthy stack to the report.
//!
//! It tells what an operator would see and asks what an operator would be asked. It must never answer for
//! the operator unless it was told to.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use coordinator::screen;
use decision::{FindingCode, Proposal, RunState};

use super::answers::Answers;
use super::events::{Events, Seen};
use super::homecoming;
use super::judgement::judge;
use super::loss::Loss;
use super::narrative::Narrative;
use super::operator::approval;
use super::report::{Moments, Report};
use super::stack_file::PolicyLines;
use super::status;
use super::traffic::Traffic;
use super::world::{Lab, REPLICATION, SELF_FENCE};

/// The operator did not approve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("declined by the answer {0:?}")]
pub struct Declined(pub String);

/// The site that is taken away.
const LOST: &str = "dc1";
const COMMAND: Duration = Duration::from_secs(20);
/// Writes before the loss, so that there is something to lose.
const QUIET_LIFE: Duration = Duration::from_secs(3);
const PROPOSED: Duration = Duration::from_mins(2);
const DONE: Duration = Duration::from_mins(5);
const LOOK: Duration = Duration::from_secs(1);
const REASON: &str = "the lab took it away itself";

/// What a shown run is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Play {
    /// How the site is lost.
    pub loss: Loss,
    /// Whether it comes back afterwards.
    pub returns: bool,
    /// What a database does that cannot renew its site's right: `off`, `demote` or `stop`.
    pub self_fence: String,
    /// Whether commits of the live site wait for the standby: `asynchronous` or `synchronous`.
    pub replication: String,
}

impl Play {
    /// The stack's rules that differ from the usual ones.
    pub fn policy(&self) -> PolicyLines {
        let rules = [
            (SELF_FENCE, &self.self_fence, "off"),
            (REPLICATION, &self.replication, "asynchronous"),
        ];
        let changed = rules.into_iter().filter(|(_, value, usual)| value != usual);
        changed
            .map(|(key, value, _)| (key.to_owned(), value.clone()))
            .collect()
    }
}

/// Shows a whole failover.
///
/// # Errors
/// When it does not come to its end; a run that ended and was not whole is told in the report instead.
pub async fn show(
    lab: &mut Lab,
    traffic: &Traffic,
    play: &Play,
    answers: &mut Answers,
    narrative: &Narrative,
) -> Result<Report> {
    narrative.head("the stack is protected");
    narrative.show(&lab.operator.must(&["status"], COMMAND).await?);
    let events = Events::follow(lab.ears()?, narrative.clone()).await?;
    tokio::time::sleep(QUIET_LIFE).await;
    narrative.say(format!(
        "the client was acknowledged {} rows",
        traffic.record().acknowledged.len()
    ));

    narrative.head(&format!("{LOST} is taken away ({})", play.loss.word()));
    let lost = lab.lose(LOST, play.loss).await?;
    narrative.say(format!("nothing of {LOST} runs any more"));
    let proposed = watch_until_proposed(lab, &events, narrative).await?;
    lab.check_alive()?;

    narrative.head("the proposal");
    let shown = lab.operator.show("latest").await?;
    narrative.show(&screen::proposal::render(
        &shown.proposal,
        shown.run.as_ref(),
        shown.from.as_of,
    ));
    ask(&shown.proposal, answers, narrative).await?;

    narrative.head("the run");
    let words = approval(&shown.proposal, shown.proposal.digest.as_str(), REASON);
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.push("--follow");
    let approved = Instant::now();
    let ended = lab.operator.follow(&words, DONE, narrative).await?;
    let ended_at = Instant::now();
    lab.check_alive()?;
    let shown = lab.operator.show(&shown.proposal.id.to_string()).await?;
    let run = shown.run.context("the approved proposal has no run")?;
    ensure!(
        matches!(run.state, RunState::Completed { .. }),
        "pointsman ended with {:?} and the run is {:?}",
        ended.code,
        run.state
    );
    let all = events.all();
    let completed = all.iter().find(|seen| seen.event.kind == "run-completed");
    let moments = Moments {
        lost,
        proposed: proposed.at,
        approved,
        completed: completed.map_or(ended_at, |seen| seen.at),
    };
    let checks = judge(lab, traffic, &run).await;
    let mut report = Report::gather(lab, traffic, (play, &moments), &run, checks).await?;

    narrative.head("the stack afterwards");
    let after = lab.operator.run(&["status"], COMMAND).await?;
    narrative.show(&after.out);
    if play.returns {
        let came = homecoming::watch(lab, traffic, (&run, &events), narrative).await?;
        report.add_homecoming(came, traffic.overlap()?);
    }
    narrative.head("the report");
    narrative.show(&report.text());
    Ok(report)
}

/// Tells each new finding until the proposal is there.
async fn watch_until_proposed(lab: &Lab, events: &Events, narrative: &Narrative) -> Result<Seen> {
    let watcher = lab.watcher()?;
    let raised = events.wait("proposal", 0, PROPOSED, |event| {
        event.kind == "proposal-raised"
    });
    tokio::pin!(raised);
    let mut told: Vec<FindingCode> = Vec::new();
    loop {
        tokio::select! {
            seen = &mut raised => return seen,
            () = tokio::time::sleep(LOOK) => {}
        }
        // Between two leaders nobody may answer; the next look will.
        let Ok(view) = status::ask(watcher).await else {
            continue;
        };
        for finding in &view.findings {
            if !told.contains(&finding.code) {
                told.push(finding.code);
                narrative.say(format!(
                    "{:<18} {}: {}",
                    "finding", finding.code, finding.sentence
                ));
            }
        }
    }
}

async fn ask(proposal: &Proposal, answers: &mut Answers, narrative: &Narrative) -> Result<()> {
    let vouched = proposal.needs.attest_site_off.as_ref();
    let site = vouched.unwrap_or(&proposal.plan.from);
    let vouching = vouched.map_or_else(String::new, |site| {
        format!(" and to vouch that {site} is off")
    });
    narrative.ask(&format!(
        "\nApprove this plan? Type {site} to approve it{vouching}; anything else declines: "
    ));
    let answer = answers.next(site.as_str()).await;
    if matches!(answers, Answers::Yes) {
        narrative.show(&format!("{site} (--yes)"));
    }
    if answer.as_deref() == Some(site.as_str()) {
        return Ok(());
    }
    if answer.is_none() {
        narrative.show("");
    }
    Err(Declined(answer.unwrap_or_else(|| "nothing".to_owned())).into())
}
