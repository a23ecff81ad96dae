//! What Pointsman costs and how soon it acts, measured on the real programs of one build.
//!
//! It decides what is measured, for how long, and what would make a figure worthless. It must never leave a
//! figure out in silence: what could not be measured is said, and the run fails.
//!
//! ```text
//! figures      the figures, their aims, and how they are shown
//! usage        memory and processor time of a process
//! listening    heartbeats as they pass on the bus
//! resting      what an agent costs while nothing happens
//! failover     how soon a lost site is proposed, and how soon the promotion is asked for
//! promotion    a promotion without Pointsman, to compare with
//! crowd        what a coordinator costs under thousands of agents
//! ```

pub mod crowd;
pub mod failover;
pub mod figures;
pub mod listening;
pub mod promotion;
pub mod resting;
pub mod usage;
