//! Pointsman's agent: it says what it sees once a second, and carries out ordered commands behind a gate.
//!
//! ```text
//! config           the agent's own file
//! runtime          the one loop; heartbeat, errand and report are what it does
//! gate             may this command be carried out? (pure)
//! ledger           what was obeyed, on disk before anything is done
//! lease            how long this site may still serve (pure)
//! deadman          what closes the port when the agent does not run any more
//! grant proof      the right to be live, confirmed by a write
//! start_gate       may the database be started?
//! probe            what is looked at: host, database, cluster, other sites
//! action           what a step does, and what proves it
//! database cluster pgdata   the three things acted upon
//! ```

mod action;
pub mod clock;
mod cluster;
pub mod config;
mod database;
pub mod deadman;
pub mod decode;
mod errand;
pub mod gate;
mod grant;
mod heartbeat;
pub mod lease;
pub mod ledger;
mod notify;
mod pgdata;
mod probe;
mod proof;
mod report;
pub mod runtime;
mod senders;
mod start;
pub mod start_gate;
