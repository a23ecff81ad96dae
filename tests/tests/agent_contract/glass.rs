//! Break glass: what refuses, what it does when everything is dark, and that it does it once.

use std::path::Path;
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use bus::Bucket;
use coordinator::contingency::sign;
use nkeys::KeyPair;
use rustix::process::{Pid, Signal, kill_process};
use shared::clock::{Millis, UnixMillis};
use shared::digest::ContentDigest;
use shared::epoch::{Epoch, StackVersion};
use shared::id::{DatabaseName, NodeName, Nonce, SiteName};
use shared::lsn::Lsn;
use shared::subject::{self, key};
use shared::wire::{
    Action, CONTINGENCY_SCHEMA, CheckExpectation, Contingency, ContingencyStep, ContingencyWork,
    DatabaseRole, DatabaseSample, ProbeRequest,
};
use tests::postgres::{MAINTENANCE, OWNER, Postgres};
use uuid::Uuid;

use crate::leader::Leader;
use crate::stage::{Agent, GRANT, Stage, binary, stack};
use crate::{LONG, eventually};

/// Refused by a rule.
const REFUSED: i32 = 6;
/// All that must be typed.
const WORDS: [&str; 6] = [
    "--attest-site-off",
    "dc1",
    "--reason",
    "it burns",
    "--operator",
    "alice",
];

struct Scene {
    stage: Stage,
    primary: Postgres,
    standby: Postgres,
    agent: Agent,
    leader: Leader,
    signer: KeyPair,
    plan: Contingency,
}

impl Scene {
    /// dc1 is live, dc2 has a standby and an agent that keeps a signed plan.
    async fn set() -> Result<Self> {
        let stage = Stage::set("dc1").await?;
        let primary = stage.primary().await?;
        let standby = stage.standby("dc2", &primary).await?;
        primary.wait_streaming(&["dc2"], LONG).await?;
        let signer = KeyPair::new_user();
        let more = format!(
            "[break_glass]\ntrusted_keys = [\"{}\"]\n[[peer]]\nsite = \"dc1\"\nchannel = \"postgres\"\n\
             address = \"{}\"\nevery = \"500ms\"\ntimeout = \"400ms\"\n",
            signer.public_key(),
            primary.address()
        );
        let (agent, mut leader) = stage.agent_of(&standby, &more).await?;
        let seen = leader
            .heartbeat_where("a position", |h| {
                h.database
                    .as_ref()
                    .is_some_and(|d| d.received_lsn.is_some())
            })
            .await?;
        let plan = plan(&seen.database.context("no database")?, &agent.node())?;
        let scene = Self {
            stage,
            primary,
            standby,
            agent,
            leader,
            signer,
            plan,
        };
        Ok(scene)
    }

    /// Puts a plan into the store.
    async fn store(&self, signer: &KeyPair, plan: &Contingency) -> Result<()> {
        let bucket = Bucket::open(&self.stage.connection, &subject::bucket(&stack())).await?;
        let signed = sign(signer, plan).context("not signed")?;
        let key = key::contingency(&SiteName::new("dc2")?);
        bucket.put(&key, serde_json::to_vec(&signed)?).await?;
        Ok(())
    }

    async fn keep_plan(&mut self) -> Result<()> {
        self.store(&self.signer, &self.plan).await?;
        self.leader
            .heartbeat_where("a kept plan", |h| {
                h.glass.as_ref().is_some_and(|g| g.plan_age_ms.is_some())
            })
            .await?;
        Ok(())
    }

    /// Runs `break-glass` with all words right, and more.
    async fn break_glass(&self, more: &[&str]) -> Result<Output> {
        self.run(&[&WORDS, more].concat()).await
    }

    async fn run(&self, arguments: &[&str]) -> Result<Output> {
        run(&self.agent.config, arguments).await
    }

    /// All dark: the store has lost its majority, and the primary is gone for so long that nothing is fresh.
    async fn darken(&mut self) -> Result<()> {
        self.stage.nats.kill("dc1").await?;
        self.stage.nats.kill("dc3").await?;
        self.primary.kill().await?;
        eventually("a dry run without objection", async || {
            let ran = self.run(&["--dry-run"]).await;
            ran.is_ok_and(|output| output.status.success())
        })
        .await
    }

    async fn timeline(&self) -> Result<i32> {
        let session = self.standby.connect(OWNER, MAINTENANCE).await?;
        let query = "SELECT ('x'||substr(pg_walfile_name(pg_current_wal_lsn()),1,8))::bit(32)::int";
        Ok(session.one(query, &[]).await?.try_get(0)?)
    }
}

async fn run(config: &Path, arguments: &[&str]) -> Result<Output> {
    let mut command = tokio::process::Command::new(binary()?);
    command
        .arg("break-glass")
        .arg("--config")
        .arg(config)
        .args(arguments)
        .kill_on_drop(true)
        .stdin(Stdio::null());
    let output = tokio::time::timeout(LONG, command.output())
        .await
        .context("break-glass does not end")??;
    Ok(output)
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

/// Refused, by these rules among others and not by those.
fn refused(output: &Output, by: &[&str], not_by: &[&str]) -> Result<()> {
    let text = said(output);
    ensure!(output.status.code() == Some(REFUSED), "{text}");
    let names = |rule: &&&str| text.contains(&format!("\n  {rule}: "));
    ensure!(by.iter().all(|rule| names(&rule)), "{by:?} in {text}");
    ensure!(
        !not_by.iter().any(|rule| names(&rule)),
        "{not_by:?} in {text}"
    );
    Ok(())
}

/// The plan that a coordinator would make of this standby.
fn plan(sample: &DatabaseSample, node: &str) -> Result<Contingency> {
    let database = DatabaseName::new("main")?;
    let system_identifier = sample.system_identifier.clone().context("no system")?;
    let timeline = sample.timeline.context("no timeline")?;
    let min_lsn: Lsn = sample.received_lsn.context("no position")?;
    let here = |action| -> Result<ContingencyWork> {
        Ok(ContingencyWork::Agent {
            site: SiteName::new("dc2")?,
            node: NodeName::new(node)?,
            action,
        })
    };
    let check = Action::Check {
        expect: CheckExpectation::Promotable {
            database: database.clone(),
            system_identifier: system_identifier.clone(),
            timeline,
            min_lsn,
        },
    };
    let promote = Action::Promote {
        database,
        system_identifier,
        timeline,
        min_lsn,
        slots: Vec::new(),
    };
    let verify = Action::Verify {
        probe: ProbeRequest::Sql {
            statement: "SELECT pg_is_in_recovery()::text".to_owned(),
            equals: "false".to_owned(),
        },
        site: SiteName::new("dc2")?,
    };
    let wait = ContingencyWork::Wait {
        for_ms: Millis(1_500),
    };
    let works = [
        here(check)?,
        ContingencyWork::Revoke,
        wait,
        ContingencyWork::Grant,
        here(promote)?,
        here(verify)?,
    ];
    let step = |(number, work)| ContingencyStep {
        number,
        group: number,
        title: format!("step {number} of the test"),
        deadline_ms: Millis::seconds(40),
        needed: true,
        work,
    };
    Ok(Contingency {
        schema: CONTINGENCY_SCHEMA,
        stack: stack(),
        stack_version: StackVersion(1),
        incarnation: Nonce::new(Uuid::from_u128(1)),
        base_epoch: Epoch(2),
        from: SiteName::new("dc1")?,
        to: SiteName::new("dc2")?,
        plan: ContentDigest::of_bytes(b"plan"),
        loss: "0 B of WAL are known to be missing".to_owned(),
        made_at: UnixMillis(u64::try_from(
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)?
                .as_millis(),
        )?),
        made_by: SiteName::new("dc3")?,
        steps: (1..).zip(works).map(step).collect(),
    })
}

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

/// The store comes back: it hears of the break, and the break of its acknowledgement.
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
        !broken.acknowledged && broken.operator.to_string() == "alice",
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

    let mut stored = Err(anyhow::anyhow!("not tried"));
    eventually("the ticket that takes the epoch over", async || {
        stored = scene
            .stage
            .store_ticket("dc2", Epoch(1_002), Some(GRANT))
            .await;
        stored.is_ok()
    })
    .await?;
    scene
        .leader
        .heartbeat_where("an acknowledged break", |h| {
            let broken = h.glass.as_ref().and_then(|g| g.broken.as_ref());
            broken.is_some_and(|broken| broken.acknowledged)
        })
        .await?;
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
