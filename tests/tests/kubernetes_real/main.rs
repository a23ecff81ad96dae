//! The agent against a real Kubernetes API server, and the stand-in held against it.
//!
//! There are no containers: the test plays the node, see `kubelet`. Where the programs are not on the
//! machine, the tests say that they are skipped.

mod agent_scale;
mod control_plane;
mod kubelet;
#[expect(
    dead_code,
    reason = "the coordinator's side of another test, used in part"
)]
#[path = "../agent_contract/leader.rs"]
mod leader;
mod likeness;
#[expect(dead_code, reason = "the scene of another test, used in part")]
#[path = "../agent_contract/stage.rs"]
mod stage;

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::time::sleep;

use crate::control_plane::ControlPlane;

pub(crate) const SITES: [&str; 3] = ["dc1", "dc2", "dc3"];
pub(crate) const LONG: Duration = Duration::from_mins(1);
pub(crate) const NAMESPACE: &str = "ess";

/// Waits until `condition` holds, or fails with what it is called.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + LONG;
    while !condition().await {
        ensure!(Instant::now() < deadline, "never came: {what}");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// A control plane, or nothing where the programs are not there: then the test's name and the reason are told.
pub(crate) async fn control_plane(test: &str) -> Result<Option<ControlPlane>> {
    match control_plane::programs() {
        Ok(programs) => Box::pin(ControlPlane::start(&programs)).await.map(Some),
        Err(why) => {
            // Written past the test runner's capture, which shows nothing of a test that passes.
            writeln!(std::io::stderr(), "skipped: {test}: {why}")?;
            Ok(None)
        }
    }
}
