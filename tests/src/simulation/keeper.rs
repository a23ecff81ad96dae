//! What an agent does about its site's right to be live: renews it, stops its database when it cannot, keeps an
//! old primary down. The lease itself is the real one.

use agent::automatic::Stance;
use agent::lease::{Attempt, Lease, Reading, Terms, Verdict};
use agent::ledger::{Fenced, Record};
use agent::vow::Vows;
use shared::clock::Millis;
use shared::epoch::{Epoch, StackVersion};
use shared::id::NodeName;
use shared::stack::{LeasePolicy, Mode, Policy};
use shared::wire::{DeadmanKind, LeasePromise, LeaseSample, LeaseStanding, Ticket};

use super::Flaw;
use super::database::Port;
use super::store::Renewal;
use super::worker::{Worker, Wrote};
use super::world::{Event, World};

/// Between two looks at a lease.
const TICK: u64 = 500;

/// What outlives a process is marked so; the rest is forgotten with it.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug)]
pub(super) struct Keeper {
    /// The policy that is kept, from the last stack that was seen; outlives the process.
    pub(super) policy: Option<(StackVersion, LeasePolicy)>,
    /// The newest policy seen; it is kept once what it takes back was taken back in the store.
    pub(super) wanted: Option<(StackVersion, LeasePolicy)>,
    pub(super) lease: Option<Lease>,
    /// The kernel guards the port; a thing of the host.
    pub(super) has_deadman: bool,
    /// The agent decides whether the database starts; a thing of the host.
    pub(super) has_gate: bool,
    /// The agent stopped the database, and starts it again when its lease is renewed.
    stopped: bool,
    /// The host wants the database started, and the gate holds it back.
    pub(super) wants_start: bool,
    /// How it takes orders that nobody approved, by the newest stack seen; outlives the process.
    pub(super) stance: Stance,
    /// What was vowed to peers; the span of it is on the disk too.
    pub(super) vows: Vows,
    promised: Option<LeasePromise>,
    pub(super) regressed: bool,
    /// The world's time at which the last renewal that was accepted, or vouched for, was sent.
    pub(super) renewed_at: Option<u64>,
}

impl Default for Keeper {
    fn default() -> Self {
        Self {
            policy: None,
            wanted: None,
            lease: None,
            has_deadman: false,
            has_gate: false,
            stopped: false,
            wants_start: false,
            stance: Stance::NotAllowed(None),
            vows: Vows::default(),
            promised: None,
            regressed: false,
            renewed_at: None,
        }
    }
}

impl Keeper {
    /// The process is gone.
    pub(super) fn forget(&mut self) {
        self.lease = None;
        self.stopped = false;
        self.regressed = false;
        self.vows = Vows::default();
    }

    /// True when its promise is kept by the kernel too.
    pub(super) fn guards(&self) -> bool {
        self.has_deadman && self.policy.as_ref().is_some_and(|(_, p)| p.enforces())
    }

    fn enforces(&self) -> bool {
        self.policy.as_ref().is_some_and(|(_, p)| p.enforces())
    }

    fn terms(&self, anchored_late: bool) -> Option<Terms> {
        let (_, policy) = self.policy.as_ref().filter(|(_, p)| p.renews())?;
        let mut terms = Terms::of(policy, Millis(TICK), self.has_deadman);
        if anchored_late {
            terms.demote_after_ms = Millis(terms.demote_after_ms.0 * 3);
            terms.deadman_after_ms = Millis(terms.deadman_after_ms.0 * 3);
        }
        Some(terms)
    }

    /// What the next renewal states: nothing when what is kept, or what is to be kept, does not stop anything.
    fn promise(&self) -> Option<LeasePromise> {
        let (_, kept) = self.policy.as_ref().filter(|(_, p)| p.enforces())?;
        let (version, wanted) = self.wanted.as_ref().filter(|(_, p)| p.enforces())?;
        Some(LeasePromise {
            stop_bound_ms: kept.stop_bound_ms().max(wanted.stop_bound_ms()),
            deadman: self.has_deadman,
            stack_version: *version,
        })
    }

    pub(super) fn sample(&self, now: Reading) -> Option<LeaseSample> {
        let (version, policy) = self.policy.as_ref().filter(|(_, p)| p.renews())?;
        let lease = self.lease.as_ref();
        let standing = match lease {
            _ if self.regressed => LeaseStanding::Regressed,
            None => LeaseStanding::NotHolder,
            Some(_) if self.stopped => LeaseStanding::Lost,
            Some(lease) if lease.is_vouched() => LeaseStanding::Vouched,
            Some(_) if policy.enforces() => LeaseStanding::Held,
            Some(_) => LeaseStanding::Recorded,
        };
        Some(LeaseSample {
            standing,
            age_ms: lease.map(|lease| lease.age_ms(now)),
            worst_gap_ms: lease.map(Lease::worst_gap_ms),
            deadman: if self.has_deadman {
                DeadmanKind::Nftables
            } else {
                DeadmanKind::None
            },
            stack_version: *version,
        })
    }

    /// Another stack is in force.
    pub(super) fn learn(&mut self, version: StackVersion, policy: &Policy) {
        self.stance = if policy.mode == Mode::Automatic {
            Stance::Allowed(version)
        } else {
            Stance::NotAllowed(Some(version))
        };
        let policy = &policy.lease;
        if self.policy.is_none() {
            self.policy = Some((version, policy.clone()));
        }
        if self
            .wanted
            .as_ref()
            .is_none_or(|(have, _)| *have != version)
        {
            self.wanted = Some((version, policy.clone()));
        }
        // Nothing was promised that would have to be taken back first.
        if self.lease.is_none() {
            self.policy.clone_from(&self.wanted);
        }
    }

    /// A renewal that stated `promise` was accepted: what it did not promise need not be kept any more.
    fn settle(&mut self, promise: Option<LeasePromise>) {
        self.promised = promise;
        let Some((version, policy)) = &self.wanted else {
            return;
        };
        if policy.enforces() || promise.is_none() {
            self.policy = Some((*version, policy.clone()));
        }
    }
}

impl World {
    /// A look of an agent at its lease.
    pub(super) fn look(&mut self, node: &NodeName, life: u64) {
        let time = self.time;
        let late = self.flaw == Some(Flaw::LeaseAnchoredLate);
        let Some(worker) = self.workers.get_mut(node) else {
            return;
        };
        if !worker.up || worker.life != life || self.network.dark.contains(&worker.site) {
            return;
        }
        let event = Event::Look {
            node: node.clone(),
            life,
        };
        if time < worker.still_until() {
            let after = worker.still_until() - time;
            return self.plan(after, event);
        }
        let now = worker.clock.reading(time);
        let primary = worker.database.as_ref().is_some_and(|d| d.primary);
        if !primary {
            worker.keeper.lease = None;
            self.read_stack(node);
            return self.plan(2 * TICK, event);
        }
        keep_down(worker);
        let mut due = false;
        let by_word = worker.serves_by_word();
        if let Some(terms) = worker.keeper.terms(late).filter(|_| !by_word) {
            let lease = worker
                .keeper
                .lease
                .get_or_insert_with(|| Lease::unproved(terms, now));
            lease.keep(terms);
            lease.look(now);
            due = lease.renewal_due(now);
        } else if time % 3_000 < TICK {
            // It does not fence itself, or serves by an operator's word; that another site holds the right is learnt all
            // the same.
            due = true;
            worker.keeper.lease.get_or_insert_with(|| never(now));
        }
        if due && let Some(lease) = &mut worker.keeper.lease {
            let attempt = lease.send(now);
            let after = self.dice.between(1, 60);
            self.plan(
                after,
                Event::Renew {
                    node: node.clone(),
                    life,
                    attempt,
                    sent: (time, now),
                },
            );
        }
        self.act_on_lease(node);
        self.plan(TICK, event);
    }

    /// Who does not renew reads which stack is in force.
    fn read_stack(&mut self, node: &NodeName) {
        let now = self.time;
        let Some(worker) = self.workers.get_mut(node) else {
            return;
        };
        if now >= self.store.electing_until
            && self.store.reachable(&self.network, &worker.site)
            && let Some((version, stack)) = self.store.shown_stack(now)
        {
            worker.keeper.learn(*version, &stack.policy);
        }
    }

    /// Lets the database serve, closes its port, or stops it.
    pub(super) fn act_on_lease(&mut self, node: &NodeName) {
        let time = self.time;
        let Some(worker) = self.workers.get_mut(node) else {
            return;
        };
        let now = worker.clock.reading(time);
        let keeper = &mut worker.keeper;
        let Some(database) = worker.database.as_mut().filter(|d| d.primary) else {
            return;
        };
        let (true, Some(lease)) = (keeper.enforces(), &keeper.lease) else {
            return;
        };
        match lease.verdict(now) {
            Verdict::Serve { deadman_ms } if keeper.has_deadman => {
                database.port = Port::Until(now.mono.after(deadman_ms));
            }
            Verdict::Serve { .. } => database.port = Port::Open,
            Verdict::Close if keeper.has_deadman => database.port = Port::Closed,
            Verdict::Close => {}
            Verdict::Stop(why) => {
                if keeper.has_deadman {
                    database.port = Port::Closed;
                }
                if !database.up || keeper.stopped {
                    return;
                }
                keeper.stopped = true;
                let after = self.dice.between(20, 400);
                self.say(format_args!("{node} stops its database: {why:?}"));
                self.count("database stopped by its lease");
                self.plan(after, Event::StopLands { node: node.clone() });
            }
        }
    }

    /// A stop that an agent ordered has reached the database.
    pub(super) fn stop_lands(&mut self, node: &NodeName) {
        let database = self.workers.get_mut(node).and_then(|w| w.database.as_mut());
        if let Some(database) = database {
            database.stop();
        }
    }

    /// A renewal arrives at the store.
    pub(super) fn renew(
        &mut self,
        node: &NodeName,
        life: u64,
        attempt: Attempt,
        sent: (u64, Reading),
    ) {
        let site = self.workers[node].site.clone();
        if !self.store_answers(&site) {
            let event = Event::Vouch {
                node: node.clone(),
                life,
                attempt,
                sent,
            };
            return self.plan(400, event);
        }
        let promise = self.workers[node].keeper.promise();
        let outcome = self.store.renew(&site, node, promise);
        if self.dice.permille(20) {
            return;
        }
        let after = self.dice.between(1, 60);
        self.plan(
            after,
            Event::Renewed {
                node: node.clone(),
                life,
                attempt,
                sent,
                promise,
                outcome: Box::new(outcome),
            },
        );
    }

    /// The store's answer to a renewal.
    pub(super) fn renewed(
        &mut self,
        node: &NodeName,
        life: u64,
        (attempt, sent): (Attempt, (u64, Reading)),
        promise: Option<LeasePromise>,
        outcome: Renewal,
    ) {
        let time = self.time;
        let late = self.flaw == Some(Flaw::LeaseAnchoredLate);
        let stack = self.store.stack.value.as_ref();
        let stack = stack.map(|(version, stack)| (*version, stack.policy.clone()));
        let Some(worker) = self.workers.get_mut(node) else {
            return;
        };
        if !worker.up || worker.life != life || self.network.dark.contains(&worker.site) {
            return;
        }
        if time < worker.still_until() {
            let after = worker.still_until() - time;
            let outcome = Box::new(outcome);
            let node = node.clone();
            return self.plan(
                after,
                Event::Renewed {
                    node,
                    life,
                    attempt,
                    sent,
                    promise,
                    outcome,
                },
            );
        }
        if let Some((version, policy)) = stack {
            worker.keeper.learn(version, &policy);
        }
        let (ticket, revision, accepted) = match outcome {
            Renewal::Accepted { ticket, revision } => (ticket, revision, true),
            Renewal::Other { ticket, revision } => (ticket, revision, false),
            Renewal::NoTicket => return,
        };
        worker.keeper.regressed = worker.record.regression(&ticket, revision).is_some();
        if worker.keeper.regressed {
            return self.count("an agent found the store regressed");
        }
        if worker.write(|record| _ = record.see(&ticket, revision)) == Wrote::Died {
            return self.worker_dies(node);
        }
        if accepted {
            if worker.serves_by_word() && worker.write(Record::reconcile_glass) == Wrote::Died {
                return self.worker_dies(node);
            }
            let lease = worker.keeper.lease.get_or_insert_with(|| never(sent.1));
            let at = worker.clock.reading(time);
            lease.accept(attempt, at);
            // Without a promise there is no bound.
            let newest = worker.keeper.renewed_at.max(Some(sent.0));
            worker.keeper.renewed_at = newest.filter(|_| promise.is_some());
            worker.keeper.settle(promise);
            let terms = worker.keeper.terms(late);
            if let (Some(lease), Some(terms)) = (&mut worker.keeper.lease, terms) {
                lease.keep(terms);
            }
            self.start_if_allowed(node, &ticket);
            self.act_on_lease(node);
        } else {
            self.deposed(node, &ticket);
        }
    }

    /// The store's own word, by a write, is that another site holds the right or will.
    fn deposed(&mut self, node: &NodeName, ticket: &Ticket) {
        let time = self.time;
        let Some(worker) = self.workers.get_mut(node) else {
            return;
        };
        if let Some(lease) = &mut worker.keeper.lease {
            lease.depose();
        }
        let granted = ticket.grant.is_some() && ticket.holder != worker.site;
        let primary = worker.database.as_ref().is_some_and(|d| d.primary);
        if granted && primary && worker.record.fenced().is_none() {
            let fenced = Fenced {
                epoch: ticket.epoch,
                at: worker.clock.wall(time),
                reason: "another site holds the right".to_owned(),
            };
            if let Some(database) = &mut worker.database {
                database.port = Port::Closed;
                database.stop();
            }
            worker.keeper.wants_start = false;
            let wrote = worker.write(|record| record.keep_fenced(Some(fenced)));
            self.say(format_args!("{node} is put into quarantine"));
            self.count("old primary put into quarantine");
            if wrote == Wrote::Died {
                return self.worker_dies(node);
            }
        }
        self.act_on_lease(node);
    }

    /// The right was confirmed by a write: a database that its agent keeps down may start.
    fn start_if_allowed(&mut self, node: &NodeName, ticket: &Ticket) {
        let Some(worker) = self.workers.get_mut(node) else {
            return;
        };
        let fenced: Option<Epoch> = worker.record.fenced().map(|fenced| fenced.epoch);
        if fenced.is_some_and(|epoch| ticket.epoch < epoch) {
            return;
        }
        if fenced.is_some() {
            let _ = worker.write(|record| record.keep_fenced(None));
        }
        let keeper = &mut worker.keeper;
        if (keeper.stopped || keeper.wants_start)
            && let Some(database) = &mut worker.database
        {
            database.up |= !database.hangs;
            (keeper.stopped, keeper.wants_start) = (false, false);
        }
    }
}

/// A database in quarantine that somebody started is stopped again.
fn keep_down(worker: &mut Worker) {
    if worker.record.fenced().is_some()
        && let Some(database) = worker.database.as_mut().filter(|d| d.up && d.primary)
    {
        database.port = Port::Closed;
        database.stop();
    }
}

/// A lease of an agent that keeps none: it only carries attempts.
fn never(now: Reading) -> Lease {
    let whole = Millis(u64::MAX / 4);
    let terms = Terms {
        renew_every_ms: Millis::seconds(3),
        attempt_ms: whole,
        demote_after_ms: whole,
        deadman_after_ms: whole,
        tick_ms: Millis(TICK),
        closable: true,
    };
    Lease::anchored(terms, now, now)
}
