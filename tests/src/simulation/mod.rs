//! A world of three sites in which everything that can go wrong does, from one seed.
//!
//! Three coordinators with the real core and a simulated shell; an agent for each site with the real gate, the real
//! record of its ledger and the real lease; databases that write, acknowledge and replicate; a network that loses,
//! delays, doubles and cuts; clocks that drift, jump and stand still; a store that elects, answers late and forgets;
//! and an operator who approves, and sometimes vouches for what is not so. While it is faulty every invariant must
//! hold that is claimed under the faults of that history; once it is healed it must come to rest in bounded time.
//! The same seed gives the same log.
//!
//! ```text
//! world event shell seat lead hearing what happens when; the shell around each core
//! worker labour reporting keeper      an agent: commands, reports, the lease
//! vouching                            the peers' word in place of the store
//! database replication store network clock operator    what they work with
//! fault fault_kind breakage power host_fault glass     what goes wrong
//! checker claims evidence automatic rest   the invariants
//! campaign report setting             many histories
//! noise calibration                   years of noise
//! ```

mod automatic;
mod breakage;
mod calibration;
mod campaign;
mod checker;
mod claims;
mod clock;
mod database;
mod dice;
mod event;
mod evidence;
mod fault;
mod fault_kind;
mod glass;
mod hearing;
mod host_fault;
mod keeper;
mod labour;
mod lead;
mod network;
mod noise;
mod operator;
mod power;
mod repair;
mod replication;
mod report;
mod reporting;
mod rest;
mod seat;
mod setting;
mod shell;
mod store;
mod vouching;
mod worker;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use decision::FindingCode;

pub use self::calibration::{Calibration, calibrate};
pub use self::campaign::Campaign;
pub use self::fault_kind::FaultKind;
pub use self::report::Summary;
use self::world::World;

/// What a history came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Its seed.
    pub seed: u64,
    /// Invariants that did not hold, each as a sentence; nothing for a good history.
    pub violations: Vec<String>,
    /// Everything that happened, one line each.
    pub log: Vec<String>,
    /// Time that went by in it, in milliseconds.
    pub simulated_ms: u64,
    /// Faults by their kind, in the order of [`FaultKind::ALL`].
    pub faults: [u32; FaultKind::ALL.len()],
    /// Phases that a leader was in.
    pub phases: BTreeSet<&'static str>,
    /// Findings that a leader showed.
    pub findings: BTreeSet<FindingCode>,
    /// Rows of the table of moves that were used.
    pub rows: BTreeSet<u16>,
    /// Proposals raised, runs begun, completed, halted, abandoned, and so on: events by their kind.
    pub events: BTreeMap<String, u64>,
}

/// A flaw built into the world, by which it is shown that the checker finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Coordinators believe in their lead long after it was taken.
    LeaseTooLong,
    /// Writes are taken for done that were never made.
    WritesSkipped,
    /// Nobody waits between revoke and grant.
    NoWait,
    /// An agent counts its lease three times as long as the policy has it.
    LeaseAnchoredLate,
    /// Automatic mode does not wait for its window.
    WindowSkipped,
}

impl Flaw {
    /// Every flaw.
    pub const ALL: [Self; 5] = [
        Self::LeaseTooLong,
        Self::WritesSkipped,
        Self::NoWait,
        Self::LeaseAnchoredLate,
        Self::WindowSkipped,
    ];
}

/// How much of a history is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// What is counted.
    Counted,
    /// Every event too, one line each.
    Told,
}

/// Plays the history of a seed.
pub fn play(seed: u64, depth: Depth) -> History {
    World::new(seed, depth, None).play()
}

/// Plays the history of a seed in a world with a flaw.
pub fn play_flawed(seed: u64, flaw: Flaw) -> History {
    World::new(seed, Depth::Counted, Some(flaw)).play()
}
