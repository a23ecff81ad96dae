//! A lab on which scenarios are played, and what they have made so far.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use decision::Proposal;
use shared::wire::AuditEvent;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::step::Step;
use crate::lab::duplicator::Duplicator;
use crate::lab::events::Events;
use crate::lab::log_watch::{self, Allowance, Marks};
use crate::lab::narrative::Narrative;
use crate::lab::recorder::Recorder;
use crate::lab::status;
use crate::lab::traffic::Traffic;
use crate::lab::world::Lab;

pub(super) const LOOK: Duration = Duration::from_millis(250);
pub(super) const SOON: Duration = Duration::from_secs(20);
/// Longer than an answer that is late, with a write twenty times a second.
const QUIET: Duration = Duration::from_secs(3);

/// A lab with everything that its scenarios have made so far.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) lab: Lab,
    pub(super) narrative: Narrative,
    pub(super) traffic: Traffic,
    pub(super) events: Events,
    pub(super) duplicator: Option<Duplicator>,
    pub(super) recorder: Option<Recorder>,
    pub(super) proposals: BTreeMap<String, Proposal>,
    /// Whom `leader` and `store leader` named last.
    pub(super) leader: Option<String>,
    pub(super) store_leader: Option<String>,
    /// What the last node at which the glass was broken has printed for the next one.
    pub(super) glass_code: Option<String>,
    /// Processes of standbys that were frozen one by one, by site.
    pub(super) receivers: BTreeMap<String, i32>,
    /// A session whose backend goes on by itself.
    pub(super) looping: Option<JoinHandle<()>>,
    /// The end of a site's WAL just before the site was lost.
    pub(super) end_at_loss: Option<u64>,
    /// Lines that were logged before this scenario.
    pub(super) marks: Marks,
    /// Events before this scenario.
    pub(super) began: usize,
    /// Events up to here were awaited.
    cursor: usize,
}

impl Stage {
    /// Starts what writes and what listens.
    pub(super) async fn set(lab: Lab, narrative: &Narrative) -> Result<Self> {
        let traffic = Traffic::start(&lab).await?;
        let events = Events::follow(lab.ears()?, narrative.clone()).await?;
        traffic.wait_more(20, SOON).await?;
        Ok(Self {
            lab,
            narrative: narrative.clone(),
            traffic,
            events,
            duplicator: None,
            recorder: None,
            proposals: BTreeMap::new(),
            leader: None,
            store_leader: None,
            glass_code: None,
            receivers: BTreeMap::new(),
            looping: None,
            end_at_loss: None,
            marks: Marks::new(),
            began: 0,
            cursor: 0,
        })
    }

    /// Forgets what the scenario before this one left in memory; the first one has none before it.
    pub(super) fn begin(&mut self, first: bool) -> Result<()> {
        self.duplicator = None;
        self.recorder = None;
        self.proposals.clear();
        if !first {
            self.marks = log_watch::mark(&self.lab.logs())?;
            self.began = self.events.count();
        }
        self.cursor = self.began;
        Ok(())
    }

    /// Fails when a program has ended by itself.
    pub(super) fn check_alive(&mut self) -> Result<()> {
        self.lab.check_alive()
    }

    /// Takes one step.
    pub(super) async fn take(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Do(deed) => self.act(deed).await,
            Step::AwaitEvent(kind, within) => self.await_event(kind, *within).await,
            Step::AwaitStep(state, number, within) => {
                self.await_step(state, *number, *within).await
            }
            Step::AwaitFinding(code, named, within) => {
                self.await_finding(code, named, *within).await
            }
            Step::AwaitPhase(phase, within) => self.await_phase(phase, *within).await,
            Step::AwaitProposal(name, state, within) => {
                self.await_proposal(name, state, *within).await
            }
            Step::AwaitProtected(within) => self.lab.wait_protected(*within).await,
            Step::AwaitLog(about, within) => self.await_log(about, *within).await,
            Step::AwaitStopped(site, within) => self.await_stopped(site, *within).await,
            Step::AwaitClosed(site, within) => self.await_closed(site, *within).await,
            Step::AwaitRows(site, within) => self.traffic.wait_written_in(site, *within).await,
            Step::BreakGlass {
                node,
                off,
                within,
                text,
            } => self.break_glass(node, off, *within, text).await,
            Step::RefuseGlass { node, off, rule } => self.refuse_glass(node, off, rule).await,
            Step::Wait(time) => {
                sleep(*time).await;
                self.lab.check_alive()
            }
            Step::NoEvent(kind, time) => self.no_event(kind, *time).await,
            Step::Remember(name) => self.remember(name).await,
            Step::Approve {
                proposal,
                digest_of,
                refused,
            } => self.approve(proposal, digest_of, refused.as_deref()).await,
            Step::ApproveTwice(name) => self.approve_twice(name).await,
            Step::Operator(words, code, text) => self.operate(words, *code, text).await,
            Step::KillLeaderAfter(numbers) => self.kill_leader_after(numbers).await,
            Step::ExpectWhole => self.expect_whole().await,
            Step::ExpectUnmoved => self.expect_unmoved().await,
            Step::ExpectNoOverlap => self.expect_no_overlap(),
            Step::ExpectLossWithin(name) => self.expect_loss_within(name).await,
            Step::ExpectNothingLost => self.expect_nothing_lost().await,
            Step::ExpectLossShown(name) => self.expect_loss_shown(name),
            Step::ExpectHalted(text) => self.expect_halted(text).await,
            Step::ExpectCopies => self.expect_copies().await,
            Step::ExpectLog(times, about) => self.expect_log(*times, about),
            Step::ExpectClosed(site) => self.expect_closed(site).await,
        }
    }

    /// The remembered proposal of a name.
    pub(super) fn proposal(&self, name: &str) -> Result<&Proposal> {
        let known = self.proposals.get(name);
        known.with_context(|| format!("no proposal is remembered as {name}"))
    }

    async fn await_event(&mut self, kind: &str, within: Duration) -> Result<()> {
        let of_kind = |event: &AuditEvent| event.kind == kind;
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
        let wanted = |event: &AuditEvent| event.kind == kind && event.step == Some(number);
        self.events
            .wait(&what, self.began, within, wanted)
            .await
            .map(drop)
    }

    async fn await_phase(&self, phase: &str, within: Duration) -> Result<()> {
        let wanted = |view: &decision::StatusView| view.phase.word() == phase;
        let watcher = self.lab.watcher()?;
        status::wait(watcher, phase, within, wanted).await.map(drop)
    }

    /// A step that may fail is over then as well.
    pub(super) async fn await_outcome(&self, number: u32, within: Duration) -> Result<()> {
        let over = |event: &AuditEvent| {
            matches!(event.kind.as_str(), "step-done" | "step-failed") && event.step == Some(number)
        };
        let what = format!("end of step {number}");
        self.events
            .wait(&what, self.began, within, over)
            .await
            .map(drop)
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
        let id = self.proposal(name)?.id.to_string();
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

    async fn await_log(&self, about: &Allowance, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let counts = log_watch::count(&self.lab.logs(), about, &self.marks)?;
            if counts.iter().any(|(_, count)| *count > 0) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "not logged: {counts:?}");
            sleep(LOOK).await;
        }
    }

    async fn await_stopped(&self, site: &str, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        while self.lab.database(site)?.is_running() {
            let left = self.lab.database(site)?.members();
            ensure!(Instant::now() < deadline, "still running: {left:?}");
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn await_closed(&self, site: &str, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        while self.writes_are_acknowledged(site).await? {
            ensure!(
                Instant::now() < deadline,
                "{site} still acknowledges writes"
            );
        }
        Ok(())
    }

    /// Whether a site's database acknowledged a write of the probe in some seconds.
    pub(super) async fn writes_are_acknowledged(&self, site: &str) -> Result<bool> {
        let before = self.traffic.accepted(site)?.len();
        sleep(QUIET).await;
        Ok(self.traffic.accepted(site)?.len() > before)
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
}
