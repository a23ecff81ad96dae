//! The real agent against real parts: what it promises its coordinator.
//!
//! Each test has its own bus, databases and agent; the test itself plays the coordinator.

mod automatic;
mod deadman;
mod fence;
mod follow;
mod glass;
mod leader;
mod lease;
mod program;
mod promote;
mod quarantine;
mod scale;
mod stage;
mod start_gate;
mod store;
mod synchronous;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::time::sleep;

pub(crate) const SITES: [&str; 3] = ["dc1", "dc2", "dc3"];
pub(crate) const LONG: Duration = Duration::from_mins(1);

/// Waits until `condition` holds, or fails with what it is called.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + LONG;
    while !condition().await {
        ensure!(Instant::now() < deadline, "never came: {what}");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
