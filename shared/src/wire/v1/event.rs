//! What operators and the audit trail are told: JSON, with a one-sentence summary.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;
use crate::epoch::{Epoch, Term};
use crate::id::{Actor, ProposalId, RunId, SiteName, StackName};

/// Version of the event's JSON.
pub const EVENT_SCHEMA: u32 = 1;

/// How much an event matters to somebody who is asleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Phase, step, verdict.
    Info,
    /// Odd; Pointsman goes on.
    Warning,
    /// A human is needed.
    Critical,
}

/// One move, as the audit trail keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// [`EVENT_SCHEMA`].
    pub schema: u32,
    /// What happened, as a subject token: `proposal-raised`, `step-done`, …
    pub kind: String,
    /// One sentence for people.
    pub summary: String,
    /// How much it matters.
    pub severity: Severity,
    /// The stack.
    pub stack: StackName,
    /// Wall clock of the leading coordinator.
    pub at: UnixMillis,
    /// The same as RFC 3339, for people.
    pub time: String,
    /// Who moved: an operator's name, or `coordinator@<site>`.
    pub actor: Actor,
    /// The site of the coordinator that records it.
    pub recorded_by: SiteName,
    /// Its term.
    pub term: Term,
    /// The stack's epoch.
    pub epoch: Epoch,
    /// The row of the table of moves, where a phase changed.
    #[serde(default)]
    pub row: Option<u16>,
    /// The proposal, if any.
    #[serde(default)]
    pub proposal: Option<ProposalId>,
    /// The run, if any.
    #[serde(default)]
    pub run: Option<RunId>,
    /// The step's number, if any.
    #[serde(default)]
    pub step: Option<u32>,
    /// The reason given, if any.
    #[serde(default)]
    pub reason: Option<String>,
    /// What was known, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<String, String>,
}
