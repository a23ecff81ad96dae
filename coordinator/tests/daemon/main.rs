//! The daemon and the CLI as child processes, beside a real nats-server.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at the first surprise"
)]

mod crowd;
mod garbage;
mod lead;
mod memory;
mod operators;
mod rig;
mod settings;
