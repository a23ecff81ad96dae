//! The phases of a stack and the only moves between them: a table of rows, each with its reason.
//!
//! The row number goes into the audit event. `PHASES.md` is generated from the table and compared by a test.

use serde::{Deserialize, Serialize};

/// Where a stack stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing can be said yet: after a start, or without a stack.
    Unknown,
    /// The live site is sighted.
    Watching,
    /// Some observer does not sight the live site.
    Suspecting,
    /// No observer sights the live site; the silence is being confirmed.
    Confirming,
    /// The live site is lost and no plan can be proposed.
    Blocked,
    /// A proposal waits for an operator.
    Proposed,
    /// A run goes on.
    Running,
    /// A run waits for an operator.
    Halted,
    /// A run was completed a short time ago.
    Completed,
}

/// One move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Move {
    /// Its number, which never changes its meaning.
    pub row: u16,
    /// From.
    pub from: Phase,
    /// To.
    pub to: Phase,
    /// Why, as a sentence.
    pub why: &'static str,
}

use Phase::{
    Blocked, Completed, Confirming, Halted, Proposed, Running, Suspecting, Unknown, Watching,
};

const fn row(row: u16, from: Phase, to: Phase, why: &'static str) -> Move {
    Move { row, from, to, why }
}

/// Every move that there is. Numbers 14, 20 and 23 stood for moves past the time of hysteresis, which cannot be.
pub const MOVES: [Move; 35] = [
    row(1, Unknown, Watching, "the live site is sighted"),
    row(
        2,
        Unknown,
        Suspecting,
        "an observer does not sight the live site",
    ),
    row(3, Unknown, Confirming, "no observer sights the live site"),
    row(
        4,
        Unknown,
        Proposed,
        "a new leader has confirmed the silence itself: a proposal waits",
    ),
    row(
        5,
        Unknown,
        Running,
        "a new leader goes on with the run that it found",
    ),
    row(6, Unknown, Halted, "a new leader found a halted run"),
    row(
        7,
        Watching,
        Suspecting,
        "an observer does not sight the live site",
    ),
    row(8, Watching, Confirming, "no observer sights the live site"),
    row(
        9,
        Watching,
        Unknown,
        "what the observers say is not enough for a judgement, or the lead was lost",
    ),
    row(
        10,
        Suspecting,
        Watching,
        "every observer sights the live site again",
    ),
    row(
        11,
        Suspecting,
        Confirming,
        "no observer sights the live site",
    ),
    row(
        12,
        Suspecting,
        Unknown,
        "what the observers say is not enough for a judgement, or the lead was lost",
    ),
    row(
        13,
        Confirming,
        Suspecting,
        "the live site was sighted, or an observer has no vote: the confirmation starts anew",
    ),
    row(
        15,
        Confirming,
        Unknown,
        "what the observers say is not enough for a judgement, or the lead was lost",
    ),
    row(
        16,
        Confirming,
        Proposed,
        "the silence was confirmed and a plan is proposed",
    ),
    row(
        17,
        Confirming,
        Blocked,
        "the silence was confirmed and no plan can be proposed",
    ),
    row(
        18,
        Blocked,
        Proposed,
        "what stood in the way is gone and a plan is proposed",
    ),
    row(
        19,
        Blocked,
        Suspecting,
        "the live site was sighted, or an observer has no vote",
    ),
    row(
        21,
        Blocked,
        Unknown,
        "what the observers say is not enough for a judgement, or the lead was lost",
    ),
    row(
        22,
        Proposed,
        Suspecting,
        "the live site was sighted, or an observer has no vote any more: the proposal is withdrawn",
    ),
    row(
        24,
        Proposed,
        Unknown,
        "the evidence became too old and the proposal is withdrawn, or the lead was lost",
    ),
    row(
        25,
        Proposed,
        Blocked,
        "the proposal ended and no other can be raised",
    ),
    row(26, Proposed, Running, "the proposal was approved"),
    row(
        27,
        Proposed,
        Confirming,
        "the proposal ended while the silence is confirmed anew",
    ),
    row(
        28,
        Running,
        Halted,
        "a step failed, was refused, or was not safe to begin",
    ),
    row(
        29,
        Running,
        Completed,
        "every step succeeded, was waived, or failed where that was allowed",
    ),
    row(
        30,
        Running,
        Unknown,
        "the lead was lost while a run went on: another leader goes on with it",
    ),
    row(31, Halted, Running, "an operator resumed the run"),
    row(
        32,
        Halted,
        Unknown,
        "the lead was lost, or an operator abandoned the run",
    ),
    row(33, Completed, Watching, "the new live site is sighted"),
    row(
        34,
        Completed,
        Suspecting,
        "an observer does not sight the new live site",
    ),
    row(
        35,
        Completed,
        Confirming,
        "no observer sights the new live site",
    ),
    row(36, Completed, Unknown, "the lead was lost"),
    row(37, Blocked, Confirming, "the confirmation starts anew"),
    row(
        38,
        Unknown,
        Blocked,
        "the silence was confirmed and no plan can be proposed",
    ),
];

/// The row of a move, if there is one.
pub fn find(from: Phase, to: Phase) -> Option<&'static Move> {
    MOVES.iter().find(|m| m.from == from && m.to == to)
}

impl Phase {
    /// All phases.
    pub const ALL: [Self; 9] = [
        Unknown, Watching, Suspecting, Confirming, Blocked, Proposed, Running, Halted, Completed,
    ];

    /// The phase's word.
    pub const fn word(self) -> &'static str {
        match self {
            Unknown => "unknown",
            Watching => "watching",
            Suspecting => "suspecting",
            Confirming => "confirming",
            Blocked => "blocked",
            Proposed => "proposed",
            Running => "running",
            Halted => "halted",
            Completed => "completed",
        }
    }
}
