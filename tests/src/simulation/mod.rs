//! A world of three sites in which everything that can go wrong does, from one seed.
//!
//! Three coordinators with the real core and a simulated shell, five agents with the real gate, databases that
//! only know whether they write, a network that loses, delays, doubles and cuts, clocks that drift and jump, a
//! store that is sometimes without a leader, and an operator who approves. While it is faulty the invariants of
//! safety must hold; once it is healed it must come to rest in bounded time. The same seed gives the same log.

mod campaign;
mod checker;
mod database;
mod dice;
mod fault;
mod labour;
mod lead;
mod network;
mod operator;
mod report;
mod seat;
mod shell;
mod store;
mod worker;
mod world;

use std::collections::{BTreeMap, BTreeSet};

pub use self::campaign::Campaign;
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
    /// Faults by their kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Phases that a leader was in.
    pub phases: BTreeSet<String>,
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
