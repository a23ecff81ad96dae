//! Promotion: proved, once, and picked up after the agent was killed in the middle of it.

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use shared::epoch::Epoch;
use shared::id::{DatabaseName, Nonce};
use shared::lsn::{Lsn, SystemIdentifier, Timeline};
use shared::refusal::Refusal;
use shared::wire::{
    Action, CheckExpectation, Command, DatabaseRole, DatabaseState, Grant, Heartbeat,
    ReceiverStatus, ReportState, SlotName,
};
use tests::postgres::{MAINTENANCE, OWNER, Postgres};
use uuid::Uuid;

use crate::leader::{Leader, failure, proof};
use crate::stage::{Agent, GRANT, Stage};
use crate::{LONG, eventually};

struct Scene {
    stage: Stage,
    primary: Postgres,
    standby: Postgres,
    agent: Agent,
    leader: Leader,
}

impl Scene {
    async fn set() -> Result<Self> {
        let stage = Stage::set("dc2").await?;
        let primary = stage.primary().await?;
        let standby = stage.standby("dc2", &primary).await?;
        primary.wait_streaming(&["dc2"], LONG).await?;
        let (agent, leader) = stage.agent_of(&standby, "").await?;
        Ok(Self {
            stage,
            primary,
            standby,
            agent,
            leader,
        })
    }

    /// The promotion of what the agent sees of its standby.
    async fn promote(&mut self) -> Result<Command> {
        let seen = self
            .leader
            .heartbeat_where("a standby", |h| role(h) == Some(DatabaseRole::Standby))
            .await?;
        let database = seen.database.context("no database")?;
        self.leader
            .command(Action::Promote {
                database: DatabaseName::new("main")?,
                system_identifier: database.system_identifier.context("no system identifier")?,
                timeline: database.timeline.context("no timeline")?,
                min_lsn: database.received_lsn.context("no position")?,
                slots: vec![SlotName("dc3".to_owned())],
            })
            .await
    }

    async fn timeline(&self) -> Result<i32> {
        let session = self.standby.connect(OWNER, MAINTENANCE).await?;
        let query = "SELECT ('x'||substr(pg_walfile_name(pg_current_wal_lsn()),1,8))::bit(32)::int";
        Ok(session.one(query, &[]).await?.try_get(0)?)
    }

    /// The process that replays WAL.
    async fn startup_process(&self) -> Result<Pid> {
        let session = self.standby.connect(OWNER, MAINTENANCE).await?;
        let query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup'";
        Pid::from_raw(session.one(query, &[]).await?.try_get(0)?).context("no startup process")
    }
}

fn role(heartbeat: &Heartbeat) -> Option<DatabaseRole> {
    heartbeat
        .database
        .as_ref()
        .and_then(|database| database.role)
}

#[tokio::test]
async fn a_promotion_is_proved_and_takes_effect_once() -> Result<()> {
    let mut scene = Scene::set().await?;
    let streaming = scene
        .leader
        .heartbeat_where("a stream", |h| {
            let receiver = h.database.as_ref().and_then(|d| d.receiver.as_ref());
            receiver.is_some_and(|r| r.status == ReceiverStatus::Streaming)
        })
        .await?;
    ensure!(
        streaming.database.is_some_and(|d| d.obstacles.is_empty()),
        "obstacles on a healthy standby"
    );
    scene.primary.kill().await?;

    let right = scene.promote().await?;
    let check = check_of(&right)?;
    let check = scene.leader.command(check).await?;
    let checked = scene.leader.carry_out(&check).await?;
    ensure!(proof(&checked)?.contains("stood still"), "{checked:?}");

    refuse_wrong_grants(&mut scene, &right).await?;

    let ended = scene.leader.carry_out(&right).await?;
    let lines = proof(&ended)?;
    for wanted in [
        "role: a primary on timeline 2",
        "canary: written",
        "history: timeline 2 left 1",
        "slot: dc3",
        "checkpoint: started",
        "grant: confirmed",
    ] {
        ensure!(lines.contains(wanted), "{wanted} is missing in {lines}");
    }
    if let ReportState::Done { took_ms, .. } = &ended {
        println!("promotion with its proof: {took_ms}\n{lines}");
    }
    ensure!(!scene.standby.in_recovery().await?, "still a standby");
    let confirmations = scene.stage.ticket().await?.confirmations;
    ensure!(confirmations == 1, "{confirmations} confirmations");

    assert_taken_once(&mut scene, &right, &ended).await
}

/// Whatever is sent after a promotion, it has been done once.
async fn assert_taken_once(scene: &mut Scene, right: &Command, ended: &ReportState) -> Result<()> {
    // The same command again, as often as you like.
    for _ in 0..3 {
        ensure!(scene.leader.send(right).await? == *ended, "another answer");
    }
    ensure!(scene.timeline().await? == 2, "promoted again");
    ensure!(
        scene.stage.ticket().await?.confirmations == 1,
        "confirmed again"
    );

    let other = Command {
        step: 9,
        ..right.clone()
    }
    .sealed();
    ensure!(
        matches!(
            scene.leader.refused(&other).await?,
            Refusal::OtherContent { .. }
        ),
        "other content"
    );
    let mut old = scene.leader.command(right.action.clone()).await?;
    old.epoch = Epoch(1);
    ensure!(
        matches!(
            scene.leader.refused(&old.sealed()).await?,
            Refusal::OldEpoch { .. }
        ),
        "old epoch"
    );

    // A new order to promote what is primary already is not obeyed.
    let again = scene.leader.command(right.action.clone()).await?;
    let ended = scene.leader.carry_out(&again).await?;
    ensure!(
        matches!(&ended, ReportState::Refused(Refusal::WrongRole { .. })),
        "{ended:?}"
    );
    let heartbeat = scene
        .leader
        .heartbeat_where("a primary", |h| role(h) == Some(DatabaseRole::Primary))
        .await?;
    ensure!(heartbeat.epoch == Epoch(2), "{heartbeat:?}");
    ensure!(
        heartbeat
            .database
            .is_some_and(|d| d.timeline == Some(Timeline(2))),
        "timeline"
    );
    Ok(())
}

fn check_of(promote: &Command) -> Result<Action> {
    let Action::Promote {
        database,
        system_identifier,
        timeline,
        min_lsn,
        ..
    } = promote.action.clone()
    else {
        anyhow::bail!("no promotion");
    };
    Ok(Action::Check {
        expect: CheckExpectation::Promotable {
            database,
            system_identifier,
            timeline,
            min_lsn,
        },
    })
}

/// Nothing of this touches the database.
async fn refuse_wrong_grants(scene: &mut Scene, right: &Command) -> Result<()> {
    let grant = Grant {
        epoch: Epoch(2),
        nonce: Nonce::new(Uuid::from_u128(5)),
    };
    let mut other = scene.leader.command(right.action.clone()).await?;
    other.grant = Some(grant);
    let ended = scene.leader.carry_out(&other.clone().sealed()).await?;
    ensure!(
        matches!(
            &ended,
            ReportState::Refused(Refusal::GrantNotConfirmed { .. })
        ),
        "{ended:?}"
    );
    // Refused means nothing was done, so it is looked at anew.
    let ended = scene.leader.carry_out(&other.sealed()).await?;
    ensure!(
        matches!(
            &ended,
            ReportState::Refused(Refusal::GrantNotConfirmed { .. })
        ),
        "{ended:?}"
    );

    scene
        .stage
        .store_ticket("dc1", Epoch(2), Some(GRANT))
        .await?;
    let stolen = scene.leader.command(right.action.clone()).await?;
    let ended = scene.leader.carry_out(&stolen).await?;
    ensure!(format!("{ended:?}").contains("holder is dc1"), "{ended:?}");
    scene
        .stage
        .store_ticket("dc2", Epoch(2), Some(GRANT))
        .await?;

    for (action, word) in spoilt(&right.action)? {
        let command = scene.leader.command(action).await?;
        let ended = scene.leader.carry_out(&command).await?;
        let ReportState::Refused(refusal) = &ended else {
            anyhow::bail!("{word}: {ended:?}")
        };
        ensure!(refusal.to_string().contains(word), "{word}: {refusal}");
    }
    ensure!(
        scene.standby.in_recovery().await?,
        "promoted without a right"
    );
    ensure!(scene.stage.ticket().await?.confirmations == 0, "confirmed");
    Ok(())
}

/// The same promotion with one thing wrong, and the word that the refusal must hold.
fn spoilt(right: &Action) -> Result<Vec<(Action, &'static str)>> {
    let Action::Promote {
        database,
        system_identifier,
        timeline,
        min_lsn,
        slots,
    } = right.clone()
    else {
        anyhow::bail!("no promotion");
    };
    let with =
        |system_identifier: &SystemIdentifier, timeline: Timeline, min_lsn: Lsn| Action::Promote {
            database: database.clone(),
            system_identifier: system_identifier.clone(),
            timeline,
            min_lsn,
            slots: slots.clone(),
        };
    Ok(vec![
        (
            with(&SystemIdentifier("1".to_owned()), timeline, min_lsn),
            "system identifier",
        ),
        (with(&system_identifier, Timeline(9), min_lsn), "timeline 9"),
        (
            with(&system_identifier, timeline, Lsn(u64::MAX / 2)),
            "position",
        ),
    ])
}

#[tokio::test]
async fn a_promotion_that_was_cut_off_is_looked_at_and_taken_up_again() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.primary.kill().await?;
    let startup = scene.startup_process().await?;
    let command = scene.promote().await?;
    kill_process(startup, Signal::STOP)?;
    ensure!(
        matches!(
            scene.leader.send(&command).await?,
            ReportState::Running { .. }
        ),
        "not begun"
    );
    let request = scene.standby.data().join("promote");
    eventually("the request to promote", async || request.exists()).await?;
    scene.agent.kill().await?;
    ensure!(
        scene.standby.in_recovery().await?,
        "it was to be cut off in the middle"
    );

    scene.agent.start()?;
    let found = scene.leader.ended(&command).await?;
    let ReportState::Interrupted {
        repeatable: true,
        found,
    } = &found
    else {
        anyhow::bail!("{found:?}")
    };
    ensure!(found.contains("standby on timeline 1"), "{found}");
    kill_process(startup, Signal::CONT)?;

    // The old anchor is of the killed process.
    ensure!(
        scene.leader.refused(&command).await? == Refusal::OtherProcess,
        "an old anchor"
    );
    let anchored = scene.leader.anchored(command.clone()).await?;
    let ended = scene.leader.carry_out(&anchored).await?;
    proof(&ended)?;
    ensure!(scene.timeline().await? == 2, "promoted more than once");
    ensure!(
        scene.leader.send(&command).await? == ended,
        "the recorded state"
    );
    Ok(())
}

#[tokio::test]
async fn a_promotion_that_ended_while_the_agent_was_away_is_found_done() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.primary.kill().await?;
    let startup = scene.startup_process().await?;
    let command = scene.promote().await?;
    kill_process(startup, Signal::STOP)?;
    ensure!(
        matches!(
            scene.leader.send(&command).await?,
            ReportState::Running { .. }
        ),
        "not begun"
    );
    let request = scene.standby.data().join("promote");
    eventually("the request to promote", async || request.exists()).await?;
    scene.agent.kill().await?;
    kill_process(startup, Signal::CONT)?;
    eventually("the end of recovery", async || {
        scene
            .standby
            .in_recovery()
            .await
            .is_ok_and(|standby| !standby)
    })
    .await?;

    scene.agent.start()?;
    let found = scene.leader.ended(&command).await?;
    ensure!(proof(&found)?.contains("seen after a restart"), "{found:?}");
    ensure!(
        scene.leader.send(&command).await? == found,
        "the recorded state"
    );
    ensure!(scene.timeline().await? == 2, "promoted more than once");
    Ok(())
}

#[tokio::test]
async fn a_promotion_that_does_not_end_in_time_is_pending() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.primary.kill().await?;
    let startup = scene.startup_process().await?;
    let mut command = scene.promote().await?;
    command.deadline_ms = shared::clock::Millis::seconds(2);
    kill_process(startup, Signal::STOP)?;
    let ended = scene.leader.carry_out(&command).await?;
    ensure!(
        matches!(&ended, ReportState::Failed { pending: true, .. }),
        "{ended:?}"
    );
    ensure!(
        failure(&ended)?.contains("recovery has not ended"),
        "{ended:?}"
    );
    kill_process(startup, Signal::CONT)?;
    eventually("the promotion that was pending", async || {
        scene
            .standby
            .in_recovery()
            .await
            .is_ok_and(|standby| !standby)
    })
    .await?;
    let anchored = scene.leader.anchored(command).await?;
    let ended = scene.leader.carry_out(&anchored).await?;
    ensure!(
        proof(&ended)?.contains("already, by this command"),
        "{ended:?}"
    );
    Ok(())
}

#[tokio::test]
async fn what_the_database_does_is_told_apart() -> Result<()> {
    let mut scene = Scene::set().await?;
    let state = |wanted: DatabaseState| {
        move |h: &Heartbeat| h.database.as_ref().is_some_and(|d| d.state == wanted)
    };
    scene.standby.freeze().await?;
    scene
        .leader
        .heartbeat_where("hung", state(DatabaseState::Hung))
        .await?;
    scene.standby.thaw();
    scene
        .leader
        .heartbeat_where("up again", state(DatabaseState::Up))
        .await?;
    scene.standby.kill().await?;
    let down = scene
        .leader
        .heartbeat_where("down", state(DatabaseState::Down))
        .await?;
    ensure!(role(&down).is_none(), "{down:?}");
    scene.standby.start(LONG).await?;
    scene
        .leader
        .heartbeat_where("up again", state(DatabaseState::Up))
        .await?;
    Ok(())
}
