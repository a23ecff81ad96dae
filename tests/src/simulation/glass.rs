//! An operator at a site's own hosts makes it live while the store is lost together with the live one.
//!
//! Whether that may be is the agent's own judgement, over the facts of this world; the record is the real one. The plan
//! is the one that the last leader made that reached the site: that it is signed and kept on a disk is not played, and
//! of its steps only the wait and the promotion are.

use std::collections::BTreeMap;

use agent::glass::judge::{Facts, Request, Sighting, epoch, judge};
use agent::glass::{Broken, StoreAnswer};
use decision::{Alarm, Ask, FindingCode};
use shared::clock::{Millis, Mono};
use shared::epoch::Epoch;
use shared::id::{Actor, NodeName, Nonce, RunId, SiteName};
use shared::wire::{Contingency, PeerChannel};

use super::database::{Database, Port};
use super::fault_kind::FaultKind;
use super::operator::shows;
use super::worker::{Worker, Wrote};
use super::world::{Event, FAULTY, World};

/// Operators stop trying so long after everything was mended.
const PATIENCE: u64 = 60_000;

/// What operators at the sites have and have done.
#[derive(Debug, Default)]
pub(super) struct Glass {
    /// The newest plan that reached a site, and when it was made.
    plans: BTreeMap<SiteName, (u64, Contingency)>,
    /// The session at a node that waits as the plan asks.
    waiting: BTreeMap<NodeName, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    /// By the host's own clock, which is what the session counts by.
    since: Mono,
    /// By the world's clock, which is what the checker counts by.
    begun_at: u64,
    /// Another process of the agent begins anew.
    life: u64,
}

/// What the judgement says.
struct Judged {
    objections: Vec<&'static str>,
    epoch: Epoch,
}

impl World {
    /// A leader's plans reach the sites that they are for.
    pub(super) fn keep_contingencies(&mut self) {
        if !self.mix.contains(&FaultKind::GlassBroken) {
            return;
        }
        let time = self.time;
        let Some(seat) = self.leader() else { return };
        let from = seat.site.clone();
        let plans = seat.core.contingencies(seat.clock.now(time));
        for plan in plans {
            if self.network.carries(&from, &plan.to) {
                self.glass.plans.insert(plan.to.clone(), (time, plan));
            }
        }
    }

    /// The live site is lost, the store too, and somebody goes to a standby's hosts.
    pub(super) fn threaten(&mut self) {
        let live = self.live_site();
        let span = self.dice.between(16_000, 32_000);
        if !self.operator.is_careless() || self.dice.permille(600) {
            self.darken(FaultKind::LiveSiteDark, &live, span);
        }
        if self.dice.permille(850) {
            self.break_network(FaultKind::BusGone, &live, &live, span);
        }
        let others = self.stack.eligible().filter(|site| **site != live);
        let standbys: Vec<SiteName> = others.cloned().collect();
        if let Some(site) = self.dice.pick(&standbys).cloned() {
            let after = self.dice.between(4_000, 13_000);
            self.plan(after, Event::Glass { site });
        }
    }

    /// An operator's next try at a site.
    pub(super) fn go_on_with_glass(&mut self, site: &SiteName) {
        let here =
            |worker: &&Worker| worker.site == *site && worker.database.is_some() && worker.up;
        let worker = self.workers.values().find(here);
        let at_work = worker.filter(|worker| self.time >= worker.still_until());
        let found = at_work.map(|worker| (worker.node.clone(), worker.serves_by_word()));
        let done = found.is_some_and(|(node, begun)| self.try_glass(site, &node, begun));
        if !done && self.time < FAULTY + PATIENCE {
            let after = self.dice.between(800, 2_500);
            self.plan(after, Event::Glass { site: site.clone() });
        }
    }

    /// Does what comes next; true when nothing is left to do.
    fn try_glass(&mut self, site: &SiteName, node: &NodeName, begun: bool) -> bool {
        if self.network.dark.contains(site) {
            return false;
        }
        if !begun && self.time >= FAULTY {
            return true;
        }
        let kept = self.glass.plans.get(site).cloned();
        let own = self.workers[node].record.glass().filter(|_| begun);
        let own = own.map(|broken| (self.time, broken.plan.clone()));
        let Some((made, plan)) = own.or(kept) else {
            return false;
        };
        let judged = self.judge_glass(node, &plan, made);
        if !judged.objections.is_empty() {
            let objections = judged.objections.join(", ");
            self.say(format_args!(
                "break glass at {node} is refused: {objections}"
            ));
            self.count("break glass refused");
            return false;
        }
        if begun {
            return self.promote_by_word(node);
        }
        if self.has_waited(node, &plan) {
            self.record_break(node, plan, judged.epoch);
        }
        false
    }

    /// True when the wait of the plan is over; it begins anew with another process of the agent, and leaves nothing
    /// when it is cut off. A careful operator has switched the other site off before it.
    fn has_waited(&mut self, node: &NodeName, plan: &Contingency) -> bool {
        let (worker, begun_at) = (&self.workers[node], self.time);
        let (since, life) = (worker.clock.mono(begun_at), worker.life);
        let waiting = self.glass.waiting.get(node);
        let Some(waiting) = waiting.filter(|waiting| waiting.life == life) else {
            let waiting = Waiting {
                since,
                begun_at,
                life,
            };
            self.glass.waiting.insert(node.clone(), waiting);
            if self.operator.is_careless() {
                self.operator.go_past_proof();
            } else {
                self.switch_off(&plan.from);
            }
            return false;
        };
        since.since(waiting.since) >= plan.wait_ms()
    }

    fn judge_glass(&mut self, node: &NodeName, plan: &Contingency, made: u64) -> Judged {
        let (time, site) = (self.time, self.workers[node].site.clone());
        let answers = self.store_answers(&site);
        let worker = &self.workers[node];
        let store = if answers {
            StoreAnswer::Quorum {
                ticket: self.store.ticket.value.clone(),
            }
        } else {
            StoreAnswer::NoQuorum { why: String::new() }
        };
        let seen = self.answers(&site, &plan.from).then_some(Sighting {
            channel: PeerChannel::Postgres,
            age: Millis(300),
        });
        let now = worker.clock.mono(time);
        let streams = |database: &&Database| database.up && !database.primary && database.receives;
        let database = worker.database.as_ref().filter(streams);
        let facts = Facts {
            identity: &worker.identity,
            plan,
            plan_age: Millis(time.saturating_sub(made)),
            plan_age_max: Millis::seconds(3_600),
            store: &store,
            sightings: seen.as_slice(),
            receiving: database
                .and_then(|database| database.message_at)
                .map(|at| now.since(at)),
            epoch: worker.record.epoch(),
            seen: worker.record.seen(),
            stack_version: worker.keeper.wanted.as_ref().map(|(version, _)| *version),
            broken: worker.record.glass(),
            fenced: worker.record.fenced(),
            promised: worker.keeper.vows.left(now).map(|(_, left)| left),
        };
        let request = Request {
            attest_site_off: plan.from.to_string(),
            operator: "bob".to_owned(),
            reason: "it is off".to_owned(),
            ..Request::default()
        };
        let objections = judge(&facts, &request);
        Judged {
            objections: objections.iter().map(|found| found.rule.word()).collect(),
            epoch: epoch(&facts, &request),
        }
    }

    /// The record is on the disk before anything is done.
    fn record_break(&mut self, node: &NodeName, plan: Contingency, epoch: Epoch) {
        let (time, run, grant) = (self.time, self.dice.uuid(), self.dice.uuid());
        let Some(worker) = self.workers.get_mut(node) else {
            return;
        };
        let broken = Broken {
            epoch,
            plan,
            operator: Actor::new("bob"),
            reason: "it is off".to_owned(),
            overrides: BTreeMap::new(),
            at: worker.clock.wall(time),
            run: RunId::new(run),
            grant: Nonce::new(grant),
            reconciled: false,
        };
        let wrote = worker.write(|record| record.break_glass(broken));
        if worker.serves_by_word() {
            self.befall(FaultKind::GlassBroken, node, 0);
        }
        if wrote == Wrote::Died {
            self.worker_dies(node);
        }
    }

    /// The promotion, by the record.
    fn promote_by_word(&mut self, node: &NodeName) -> bool {
        let worker = self.workers.get_mut(node);
        let Some(database) = worker.and_then(|worker| worker.database.as_mut()) else {
            return true;
        };
        if !database.up || database.hangs {
            return false;
        }
        if !database.primary {
            let upto = database.promote();
            database.port = Port::Open;
            self.say(format_args!("{node} is promoted by an operator's word"));
            let waited = self.glass.waiting.get(node).map(|waiting| waiting.begun_at);
            self.check_promoted_by_word(node, upto, waited.unwrap_or(self.time));
        }
        true
    }

    /// Looks at a broken glass, so that the ticket takes it over where it has not, and the alarm ends.
    pub(super) fn choose_of_glass(&mut self, site: &SiteName, calm: bool) -> Option<Ask> {
        if !self.has_befallen(FaultKind::GlassBroken) {
            return None;
        }
        let broken = shows(&self.status_of(site), FindingCode::GlassBroken);
        (broken && (calm || self.dice.permille(300))).then(|| Ask::Acknowledge {
            alarm: Alarm::BreakGlass,
            reason: "looked at".to_owned(),
        })
    }
}
