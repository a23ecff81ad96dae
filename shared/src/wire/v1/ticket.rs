//! The right to be live, kept in the store as one JSON value and changed by compare-and-set only.
//!
//! A read of it never authorises: a leader deposed by the store may answer reads for seconds. What counts is
//! a write that succeeded at the revision that was read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::{Millis, UnixMillis};
use crate::epoch::{Epoch, StackVersion};
use crate::id::{Actor, NodeName, Nonce, SiteName};

/// Who may be live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// One sentence for people who look with `nats kv get`.
    pub summary: String,
    /// Made once when the bucket is first used: another one means that the store was made anew.
    pub incarnation: Nonce,
    /// The epoch.
    pub epoch: Epoch,
    /// The site that the epoch is for.
    pub holder: SiteName,
    /// Nothing while the epoch is revoked from its old holder and not yet granted.
    pub grant: Option<Nonce>,
    /// When it was last changed, for display.
    pub changed_at: UnixMillis,
    /// The agent that last confirmed its grant by a write, and how often that happened.
    #[serde(default)]
    pub confirmed_by: Option<NodeName>,
    /// Counts those writes.
    #[serde(default)]
    pub confirmations: u64,
    /// The newest acceptance, by an operator, of a store that showed less than was seen of it. Who knows an older one
    /// only takes up what the store shows; it grows, and a ticket that replaces another carries it over.
    #[serde(default, skip_serializing_if = "is_none_yet")]
    pub accepted: u64,
    /// The leases of the holder's database agents, by node. A revocation carries them over, because what was
    /// promised tells how long to wait; a grant clears them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub leases: BTreeMap<NodeName, Lease>,
    /// An operator has switched automatic mode off. It stands here because an agent confirms its grant by a write
    /// at the revision that it read: an accepted confirmation has not missed the switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automatic_off: Option<AutomaticOff>,
}

/// Automatic mode is switched off. Why stands in the state and in the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutomaticOff {
    /// By whom.
    pub by: Actor,
    /// Since when, for display.
    pub at: UnixMillis,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_none_yet(accepted: &u64) -> bool {
    *accepted == 0
}

/// What one database agent of the holder last wrote of its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Counts its renewals; each is a write accepted at the revision that was read.
    pub renewals: u64,
    /// What it promises to do without further renewals; nothing when it does not fence itself. It is withdrawn
    /// by a write before it stops being kept.
    pub promise: Option<LeasePromise>,
}

/// An agent's promise: without an accepted renewal its database acknowledges nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeasePromise {
    /// The latest time at which that holds, from the sending of the renewal, on a clock that may be off by the
    /// policy's bound.
    pub stop_bound_ms: Millis,
    /// True when the kernel keeps the promise also if the agent hangs or is killed.
    pub deadman: bool,
    /// The stack version whose policy it keeps.
    pub stack_version: StackVersion,
}

impl Ticket {
    /// This ticket as it is written in place of `found`: a revocation carries the leases over that are there at the
    /// moment of the write, because what they promise tells how long to wait; a grant has none. One of the same right,
    /// by which only the switch of automatic mode moves, leaves everything to agents that they wrote.
    #[must_use]
    pub fn in_place_of(mut self, found: Option<&Self>) -> Self {
        if let Some(found) = found.filter(|found| found.same_right(&self)) {
            self.leases.clone_from(&found.leases);
            self.confirmed_by.clone_from(&found.confirmed_by);
            self.confirmations = found.confirmations;
            return self;
        }
        self.leases = match (self.grant, found) {
            (None, Some(found)) => found.leases.clone(),
            (None, None) | (Some(_), _) => BTreeMap::new(),
        };
        self
    }

    /// True when both say the same of who may be live; confirmations, leases, the switch of automatic mode and
    /// times may differ.
    pub fn same_right(&self, other: &Self) -> bool {
        self.incarnation == other.incarnation
            && self.epoch == other.epoch
            && self.holder == other.holder
            && self.grant == other.grant
    }
}
