//! What a leading coordinator costs under thousands of agents, each with a heartbeat a second.
//!
//! The agents are simulated by a process of their own over twenty connections; the server, the bus, the
//! messages and the coordinator are real. A figure counts only if the server delivered what was sent.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bus::{Connection, Headers, Manner, Publication, Settings};
use futures_util::future::try_join_all;
use serde_json::Value;
use shared::clock::{Millis, UnixMillis};
use shared::codec::encode;
use shared::epoch::Epoch;
use shared::id::{BootId, DatabaseName, NodeName, ProcessId, SiteName, StackName};
use shared::lsn::{LagBytes, Lsn, SystemIdentifier, Timeline};
use shared::subject::Subject;
use shared::wire::{
    DatabaseRole, DatabaseSample, DatabaseState, Fitness, Heartbeat, HostSample, PeerChannel,
    PeerOutcome, PeerSample, ReceiverSample, ReceiverStatus,
};
use uuid::Uuid;

use super::usage::{Usage, process_in};
use crate::account::Account;
use crate::ground::Ground;
use crate::lab::operator::Operator;
use crate::lab::service::Service;
use crate::lab::{SITES, STACK, program, status};
use crate::nats_cluster::NatsCluster;
use crate::process::Program;
use crate::relay::Links;
use crate::scratch::{Scratch, create_directory};

/// Connections over which the agents' heartbeats come.
const CONNECTIONS: u32 = 20;
const SITE: &str = "dc1";
const START: Duration = Duration::from_mins(1);
const COMMAND: Duration = Duration::from_secs(20);
/// Until every agent was heard and the allocator has what it needs.
const WARM: Duration = Duration::from_secs(6);
/// How long it is measured.
const SPAN: Duration = Duration::from_secs(25);
/// A stack whose name is [`STACK`].
const STACK_FILE: &str = include_str!("../../corpus/base/stack.toml");

/// What a coordinator uses.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Resident memory in bytes.
    pub resident: u64,
    /// Processors.
    pub cores: f64,
    /// Processors that nats-server uses.
    pub server_cores: f64,
}

/// A NATS cluster and one leading coordinator at its first server.
#[derive(Debug)]
pub struct Rig {
    nats: NatsCluster,
    coordinator: Service,
    directory: PathBuf,
    crowds: u32,
    scratch: Scratch,
    _links: Links,
}

impl Rig {
    /// Starts both and puts a stack in force.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn start() -> Result<Self> {
        let scratch = Scratch::new()?;
        let home = scratch.path().to_owned();
        let links = Links::between(&SITES);
        let mut nats = NatsCluster::configure(&home, &SITES, &links).await?;
        nats.start_all()?;
        nats.wait_ready(START).await.context("nats-server")?;
        let address = nats.client_address(SITE)?;
        let operator = Operator::new(&[address])?;
        operator.must(&["provision"], COMMAND).await?;
        let directory = home.join("coordinator");
        let mut coordinator = coordinator(&directory, address)?;
        coordinator.start()?;
        status::wait(address, "led by a coordinator", START, |view| view.leads).await?;
        let file = home.join("stack.toml");
        std::fs::write(
            &file,
            STACK_FILE.replace("name = \"ess\"", &format!("name = \"{STACK}\"")),
        )
        .context("writing the stack file")?;
        let file = file.display().to_string();
        operator
            .must(&["stack", "apply", "--yes", &file], COMMAND)
            .await?;
        Ok(Self {
            nats,
            coordinator,
            directory,
            crowds: 0,
            scratch,
            _links: links,
        })
    }

    /// What the coordinator uses under so many agents.
    ///
    /// # Errors
    /// When something ends, or not every heartbeat was delivered to it.
    pub async fn measure(&mut self, agents: u32) -> Result<Load> {
        self.crowds += 1;
        let directory = self.scratch.path().join(format!("crowd-{}", self.crowds));
        let mut crowd = crowd(&directory, self.nats.client_address(SITE)?, agents)?;
        crowd.start()?;
        let pid = process_in(&self.directory)?;
        let server = process_in(self.nats.directory(SITE)?)?;
        tokio::time::sleep(WARM).await;
        let delivered_before = self.delivered().await?;
        let (before, server_before) = (Usage::of(pid)?, Usage::of(server)?);
        tokio::time::sleep(SPAN).await;
        let (after, server_after) = (Usage::of(pid)?, Usage::of(server)?);
        let delivered = self.delivered().await?.saturating_sub(delivered_before);
        self.coordinator.check_alive()?;
        crowd.check_alive()?;
        let log = std::fs::read_to_string(crowd.log()).unwrap_or_default();
        crowd.kill().await?;
        ensure!(log.is_empty(), "the agents: {log}");
        // The span of the two questions is a little longer than that of the measurement.
        let sent = u64::from(agents) * SPAN.as_secs();
        ensure!(
            delivered * 100 >= sent * 98,
            "of about {sent} heartbeats only {delivered} messages were delivered"
        );
        let slow = self.nats.monitoring(SITE, "/varz").await?;
        ensure!(
            slow.get("slow_consumers") == Some(&Value::from(0)),
            "nats-server had slow consumers"
        );
        Ok(Load {
            resident: after.resident,
            cores: after.cores_since(&before),
            server_cores: server_after.cores_since(&server_before),
        })
    }

    /// Messages that the server has delivered to the coordinator's connections.
    async fn delivered(&self) -> Result<u64> {
        let answer = self.nats.monitoring(SITE, "/connz").await?;
        let connections = answer
            .get("connections")
            .and_then(Value::as_array)
            .context("no connections")?;
        let of_coordinator = connections.iter().filter(|connection| {
            let name = connection
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            name.starts_with("pointsman-coordinator/")
        });
        Ok(of_coordinator
            .filter_map(|connection| connection.get("out_msgs")?.as_u64())
            .sum())
    }
}

fn coordinator(directory: &Path, nats: SocketAddr) -> Result<Service> {
    create_directory(&directory.join("state"), &Account::Caller, 0o700)?;
    let file = directory.join("coordinator.toml");
    let text = format!(
        "stack = \"{STACK}\"\nsite = \"{SITE}\"\nstate_dir = \"{}\"\n[nats]\nservers = [\"nats://{nats}\"]\n",
        directory.join("state").display()
    );
    std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    Ok(Service::new(Program {
        name: "coordinator".to_owned(),
        executable: program::path("pointsman-coordinator")?,
        arguments: vec!["--config".into(), file.into()],
        environment: Vec::new(),
        directory: directory.to_owned(),
        log: directory.join("coordinator.log"),
        account: Account::Caller,
        ground: Ground::LOOPBACK,
    }))
}

fn crowd(directory: &Path, nats: SocketAddr, agents: u32) -> Result<Service> {
    create_directory(directory, &Account::Caller, 0o700)?;
    let arguments = [
        "crowd",
        "--server",
        &format!("nats://{nats}"),
        "--agents",
        &agents.to_string(),
    ];
    Ok(Service::new(Program {
        name: "crowd".to_owned(),
        executable: program::path("bench")?,
        arguments: arguments.into_iter().map(Into::into).collect(),
        environment: Vec::new(),
        directory: directory.to_owned(),
        log: directory.join("crowd.log"),
        account: Account::Caller,
        ground: Ground::LOOPBACK,
    }))
}

/// Sends the heartbeats of so many agents, one a second each, until it is ended.
///
/// # Errors
/// When the server is not there, or a heartbeat could not be sent in its time.
pub async fn send(server: &str, agents: u32) -> Result<()> {
    let connections = (0..CONNECTIONS).map(|n| send_some(server, n, agents));
    try_join_all(connections).await.map(drop)
}

/// The heartbeats of every twentieth agent over one connection, spread over the second.
async fn send_some(server: &str, n: u32, agents: u32) -> Result<()> {
    let name = format!("crowd-{n}");
    let inbox = format!("_INBOX.{name}");
    let settings = Settings::new(name, vec![server.to_owned()], inbox);
    let connection = Connection::connect(settings, Manner::Command).await?;
    let stack = StackName::new(STACK)?;
    let mut senders = Vec::new();
    for agent in (n..agents).step_by(usize::try_from(CONNECTIONS)?) {
        let site = SITES
            .get(usize::try_from(agent)? % SITES.len())
            .context("no site")?;
        let node = NodeName::new(format!("n{agent}"))?;
        senders.push((
            agent,
            Subject::heartbeat(&stack, &SiteName::new(*site)?, &node),
        ));
    }
    let (started, headers) = (Instant::now(), Headers::new());
    for sequence in 1.. {
        for (agent, subject) in &senders {
            let within = Duration::from_secs(1) * *agent / agents;
            let due = started + Duration::from_secs(sequence - 1) + within;
            tokio::time::sleep_until(due.into()).await;
            let late = due.elapsed();
            if late > Duration::from_secs(1) {
                bail!(
                    "the heartbeat of agent {agent} is {late:?} late: this machine cannot send so many"
                );
            }
            let payload = encode(&heartbeat(*agent, sequence)?)?;
            let sent = connection.publish_raw(subject, payload, &headers).await?;
            ensure!(
                sent == Publication::Published,
                "the heartbeat of agent {agent} was dropped"
            );
        }
    }
    Ok(())
}

/// What a healthy standby's agent sends.
fn heartbeat(agent: u32, sequence: u64) -> Result<Heartbeat> {
    let identity = Uuid::from_u128(u128::from(agent) + 1);
    let peer = |site: &str, channel| {
        Ok::<_, anyhow::Error>(PeerSample {
            site: SiteName::new(site)?,
            channel,
            outcome: PeerOutcome::Answered,
            answered_ms: Some(Millis(120)),
        })
    };
    Ok(Heartbeat {
        process: ProcessId::new(identity),
        boot: BootId::new(identity),
        sequence,
        sent_at: UnixMillis(1_790_000_000_000 + sequence * 1_000),
        uptime_ms: Millis(sequence * 1_000),
        loop_lag_ms: Millis(1),
        epoch: Epoch(1),
        fitness: Fitness::Fit,
        version: "0.1.0".to_owned(),
        foreign_server: None,
        host: Some(HostSample {
            cpu_permille: 120,
            memory_available_mib: 61_204,
            memory_total_mib: 128_744,
            load_centi: 40,
            disk_free_mib: Some(812_345),
        }),
        database: Some(database(sequence)?),
        cluster: None,
        peers: vec![
            peer("dc1", PeerChannel::Postgres)?,
            peer("dc3", PeerChannel::Agent)?,
        ],
        running: None,
        lease: None,
        glass: None,
    })
}

fn database(sequence: u64) -> Result<DatabaseSample> {
    let position = Lsn(0x16_B374_D848 + sequence * 96);
    Ok(DatabaseSample {
        database: DatabaseName::new("main")?,
        age_ms: Millis(200),
        state: DatabaseState::Up,
        role: Some(DatabaseRole::Standby),
        system_identifier: Some(SystemIdentifier("7519862345678901234".to_owned())),
        timeline: Some(Timeline(1)),
        received_lsn: Some(position),
        replayed_lsn: Some(position),
        receiver: Some(ReceiverSample {
            status: ReceiverStatus::Streaming,
            message_age_ms: Some(Millis(300)),
            sender: Some("db.dc1.example.org:5432".to_owned()),
        }),
        senders: Vec::new(),
        lag_bytes: Some(LagBytes(0)),
        lag_ms: Some(Millis(300)),
        obstacles: Vec::new(),
        application: None,
        sync: None,
    })
}
