//! Break glass with a plan that is not to be trusted, or against this agent's own word.

use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use agent::gate::Identity;
use agent::ledger::{Ledger, Promised};
use anyhow::{Context, Result, bail, ensure};
use shared::clock::Millis;
use shared::epoch::Epoch;
use shared::id::{NodeName, ProcessId, SiteName};
use shared::wire::ContingencyWork;
use tokio::io::{AsyncBufReadExt, BufReader};
use uuid::Uuid;

use super::scene::{Scene, WORDS, refused, said};
use crate::stage::{binary, stack};
use crate::{LONG, eventually};

impl Scene {
    /// The agent's own memory, while it does not run.
    pub(super) fn ledger(&self) -> Result<Ledger> {
        let identity = Identity {
            stack: stack(),
            site: SiteName::new("dc2")?,
            node: NodeName::new(self.agent.node())?,
            process: ProcessId::new(Uuid::from_u128(5)),
        };
        Ok(Ledger::open(
            &self.agent.directory.join("state"),
            &identity,
            64,
        )?)
    }

    /// What the test wrote into the agent's state is the agent's.
    fn give_back(&self) -> Result<()> {
        let state = self.agent.directory.join("state");
        let owner = std::fs::metadata(&state)?;
        for entry in std::fs::read_dir(&state)? {
            let path = entry?.path();
            std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid()))?;
        }
        Ok(())
    }

    /// Ends the agent without warning, and starts it again after `between`.
    pub(super) async fn restart(
        &mut self,
        between: impl AsyncFnOnce(&Self) -> Result<()>,
    ) -> Result<()> {
        self.agent.kill().await?;
        between(self).await?;
        self.give_back()?;
        self.agent.start()?;
        let socket = self.agent.directory.join("state/agent.sock");
        eventually("the agent's socket", async || {
            tokio::net::UnixStream::connect(&socket).await.is_ok()
        })
        .await
    }
}

#[tokio::test]
async fn an_old_plan_needs_a_reason_and_a_changed_one_is_worth_nothing() -> Result<()> {
    let mut scene = Scene::set().await?;
    let hours = |count: u64| Millis::seconds(count * 3_600).0;
    scene.plan.made_at.0 -= hours(25);
    scene.keep_plan().await?;
    scene.darken_but_for(&["plan-age"]).await?;
    refused(&scene.break_glass(&["--yes"]).await?, &["plan-age"], &[])?;
    let why = ["--override", "plan-age=nothing has changed since"];
    let output = scene
        .run(&[&["--dry-run"], why.as_slice()].concat())
        .await?;
    ensure!(output.status.success(), "{}", said(&output));

    // The kept file is changed: the wait is taken out of it.
    let path = scene.agent.directory.join("state/contingency.json");
    let kept = std::fs::read_to_string(&path)?;
    let changed = kept.replace(r#"\"for_ms\":1500"#, r#"\"for_ms\":0"#);
    ensure!(changed != kept, "nothing was changed in {kept}");
    scene
        .restart(async |_| Ok(std::fs::write(&path, &changed)?))
        .await?;
    let output = scene
        .break_glass(&[&["--yes"], why.as_slice()].concat())
        .await?;
    refused(&output, &["plan"], &[])?;
    ensure!(
        scene.agent.log()?.contains("does not fit its content"),
        "{}",
        scene.agent.log_tail()
    );
    // Given by hand it is worth no more.
    let by_hand = scene.agent.directory.join("by-hand.json");
    std::fs::write(&by_hand, &changed)?;
    let by_hand = by_hand.display().to_string();
    let output = scene.break_glass(&["--yes", "--plan", &by_hand]).await?;
    refused(&output, &["plan"], &[])?;
    ensure!(scene.standby.in_recovery().await?, "promoted");

    // As it was signed, it is taken from another host's file.
    std::fs::write(scene.agent.directory.join("by-hand.json"), &kept)?;
    let with_file = [&["--yes", "--plan", &by_hand], why.as_slice()].concat();
    let output = scene.break_glass(&with_file).await?;
    ensure!(output.status.success(), "{}", said(&output));
    ensure!(!scene.standby.in_recovery().await?, "still a standby");
    Ok(())
}

#[tokio::test]
async fn a_vow_to_the_live_site_binds_the_operator_as_well() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.keep_plan().await?;
    scene.darken().await?;
    let vow = |span_ms| Promised {
        epoch: Epoch(2),
        span_ms,
    };
    scene
        .restart(async |scene| {
            let ledger = scene.ledger()?;
            Ok(ledger.keep_promise(Some(vow(Millis::seconds(600)))).await?)
        })
        .await?;
    scene.wait_dark(&["promise"]).await?;
    let all = ["--yes", "--override", "promise=I take it back"];
    refused(
        &scene.break_glass(&all).await?,
        &["promise", "override"],
        &[],
    )?;
    ensure!(scene.standby.in_recovery().await?, "promoted against a vow");

    // One that is over binds nobody.
    scene
        .restart(async |scene| {
            let ledger = scene.ledger()?;
            ledger.keep_promise(None).await?;
            Ok(ledger.keep_promise(Some(vow(Millis(1)))).await?)
        })
        .await?;
    scene.wait_dark(&[]).await?;
    let output = scene.break_glass(&["--yes"]).await?;
    ensure!(output.status.success(), "{}", said(&output));
    let ledger = {
        scene.agent.kill().await?;
        scene.ledger()?
    };
    let broken = ledger.glass().context("no record")?;
    ensure!(
        ledger.epoch() == broken.epoch && broken.epoch == Epoch(1_002),
        "{broken:?}"
    );
    Ok(())
}

#[tokio::test]
async fn an_operator_who_goes_away_while_it_waits_leaves_nothing_behind() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.plan.steps[2].work = ContingencyWork::Wait {
        for_ms: Millis::seconds(600),
    };
    scene.keep_plan().await?;
    scene.darken().await?;
    let mut command = tokio::process::Command::new(binary()?);
    command.arg("break-glass").arg("--config");
    command
        .arg(&scene.agent.config)
        .args(WORDS)
        .arg("--yes")
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut operator = command.spawn()?;
    let mut lines = BufReader::new(operator.stdout.take().context("no output")?).lines();
    let waits = async {
        while let Some(line) = lines.next_line().await? {
            if line.contains("waiting ") {
                return Ok(());
            }
        }
        bail!("it did not wait: {}", scene.agent.log_tail())
    };
    tokio::time::timeout(LONG, waits).await??;
    // A second operator is not let in beside the first.
    let output = scene.break_glass(&["--yes"]).await?;
    refused(&output, &["busy"], &[])?;
    operator.kill().await?;
    scene.wait_dark(&[]).await?;
    let output = scene.run(&["--dry-run"]).await?;
    ensure!(!said(&output).contains("\n  glass: "), "{}", said(&output));
    ensure!(scene.standby.in_recovery().await?, "promoted");
    scene.agent.kill().await?;
    let ledger = scene.ledger()?;
    ensure!(ledger.glass().is_none(), "{:?}", ledger.glass());
    Ok(())
}
