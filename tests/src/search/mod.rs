//! Every state of a small world, so that a bug that a million random histories miss is found each time.
//!
//! ```text
//! setup        what a search is about: constants, clocks, faults, a flaw
//! campaign     all searches, on every processor
//! engine       breadth-first search over any model
//! small        the model: what may happen, what follows, which invariants must hold
//! coordinator  the real core                    } each answer worked out once,
//! host         the real gate, ledger and lease  } looked up from then on
//! world        a state, as a handful of numbers
//! story        a trace, for people
//! ```

mod campaign;
mod catalogue;
mod choice;
mod coordinator;
mod deed;
mod engine;
mod errand;
mod ground;
mod host;
mod keeping;
mod message;
mod setup;
mod small;
mod story;
mod table;
mod world;

pub use self::campaign::{Campaign, Found, Summary};
pub use self::setup::Flaw;
