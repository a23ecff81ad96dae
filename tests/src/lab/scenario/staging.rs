//! What each step does to the lab, and what it looks at.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use decision::Proposal;
use serde_json::Value;
use shared::id::SiteName;
use tokio::time::sleep;

use super::step::Step;
use crate::lab::duplicator::Duplicator;
use crate::lab::events::Events;
use crate::lab::judgement::{judge, scalings};
use crate::lab::log_watch::{self, Allowance};
use crate::lab::narrative::Narrative;
use crate::lab::operator::approval;
use crate::lab::traffic::Traffic;
use crate::lab::workload::WORKLOADS;
use crate::lab::world::Lab;
use crate::lab::{garbage, status};

const COMMAND: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(250);
const SOON: Duration = Duration::from_secs(20);
/// A lease of five seconds, the taking over, and the work of a step.
const LEAD_CHANGE: Duration = Duration::from_secs(45);
/// The exit code of `pointsman` when nobody who leads answered.
const UNREACHABLE: i32 = 5;
/// Longest time for which elections of the NATS cluster keep an answer back.
const ELECTION: Duration = Duration::from_secs(40);
/// Exit code of what a safety rule refused.
const REFUSED: i32 = 6;
const REASON: &str = "the scenario took it away itself";

/// A lab with everything that a scenario has made so far.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    lab: &'a mut Lab,
    narrative: &'a Narrative,
    traffic: Traffic,
    events: Events,
    duplicator: Option<Duplicator>,
    proposals: BTreeMap<String, Proposal>,
    /// Events up to here were awaited.
    cursor: usize,
}

impl<'a> Stage<'a> {
    /// Starts what writes and what listens.
    pub(super) async fn set(lab: &'a mut Lab, narrative: &'a Narrative) -> Result<Self> {
        let started = Traffic::start(
            lab.database("dc1")?,
            &lab.wiring,
            &lab.route,
            lab.directory(),
        );
        let traffic = started.await?;
        let events = Events::follow(lab.watcher()?, narrative.clone()).await?;
        traffic.wait_more(20, SOON).await?;
        Ok(Self {
            lab,
            narrative,
            traffic,
            events,
            duplicator: None,
            proposals: BTreeMap::new(),
            cursor: 0,
        })
    }

    /// Fails when a program has ended by itself.
    pub(super) fn check_alive(&mut self) -> Result<()> {
        self.lab.check_alive()
    }

    /// Takes one step.
    pub(super) async fn take(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Lose(site, loss) => self.lab.lose(site, *loss).await.map(drop),
            Step::Thaw(site) => self.lab.thaw(site).await,
            Step::Cut(one, other) => self.lab.links.cut(one, other).await,
            Step::Heal(one, other) => self.lab.links.heal(one, other).await,
            Step::Isolate(site) => self.lab.links.isolate(site).await,
            Step::Rejoin(site) => self.lab.links.rejoin(site).await,
            Step::KillAgent(node) => {
                self.lab
                    .agents
                    .get_mut(node)
                    .context("no such agent")?
                    .kill()
                    .await
            }
            Step::StartAgent(node) => self
                .lab
                .agents
                .get_mut(node)
                .context("no such agent")?
                .start(),
            Step::KillNats(site) => self.lab.nats.kill(site).await,
            Step::StartNats(site) => self.lab.nats.start(site),
            Step::KillLeaderAfter(numbers) => self.kill_leader_after(numbers).await,
            Step::DuplicateCommands => {
                self.duplicator = Some(Duplicator::start(self.lab.watcher()?).await?);
                Ok(())
            }
            Step::PublishGarbage => {
                let sent = garbage::publish(self.lab.watcher()?).await?;
                self.narrative.say(format!("{sent} messages of garbage"));
                Ok(())
            }
            Step::AwaitEvent(kind, within) => self.await_event(kind, *within).await,
            Step::AwaitStep(state, number, within) => {
                self.await_step(state, *number, *within).await
            }
            Step::AwaitFinding(code, named, within) => {
                self.await_finding(code, named, *within).await
            }
            Step::AwaitPhase(phase, within) => {
                let wanted = |view: &decision::StatusView| view.phase.word() == phase;
                let watcher = self.lab.watcher()?;
                status::wait(watcher, phase, *within, wanted)
                    .await
                    .map(drop)
            }
            Step::AwaitProposal(name, state, within) => {
                self.await_proposal(name, state, *within).await
            }
            Step::AwaitProtected(within) => self.lab.wait_protected(*within).await,
            Step::NoEvent(kind, time) => self.no_event(kind, *time).await,
            Step::Remember(name) => self.remember(name).await,
            Step::Approve {
                proposal,
                digest_of,
                refused,
            } => self.approve(proposal, digest_of, refused.as_deref()).await,
            Step::ExpectWhole => self.expect_whole().await,
            Step::ExpectUnmoved => self.expect_unmoved().await,
            Step::ExpectCopies => self.expect_copies().await,
            Step::ExpectLog(times, about) => self.expect_log(*times, about),
        }
    }

    async fn await_event(&mut self, kind: &str, within: Duration) -> Result<()> {
        let of_kind = |event: &shared::wire::AuditEvent| event.kind == kind;
        let seen = self.events.wait(kind, self.cursor, within, of_kind).await?;
        let all = self.events.all();
        let place = all
            .iter()
            .position(|it| it.at == seen.at && it.event == seen.event);
        self.cursor = place.map_or(all.len(), |place| place + 1);
        self.lab.check_alive()
    }

    async fn await_step(&self, state: &str, number: u32, within: Duration) -> Result<()> {
        let kind = format!("step-{state}");
        let what = format!("{kind} {number}");
        let wanted =
            |event: &shared::wire::AuditEvent| event.kind == kind && event.step == Some(number);
        self.events.wait(&what, 0, within, wanted).await.map(drop)
    }

    /// A step that may fail is over then as well.
    async fn await_outcome(&self, number: u32, within: Duration) -> Result<()> {
        let over = |event: &shared::wire::AuditEvent| {
            matches!(event.kind.as_str(), "step-done" | "step-failed") && event.step == Some(number)
        };
        let what = format!("end of step {number}");
        self.events.wait(&what, 0, within, over).await.map(drop)
    }

    async fn await_finding(&self, code: &str, named: &str, within: Duration) -> Result<()> {
        let wanted = |view: &decision::StatusView| {
            let mut of_code = view
                .findings
                .iter()
                .filter(|finding| finding.code.word() == code);
            of_code.any(|finding| finding.sentence.contains(named))
        };
        let found = status::wait(self.lab.watcher()?, code, within, wanted).await?;
        for finding in found
            .findings
            .iter()
            .filter(|finding| finding.code.word() == code)
        {
            self.narrative
                .say(format!("finding {}: {}", finding.code, finding.sentence));
        }
        Ok(())
    }

    async fn await_proposal(&self, name: &str, state: &str, within: Duration) -> Result<()> {
        let id = self
            .proposals
            .get(name)
            .context("no such proposal is remembered")?
            .id
            .to_string();
        let deadline = Instant::now() + within;
        loop {
            let last = match self.lab.operator.show(&id).await {
                Ok(shown) if shown.proposal.state.word() == state => return Ok(()),
                Ok(shown) => shown.proposal.state.word().to_owned(),
                Err(error) => format!("{error:#}"),
            };
            ensure!(
                Instant::now() < deadline,
                "not {state} after {within:?}: {last}"
            );
            sleep(LOOK).await;
        }
    }

    async fn no_event(&mut self, kind: &str, time: Duration) -> Result<()> {
        let before = self.events.count();
        sleep(time).await;
        let came = self.events.all().into_iter().skip(before);
        if let Some(seen) = came.into_iter().find(|seen| seen.event.kind == kind) {
            bail!("it came: {}", seen.event.summary);
        }
        self.lab.check_alive()
    }

    async fn remember(&mut self, name: &str) -> Result<()> {
        let shown = self.lab.operator.show("latest").await?;
        self.narrative.say(format!(
            "{name} is proposal {} with digest {}",
            shown.proposal.id.short(),
            shown.proposal.digest.short()
        ));
        self.proposals.insert(name.to_owned(), shown.proposal);
        Ok(())
    }

    async fn approve(&mut self, name: &str, digest_of: &str, refused: Option<&str>) -> Result<()> {
        let remembered = |name: &str| {
            let known = self.proposals.get(name);
            known.with_context(|| format!("no proposal is remembered as {name}"))
        };
        let (proposal, other) = (remembered(name)?, remembered(digest_of)?);
        ensure!(
            name == digest_of || proposal.digest != other.digest,
            "{name} and {digest_of} have the same digest"
        );
        let words = approval(proposal, other.digest.as_str(), REASON);
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.push("--json");
        let deadline = Instant::now() + ELECTION;
        let mut ended = self.lab.operator.run(&words, COMMAND).await?;
        // While the store elects a leader nothing that it must keep is answered; a refusal may be asked for again.
        while refused.is_some() && ended.code == Some(UNREACHABLE) && Instant::now() < deadline {
            sleep(LOOK).await;
            ended = self.lab.operator.run(&words, COMMAND).await?;
        }
        let said = format!("{}{}", ended.out.trim(), ended.err.trim());
        match refused {
            None => ensure!(ended.code == Some(0), "exit code {:?}: {said}", ended.code),
            Some(rule) => {
                ensure!(
                    ended.code == Some(REFUSED),
                    "exit code {:?}, not {REFUSED}: {said}",
                    ended.code
                );
                let reply: Value =
                    serde_json::from_str(&ended.out).with_context(|| said.clone())?;
                let found = reply.pointer("/refused/rule").and_then(Value::as_str);
                ensure!(found == Some(rule), "refused by {found:?}: {said}");
                let reason = reply.pointer("/refused/reason").and_then(Value::as_str);
                let reason = reason
                    .filter(|reason| !reason.is_empty())
                    .context("refused without a reason")?;
                self.narrative.say(format!("refused: {reason}"));
            }
        }
        Ok(())
    }

    async fn kill_leader_after(&mut self, numbers: &[u32]) -> Result<()> {
        for number in numbers {
            self.await_outcome(*number, LEAD_CHANGE).await?;
            let watcher = self.lab.watcher()?;
            let leader = status::wait(watcher, "led", LEAD_CHANGE, |view| view.leads)
                .await?
                .answered_by;
            let coordinator = self.lab.coordinators.get_mut(leader.as_str());
            let coordinator = coordinator.context("an unknown leader")?;
            coordinator.kill().await?;
            self.narrative
                .say(format!("killed the leader, {leader}, after step {number}"));
            let another = |view: &decision::StatusView| view.leads && view.answered_by != leader;
            let next: SiteName = status::wait(watcher, "led by another", LEAD_CHANGE, another)
                .await?
                .answered_by;
            self.narrative.say(format!("{next} leads"));
            let coordinator = self.lab.coordinators.get_mut(leader.as_str());
            coordinator.context("an unknown leader")?.start()?;
        }
        Ok(())
    }

    async fn expect_whole(&mut self) -> Result<()> {
        let shown = self.lab.operator.show("latest").await?;
        let run = shown.run.context("the latest proposal has no run")?;
        let checks = judge(self.lab, &self.traffic, &run).await;
        for check in &checks {
            let word = if check.holds { "ok" } else { "FAILED" };
            self.narrative
                .say(format!("{word} {}: {}", check.what, check.found));
        }
        let failed: Vec<_> = checks.iter().filter(|check| !check.holds).collect();
        ensure!(failed.is_empty(), "not whole: {failed:#?}");
        Ok(())
    }

    async fn expect_unmoved(&mut self) -> Result<()> {
        let view = status::ask(self.lab.watcher()?).await?;
        let live = view.live_site.as_ref().map(SiteName::as_str);
        ensure!(
            live == Some("dc1"),
            "live is {live:?}: {}",
            status::summary(&view)
        );
        let epoch = view.epoch.map(|epoch| epoch.0);
        ensure!(epoch == Some(1), "epoch {epoch:?}");
        let moved = self
            .events
            .all()
            .into_iter()
            .find(|seen| seen.event.kind == "step-started");
        ensure!(moved.is_none(), "a step was started: {moved:?}");
        self.traffic.wait_more(20, SOON).await?;
        for site in ["dc2", "dc3"] {
            let written = self.traffic.accepted(site)?.len();
            ensure!(written == 0, "{site} accepted {written} writes");
        }
        let last = self.traffic.record().acknowledged.pop().map(|row| row.site);
        ensure!(
            last.as_deref() == Some("dc1"),
            "the last row was acknowledged by {last:?}"
        );
        Ok(())
    }

    fn expect_log(&self, times: usize, about: &Allowance) -> Result<()> {
        let counts = log_watch::count(&self.lab.logs(), about)?;
        ensure!(!counts.is_empty(), "no program {:?}", about.program);
        let wrong: Vec<_> = counts.iter().filter(|(_, count)| *count != times).collect();
        ensure!(wrong.is_empty(), "not {times} times but {wrong:?}");
        Ok(())
    }

    async fn expect_copies(&mut self) -> Result<()> {
        let duplicator = self.duplicator.as_ref().context("nothing is duplicated")?;
        let (delivered, answered) = duplicator.counts();
        self.narrative.say(format!(
            "{delivered} commands delivered twice, {answered} copies answered"
        ));
        ensure!(
            answered >= 8,
            "only {answered} copies of {delivered} were answered"
        );
        let requests = self.lab.cluster("dc2")?.requests().await?;
        for workload in WORKLOADS {
            let scaled = scalings(&requests, &workload).len();
            ensure!(scaled == 1, "{} was scaled {scaled} times", workload.object);
        }
        Ok(())
    }
}
