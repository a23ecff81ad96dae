//! Synchronous replication: what the agents say of it, and that an old primary acknowledges nothing once the standby
//! that its commits wait for was promoted, also when it was frozen meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use shared::id::DatabaseName;
use shared::wire::{Action, DatabaseRole, Heartbeat, ReportState, SyncCommit, SyncSample};
use tests::postgres::{CLIENT, MAINTENANCE, OWNER, SERVICE};
use tests::stayer::{self, Stayer};
use tokio::time::timeout;

use crate::leader::Leader;
use crate::stage::Stage;
use crate::{LONG, eventually};

/// So long a commit that waits for ever is watched.
const WATCH: Duration = Duration::from_secs(3);

fn sync(heartbeat: &Heartbeat) -> Option<&SyncSample> {
    heartbeat.database.as_ref()?.sync.as_ref()
}

async fn sampled(
    leader: &mut Leader,
    what: &str,
    fits: impl Fn(&SyncSample) -> bool,
) -> Result<SyncSample> {
    let heartbeat = leader
        .heartbeat_where(what, |h| sync(h).is_some_and(&fits))
        .await?;
    sync(&heartbeat).cloned().context("no sample")
}

#[tokio::test]
async fn a_primary_says_whom_its_commits_wait_for_and_a_standby_its_name() -> Result<()> {
    let stage = Stage::set("dc1").await?;
    let primary = stage.primary().await?;
    let standby = stage.standby("dc2", &primary).await?;
    primary.wait_streaming(&["dc2"], LONG).await?;
    let (_agent, mut leader) = stage.agent_of(&primary, "").await?;
    let alone = sampled(&mut leader, "no names", |sync| sync.names.is_empty()).await?;
    ensure!(
        alone.answering.is_empty() && alone.exception.is_none(),
        "{alone:?}"
    );
    // The agent's own sessions wait for nobody; that must not be taken for the server's setting.
    ensure!(alone.commit == SyncCommit::On, "{alone:?}");

    primary.wait_for_standbys("FIRST 1 (dc2)").await?;
    let bound = sampled(&mut leader, "a standby that counts", |sync| {
        sync.answering == ["dc2"]
    })
    .await?;
    ensure!(bound.names == "FIRST 1 (dc2)", "{bound:?}");

    let session = primary.connect(OWNER, MAINTENANCE).await?;
    let weaker = format!("ALTER ROLE {CLIENT} SET synchronous_commit = off");
    session.batch(&weaker).await?;
    let weak = sampled(&mut leader, "an exception", |sync| sync.exception.is_some()).await?;
    let exception = weak.exception.unwrap_or_default();
    ensure!(
        exception == format!("{CLIENT} in every database"),
        "{exception}"
    );
    let same = format!("ALTER ROLE {CLIENT} SET synchronous_commit = remote_apply");
    session.batch(&same).await?;
    sampled(&mut leader, "no exception", |sync| sync.exception.is_none()).await?;
    session
        .batch("ALTER SYSTEM SET synchronous_commit = remote_write")
        .await?;
    session.batch("SELECT pg_reload_conf()").await?;
    sampled(&mut leader, "another level", |sync| {
        sync.commit == SyncCommit::RemoteWrite
    })
    .await?;

    let (_beside, mut other) = stage.agent_of(&standby, "").await?;
    let heartbeat = other
        .heartbeat_where("a standby", |h| {
            let database = h.database.as_ref();
            database.is_some_and(|d| d.role == Some(DatabaseRole::Standby))
        })
        .await?;
    let database = heartbeat.database.context("no database")?;
    ensure!(
        database.application.as_deref() == Some("dc2"),
        "{database:?}"
    );
    ensure!(database.sync.is_none(), "{database:?}");
    Ok(())
}

#[tokio::test]
async fn a_frozen_primary_acknowledges_nothing_after_its_standby_was_promoted() -> Result<()> {
    let stage = Stage::set("dc2").await?;
    let primary = stage.primary().await?;
    let standby = stage.standby("dc2", &primary).await?;
    primary.wait_streaming(&["dc2"], LONG).await?;
    let (_agent, mut leader) = stage.agent_of(&standby, "").await?;
    stayer::prepare(&primary.connect(OWNER, SERVICE).await?).await?;
    primary.wait_for_standbys("FIRST 1 (dc2)").await?;
    let began = Instant::now();
    let stayer = Stayer::start(primary.address()).await?;
    eventually("commits with the standby's word", async || {
        stayer.acknowledged_after(began) > 10
    })
    .await?;

    primary.freeze().await?;
    promote(&mut leader).await?;
    ensure!(!standby.in_recovery().await?, "still a standby");
    let promoted = Instant::now();
    primary.thaw();

    // The client that never let go: its commit waits for a standby that does not come back.
    let look = primary.connect(OWNER, MAINTENANCE).await?;
    eventually("a commit that waits", async || {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        let waiting: Option<i64> = look
            .one(query, &[])
            .await
            .ok()
            .and_then(|row| row.try_get(0).ok());
        waiting.is_some_and(|waiting| waiting > 0)
    })
    .await?;
    // One that dc2 had before it was promoted may be answered late; nothing that it does not have.
    let rows = "SELECT count(*) FROM stayer";
    let told = stayer.acknowledged_after(began);
    let kept: i64 = standby
        .connect(OWNER, SERVICE)
        .await?
        .one(rows, &[])
        .await?
        .try_get(0)?;
    ensure!(
        i64::try_from(told)? <= kept,
        "{told} commits were acknowledged, and dc2 has {kept}"
    );
    ensure!(stayer.acknowledged_after(promoted) <= 1, "it went on");
    // One that comes anew waits as well.
    let fresh = primary.connect(CLIENT, SERVICE).await?;
    let insert = fresh
        .client()
        .execute("INSERT INTO stayer (at) VALUES (now())", &[]);
    ensure!(
        timeout(WATCH, insert).await.is_err(),
        "a new client was told that its commit is done"
    );
    ensure!(
        stayer.acknowledged_after(began) == told,
        "it acknowledged a commit"
    );
    Ok(())
}

/// The promotion of what the agent sees of its standby.
async fn promote(leader: &mut Leader) -> Result<()> {
    let seen = leader
        .heartbeat_where("a standby", |h| {
            let database = h.database.as_ref();
            database.is_some_and(|d| d.role == Some(DatabaseRole::Standby))
        })
        .await?;
    let database = seen.database.context("no database")?;
    let order = leader
        .command(Action::Promote {
            database: DatabaseName::new("main")?,
            system_identifier: database.system_identifier.context("no system identifier")?,
            timeline: database.timeline.context("no timeline")?,
            min_lsn: database.received_lsn.context("no position")?,
            slots: Vec::new(),
        })
        .await?;
    let ended = leader.carry_out(&order).await?;
    ensure!(matches!(ended, ReportState::Done { .. }), "{ended:?}");
    Ok(())
}
