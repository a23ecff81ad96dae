//! A primary that comes back after another site was given its right: fenced, kept down, and told of.

use anyhow::{Context, Result, ensure};
use shared::epoch::Epoch;
use shared::wire::{LeaseStanding, Ticket};
use tests::postgres::Postgres;

use crate::leader::Leader;
use crate::stage::{Agent, GRANT, Stage};
use crate::{LONG, eventually};

struct Scene {
    stage: Stage,
    primary: Postgres,
    agent: Agent,
    leader: Leader,
}

impl Scene {
    /// A healthy primary at dc1, without self-fencing.
    async fn set() -> Result<Self> {
        let stage = Stage::set("dc1").await?;
        let primary = stage.primary().await?;
        let (agent, leader) = stage.agent_of(&primary, "").await?;
        Ok(Self {
            stage,
            primary,
            agent,
            leader,
        })
    }

    async fn lose_the_right(&self) -> Result<()> {
        self.stage.store_ticket("dc2", Epoch(3), Some(GRANT)).await
    }

    async fn is_stopped(&self) -> Result<()> {
        eventually("the end of the database", async || {
            self.primary.members().is_empty()
        })
        .await
        .with_context(|| self.agent.log_tail())
    }

    /// Somebody starts it: the agent may end it before it accepts connections.
    async fn start_by_hand(&mut self) -> Result<()> {
        let stops = self.stops();
        // What ended must be let go of first, or it takes its successor along.
        self.primary.kill().await.ok();
        self.primary.start(LONG).await.ok();
        eventually("another stop", async || self.stops() > stops)
            .await
            .with_context(|| self.agent.log_tail())?;
        self.is_stopped().await
    }

    fn stops(&self) -> usize {
        let log = self.agent.log().unwrap_or_default();
        log.matches("it is being stopped").count()
    }

    async fn is_told(&mut self) -> Result<()> {
        let told = self.leader.heartbeat_where("that it is fenced", |h| {
            let lease = h.lease.as_ref();
            lease.is_some_and(|lease| lease.standing == LeaseStanding::Fenced)
        });
        told.await.map(drop).with_context(|| self.agent.log_tail())
    }

    async fn is_logged(&self, what: &str) -> Result<()> {
        eventually(what, async || {
            self.agent.log().is_ok_and(|log| log.contains(what))
        })
        .await
        .with_context(|| self.agent.log_tail())
    }
}

fn same_but_for_the_time(one: &Ticket, other: &Ticket) -> bool {
    one.same_right(other) && one.confirmations == other.confirmations && one.leases == other.leases
}

#[tokio::test]
async fn a_returning_primary_is_fenced_and_kept_down_until_it_holds_the_right() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.lose_the_right().await?;
    let before = scene.stage.ticket().await?;
    scene.is_stopped().await?;
    scene.is_told().await?;
    ensure!(
        same_but_for_the_time(&before, &scene.stage.ticket().await?),
        "the proof changes nothing"
    );
    scene.is_logged("this database is kept down").await?;
    let note = std::fs::read_to_string(scene.agent.directory.join("state/fenced.json"))?;
    let note: serde_json::Value = serde_json::from_str(&note)?;
    ensure!(
        note["epoch"] == 3 && note["control"]["timeline"] == "1",
        "{note:#}"
    );
    ensure!(note["last_seen"]["flushed_lsn"].is_string(), "{note:#}");
    // Somebody starts it by hand, with the store and without it.
    scene.start_by_hand().await?;
    for site in ["dc1", "dc2", "dc3"] {
        scene.stage.nats.kill(site).await?;
    }
    scene.agent.kill().await?;
    scene.agent.start()?;
    scene.start_by_hand().await?;
    // The right comes back.
    scene.stage.nats.start_all()?;
    scene.stage.nats.wait_ready(LONG).await?;
    eventually("a new ticket", async || {
        let stored = scene.stage.store_ticket("dc1", Epoch(4), Some(GRANT)).await;
        stored.is_ok()
    })
    .await?;
    scene.is_logged("not kept down any more").await?;
    scene.primary.kill().await.ok();
    let started = scene.primary.start(LONG).await;
    started.with_context(|| scene.agent.log_tail())?;
    ensure!(
        !scene.primary.in_recovery().await?,
        "it is the primary again"
    );
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_down_is_kept_down_and_may_come_back_as_a_standby() -> Result<()> {
    let mut scene = Scene::set().await?;
    let standby = scene.stage.standby("dc2", &scene.primary).await?;
    scene.primary.kill().await?;
    standby.promote(LONG).await?;
    scene.lose_the_right().await?;
    scene.is_told().await?;
    scene.is_logged("this database is kept down").await?;
    let upstream = tests::postgres::Upstream {
        address: standby.address(),
        slot: "dc1".to_owned(),
    };
    let session = standby
        .connect(tests::postgres::OWNER, tests::postgres::MAINTENANCE)
        .await?;
    session
        .one(
            "SELECT pg_create_physical_replication_slot('dc1')::text",
            &[],
        )
        .await?;
    // Nothing was written after the cut, so it needs no rewind.
    scene.primary.follow(&upstream)?;
    scene.primary.start(LONG).await?;
    scene.is_logged("it follows the new primary").await?;
    ensure!(scene.primary.in_recovery().await?, "a standby");
    Ok(())
}

#[tokio::test]
async fn a_right_that_is_only_revoked_or_was_never_moved_stops_nothing() -> Result<()> {
    let scene = Scene::set().await?;
    scene.stage.store_ticket("dc2", Epoch(3), None).await?;
    tokio::time::sleep(crate::stage::MOMENT).await;
    ensure!(!scene.primary.in_recovery().await?, "revoked, not granted");
    let never_moved = Scene::set_before_any_move().await?;
    tokio::time::sleep(crate::stage::MOMENT).await;
    ensure!(!never_moved.primary.in_recovery().await?, "epoch 1");
    Ok(())
}

impl Scene {
    /// A stack file that named the wrong site as primary.
    async fn set_before_any_move() -> Result<Self> {
        let stage = Stage::set("dc2").await?;
        stage.store_ticket("dc2", Epoch(1), Some(GRANT)).await?;
        let primary = stage.primary().await?;
        let (agent, leader) = stage.agent_of(&primary, "").await?;
        Ok(Self {
            stage,
            primary,
            agent,
            leader,
        })
    }
}
