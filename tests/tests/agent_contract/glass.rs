//! Break glass: what refuses, what it does when everything is dark, and that it does it once.

mod doubt;
mod homecoming;
mod scene;

use anyhow::{Context, Result, ensure};
use coordinator::contingency::sign;
use nkeys::KeyPair;
use rustix::process::{Pid, Signal, kill_process};
use shared::epoch::Epoch;
use shared::wire::{Action, DatabaseRole};
use tests::postgres::{MAINTENANCE, OWNER};

use self::scene::{REFUSED, Scene, WORDS, refused, run, said};
use crate::eventually;
use crate::stage::Stage;

#[tokio::test]
async fn a_plan_of_a_stranger_is_not_kept_and_a_living_site_or_store_refuses() -> Result<()> {
    let mut scene = Scene::set().await?;
    let stranger = KeyPair::new_user();
    scene.store(&stranger, &scene.plan).await?;
    eventually("the refusal of a stranger's plan", async || {
        scene
            .agent
            .log()
            .is_ok_and(|log| log.contains("trusted_keys does not name"))
    })
    .await?;
    refused(&scene.break_glass(&["--yes"]).await?, &["plan"], &[])?;
    scene.keep_plan().await?;

    // The store and dc1 are well.
    let output = scene.break_glass(&["--yes"]).await?;
    refused(&output, &["store-answers", "sighted", "receiving"], &[])?;
    let all = [
        "--yes",
        "--override",
        "store-answers=I want to",
        "--override",
        "sighted=no",
    ];
    let output = scene.break_glass(&all).await?;
    refused(
        &output,
        &["store-answers", "override", "receiving"],
        &["sighted"],
    )?;

    // The store is gone, dc1 is well.
    scene.stage.nats.kill("dc1").await?;
    scene.stage.nats.kill("dc3").await?;
    let output = scene.break_glass(&["--yes"]).await?;
    refused(&output, &["sighted", "receiving"], &["store-answers"])?;
    ensure!(
        scene.standby.in_recovery().await?,
        "promoted beside a living primary"
    );
    let primary_writes = scene.primary.current_lsn().await?;
    ensure!(primary_writes > 0, "the primary was disturbed");

    // Without the words, or with wrong ones, nothing is done either.
    let output = scene.run(&["--attest-site-off", "dc1", "--yes"]).await?;
    ensure!(output.status.code() == Some(2), "{}", said(&output));
    let directory = scene.agent.directory.clone();
    let (garbage, forged) = (
        directory.join("garbage.json"),
        directory.join("forged.json"),
    );
    std::fs::write(&garbage, "{\"schema\": 1}")?;
    let mut signed = sign(&stranger, &scene.plan).context("not signed")?;
    signed.key = scene.signer.public_key();
    std::fs::write(&forged, serde_json::to_vec(&signed)?)?;
    for (file, word) in [(garbage, "cannot be read"), (forged, "does not fit")] {
        let file = file.display().to_string();
        let output = scene.break_glass(&["--yes", "--plan", &file]).await?;
        refused(&output, &["plan"], &[])?;
        ensure!(said(&output).contains(word), "{}", said(&output));
    }
    Ok(())
}

#[tokio::test]
async fn with_all_dark_the_standby_is_promoted_once_and_the_store_takes_it_over() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.keep_plan().await?;
    scene.darken().await?;
    let words = [
        "--reason",
        "x",
        "--operator",
        "alice",
        "--attest-site-off",
        "dc3",
        "--yes",
    ];
    refused(&scene.run(&words).await?, &["attestation"], &[])?;
    ensure!(
        scene.standby.in_recovery().await?,
        "promoted by the wrong word"
    );

    let output = scene.break_glass(&["--yes"]).await?;
    let text = said(&output);
    ensure!(
        output.status.success(),
        "{text}\n{}",
        scene.agent.log_tail()
    );
    for wanted in [
        "in epoch 1002",
        "waiting ",
        "the glass is broken in epoch 1002",
        "step 5 done",
        "role: a primary on timeline 2",
        "grant: an operator vouches for it",
        "step 6 done",
        "code for the next host: 1002-5-",
        "pointsman acknowledge break-glass",
    ] {
        ensure!(text.contains(wanted), "{wanted} is missing in {text}");
    }
    ensure!(!scene.standby.in_recovery().await?, "still a standby");

    // Again: what is done is told, not done.
    let again = scene.break_glass(&["--yes"]).await?;
    ensure!(again.status.success(), "{}", said(&again));
    ensure!(said(&again).contains("step 5 done"), "{}", said(&again));
    ensure!(scene.timeline().await? == 2, "promoted twice");

    reconcile(&mut scene).await
}

/// The store comes back: it hears of the break, and the agent of the ticket that takes it over.
async fn reconcile(scene: &mut Scene) -> Result<()> {
    scene.stage.nats.start("dc1")?;
    scene.stage.nats.start("dc3")?;
    let heartbeat = scene
        .leader
        .heartbeat_where("a broken glass", |h| {
            h.glass.as_ref().is_some_and(|g| g.broken.is_some())
        })
        .await?;
    ensure!(heartbeat.epoch == Epoch(1_002), "{heartbeat:?}");
    let broken = heartbeat
        .glass
        .and_then(|g| g.broken)
        .context("not broken")?;
    ensure!(
        !broken.reconciled && broken.operator.to_string() == "alice",
        "{broken:?}"
    );

    // The old ticket's grant is worth nothing any more at this agent.
    let command = scene
        .leader
        .command(Action::Hook {
            hook: shared::id::HookName::new("any")?,
            environment: std::collections::BTreeMap::new(),
        })
        .await?;
    let refusal = scene.leader.refused(&command).await?;
    ensure!(refusal.to_string().contains("1002"), "{refusal}");

    scene.taken_over().await?;
    // With a store that decides, nobody breaks glass.
    refused(
        &scene.break_glass(&["--yes"]).await?,
        &["store-answers"],
        &[],
    )
}

#[tokio::test]
async fn a_break_that_was_cut_off_goes_on_where_it_stood() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.keep_plan().await?;
    scene.darken().await?;
    // Not one server is left.
    scene.stage.nats.kill("dc2").await?;
    let session = scene.standby.connect(OWNER, MAINTENANCE).await?;
    let query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup'";
    let startup: i32 = session.one(query, &[]).await?.try_get(0)?;
    let startup = Pid::from_raw(startup).context("no startup process")?;
    drop(session);
    kill_process(startup, Signal::STOP)?;
    let request = scene.standby.data().join("promote");
    let config = scene.agent.config.clone();
    let arguments = [WORDS.as_slice(), &["--yes"]].concat();
    let (output, killed) = tokio::join!(run(&config, &arguments), async {
        eventually("the request to promote", async || request.exists()).await?;
        scene.agent.kill().await
    });
    killed?;
    let output = output?;
    ensure!(output.status.code() == Some(1), "{}", said(&output));
    ensure!(
        said(&output).contains("run the same again"),
        "{}",
        said(&output)
    );
    let output = scene.break_glass(&["--yes"]).await?;
    ensure!(
        output.status.code() == Some(5),
        "no agent runs: {}",
        said(&output)
    );

    // It starts without any server, and looks at what it had begun.
    scene.agent.start()?;
    eventually("the look at what was begun", async || {
        scene
            .agent
            .log()
            .is_ok_and(|log| log.contains("a restart cut this command off"))
    })
    .await?;
    kill_process(startup, Signal::CONT)?;
    let mut ended = None;
    eventually("the end of the break", async || {
        let Ok(output) = scene.break_glass(&["--yes"]).await else {
            return false;
        };
        let done = output.status.success();
        ended = Some(output);
        done
    })
    .await
    .with_context(|| scene.agent.log_tail())?;
    let text = said(&ended.context("never ended")?);
    ensure!(text.contains("code for the next host: 1002-5-"), "{text}");
    ensure!(scene.timeline().await? == 2, "promoted more than once");
    Ok(())
}

#[tokio::test]
async fn an_agent_without_the_table_does_not_break_glass() -> Result<()> {
    let stage = Stage::set("dc1").await?;
    let primary = stage.primary().await?;
    let standby = stage.standby("dc2", &primary).await?;
    let (agent, mut leader) = stage.agent_of(&standby, "").await?;
    let heartbeat = leader
        .heartbeat_where("a standby", |h| {
            h.database.as_ref().and_then(|d| d.role) == Some(DatabaseRole::Standby)
        })
        .await?;
    ensure!(heartbeat.glass.is_none(), "{heartbeat:?}");
    let output = run(&agent.config, &["--dry-run"]).await?;
    ensure!(output.status.code() == Some(REFUSED), "{}", said(&output));
    ensure!(
        said(&output).contains("no [break_glass]"),
        "{}",
        said(&output)
    );
    Ok(())
}
