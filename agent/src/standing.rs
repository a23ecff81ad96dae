//! How a database agent stands to its site's right to be live: when it writes to the store, what a ticket means to
//! it, what it promises, and when its database is stopped. Pure: the lease is in [`crate::lease`], the writing and
//! the stopping are the runtime's.
//!
//! What it must never do: promise what is not in force, or end what is in force before the store holds that the
//! promise is withdrawn. So rules change only when a write that states the new ones was accepted.

use serde::{Deserialize, Serialize};
use shared::clock::{Millis, Mono};
use shared::epoch::{Epoch, StackVersion};
use shared::id::SiteName;
use shared::stack::{LeasePolicy, SelfFence, StoreLoss};
use shared::wire::{DeadmanKind, LeasePromise, LeaseSample, LeaseStanding, Ticket};

use crate::lease::{Attempt, Lease, Reading, Terms, Verdict, Why};

/// A server that a majority has deposed answers reads for up to 10 s: what shows less for longer is lost.
pub const STALE_MAX: Millis = Millis::seconds(12);

/// What a ticket says of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Right {
    /// The site holds the right to be live.
    Own,
    /// The epoch is for the site and not granted yet.
    Pending,
    /// The right is another site's.
    Other,
}

/// The rules by which a lease is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The stack version that they are of.
    pub version: StackVersion,
    /// The rules.
    pub lease: LeasePolicy,
}

/// What is known of the database beside the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Writability {
    /// It writes, or nothing is known of it.
    Possible,
    /// It is in recovery, so that it takes no writes.
    Standby,
    /// Nothing listens.
    Down,
}

/// A write to the store that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    attempt: Attempt,
    rules: Option<Rules>,
    /// What it states.
    pub promise: Option<LeasePromise>,
}

/// What has to be done about the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Order {
    /// No lease is kept.
    Nothing,
    /// It serves; the kernel may be told so for what is left.
    Serve {
        /// Until the kernel closes the port by itself.
        deadman_ms: Millis,
    },
    /// Its port is closed until a renewal is accepted.
    Close,
    /// It is stopped.
    Stop(Why),
    /// It would be stopped if the policy did not only record.
    Record(Why),
}

/// How this agent stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    tick_ms: Millis,
    wanted: Option<Rules>,
    kept: Option<Rules>,
    lease: Option<Lease>,
    epoch: Epoch,
    asked: Option<Mono>,
    answered: bool,
    stale_since: Option<Mono>,
    regressed: bool,
    guarded: bool,
    deadman: DeadmanKind,
    worst_gap_ms: Millis,
}

/// What a ticket says of a site.
pub fn right(ticket: &Ticket, site: &SiteName) -> Right {
    if ticket.holder != *site {
        Right::Other
    } else if ticket.grant.is_some() {
        Right::Own
    } else {
        Right::Pending
    }
}

impl Standing {
    /// An agent that knows nothing yet. `deadman` is what could guard the port, armed or not.
    pub const fn new(tick_ms: Millis, deadman: DeadmanKind) -> Self {
        Self {
            tick_ms,
            wanted: None,
            kept: None,
            lease: None,
            epoch: Epoch(0),
            asked: None,
            answered: true,
            stale_since: None,
            regressed: false,
            guarded: false,
            deadman,
            worst_gap_ms: Millis(0),
        }
    }

    /// Takes up the lease that an earlier process kept for an epoch. Without an anchor that is of this boot nothing
    /// is known of its renewals.
    pub fn resume(&mut self, epoch: Epoch, anchor: Option<Reading>, now: Reading) {
        let Some(rules) = self.kept.as_ref().filter(|rules| rules.lease.renews()) else {
            return;
        };
        let terms = self.terms(rules);
        self.epoch = epoch;
        self.lease = Some(match anchor {
            Some(anchor) => Lease::anchored(terms, anchor, now),
            None => Lease::unproved(terms, now),
        });
    }

    /// The newest rules are known. They come into force at once when no lease is kept, otherwise with the next
    /// write that states them.
    pub fn know(&mut self, rules: Rules) {
        self.wanted = Some(rules);
        self.settle();
    }

    /// Whether the kernel guards the port now, as far as the last attempt to make it so showed.
    pub const fn guard(&mut self, guarded: bool) {
        self.guarded = guarded;
    }

    /// To be called at every tick and before anything else is decided: a gap is a pause of this process.
    pub fn look(&mut self, now: Reading) {
        if let Some(lease) = &mut self.lease {
            lease.look(now);
            self.worst_gap_ms = self.worst_gap_ms.max(lease.worst_gap_ms());
        }
    }

    /// Whether the store is to be asked or written now.
    pub fn due(&self, now: Reading) -> bool {
        if let Some(lease) = &self.lease {
            return lease.renewal_due(now);
        }
        let Some(rules) = self.wanted.as_ref().filter(|rules| rules.lease.renews()) else {
            return false;
        };
        self.asked
            .is_none_or(|asked| now.mono.since(asked) >= rules.lease.renew_every_ms)
    }

    /// How long the store is waited for.
    pub fn patience(&self) -> Millis {
        let rules = self.rules();
        rules.map_or_else(
            || LeasePolicy::default().attempt_ms,
            |rules| rules.lease.attempt_ms,
        )
    }

    /// The store is asked now, and written if it says that the right is this site's.
    pub fn send(&mut self, now: Reading) -> Sent {
        self.asked = Some(now.mono);
        let attempt = self
            .lease
            .as_mut()
            .map_or_else(|| Attempt::at(now), |lease| lease.send(now));
        Sent {
            attempt,
            rules: self.wanted.clone(),
            promise: self.promise(),
        }
    }

    /// The peers are asked now, because the store does not answer.
    pub fn question(&self, now: Reading) -> Option<Attempt> {
        let rules = self.kept.as_ref()?;
        let failsafe = rules.lease.store_loss == StoreLoss::Failsafe && rules.lease.renews();
        let lost = self.answered || self.regressed || self.is_deposed();
        (failsafe && !lost && self.lease.is_some()).then(|| Attempt::at(now))
    }

    /// The store accepted the write.
    pub fn accepted(&mut self, sent: Sent, epoch: Epoch, now: Reading) {
        self.believe();
        self.kept = sent.rules;
        let Some(rules) = self.kept.as_ref().filter(|rules| rules.lease.renews()) else {
            self.lease = None;
            self.settle();
            return;
        };
        let terms = self.terms(rules);
        self.epoch = epoch;
        if let Some(lease) = &mut self.lease {
            lease.keep(terms);
            lease.accept(sent.attempt, now);
        } else {
            self.lease = Some(Lease::anchored(terms, sent.attempt.sent(), now));
        }
        self.settle();
    }

    /// All peers promised, in place of the store.
    pub fn vouched(&mut self, attempt: Attempt, now: Reading) {
        if self.is_deposed() {
            return;
        }
        if let Some(lease) = &mut self.lease {
            lease.extend(attempt, now);
        }
    }

    /// The store says that the right is not this site's. A stale answer shows less than was accepted, never more, so
    /// one that deprives is obeyed without a write. True when a lease was lost by it.
    pub fn denied(&mut self) -> bool {
        self.believe();
        let lost = self.lease.is_some() && !self.is_deposed();
        if self.is_enforced() {
            if let Some(lease) = &mut self.lease {
                lease.depose();
            }
        } else {
            self.lease = None;
            self.settle();
        }
        lost
    }

    /// The store shows less than was seen before. That renews nothing; when it goes on for [`STALE_MAX`], the store
    /// has lost writes, and peers do not stand in for it either. True when that is so.
    pub fn shown_less(&mut self, now: Reading) -> bool {
        let since = *self.stale_since.get_or_insert(now.mono);
        self.regressed = self.regressed || now.mono.since(since) >= STALE_MAX;
        self.answered = self.regressed;
        self.regressed
    }

    /// The store did not answer.
    pub const fn unanswered(&mut self) {
        self.answered = false;
    }

    /// The database was stopped, and that was proved. What is deposed is over; what has only expired may be renewed.
    pub fn stopped(&mut self) {
        if self.is_deposed() {
            self.lease = None;
            self.settle();
        }
    }

    /// What has to be done about the database now.
    pub fn order(&self, now: Reading) -> Order {
        let (Some(lease), Some(rules)) = (&self.lease, &self.kept) else {
            return Order::Nothing;
        };
        match (lease.verdict(now), rules.lease.enforces()) {
            (Verdict::Serve { deadman_ms }, true) => Order::Serve { deadman_ms },
            (Verdict::Close, true) => Order::Close,
            (Verdict::Stop(why), true) => Order::Stop(why),
            (Verdict::Stop(why), false) => Order::Record(why),
            (Verdict::Serve { .. } | Verdict::Close, false) => Order::Nothing,
        }
    }

    /// What becomes of the database after it was stopped.
    pub fn self_fence(&self) -> SelfFence {
        self.rules()
            .map_or(SelfFence::Off, |rules| rules.lease.self_fence)
    }

    /// How long stopping may take.
    pub fn stop_within(&self) -> Millis {
        let rules = self.rules();
        rules.map_or_else(
            || LeasePolicy::default().stop_within_ms,
            |rules| rules.lease.stop_within_ms,
        )
    }

    /// True while the kernel guards the port under this lease.
    pub fn is_guarded(&self) -> bool {
        self.guarded && self.is_enforced()
    }

    /// True while the store is known to have lost writes.
    pub const fn is_regressed(&self) -> bool {
        self.regressed
    }

    /// True while a lease is kept, whether or not the database is stopped without it.
    pub const fn is_leased(&self) -> bool {
        self.lease.is_some()
    }

    /// True while a lease is kept without which the database is stopped.
    pub fn is_enforced(&self) -> bool {
        let enforces = |rules: &Rules| rules.lease.enforces();
        self.lease.is_some() && self.kept.as_ref().is_some_and(enforces)
    }

    /// The epoch of the lease, and when the write that it rests on was sent.
    pub fn anchor(&self) -> Option<(Epoch, Reading)> {
        self.lease
            .as_ref()
            .map(|lease| (self.epoch, lease.anchor()))
    }

    /// What a heartbeat says of it; nothing when the policy asks for nothing and nothing is kept down.
    pub fn sample(&self, fenced: bool, now: Reading) -> Option<LeaseSample> {
        let rules = self.rules();
        let renews = rules.is_some_and(|rules| rules.lease.renews());
        if !renews && self.lease.is_none() && !fenced {
            return None;
        }
        Some(LeaseSample {
            standing: self.word(fenced, now),
            age_ms: self.lease.as_ref().map(|lease| lease.age_ms(now)),
            worst_gap_ms: (self.worst_gap_ms > Millis(0)).then_some(self.worst_gap_ms),
            deadman: if self.guarded {
                self.deadman
            } else {
                DeadmanKind::None
            },
            stack_version: rules.map_or(StackVersion(0), |rules| rules.version),
        })
    }

    fn word(&self, fenced: bool, now: Reading) -> LeaseStanding {
        let Some(lease) = &self.lease else {
            return match (self.regressed, fenced) {
                (true, _) => LeaseStanding::Regressed,
                (false, true) => LeaseStanding::Fenced,
                (false, false) => LeaseStanding::NotHolder,
            };
        };
        if self.regressed {
            return LeaseStanding::Regressed;
        }
        if fenced {
            return LeaseStanding::Fenced;
        }
        match lease.verdict(now) {
            Verdict::Stop(_) | Verdict::Close => LeaseStanding::Lost,
            Verdict::Serve { .. } if lease.is_vouched() => LeaseStanding::Vouched,
            Verdict::Serve { .. } if self.is_enforced() => LeaseStanding::Held,
            Verdict::Serve { .. } => LeaseStanding::Recorded,
        }
    }

    /// What the next write states. The longer of both bounds while the rules change, because until it is accepted
    /// the old ones are kept, and the kernel's time was set by them.
    fn promise(&self) -> Option<LeasePromise> {
        let rules = self
            .wanted
            .as_ref()
            .filter(|rules| rules.lease.enforces())?;
        let bound = |rules: &Rules| rules.lease.stop_bound_ms();
        let before = self.kept.as_ref().filter(|rules| rules.lease.enforces());
        Some(LeasePromise {
            stop_bound_ms: bound(rules).max(before.map_or(Millis(0), bound)),
            deadman: self.is_guarded(),
            stack_version: rules.version,
        })
    }

    /// Those in force, or those that will be.
    fn rules(&self) -> Option<&Rules> {
        self.kept.as_ref().or(self.wanted.as_ref())
    }

    fn terms(&self, rules: &Rules) -> Terms {
        let closable = matches!(self.deadman, DeadmanKind::Nftables | DeadmanKind::Both);
        Terms::of(&rules.lease, self.tick_ms, closable)
    }

    const fn is_deposed(&self) -> bool {
        match &self.lease {
            Some(lease) => lease.is_deposed(),
            None => false,
        }
    }

    const fn believe(&mut self) {
        (self.answered, self.regressed) = (true, false);
        self.stale_since = None;
    }

    fn settle(&mut self) {
        if self.lease.is_none() {
            self.kept.clone_from(&self.wanted);
        }
    }
}

#[cfg(test)]
mod tests;
