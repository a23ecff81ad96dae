//! The substrate itself, with real processes: what later tests and the lab take for granted.

mod link;
mod namespace;
mod nats;
mod postgres;
mod process;
mod stalled_store;
mod trio;
mod writer;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::time::sleep;

pub(crate) const SITES: [&str; 3] = ["dc1", "dc2", "dc3"];
pub(crate) const SOON: Duration = Duration::from_secs(5);
pub(crate) const LONG: Duration = Duration::from_mins(1);
pub(crate) const SILENCE: Duration = Duration::from_millis(700);

/// Waits until `condition` holds, or fails with what it is called.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + LONG;
    while !condition().await {
        ensure!(Instant::now() < deadline, "never came: {what}");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
