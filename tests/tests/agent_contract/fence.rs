//! The fence: nothing works in the data directory and the port refuses, whatever was left.

use std::io::ErrorKind;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use shared::epoch::Epoch;
use shared::id::DatabaseName;
use shared::lsn::SystemIdentifier;
use shared::refusal::Refusal;
use shared::wire::{Action, Command, ReportState};
use tests::postgres::{CLIENT, Postgres, SERVICE};
use tokio::net::TcpStream;

use crate::eventually;
use crate::leader::{Leader, proof};
use crate::stage::{Agent, Stage};

struct Scene {
    _stage: Stage,
    primary: Postgres,
    agent: Agent,
    leader: Leader,
}

impl Scene {
    async fn set() -> Result<Self> {
        let stage = Stage::set("dc2").await?;
        // Revoked and not granted, as a run has it when it fences: a grant would make the agent fence by itself.
        stage.store_ticket("dc2", Epoch(2), None).await?;
        let primary = stage.primary().await?;
        let (agent, leader) = stage.agent_of(&primary, "").await?;
        Ok(Self {
            _stage: stage,
            primary,
            agent,
            leader,
        })
    }

    async fn fence(&mut self) -> Result<Command> {
        let seen = self
            .leader
            .heartbeat_where("a database", |h| h.database.is_some())
            .await?;
        let system_identifier = seen
            .database
            .and_then(|database| database.system_identifier)
            .context("no system identifier")?;
        self.leader
            .command(Action::Fence {
                database: DatabaseName::new("main")?,
                system_identifier,
            })
            .await
    }

    async fn assert_fenced(&self) -> Result<()> {
        ensure!(
            self.primary.members().is_empty(),
            "left: {:?}",
            self.primary.members()
        );
        let refused = TcpStream::connect(self.primary.address()).await;
        ensure!(
            refused.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused),
            "something listens"
        );
        Ok(())
    }
}

#[tokio::test]
async fn a_fence_stops_everything_and_takes_effect_once() -> Result<()> {
    let mut scene = Scene::set().await?;
    let mut stranger = scene.fence().await?;
    stranger.action = Action::Fence {
        database: DatabaseName::new("main")?,
        system_identifier: SystemIdentifier("1".to_owned()),
    };
    let ended = scene.leader.carry_out(&stranger.sealed()).await?;
    ensure!(
        matches!(&ended, ReportState::Refused(Refusal::WrongRole { .. })),
        "{ended:?}"
    );
    ensure!(
        !scene.primary.members().is_empty(),
        "another cluster's fence stopped this one"
    );

    let command = scene.fence().await?;
    let ended = scene.leader.carry_out(&command).await?;
    let lines = proof(&ended)?;
    ensure!(
        lines.contains("none works in the data directory") && lines.contains("port"),
        "{lines}"
    );
    scene.assert_fenced().await?;
    ensure!(
        scene.leader.send(&command).await? == ended,
        "the recorded state"
    );
    ensure!(
        scene.agent.directory.join("state/fenced.json").is_file(),
        "no note"
    );

    // What is stopped is fenced all the same.
    let again = Command {
        id: shared::id::CommandId::new(uuid::Uuid::now_v7()),
        ..command
    };
    let again = scene.leader.anchored(again).await?;
    proof(&scene.leader.carry_out(&again).await?)?;
    Ok(())
}

#[tokio::test]
async fn a_backend_that_outlived_its_postmaster_is_fenced() -> Result<()> {
    let mut scene = Scene::set().await?;
    let command = scene.fence().await?;
    let session = scene.primary.connect(CLIENT, SERVICE).await?;
    session.batch("CREATE TABLE numbers (n bigint)").await?;
    let looping = "DO $$ BEGIN LOOP INSERT INTO numbers VALUES (1); COMMIT; END LOOP; END $$";
    // It ends when its server does.
    let writing = tokio::spawn(async move { session.batch(looping).await.is_err() });
    let watching = scene.primary.connect(CLIENT, SERVICE).await?;
    let count = "SELECT count(*) FROM numbers";
    eventually("committed rows", async || {
        let row = watching.one(count, &[]).await;
        row.is_ok_and(|row| row.try_get::<_, i64>(0).is_ok_and(|count| count > 0))
    })
    .await?;
    let text = std::fs::read_to_string(scene.primary.data().join("postmaster.pid"))?;
    let postmaster =
        Pid::from_raw(text.lines().next().context("empty")?.trim().parse()?).context("odd")?;
    kill_process(postmaster, Signal::KILL)?;
    eventually("the end of the postmaster", async || {
        !scene
            .primary
            .members()
            .iter()
            .any(|member| member.pid == postmaster.as_raw_nonzero().get())
    })
    .await?;
    ensure!(
        !scene.primary.members().is_empty(),
        "the backend was to outlive it"
    );

    let ended = scene.leader.carry_out(&command).await?;
    ensure!(proof(&ended)?.contains("killed"), "{ended:?}");
    scene.assert_fenced().await?;
    ensure!(writing.await?, "the writer ended well");
    Ok(())
}

#[tokio::test]
async fn a_frozen_database_is_fenced() -> Result<()> {
    let mut scene = Scene::set().await?;
    let command = scene.fence().await?;
    scene.primary.freeze().await?;
    let ended = scene.leader.carry_out(&command).await?;
    proof(&ended)?;
    scene.assert_fenced().await
}
