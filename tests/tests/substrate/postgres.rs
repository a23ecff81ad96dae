//! Real replication, promotion, privileges and silence of the databases.

use std::time::Instant;

use anyhow::{Result, ensure};
use tests::postgres::{
    AGENT, CLIENT, Installation, MAINTENANCE, OWNER, Postgres, SERVICE, Session, Stop, Upstream,
};
use tests::scratch::Scratch;

use crate::trio::Trio;
use crate::{LONG, SILENCE, eventually};

#[tokio::test]
async fn two_standbys_stream_and_one_can_be_promoted() -> Result<()> {
    let mut trio = Trio::start().await?;
    ensure!(
        !trio.primary.in_recovery().await? && trio.second.in_recovery().await?,
        "roles"
    );
    let session = trio.primary.connect(OWNER, SERVICE).await?;
    session
        .batch("CREATE TABLE kept AS SELECT 1 AS one")
        .await?;
    let end = trio.primary.current_lsn().await?;
    trio.second.wait_replayed(end, LONG).await?;
    trio.third.wait_replayed(end, LONG).await?;
    trio.primary.kill().await?;
    ensure!(
        !trio.primary.is_running(),
        "left: {:?}",
        trio.primary.members()
    );
    trio.second.promote(LONG).await?;
    let session = trio.second.connect(OWNER, SERVICE).await?;
    session.batch("INSERT INTO kept VALUES (2)").await?;

    // The third follows the new timeline.
    session
        .one(
            "SELECT 1 FROM pg_create_physical_replication_slot('dc3')",
            &[],
        )
        .await?;
    trio.third.stop(Stop::Fast, LONG).await?;
    let address = trio
        .links
        .forward("dc3", "dc2", trio.second.address())
        .await?;
    trio.third.follow(&Upstream {
        address,
        slot: "dc3".to_owned(),
    })?;
    trio.third.start(LONG).await?;
    eventually("the third is on timeline 2", async || {
        trio.third
            .received_timeline()
            .await
            .is_ok_and(|timeline| timeline == Some(2))
    })
    .await?;
    trio.second.wait_streaming(&["dc3"], LONG).await
}

#[tokio::test]
async fn a_cut_link_stops_replication_and_healing_resumes_it() -> Result<()> {
    let trio = Trio::start().await?;
    trio.links.cut("dc1", "dc2").await?;
    trio.primary.wait_streaming(&["dc3"], LONG).await?;
    let session = trio.primary.connect(OWNER, SERVICE).await?;
    session
        .batch("CREATE TABLE missed AS SELECT 1 AS one")
        .await?;
    let end = trio.primary.current_lsn().await?;
    trio.third.wait_replayed(end, LONG).await?;
    ensure!(
        trio.second.current_lsn().await? < end,
        "replicated over a cut link"
    );
    trio.links.heal("dc1", "dc2").await?;
    trio.second.wait_replayed(end, LONG).await
}

#[tokio::test]
async fn the_agents_role_may_do_what_it_is_granted_and_no_more() -> Result<()> {
    let trio = Trio::start().await?;
    let agent = trio.primary.connect(AGENT, MAINTENANCE).await?;
    let row = agent
        .one("SELECT count(state) FROM pg_stat_replication", &[])
        .await?;
    assert_eq!(row.try_get::<_, i64>(0)?, 2);
    agent
        .batch("ALTER SYSTEM SET synchronous_standby_names = ''")
        .await?;
    agent.one("SELECT pg_reload_conf()", &[]).await?;
    ensure!(
        agent.batch("CREATE DATABASE more").await.is_err(),
        "more than granted"
    );
    let client = trio.primary.connect(CLIENT, MAINTENANCE).await?;
    ensure!(
        client.one("SELECT pg_promote(false)", &[]).await.is_err(),
        "clients may promote"
    );
    let second = trio.second.connect(AGENT, MAINTENANCE).await?;
    second.one("SELECT pg_promote(false)", &[]).await?;
    eventually("promoted by the agent", async || {
        trio.second
            .in_recovery()
            .await
            .is_ok_and(|recovering| !recovering)
    })
    .await
}

#[tokio::test]
async fn a_frozen_database_leaves_its_connections_silent() -> Result<()> {
    let scratch = Scratch::new()?;
    let installation = Installation::find()?;
    let mut database = Postgres::primary(&installation, &scratch.path().join("pg"), "dc1").await?;
    database.start(LONG).await?;
    let session = Session::open(database.address(), CLIENT, SERVICE, SILENCE).await?;
    session.one("SELECT 1", &[]).await?;
    database.freeze().await?;
    ensure!(
        database.members().iter().all(|member| member.frozen),
        "some run on"
    );
    let began = Instant::now();
    ensure!(
        session.one("SELECT 1", &[]).await.is_err(),
        "a frozen server answered"
    );
    ensure!(began.elapsed() >= SILENCE, "it was refused, not silent");
    ensure!(!session.client().is_closed(), "the connection was closed");
    let fresh = Session::open(database.address(), CLIENT, SERVICE, SILENCE).await;
    ensure!(fresh.is_err(), "a frozen server shook hands");
    database.thaw();
    database.wait_accepting(LONG).await?;
    database.kill().await?;
    assert_eq!(database.members(), []);
    database.start(LONG).await?;
    database.stop(Stop::Immediate, LONG).await
}
