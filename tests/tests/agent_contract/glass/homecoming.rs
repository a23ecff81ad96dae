//! After a broken glass: the host is started again, and the store comes back with an older right.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use shared::epoch::Epoch;
use shared::id::SiteName;
use shared::stack::{LeasePolicy, SelfFence};
use tests::postgres::Stop;

use super::scene::{Scene, said};
use crate::stage::{GRANT, binary};
use crate::{LONG, eventually};

/// Rewrites of the ticket by which the agent has surely read what the store shows: it writes one every 5 s.
const LOOKS: u64 = 3;

impl Scene {
    /// Whether the start gate lets the database come up, and what it says.
    async fn start_gate(&self) -> Result<(bool, String)> {
        let mut command = tokio::process::Command::new(binary()?);
        command.args(["start-gate", "--wait", "1s", "--config"]);
        let output = command.arg(&self.agent.config).kill_on_drop(true).output();
        let output = tokio::time::timeout(LONG, output)
            .await
            .context("the gate did not end")??;
        Ok((output.status.success(), said(&output)))
    }

    async fn assert_gate(&self, open: bool, word: &str) -> Result<()> {
        let (found, says) = self.start_gate().await?;
        ensure!(found == open && says.contains(word), "open {found}: {says}");
        Ok(())
    }

    /// Self-fencing is on, as far as the agent knows: without the store's word no database comes up.
    fn enforce(&self) -> Result<()> {
        let enforced = serde_json::to_string(&LeasePolicy {
            self_fence: SelfFence::Stop,
            ..LeasePolicy::default()
        })?;
        let policy = r#"{"stack": {"policy": {"lease": %}}}"#.replace('%', &enforced);
        let path = self.agent.directory.join("state/stack.json");
        Ok(std::fs::write(path, policy)?)
    }

    /// Until the agent has looked at the ticket several times and written it back as it is.
    async fn looked_at_the_ticket(&self) -> Result<()> {
        let mut first = None;
        eventually("some looks of the agent at the ticket", async || {
            let Ok(revision) = self.stage.ticket_revision().await else {
                return false;
            };
            revision >= *first.get_or_insert(revision) + LOOKS
        })
        .await
    }
}

#[tokio::test]
async fn the_host_is_started_again_and_an_old_ticket_deprives_nobody() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.keep_plan().await?;
    scene.darken().await?;
    let output = scene.break_glass(&["--yes"]).await?;
    ensure!(output.status.success(), "{}", said(&output));

    // The host goes down and comes up: gate, database, agent, in any order, without a store.
    scene.agent.kill().await?;
    scene.standby.stop(Stop::Fast, LONG).await?;
    scene.enforce()?;
    scene
        .assert_gate(true, "broke the glass for dc2 in epoch 1002")
        .await?;
    scene.standby.start(LONG).await?;
    scene.agent.start()?;

    // The store comes back with the right of before; the old site's agents would believe it.
    scene.stage.nats.start("dc1")?;
    scene.stage.nats.start("dc3")?;
    scene
        .leader
        .heartbeat_where("a broken glass", |h| {
            h.glass.as_ref().is_some_and(|g| g.broken.is_some())
        })
        .await?;
    scene.looked_at_the_ticket().await?;
    let ticket = scene.stage.ticket().await?;
    ensure!(
        (ticket.epoch, ticket.holder.as_str()) == (Epoch(2), "dc1"),
        "{ticket:?}"
    );
    scene
        .assert_gate(true, "broke the glass for dc2 in epoch 1002")
        .await?;
    scene.serves().await?;

    // A right of a later epoch that is another's is believed, as ever.
    scene
        .stage
        .store_ticket("dc1", Epoch(1_003), Some(GRANT))
        .await?;
    eventually("the quarantine", async || {
        scene.serves().await.is_err() && !scene.standby.is_running()
    })
    .await?;
    scene.assert_gate(false, "epoch 1003 is dc1's").await
}

#[tokio::test]
async fn the_ticket_takes_it_over_and_only_the_site_of_the_plan_comes_up_by_it() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.keep_plan().await?;
    scene.darken().await?;
    let output = scene.break_glass(&["--yes"]).await?;
    ensure!(output.status.success(), "{}", said(&output));
    scene.stage.nats.start("dc1")?;
    scene.stage.nats.start("dc3")?;
    scene.stage.nats.wait_ready(LONG).await?;
    scene.taken_over().await?;
    scene.serves().await?;

    // A record for another site's plan opens nothing here; neither does one that the ticket has taken over.
    scene.agent.kill().await?;
    scene.standby.stop(Stop::Fast, LONG).await?;
    for site in ["dc1", "dc3"] {
        scene.stage.nats.kill(site).await?;
    }
    scene.enforce()?;
    scene.assert_gate(false, "self-fencing is on").await?;
    let ledger = scene.ledger()?;
    let mut other = ledger.glass().context("no record")?;
    other.epoch = Epoch(2_002);
    other.reconciled = false;
    other.plan.to = SiteName::new("dc3")?;
    ledger.break_glass(other.clone()).await?;
    scene.assert_gate(false, "self-fencing is on").await?;
    other.epoch = Epoch(3_002);
    other.plan.to = SiteName::new("dc2")?;
    ledger.break_glass(other).await?;
    scene
        .assert_gate(true, "broke the glass for dc2 in epoch 3002")
        .await
}

impl Scene {
    /// It takes writes, and nobody stopped it.
    async fn serves(&self) -> Result<()> {
        let recovering = tokio::time::timeout(Duration::from_secs(5), self.standby.in_recovery());
        ensure!(!recovering.await??, "it is a standby again");
        let log = self.agent.log()?;
        ensure!(
            !log.contains("it is being stopped"),
            "{}",
            self.agent.log_tail()
        );
        Ok(())
    }
}
