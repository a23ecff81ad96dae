//! A site whose store and live site can be lost, an agent that keeps a signed plan, and an operator beside it.

use std::path::Path;
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use bus::Bucket;
use coordinator::contingency::sign;
use nkeys::KeyPair;
use shared::clock::{Millis, UnixMillis};
use shared::digest::ContentDigest;
use shared::epoch::{Epoch, StackVersion};
use shared::id::{DatabaseName, NodeName, Nonce, SiteName};
use shared::lsn::Lsn;
use shared::subject::{self, key};
use shared::wire::{
    Action, CONTINGENCY_SCHEMA, CheckExpectation, Contingency, ContingencyStep, ContingencyWork,
    DatabaseSample, ProbeRequest,
};
use tests::postgres::{MAINTENANCE, OWNER, Postgres};
use uuid::Uuid;

use crate::leader::Leader;
use crate::stage::{Agent, GRANT, Stage, binary, stack};
use crate::{LONG, eventually};

/// Refused by a rule.
pub(super) const REFUSED: i32 = 6;
/// All that must be typed.
pub(super) const WORDS: [&str; 6] = [
    "--attest-site-off",
    "dc1",
    "--reason",
    "it burns",
    "--operator",
    "alice",
];

pub(super) struct Scene {
    pub(super) stage: Stage,
    pub(super) primary: Postgres,
    pub(super) standby: Postgres,
    pub(super) agent: Agent,
    pub(super) leader: Leader,
    pub(super) signer: KeyPair,
    pub(super) plan: Contingency,
}

impl Scene {
    /// dc1 is live, dc2 has a standby and an agent that keeps a signed plan.
    pub(super) async fn set() -> Result<Self> {
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
    pub(super) async fn store(&self, signer: &KeyPair, plan: &Contingency) -> Result<()> {
        let bucket = Bucket::open(&self.stage.connection, &subject::bucket(&stack())).await?;
        let signed = sign(signer, plan).context("not signed")?;
        let key = key::contingency(&SiteName::new("dc2")?);
        bucket.put(&key, serde_json::to_vec(&signed)?).await?;
        Ok(())
    }

    pub(super) async fn keep_plan(&mut self) -> Result<()> {
        self.store(&self.signer, &self.plan).await?;
        self.leader
            .heartbeat_where("a kept plan", |h| {
                h.glass.as_ref().is_some_and(|g| g.plan_age_ms.is_some())
            })
            .await?;
        Ok(())
    }

    /// Runs `break-glass` with all words right, and more.
    pub(super) async fn break_glass(&self, more: &[&str]) -> Result<Output> {
        self.run(&[&WORDS, more].concat()).await
    }

    pub(super) async fn run(&self, arguments: &[&str]) -> Result<Output> {
        run(&self.agent.config, arguments).await
    }

    /// All dark: the store has lost its majority, and the primary is gone for so long that nothing is fresh.
    pub(super) async fn darken(&mut self) -> Result<()> {
        self.darken_but_for(&[]).await
    }

    /// All dark, with rules that object all the same.
    pub(super) async fn darken_but_for(&mut self, rules: &[&str]) -> Result<()> {
        self.stage.nats.kill("dc1").await?;
        self.stage.nats.kill("dc3").await?;
        self.primary.kill().await?;
        self.wait_dark(rules).await
    }

    /// Until nothing but these rules objects.
    pub(super) async fn wait_dark(&self, rules: &[&str]) -> Result<()> {
        eventually("a dry run without other objections", async || {
            let Ok(output) = self.run(&["--dry-run"]).await else {
                return false;
            };
            if rules.is_empty() {
                return output.status.success();
            }
            let text = said(&output);
            let objections = text.split("REFUSED").nth(1).unwrap_or_default();
            let lines = objections.lines().filter(|line| line.starts_with("  "));
            let found: Vec<&str> = lines
                .filter_map(|line| line.trim().split(": ").next())
                .collect();
            found == rules
        })
        .await
    }

    /// The store is back: its ticket takes the epoch over, and the agent says so.
    pub(super) async fn taken_over(&mut self) -> Result<()> {
        let mut stored = Err(anyhow::anyhow!("not tried"));
        eventually("the ticket that takes the epoch over", async || {
            stored = self
                .stage
                .store_ticket("dc2", Epoch(1_002), Some(GRANT))
                .await;
            stored.is_ok()
        })
        .await?;
        self.leader
            .heartbeat_where("a reconciled break", |h| {
                let broken = h.glass.as_ref().and_then(|g| g.broken.as_ref());
                broken.is_some_and(|broken| broken.reconciled)
            })
            .await?;
        Ok(())
    }

    pub(super) async fn timeline(&self) -> Result<i32> {
        let session = self.standby.connect(OWNER, MAINTENANCE).await?;
        let query = "SELECT ('x'||substr(pg_walfile_name(pg_current_wal_lsn()),1,8))::bit(32)::int";
        Ok(session.one(query, &[]).await?.try_get(0)?)
    }
}

pub(super) async fn run(config: &Path, arguments: &[&str]) -> Result<Output> {
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

pub(super) fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

/// Refused, by these rules among others and not by those.
pub(super) fn refused(output: &Output, by: &[&str], not_by: &[&str]) -> Result<()> {
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
