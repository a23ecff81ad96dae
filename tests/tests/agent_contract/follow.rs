//! Re-pointing a standby: proved on the new timeline, and a standby that went too far is told so.

use anyhow::{Context, Result, ensure};
use shared::id::DatabaseName;
use shared::lsn::Timeline;
use shared::wire::{Action, Command, SlotName};
use tests::postgres::{CLIENT, MAINTENANCE, OWNER, Postgres, SERVICE};

use crate::leader::{Leader, failure, proof};
use crate::stage::Stage;
use crate::{LONG, eventually};

async fn follow(leader: &mut Leader, primary: &Postgres) -> Result<Command> {
    let seen = leader
        .heartbeat_where("a database", |h| {
            h.database.as_ref().is_some_and(|d| d.role.is_some())
        })
        .await?;
    let system_identifier = seen
        .database
        .and_then(|d| d.system_identifier)
        .context("no system identifier")?;
    leader
        .command(Action::Follow {
            database: DatabaseName::new("main")?,
            system_identifier,
            primary: primary.address().to_string().parse()?,
            above_timeline: Timeline(1),
            slot: SlotName("dc3_new".to_owned()),
        })
        .await
}

async fn promote(standby: &Postgres) -> Result<()> {
    standby.promote(LONG).await?;
    let session = standby.connect(OWNER, MAINTENANCE).await?;
    session
        .one(
            "SELECT 1 FROM pg_create_physical_replication_slot('dc3_new')",
            &[],
        )
        .await?;
    session.batch("CHECKPOINT").await
}

#[tokio::test]
async fn a_standby_follows_the_new_primary() -> Result<()> {
    let stage = Stage::set("dc2").await?;
    let mut primary = stage.primary().await?;
    let second = stage.standby("dc2", &primary).await?;
    let third = stage.standby("dc3", &primary).await?;
    primary.wait_streaming(&["dc2", "dc3"], LONG).await?;
    let (agent, mut leader) = stage.agent_of(&third, "").await?;
    primary.kill().await?;
    promote(&second).await?;
    let command = follow(&mut leader, &second).await?;
    let ended = leader
        .carry_out(&command)
        .await
        .with_context(|| agent.log_tail())?;
    ensure!(proof(&ended)?.contains("streaming timeline 2"), "{ended:?}");
    ensure!(
        third.received_timeline().await? == Some(2),
        "not on timeline 2"
    );
    second.wait_streaming(&["dc3"], LONG).await?;
    ensure!(leader.send(&command).await? == ended, "the recorded state");
    Ok(())
}

#[tokio::test]
async fn a_standby_ahead_of_the_fork_needs_a_rewind() -> Result<()> {
    let stage = Stage::set("dc2").await?;
    let mut primary = stage.primary().await?;
    let second = stage.standby("dc2", &primary).await?;
    let third = stage.standby("dc3", &primary).await?;
    primary.wait_streaming(&["dc2", "dc3"], LONG).await?;
    let (agent, mut leader) = stage.agent_of(&third, "").await?;
    // More than what the sockets between them hold.
    second.freeze().await?;
    let session = primary.connect(CLIENT, SERVICE).await?;
    session
        .batch(
            "CREATE TABLE filler AS SELECT md5(n::text) AS text FROM generate_series(1, 400000) n",
        )
        .await?;
    let end = primary.current_lsn().await?;
    eventually("the third has it all", async || {
        third.current_lsn().await.is_ok_and(|at| at >= end)
    })
    .await?;
    primary.kill().await?;
    second.thaw();
    promote(&second).await?;
    ensure!(
        second.current_lsn().await? < end,
        "the second was to be behind"
    );
    let command = follow(&mut leader, &second).await?;
    let ended = leader
        .carry_out(&command)
        .await
        .with_context(|| agent.log_tail())?;
    ensure!(failure(&ended)?.contains("needs rewind"), "{ended:?}");
    Ok(())
}
