//! The right to be live, kept in the store as one JSON value and changed by compare-and-set only.
//!
//! A read of it never authorises: a leader deposed by the store may answer reads for seconds. What counts is
//! a write that succeeded at the revision that was read.

use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;
use crate::epoch::Epoch;
use crate::id::{NodeName, Nonce, SiteName};

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
}

impl Ticket {
    /// True when both say the same of who may be live; confirmations and times may differ.
    pub fn same_right(&self, other: &Self) -> bool {
        self.incarnation == other.incarnation
            && self.epoch == other.epoch
            && self.holder == other.holder
            && self.grant == other.grant
    }
}
