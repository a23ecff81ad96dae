//! A person who looks every few seconds: applies the stack, approves, resumes, abandons, holds and releases.
//!
//! A careful one switches the lost site off before vouching for it; a careless one vouches without looking,
//! which no software can see, and which the checker counts as a lie.

use std::collections::{BTreeMap, BTreeSet};

use decision::{ApprovalRequest, Ask, Fresh, Input, RequestId, RunState};
use shared::clock::Millis;
use shared::id::{Actor, SiteName};

use super::Flaw;
use super::world::{Event, FAULTY, World};

#[derive(Debug)]
pub(super) struct Operator {
    careless: bool,
    off: BTreeSet<SiteName>,
    resumed: u32,
    requests: u64,
}

impl Operator {
    pub(super) fn new(careless: bool) -> Self {
        Self {
            careless,
            off: BTreeSet::new(),
            resumed: 0,
            requests: 0,
        }
    }

    /// True while a site is switched off because somebody vouched for it.
    pub(super) fn holds_off(&self, site: &SiteName) -> bool {
        self.off.contains(site)
    }

    pub(super) fn is_careless(&self) -> bool {
        self.careless
    }
}

impl World {
    pub(super) fn operate(&mut self) {
        let next = self.dice.between(2_000, 6_000);
        self.plan(next, Event::Operator);
        let time = self.time;
        let leader = self
            .seats
            .values()
            .find(|seat| seat.leads(time) && time >= seat.paused_until);
        let Some((site, life)) = leader.map(|seat| (seat.site.clone(), seat.life)) else {
            return;
        };
        let reachable = self
            .sites
            .iter()
            .any(|from| self.network.carries(from, &site));
        let Some(ask) = self.choose_ask(&site).filter(|_| reachable) else {
            return;
        };
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

    fn choose_ask(&mut self, site: &SiteName) -> Option<Ask> {
        let calm = self.time > FAULTY;
        let core = &self.seats[site].core;
        let reason = || "because".to_owned();
        if core.stack().is_none() {
            let mut stack = Box::new(self.stack.clone());
            if self.flaw == Some(Flaw::NoWait) {
                stack.policy.epoch_wait_ms = Millis(0);
            }
            return Some(Ask::ApplyStack {
                stack,
                replaces: None,
            });
        }
        let durable = core.durable().cloned()?;
        if let Some(run) = &durable.run {
            let RunState::Halted { step, .. } = run.state else {
                return None;
            };
            self.operator.resumed += 1;
            let tried = self.operator.resumed;
            return Some(
                if tried > 4 && self.dice.permille(if calm { 600 } else { 200 }) {
                    self.operator.off.clear();
                    Ask::Abandon {
                        run: run.id,
                        reason: reason(),
                    }
                } else {
                    let waive = self.dice.permille(150).then_some(step);
                    Ask::Resume {
                        run: run.id,
                        waive,
                        reason: reason(),
                    }
                },
            );
        }
        if durable.hold.is_some() {
            return Some(Ask::Release { reason: reason() });
        }
        let Some(open) = durable.open_proposal().cloned() else {
            return (!calm && self.dice.permille(15)).then(|| Ask::Hold { reason: reason() });
        };
        match self.dice.between(0, 99) {
            0..=3 if !calm => Some(Ask::Reject {
                proposal: open.id,
                reason: reason(),
            }),
            4..=7 if !calm => Some(Ask::Hold { reason: reason() }),
            8..=14 => Some(approval(&open, "0123456789abcdef", None)),
            15..=30 if !calm => None,
            _ => {
                let from = open.plan.from.clone();
                if !self.operator.careless {
                    self.switch_off(&from);
                }
                Some(approval(&open, open.digest.as_str(), Some(from)))
            }
        }
    }

    /// A careful operator has the site switched off, and it stays so.
    fn switch_off(&mut self, site: &SiteName) {
        if self.network.dark.contains(site) || !self.operator.off.insert(site.clone()) {
            self.operator.off.insert(site.clone());
            return;
        }
        self.say(format_args!("operator switches {site} off"));
        self.network.dark.insert(site.clone());
        if let Some(seat) = self.seats.get_mut(site) {
            seat.crash();
        }
        for worker in self
            .workers
            .values_mut()
            .filter(|worker| worker.site == *site)
        {
            worker.crash();
            if let Some(database) = &mut worker.database {
                database.up = false;
            }
        }
    }
}

fn approval(open: &decision::Proposal, digest: &str, attested: Option<SiteName>) -> Ask {
    let overrides: BTreeMap<String, String> = open
        .needs
        .overrides
        .iter()
        .map(|rule| (rule.rule.clone(), "accepted".to_owned()))
        .collect();
    Ask::Approve(ApprovalRequest {
        proposal: open.id,
        digest: digest.to_owned(),
        attest_site_off: attested.map(|site| site.to_string()),
        overrides,
        reason: "it is off".to_owned(),
    })
}

fn asked(ask: &Ask) -> &'static str {
    match ask {
        Ask::Approve(_) => "to approve",
        Ask::Reject { .. } => "to reject",
        Ask::Resume { .. } => "to resume",
        Ask::Abandon { .. } => "to abandon",
        Ask::Hold { .. } => "for a hold",
        Ask::Release { .. } => "for a release",
        Ask::ApplyStack { .. } => "to apply a stack",
    }
}
