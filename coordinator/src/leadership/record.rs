//! The value of the lead's key: who leads, in which term, and that it is still so.

use serde::{Deserialize, Serialize};
use shared::clock::UnixMillis;
use shared::epoch::Term;
use shared::id::{Nonce, ProcessId, SiteName};

use crate::screen::json;

/// Version of the record's JSON.
pub(super) const LEAD_SCHEMA: u32 = 1;

/// The record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeadRecord {
    /// Version of this JSON.
    pub schema: u32,
    /// One sentence for people who look with `nats kv get`.
    pub summary: String,
    /// The leader's site; nothing when the lead was given up.
    pub holder: Option<SiteName>,
    /// The leader's process.
    pub process: ProcessId,
    /// The term: a new leader has a higher one.
    pub term: Term,
    /// Made anew for each term, to tell the own write from another's.
    pub nonce: Nonce,
    /// Counts up with each renewal.
    pub renewed_count: u64,
    /// Wall clock of the leader, for display.
    pub changed_at: UnixMillis,
}

impl LeadRecord {
    /// Reads a value; nothing when it is not a record.
    pub fn read(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }

    /// The value to be stored.
    pub(super) fn bytes(&self) -> Vec<u8> {
        json::line(self).into_bytes()
    }
}

/// The record's sentence.
pub(super) fn summary(holder: Option<&SiteName>, term: Term) -> String {
    match holder {
        Some(site) => format!("the coordinator of {site} leads in term {term}"),
        None => format!("nobody leads: the leader of term {term} gave the lead up"),
    }
}
