//! The start gate: a database comes up as a standby, or with the grant, or not at all.

use std::path::PathBuf;
use std::time::Duration;

use agent::gate::Identity;
use agent::ledger::{Fenced, Ledger};
use anyhow::{Context, Result, ensure};
use shared::clock::UnixMillis;
use shared::epoch::Epoch;
use shared::id::{NodeName, ProcessId, SiteName};
use uuid::Uuid;

use crate::eventually;
use crate::stage::{Agent, GRANT, Stage, binary, stack};

/// An agent of dc1 that does not run, beside a data directory in which no server runs.
struct Scene {
    stage: Stage,
    agent: Agent,
    pgdata: PathBuf,
}

impl Scene {
    async fn set(holder: &str) -> Result<Self> {
        let stage = Stage::set(holder).await?;
        let pgdata = stage.scratch.path().join("pgdata");
        std::fs::create_dir_all(pgdata.join("global"))?;
        let table = format!(
            "[postgres]\ndatabase = \"main\"\nuser = \"pointsman\"\npgdata = \"{}\"\n",
            pgdata.display()
        );
        let agent = stage.agent("dc1", &table)?;
        Ok(Self {
            stage,
            agent,
            pgdata,
        })
    }

    /// Whether the gate is open, and what it says.
    async fn ask(&self) -> Result<(bool, String)> {
        let mut command = tokio::process::Command::new(binary()?);
        command.args(["start-gate", "--wait", "1s", "--config"]);
        let output = command.arg(&self.agent.config).output();
        // However long it waits for the store, it ends by itself.
        let output = tokio::time::timeout(Duration::from_mins(1), output)
            .await
            .context("the gate did not end")??;
        let said = [output.stdout, output.stderr].concat();
        let code = output.status.code();
        ensure!(
            code == Some(0) || code == Some(1),
            "{code:?}: {}",
            String::from_utf8_lossy(&said)
        );
        Ok((code == Some(0), String::from_utf8(said)?))
    }

    async fn assert(&self, open: bool, word: &str) -> Result<()> {
        let (found, said) = self.ask().await?;
        ensure!(found == open, "open {found}: {said}");
        ensure!(said.contains(word), "{word}: {said}");
        ensure!(said.trim().lines().count() == 1, "one sentence: {said}");
        Ok(())
    }

    /// What an agent leaves behind that fenced its database.
    async fn leave_fenced(&self, epoch: u64) -> Result<()> {
        let identity = Identity {
            stack: stack(),
            site: SiteName::new("dc1")?,
            node: NodeName::new(self.agent.node())?,
            process: ProcessId::new(Uuid::from_u128(5)),
        };
        let ledger = Ledger::open(&self.agent.directory.join("state"), &identity, 8)?;
        let fenced = Fenced {
            epoch: Epoch(epoch),
            at: UnixMillis(0),
            reason: "dc2 holds the right".to_owned(),
        };
        ledger.keep_fenced(Some(fenced)).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_database_starts_as_a_standby_or_with_the_grant() -> Result<()> {
    let scene = Scene::set("dc1").await?;
    let before = scene.stage.ticket().await?;
    scene.assert(true, "dc1 holds epoch 2").await?;
    ensure!(
        scene.stage.ticket().await? == before,
        "what proves the ticket does not change it"
    );
    scene.stage.store_ticket("dc1", Epoch(3), None).await?;
    scene.assert(false, "not granted yet").await?;
    scene
        .stage
        .store_ticket("dc2", Epoch(3), Some(GRANT))
        .await?;
    scene.assert(false, "epoch 3 is dc2's").await?;
    std::fs::write(scene.pgdata.join("standby.signal"), "")?;
    scene.assert(true, "standby").await
}

#[tokio::test]
async fn what_was_fenced_needs_the_stores_word_and_what_was_not_does_not() -> Result<()> {
    let mut scene = Scene::set("dc1").await?;
    scene.leave_fenced(3).await?;
    scene.assert(false, "fenced in epoch 3").await?;
    scene
        .stage
        .store_ticket("dc1", Epoch(4), Some(GRANT))
        .await?;
    scene.assert(true, "dc1 holds epoch 4").await?;
    for site in ["dc1", "dc2", "dc3"] {
        scene.stage.nats.kill(site).await?;
    }
    scene.assert(false, "fenced in epoch 3").await?;
    let state = scene.agent.directory.join("state");
    std::fs::remove_dir_all(&state)?;
    // Installing Pointsman does not make a healthy site worse.
    scene.assert(true, "nothing is known against it").await?;
    std::fs::create_dir_all(&state)?;
    let policy = r#"{"stack": {"policy": {"lease": %}}}"#;
    let enforced = shared::stack::LeasePolicy {
        self_fence: shared::stack::SelfFence::Stop,
        ..shared::stack::LeasePolicy::default()
    };
    let policy = policy.replace('%', &serde_json::to_string(&enforced)?);
    std::fs::write(state.join("stack.json"), policy)?;
    scene.assert(false, "self-fencing is on").await
}

#[tokio::test]
async fn a_store_without_quorum_confirms_no_grant() -> Result<()> {
    let mut scene = Scene::set("dc1").await?;
    scene.leave_fenced(2).await?;
    scene.assert(true, "dc1 holds epoch 2").await?;
    for site in ["dc2", "dc3"] {
        scene.stage.nats.kill(site).await?;
    }
    eventually("no grant without quorum", async || {
        scene.ask().await.is_ok_and(|(open, _)| !open)
    })
    .await
}
