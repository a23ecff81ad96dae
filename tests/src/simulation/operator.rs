//! A person who looks every few seconds: applies the stack, approves, resumes, abandons, holds and releases.
//!
//! A careful one switches the lost site off before vouching for it; a careless one vouches without looking,
//! which no software can see, and which the checker counts as a lie.

use std::collections::{BTreeMap, BTreeSet};

use decision::{
    Alarm, ApprovalRequest, Ask, Durable, FindingCode, Fresh, Input, RequestId, Run, RunState,
    StatusView,
};
use shared::clock::Millis;
use shared::id::{Actor, SiteName};
use shared::stack::{Mode, SiteRole, Stack};

use super::Flaw;
use super::fault::FIRST;
use super::seat::Seat;
use super::world::{Event, FAULTY, World};

#[derive(Debug)]
pub(super) struct Operator {
    careless: bool,
    /// Without looking, a site was vouched for of which the policy asks for a proof, and the proof was done without.
    past_proof: bool,
    /// Sites that are switched off because somebody vouched for it.
    pub(super) off: BTreeSet<SiteName>,
    resumed: u32,
    requests: u64,
    /// Approvals that were given.
    pub(super) approvals: Vec<ApprovalRequest>,
    /// A stack that is to be applied.
    pub(super) wanted: Option<Box<Stack>>,
}

impl Operator {
    pub(super) const fn new(careless: bool) -> Self {
        Self {
            careless,
            past_proof: false,
            off: BTreeSet::new(),
            resumed: 0,
            requests: 0,
            approvals: Vec::new(),
            wanted: None,
        }
    }

    pub(super) const fn is_careless(&self) -> bool {
        self.careless
    }

    /// Its word stands in for every proof.
    pub(super) const fn go_past_proof(&mut self) {
        self.past_proof = true;
    }

    /// True once its word stood in for the proof that the policy asks for, and nobody had looked.
    pub(super) const fn went_past_proof(&self) -> bool {
        self.past_proof
    }
}

impl World {
    pub(super) fn operate(&mut self) {
        let next = self.dice.between(1_500, 4_000);
        self.plan(next, Event::Operator);
        if self.noise.is_none() && self.time > FIRST && self.dice.permille(250) {
            self.rejoin();
            self.release();
        }
        self.keep_contingencies();
        let Some(site) = self.leader().map(|seat| seat.site.clone()) else {
            return;
        };
        if let Some(ask) = self.choose_ask(&site) {
            self.ask_leader(ask);
        }
    }

    /// The coordinator that leads and answers.
    pub(super) fn leader(&self) -> Option<&Seat> {
        let time = self.time;
        let mut seats = self.seats.values();
        seats.find(|seat| seat.leads(time) && time >= seat.paused_until)
    }

    /// Asks the leader, when anybody reaches it.
    pub(super) fn ask_leader(&mut self, ask: Ask) {
        let Some((site, life)) = self.leader().map(|seat| (seat.site.clone(), seat.life)) else {
            return;
        };
        if !self
            .sites
            .iter()
            .any(|from| self.network.carries(from, &site))
        {
            return;
        }
        self.operator.requests += 1;
        let request = RequestId(self.operator.requests);
        self.say(format_args!("operator asks {}", asked(&ask)));
        let fresh = Fresh(self.dice.uuid());
        let actor = Actor::new("alice");
        self.deliver(
            &site,
            life,
            Input::Asked {
                request,
                actor,
                ask,
                fresh,
            },
        );
    }

    /// Goes on with a store that has lost writes: names the site whose database really is the live one.
    fn choose_of_store(&mut self, site: &SiteName, calm: bool) -> Option<Ask> {
        let status = self.status_of(site);
        let lost = shows(&status, FindingCode::StoreRegressed);
        // Without a stack nothing is found, and the status says it beside.
        let told = self.seats[site].core.stack().is_none() && status.store.is_some();
        if !(lost || told) || !(calm || self.dice.permille(300)) {
            return None;
        }
        let live = self.really_live();
        if shows(&status, FindingCode::TwoPrimaries) {
            self.stop_others(&live);
        }
        Some(Ask::AcceptStore {
            live,
            reason: "because".to_owned(),
        })
    }

    /// What a coordinator shows now.
    pub(super) fn status_of(&self, site: &SiteName) -> StatusView {
        let seat = &self.seats[site];
        seat.core.status(seat.clock.now(self.time))
    }

    /// The site whose database really is the live one.
    fn really_live(&self) -> SiteName {
        let databases = self.workers.values().filter_map(|worker| {
            let database = worker.database.as_ref().filter(|d| d.primary)?;
            Some((database.timeline, &worker.site))
        });
        let newest = databases.max().map(|(_, site)| site.clone());
        newest.unwrap_or_else(|| self.live_site())
    }

    /// The stack in force, with the site as its primary that really is the live one: for a store without a ticket.
    fn renamed(&self, stack: &Stack) -> Stack {
        let (live, before) = (self.really_live(), stack.first_primary().clone());
        let mut stack = stack.clone();
        stack.sites.insert(before, SiteRole::Standby);
        stack.sites.insert(live, SiteRole::Primary);
        stack
    }

    /// Looks at the last run, switches automatic mode off, or on again.
    fn choose_of_automatic(&mut self, durable: &Durable, calm: bool) -> Option<Ask> {
        if self.stack.policy.mode != Mode::Automatic {
            return None;
        }
        let reason = "because".to_owned();
        if durable.cool_down.is_some() && self.dice.permille(200) {
            return Some(Ask::Acknowledge {
                alarm: Alarm::CoolDown,
                reason,
            });
        }
        let on = durable.automatic_off.is_some();
        let often = match (on, calm) {
            (true, _) => 400,
            (false, false) => 60,
            (false, true) => 0,
        };
        (often > 0 && self.dice.permille(often)).then_some(Ask::Automatic { on, reason })
    }

    /// Goes on with a halted run, past what stands in the way, or gives it up.
    fn choose_of_run(&mut self, run: &Run, calm: bool) -> Option<Ask> {
        let reason = "because".to_owned();
        let RunState::Halted { step, .. } = run.state else {
            return None;
        };
        let run = run.id;
        self.operator.resumed += 1;
        let tried = self.operator.resumed;
        if tried > 4 && self.dice.permille(if calm { 600 } else { 200 }) {
            self.switch_on_again();
            return Some(Ask::Abandon { run, reason });
        }
        let waive = self.dice.permille(150).then_some(step);
        Some(Ask::Resume { run, waive, reason })
    }

    /// The first stack, with what a flawed world has wrong in it.
    fn first_apply(&self) -> Ask {
        let mut stack = Box::new(self.stack.clone());
        if self.flaw == Some(Flaw::NoWait) {
            stack.policy.epoch_wait_ms = Millis(0);
        }
        if self.flaw == Some(Flaw::WindowSkipped) {
            stack.policy.automatic.confirm_ms = Millis(0);
        }
        Ask::ApplyStack {
            stack,
            replaces: None,
        }
    }

    fn choose_ask(&mut self, site: &SiteName) -> Option<Ask> {
        let calm = self.time > FAULTY;
        let core = &self.seats[site].core;
        let reason = || "because".to_owned();
        if core.stack().is_none() {
            let accept = self.choose_of_store(site, calm);
            return accept.or_else(|| Some(self.first_apply()));
        }
        if let Some(stack) = self.operator.wanted.take() {
            let replaces = core.stack().map(|(version, _)| version);
            return Some(Ask::ApplyStack { stack, replaces });
        }
        if self.noise.is_some() {
            return None;
        }
        let durable = core.durable().cloned()?;
        if let Some(ask) = self.choose_of_store(site, calm) {
            return Some(ask);
        }
        if let Some(run) = &durable.run {
            return self.choose_of_run(run, calm);
        }
        let core = &self.seats[site].core;
        if let Some((version, stack)) = core.stack().filter(|_| core.ticket().is_none()) {
            return Some(Ask::ApplyStack {
                stack: Box::new(self.renamed(stack)),
                replaces: Some(version),
            });
        }
        if let Some(ask) = self.choose_of_glass(site, calm) {
            return Some(ask);
        }
        if durable.hold.is_some() {
            return Some(Ask::Release { reason: reason() });
        }
        let Some(open) = durable.open_proposal().cloned() else {
            if let Some(ask) = self.choose_of_automatic(&durable, calm) {
                return Some(ask);
            }
            return (!calm && self.dice.permille(15)).then(|| Ask::Hold { reason: reason() });
        };
        // What goes on automatically is mostly left to itself.
        let automatic = self.stack.policy.mode == Mode::Automatic;
        if automatic && self.dice.permille(if calm { 300 } else { 800 }) {
            return self.choose_of_automatic(&durable, calm);
        }
        match self.dice.between(0, 99) {
            0..=3 if !calm => Some(Ask::Reject {
                proposal: open.id,
                reason: reason(),
            }),
            4..=7 if !calm => Some(Ask::Hold { reason: reason() }),
            8..=14 => Some(Ask::Approve(approval(&open, "0123456789abcdef", None))),
            15..=30 if !calm => None,
            _ => {
                let vouches = open.needs.attest_site_off.clone();
                if let Some(from) = vouches.as_ref().filter(|_| !self.operator.careless) {
                    self.switch_off(from);
                }
                let given = approval(&open, open.digest.as_str(), vouches);
                if self.operator.careless && given.overrides.contains_key("fence-grade") {
                    self.operator.go_past_proof();
                }
                self.operator.approvals.push(given.clone());
                Some(Ask::Approve(given))
            }
        }
    }
}

/// Whether a status has a finding.
pub(super) fn shows(status: &StatusView, code: FindingCode) -> bool {
    status.findings.iter().any(|finding| finding.code == code)
}

fn approval(
    open: &decision::Proposal,
    digest: &str,
    attested: Option<SiteName>,
) -> ApprovalRequest {
    let overrides: BTreeMap<String, String> = open
        .needs
        .overrides
        .iter()
        .map(|rule| (rule.rule.clone(), "accepted".to_owned()))
        .collect();
    ApprovalRequest {
        proposal: open.id,
        digest: digest.to_owned(),
        attest_site_off: attested.map(|site| site.to_string()),
        overrides,
        reason: "it is off".to_owned(),
    }
}

const fn asked(ask: &Ask) -> &'static str {
    match ask {
        Ask::Approve(_) => "to approve",
        Ask::Reject { .. } => "to reject",
        Ask::Resume { .. } => "to resume",
        Ask::ResumePast(_) => "to resume past a rule",
        Ask::Abandon { .. } => "to abandon",
        Ask::Hold { .. } => "for a hold",
        Ask::Release { .. } => "for a release",
        Ask::Automatic { .. } => "to switch automatic mode",
        Ask::Acknowledge { .. } => "to acknowledge",
        Ask::ApplyStack { .. } => "to apply a stack",
        Ask::AcceptStore { .. } => "to accept the store",
    }
}
