//! Promotions with and without Pointsman, one after the other on the same machine.
//!
//! Without: `pg_promote` on a standby whose primary is gone, until a write succeeds, asked and polled exactly as
//! the agent does it. With: the promote step of a real agent over a real bus, its proof included. A single
//! promotion tells little, for the disk decides how long it takes: the middle one of several counts.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bus::{Bucket, BucketSpec, Connection, Manner, Settings, Subscription};
use shared::clock::{Millis, UnixMillis};
use shared::digest::ContentDigest;
use shared::epoch::{Epoch, Term};
use shared::id::{
    Actor, CommandId, DatabaseName, NodeName, Nonce, ProposalId, RunId, SiteName, StackName,
};
use shared::subject::{self, Subject, key};
use shared::wire::{
    Action, Anchor, ApprovalProof, Command, DatabaseRole, Grant, Heartbeat, ProofLine, Report,
    ReportState, SlotName, Ticket,
};
use tokio::time::timeout;
use uuid::Uuid;

use crate::account::Account;
use crate::ground::Ground;
use crate::lab::program;
use crate::lab::service::Service;
use crate::postgres::{AGENT, Installation, MAINTENANCE, OWNER, Postgres, Upstream};
use crate::process::Program;
use crate::scratch::{Scratch, create_directory};

const START: Duration = Duration::from_mins(1);
/// The standby notices that its primary is gone, as it has long when a failover is approved.
const ALONE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(5);
const DEADLINE: Duration = Duration::from_secs(30);
const WRITE: &str = "SELECT pg_logical_emit_message(true, 'bench', 'written')";
const STACK: &str = "bench";
const SITE: &str = "dc2";
const NODE: &str = "promoter";
const EPOCH: Epoch = Epoch(2);
const GRANT: Nonce = Nonce::new(Uuid::from_u128(2));

/// The times of all promotions, each list with its shortest first.
#[derive(Debug, Clone, Default)]
pub struct Promotions {
    /// Without Pointsman.
    pub bare: Vec<Duration>,
    /// The whole step with Pointsman.
    pub step: Vec<Duration>,
    /// The part of it from the first request to the end of recovery.
    pub recovery: Vec<Duration>,
}

/// Measures so many promotions of each kind over the bus of one NATS server.
///
/// # Errors
/// When something does not start, or a promotion does not come to its end.
pub async fn measure(server: &str, times: usize) -> Result<Promotions> {
    let installation = Installation::find()?;
    let scratch = Scratch::new()?;
    let leader = Leader::open(server).await?;
    let mut found = Promotions::default();
    for n in 0..times {
        let home = scratch.path().join(n.to_string());
        let (bare, led) = (home.join("bare"), home.join("led"));
        let (bare, led) = tokio::try_join!(
            Pair::start(&installation, &bare),
            Pair::start(&installation, &led)
        )?;
        let mut agent = agent(server, &led, &home.join("agent"))?;
        agent.start()?;
        found.bare.push(bare_promotion(bare).await?);
        let (step, recovery) = leader
            .promote(led)
            .await
            .with_context(|| format!("the agent's log: {}", crate::process::tail(agent.log())))?;
        found.step.push(step);
        found.recovery.push(recovery);
        agent.kill().await?;
    }
    for list in [&mut found.bare, &mut found.step, &mut found.recovery] {
        list.sort_unstable();
    }
    Ok(found)
}

/// The middle one.
///
/// # Errors
/// When there is none.
pub fn median(sorted: &[Duration]) -> Result<Duration> {
    sorted
        .get(sorted.len() / 2)
        .copied()
        .context("nothing was measured")
}

/// A primary and its standby.
struct Pair {
    primary: Postgres,
    standby: Postgres,
}

impl Pair {
    async fn start(installation: &Installation, directory: &Path) -> Result<Self> {
        let mut primary = Postgres::primary(installation, &directory.join("one"), "one").await?;
        primary.start(START).await?;
        let upstream = Upstream {
            address: primary.address(),
            slot: "bench".to_owned(),
        };
        let mut standby =
            Postgres::standby(installation, &directory.join("two"), "two", &upstream).await?;
        standby.start(START).await?;
        primary.wait_streaming(&["two"], START).await?;
        Ok(Self { primary, standby })
    }
}

async fn bare_promotion(mut pair: Pair) -> Result<Duration> {
    pair.primary.kill().await?;
    tokio::time::sleep(ALONE).await;
    let session = pair.standby.connect(OWNER, MAINTENANCE).await?;
    let started = Instant::now();
    session.one("SELECT pg_promote(false)", &[]).await?;
    while session
        .one("SELECT pg_is_in_recovery()", &[])
        .await?
        .try_get(0)?
    {
        ensure!(
            started.elapsed() < DEADLINE,
            "still in recovery after {DEADLINE:?}"
        );
        tokio::time::sleep(POLL).await;
    }
    session.one(WRITE, &[]).await?;
    Ok(started.elapsed())
}

fn agent(server: &str, pair: &Pair, directory: &Path) -> Result<Service> {
    create_directory(&directory.join("state"), &Account::Caller, 0o700)?;
    let (standby, file): (&Postgres, PathBuf) = (&pair.standby, directory.join("agent.toml"));
    let text = format!(
        "stack = \"{STACK}\"\nsite = \"{SITE}\"\nnode = \"{NODE}\"\nstate_dir = \"{}\"\n\
         [nats]\nservers = [\"{server}\"]\n\
         [postgres]\ndatabase = \"main\"\nhost = \"127.0.0.1\"\nport = {}\nuser = \"{AGENT}\"\n\
         pgdata = \"{}\"\nbin_dir = \"{}\"\nfollow_conninfo = \"user={AGENT} sslmode=disable\"\n",
        directory.join("state").display(),
        standby.address().port(),
        standby.data().display(),
        standby.installation().binaries().display(),
    );
    std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    Ok(Service::new(Program {
        name: "agent-promoter".to_owned(),
        executable: program::path("pointsman-agent")?,
        arguments: vec!["--config".into(), file.into()],
        environment: Vec::new(),
        directory: directory.to_owned(),
        log: directory.join("agent.log"),
        account: Account::Caller,
        ground: Ground::LOOPBACK,
    }))
}

/// The coordinator's side of the wire.
struct Leader {
    connection: Connection,
    stack: StackName,
    site: SiteName,
    node: NodeName,
}

impl Leader {
    /// Connects, and writes a ticket by which the agent's site may be live.
    async fn open(server: &str) -> Result<Self> {
        let settings = Settings::new("bench-leader", vec![server.to_owned()], "_INBOX.bench");
        let connection = Connection::connect(settings, Manner::Command).await?;
        let (stack, site) = (StackName::new(STACK)?, SiteName::new(SITE)?);
        let name = subject::bucket(&stack);
        let bucket = BucketSpec {
            name: name.clone(),
            description: "bench".to_owned(),
            history: 5,
            max_age: None,
            marker_age: None,
            max_value_bytes: 65_536,
            max_bytes: 16 * 1024 * 1024,
            replicas: 3,
        };
        bus::provision(&connection, std::slice::from_ref(&bucket), &[], None).await?;
        let ticket = Ticket {
            summary: format!("epoch {EPOCH} for {SITE}"),
            incarnation: Nonce::new(Uuid::from_u128(1)),
            epoch: EPOCH,
            holder: site.clone(),
            grant: Some(GRANT),
            changed_at: UnixMillis(0),
            confirmed_by: None,
            confirmations: 0,
            accepted: 0,
            leases: std::collections::BTreeMap::new(),
            automatic_off: None,
        };
        let bucket = Bucket::open(&connection, &name).await?;
        bucket
            .put(key::TICKET, serde_json::to_vec(&ticket)?)
            .await?;
        Ok(Self {
            connection,
            stack,
            site,
            node: NodeName::new(NODE)?,
        })
    }

    /// Takes the primary away and has the agent promote the standby: the step, and its recovery.
    async fn promote(&self, mut pair: Pair) -> Result<(Duration, Duration)> {
        let Self {
            connection,
            stack,
            site,
            node,
        } = self;
        let mut heartbeats: Subscription<Heartbeat> = connection
            .subscribe(&Subject::heartbeat(stack, site, node))
            .await?;
        let mut reports: Subscription<Report> = connection
            .subscribe(&Subject::report(stack, site, node))
            .await?;
        standby(&mut heartbeats).await?;
        pair.primary.kill().await?;
        tokio::time::sleep(ALONE).await;
        let command = self.command(standby(&mut heartbeats).await?)?;
        let to = Subject::command(stack, site, node);
        let first: Report = connection.request(&to, &command, START).await?;
        let ended = async {
            let mut state = first.state;
            while !state.is_final() {
                let report = reports.next().await.context("the bus closed")?.body?;
                if report.command == command.id {
                    state = report.state;
                }
            }
            anyhow::Ok(state)
        };
        match timeout(DEADLINE, ended)
            .await
            .context("no final report")??
        {
            ReportState::Done { took_ms, proof } => {
                let recovery = proof.iter().find_map(recovery_of);
                let recovery =
                    recovery.context("the proof does not tell how long recovery took")?;
                Ok((took_ms.duration(), Duration::from_millis(recovery)))
            }
            other @ (ReportState::Running { .. }
            | ReportState::Failed { .. }
            | ReportState::Refused(_)
            | ReportState::Interrupted { .. }) => bail!("not promoted: {other:?}"),
        }
    }

    fn command(&self, seen: Heartbeat) -> Result<Command> {
        let plan = ContentDigest::of_bytes(b"bench");
        let database = seen.database.context("no database")?;
        let command = Command {
            id: CommandId::new(Uuid::now_v7()),
            stack: self.stack.clone(),
            site: self.site.clone(),
            node: self.node.clone(),
            run: RunId::new(Uuid::now_v7()),
            step: 1,
            epoch: EPOCH,
            term: Term(1),
            plan: plan.clone(),
            approval: Some(ApprovalProof {
                proposal: ProposalId::new(Uuid::now_v7()),
                plan,
                operator: Actor::new("bench"),
                approved_at: UnixMillis(0),
                automatic: false,
                stack_version: None,
            }),
            grant: Some(Grant {
                epoch: EPOCH,
                nonce: GRANT,
            }),
            anchor: Anchor {
                process: seen.process,
                sequence: seen.sequence,
            },
            valid_for_ms: Millis::seconds(10),
            deadline_ms: Millis::seconds(30),
            action: Action::Promote {
                database: DatabaseName::new("main")?,
                system_identifier: database.system_identifier.context("no system identifier")?,
                timeline: database.timeline.context("no timeline")?,
                min_lsn: database.received_lsn.context("no position")?,
                slots: vec![SlotName("pointsman_third".to_owned())],
            },
            digest: ContentDigest::of_bytes(b""),
        };
        Ok(command.sealed())
    }
}

/// The next heartbeat that tells of a standby.
async fn standby(heartbeats: &mut Subscription<Heartbeat>) -> Result<Heartbeat> {
    let told = |beat: &Heartbeat| {
        let database = beat.database.as_ref();
        database.is_some_and(|d| d.role == Some(DatabaseRole::Standby) && d.timeline.is_some())
    };
    let next = async {
        loop {
            let beat = heartbeats.next().await.context("the bus closed")?.body?;
            if told(&beat) {
                return anyhow::Ok(beat);
            }
        }
    };
    timeout(START, next)
        .await
        .context("no heartbeat tells of a standby")?
}

fn recovery_of(line: &ProofLine) -> Option<u64> {
    line.found
        .strip_prefix("ended ")?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}
