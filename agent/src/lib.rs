//! Pointsman's agent: it says what it sees once a second, and carries out ordered commands behind a gate.
//!
//! ```text
//! config           the agent's own file
//! runtime          the one loop; heartbeat, errand and report are what it does
//! gate             may this command be carried out? (pure)
//! ledger           what was obeyed, on disk before anything is done
//! lease            how long this site may still serve (pure)
//! standing         what the agent does about it: when it renews, promises, stops (pure)
//! tenure           the lease at work; renewal, self_fence, anchor and rules are its parts
//! vow              a peer's word not to be promoted, while the store is silent (pure)
//! vower vouching   who gives it, and who asks for it
//! fencing          stops the database and proves that
//! deadman          what closes the port when the agent does not run any more
//! automatic        orders that nobody approved but automatic mode (pure)
//! grant proof      the right to be live, confirmed by a write
//! start_gate       may the database be started?
//! quarantine       keeps down what another site has replaced
//! glass            this site made live by an operator, while the store is lost
//! probe            what is looked at: host, database, cluster, other sites
//! action           what a step does, and what proves it
//! database cluster pgdata   the three things acted upon
//! ```

mod action;
mod anchor;
pub mod automatic;
pub mod clock;
mod cluster;
pub mod config;
mod control_file;
mod database;
pub mod deadman;
pub mod decode;
mod errand;
mod fencing;
pub mod gate;
pub mod glass;
mod grant;
mod heartbeat;
pub mod lease;
pub mod ledger;
mod notify;
mod pgdata;
mod probe;
mod proof;
mod quarantine;
mod renewal;
mod replacement;
mod report;
mod rules;
pub mod runtime;
mod self_fence;
mod senders;
pub mod standing;
mod start;
pub mod start_gate;
mod tenure;
mod vouching;
pub mod vow;
mod vower;
