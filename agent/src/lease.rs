//! The lease on the right to be live: how long this site may still serve. Pure: it reads no clock and no store.
//!
//! A renewal is a write to the store that was accepted at the revision that was read; a read renews nothing. Its
//! age counts from its *sending*, so the time in which the answer was under way belongs to the other site, and on
//! a clock that counts suspend. What it must never do: call a lease fresh because a clock jumped, or because this
//! process was not running when the time passed. Sources: Gray and Cheriton, "Leases" (SOSP 1989); the pause
//! guard is Cassandra's (`FailureDetector`).
//!
//! ```text
//!  sent ──── renewals ────▶ demote_after ── stop_within ──▶ deadman_after ── deadman_within ──▶ stop bound
//!       Serve               Stop (the agent)                 the kernel closes the port           W is longer
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};
use shared::clock::{Millis, Mono, UnixMillis};
use shared::stack::LeasePolicy;

/// A gap between two looks that is longer than this, and than three ticks, is a pause of this process.
const PAUSE_MIN: Millis = Millis::seconds(1);
const PAUSE_TICKS: u64 = 3;

/// Both clocks at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reading {
    /// The own monotonic clock, which counts suspend.
    pub mono: Mono,
    /// The wall clock: only its jumps forward count, and they only ever shorten a lease.
    pub wall: UnixMillis,
}

/// The spans that a lease keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Terms {
    /// Between two renewals.
    pub renew_every_ms: Millis,
    /// How long one renewal may take.
    pub attempt_ms: Millis,
    /// From the sending of the last accepted renewal until the database is stopped.
    pub demote_after_ms: Millis,
    /// From the sending of the last accepted renewal until the kernel closes the port.
    pub deadman_after_ms: Millis,
    /// Between two looks of the agent at its lease.
    pub tick_ms: Millis,
    /// True when the port can be closed and opened again, so that doubt need not stop the database.
    pub closable: bool,
}

/// A renewal that was sent and not answered yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attempt {
    sent: Reading,
}

/// What the agent has to do about its database now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Let it serve; the kernel's timer is set to what is left.
    Serve {
        /// Until the kernel closes the port by itself.
        deadman_ms: Millis,
    },
    /// Close its port, which can be undone, until a renewal is accepted.
    Close,
    /// Stop it.
    Stop(Why),
}

/// Why a lease is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Why {
    /// The store says that the right is another's, or was revoked.
    Deposed,
    /// No renewal was accepted for so long.
    Expired {
        /// Since the sending of the last accepted one.
        age_ms: Millis,
    },
    /// This process was paused or a clock jumped, and no renewal was accepted since.
    Unproved {
        /// Since the pause was noticed.
        for_ms: Millis,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deposed => f.write_str("the right to be live was revoked or is another site's"),
            Self::Expired { age_ms } => write!(
                f,
                "the last renewal of the right to be live was sent {} ago",
                age_ms.human()
            ),
            Self::Unproved { for_ms } => write!(
                f,
                "this agent was paused or a clock jumped, and no renewal was accepted within {}",
                for_ms.human()
            ),
        }
    }
}

/// The lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    terms: Terms,
    anchor: Reading,
    looked: Reading,
    tried: Option<Reading>,
    doubt: Option<Reading>,
    deposed: bool,
    vouched: bool,
    worst_gap_ms: Millis,
}

impl Reading {
    /// The time since an earlier reading: the longer of both clocks, so that a jump of one only makes it older.
    pub fn since(self, earlier: Self) -> Millis {
        let by_wall = Millis(self.wall.0.saturating_sub(earlier.wall.0));
        self.mono.since(earlier.mono).max(by_wall)
    }
}

impl Attempt {
    /// An attempt that is sent now, where no lease is kept yet.
    pub const fn at(now: Reading) -> Self {
        Self { sent: now }
    }

    /// When it was sent.
    pub const fn sent(self) -> Reading {
        self.sent
    }
}

impl Terms {
    /// The terms of a policy.
    pub const fn of(policy: &LeasePolicy, tick_ms: Millis, closable: bool) -> Self {
        Self {
            renew_every_ms: policy.renew_every_ms,
            attempt_ms: policy.attempt_ms,
            demote_after_ms: policy.demote_after_ms,
            deadman_after_ms: policy.deadman_after_ms,
            tick_ms,
            closable,
        }
    }
}

impl Lease {
    /// A lease whose last accepted renewal was sent at `anchor`: one that begins now by the store's own word, or
    /// one that an earlier process of this boot kept.
    pub const fn anchored(terms: Terms, anchor: Reading, now: Reading) -> Self {
        Self {
            terms,
            anchor,
            looked: now,
            tried: None,
            doubt: None,
            deposed: false,
            vouched: false,
            worst_gap_ms: Millis(0),
        }
    }

    /// A lease of which nothing is known: a database that runs, and no renewal that was seen to be accepted.
    pub const fn unproved(terms: Terms, now: Reading) -> Self {
        let mut lease = Self::anchored(terms, now, now);
        lease.doubt = Some(now);
        lease
    }

    /// Keeps other spans from now on. What is known of renewals stays.
    pub const fn keep(&mut self, terms: Terms) {
        self.terms = terms;
    }

    /// To be called at every tick, before anything else: a gap since the last call is a pause.
    pub fn look(&mut self, now: Reading) {
        let gap = now.since(self.looked);
        let ticks = Millis(self.terms.tick_ms.0.saturating_mul(PAUSE_TICKS));
        if gap > PAUSE_MIN.max(ticks) {
            self.doubt = Some(now);
        }
        self.looked = now;
        self.worst_gap_ms = self.worst_gap_ms.max(self.age_ms(now));
    }

    /// Whether a renewal is to be sent now.
    pub fn renewal_due(&self, now: Reading) -> bool {
        let Some(tried) = self.tried else {
            return true;
        };
        let unsure = self.doubt.is_some_and(|since| since.mono > tried.mono);
        unsure || now.mono.since(tried.mono) >= self.terms.renew_every_ms
    }

    /// A renewal is sent now.
    pub const fn send(&mut self, now: Reading) -> Attempt {
        self.tried = Some(now);
        Attempt { sent: now }
    }

    /// The store accepted a renewal.
    pub fn accept(&mut self, attempt: Attempt, now: Reading) {
        self.renew(attempt, now, false);
    }

    /// All peers vouched, in place of the store that does not answer.
    pub fn extend(&mut self, attempt: Attempt, now: Reading) {
        self.renew(attempt, now, true);
    }

    /// The store's accepted word is that this site does not hold the right any more. Only a new renewal ends it.
    pub const fn depose(&mut self) {
        self.deposed = true;
    }

    /// True after [`Self::depose`], until a renewal is accepted.
    pub const fn is_deposed(&self) -> bool {
        self.deposed
    }

    /// What is to be done about the database.
    pub fn verdict(&self, now: Reading) -> Verdict {
        let age_ms = now.mono.since(self.anchor.mono);
        if self.deposed {
            return Verdict::Stop(Why::Deposed);
        }
        if age_ms >= self.terms.demote_after_ms {
            return Verdict::Stop(Why::Expired { age_ms });
        }
        // The wall clock alone may be wrong: it costs the port until a renewal is accepted, not the database.
        let jumped = self.age_ms(now) >= self.terms.demote_after_ms;
        match self.doubt {
            None if !jumped => Verdict::Serve {
                deadman_ms: self.deadman_ms(now),
            },
            _ if self.terms.closable => Verdict::Close,
            None => Verdict::Stop(Why::Unproved { for_ms: Millis(0) }),
            Some(since) => {
                let for_ms = now.mono.since(since.mono);
                if for_ms >= self.terms.attempt_ms {
                    Verdict::Stop(Why::Unproved { for_ms })
                } else {
                    Verdict::Close
                }
            }
        }
    }

    /// What is left until the kernel has to close the port: from the renewal, not from now, so that an agent that
    /// runs and cannot renew does not postpone it.
    pub fn deadman_ms(&self, now: Reading) -> Millis {
        let age = self.age_ms(now);
        Millis(self.terms.deadman_after_ms.0.saturating_sub(age.0))
    }

    /// Since the sending of the last accepted renewal.
    pub fn age_ms(&self, now: Reading) -> Millis {
        now.since(self.anchor)
    }

    /// The longest age that was seen.
    pub const fn worst_gap_ms(&self) -> Millis {
        self.worst_gap_ms
    }

    /// When the last accepted renewal was sent.
    pub const fn anchor(&self) -> Reading {
        self.anchor
    }

    /// True while peers, and not the store, keep it.
    pub const fn is_vouched(&self) -> bool {
        self.vouched
    }

    fn renew(&mut self, attempt: Attempt, now: Reading, vouched: bool) {
        // An answer that comes after a later one, or across a pause that was noticed meanwhile, proves less.
        if attempt.sent.mono < self.anchor.mono {
            return;
        }
        self.worst_gap_ms = self.worst_gap_ms.max(self.age_ms(now));
        self.anchor = attempt.sent;
        self.vouched = vouched;
        self.deposed = false;
        if self
            .doubt
            .is_some_and(|since| since.mono <= attempt.sent.mono)
        {
            self.doubt = None;
        }
    }
}

#[cfg(test)]
mod tests;
