//! The coordinator: one process a site, which hears everybody, of which one leads.
//!
//! It is the shell around [`decision::Core`]: clocks, bus, store, operators. The core decides and orders; what
//! stands here does the orders strictly in their order and decides nothing about the stack.
//!
//! ```text
//! config clock            who it is; the two clocks
//! ears fitness garbage    what is heard, and whether the own ears may be believed
//! leadership lease        who leads: compare-and-set, and the own monotonic clock
//! store mirror audit      what survives: the bucket, a follower's view of it, the trail
//! contingency             signed plans for the loss of the store
//! memory                  what the store has shown, on the own disk
//! dispatch                commands to agents
//! operator request answer reply screen    what operators ask and read
//! runtime                 the loop
//! ```

pub mod answer;
pub mod audit;
pub mod clock;
pub mod config;
pub mod contingency;
pub mod dispatch;
pub mod ears;
pub mod event;
pub mod fitness;
pub mod garbage;
pub mod leadership;
pub mod lease;
pub mod memory;
pub mod mirror;
pub mod opening;
pub mod operator;
pub mod provisioning;
pub mod reply;
pub mod request;
pub mod runtime;
pub mod screen;
pub mod store;
