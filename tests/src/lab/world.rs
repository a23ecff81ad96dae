//! Everything of the lab that runs, from an empty directory to three sites that watch each other.
//!
//! It decides what is started, in which order, and with which files. It must never leave anything running
//! or lying about when it is dropped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::agent_file::{self, DatabaseSide};
use super::cluster::Cluster;
use super::coordinator_file::{self, Lead};
use super::disk::SmallDisk;
use super::false_clock::FalseClock;
use super::glass::SigningKey;
use super::narrative::Narrative;
use super::operator::Operator;
use super::program;
use super::service::Service;
use super::stack_file::{self, PolicyLines};
use super::status;
use super::substrate::{databases, links, small_disks, switch_route};
use super::tap::Tap;
use super::wiring::{Door, Wiring};
use super::{CLUSTERED, SITES, cluster_node, database_node};
use crate::account::Account;
use crate::nats_cluster::NatsCluster;
use crate::postgres::{AGENT, Postgres};
use crate::process::Program;
use crate::relay::Links;
use crate::scratch::{Scratch, create_directory};
use crate::writer::RouteFile;

const START: Duration = Duration::from_mins(1);
const AGAIN: Duration = Duration::from_millis(300);
/// How `pointsman provision` ends a line when there was nothing to do.
const AS_IT_SHOULD_BE: &str = "there, as it should be";
const COMMAND: Duration = Duration::from_secs(20);
/// Time in which a fresh stack must become protected, silence after the start included.
const PROTECTED: Duration = Duration::from_mins(2);

/// What may differ between two labs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setup {
    /// Rules of the stack file that differ from the usual ones.
    pub policy: PolicyLines,
    /// How the coordinators lead.
    pub lead: Lead,
    /// Whether there is a tap between every agent and coordinator and its NATS server.
    pub tapped: bool,
    /// Programs whose files lie on a small disk of their own, such as `nats-dc1` or `agent-dc2-db`.
    pub small_disks: Vec<String>,
    /// Programs whose wall clock may be set wrong, such as `coordinator-dc3`.
    pub false_clocks: Vec<String>,
    /// Whether leaders sign plans for break glass, and agents keep them.
    pub keeps_plans: bool,
}

impl Setup {
    /// Whether a database that cannot renew its site's right stops itself.
    pub fn fences_itself(&self) -> bool {
        let mut rules = self.policy.iter();
        rules.any(|(key, value)| key == SELF_FENCE && value != "off")
    }

    /// Whether commits of the live site wait for the standby of the site that would take over.
    pub fn is_synchronous(&self) -> bool {
        let mut rules = self.policy.iter();
        rules.any(|(key, value)| key == REPLICATION && value == "synchronous")
    }
}

/// The rule by which a database stops itself.
pub const SELF_FENCE: &str = "lease.self_fence";
/// The rule that says whether commits wait for the standby.
pub const REPLICATION: &str = "replication";

/// The running lab. Dropping it ends all of it and removes its directory.
#[derive(Debug)]
pub struct Lab {
    /// Agents by their node names.
    pub agents: BTreeMap<String, Service>,
    /// Coordinators by their sites.
    pub coordinators: BTreeMap<String, Service>,
    /// Kubernetes stand-ins by their sites.
    pub clusters: BTreeMap<String, Cluster>,
    /// Databases by their sites.
    pub databases: BTreeMap<String, Postgres>,
    /// The NATS servers.
    pub nats: NatsCluster,
    /// The links between the sites.
    pub links: Links,
    /// Taps by the names of the programs, where the lab has any.
    pub taps: BTreeMap<String, Tap>,
    /// Every address.
    pub wiring: Wiring,
    /// Where the client looks for the live database.
    pub route: RouteFile,
    /// The operator's command line.
    pub operator: Operator,
    /// Small disks by the names of the programs that write to them.
    pub disks: BTreeMap<String, SmallDisk>,
    /// Clocks by the names of the programs that look at them.
    pub clocks: BTreeMap<String, FalseClock>,
    pub(super) stack_file: PathBuf,
    scratch: Scratch,
}

impl Lab {
    /// Starts everything, puts the stack in force and waits until a failover would work.
    ///
    /// # Errors
    /// When a program is missing, does not start, or the stack does not become protected.
    pub async fn start(setup: &Setup, narrative: &Narrative) -> Result<Self> {
        let mut lab = Self::substrate(setup, narrative).await?;
        if setup.tapped {
            lab.open_taps().await?;
        }
        lab.write_files(setup)?;
        narrative.say("starting agents and coordinators");
        for cluster in lab.clusters.values_mut() {
            cluster.service.start()?;
        }
        for cluster in lab.clusters.values_mut() {
            cluster.wait_ready(START).await?;
        }
        lab.provision(narrative).await?;
        for service in lab.agents.values_mut().chain(lab.coordinators.values_mut()) {
            service.start()?;
        }
        let watcher = lab.watcher()?;
        status::wait(watcher, "led by a coordinator", START, |view| view.leads).await?;
        let file = lab.stack_file.display().to_string();
        let apply = ["stack", "apply", "--yes", &file];
        narrative.show(&lab.operator.must(&apply, COMMAND).await?);
        narrative.say("waiting until the stack is protected");
        lab.wait_protected(PROTECTED).await?;
        Ok(lab)
    }

    /// Waits until the leader watches the live site, finds nothing amiss, and could move the stack.
    ///
    /// # Errors
    /// When that is not so `within`, or a program has ended by itself.
    pub async fn wait_protected(&mut self, within: Duration) -> Result<()> {
        let watcher = self.watcher()?;
        let waited = status::wait(watcher, "protected", within, status::is_protected).await;
        self.check_alive()?;
        waited.map(drop)
    }

    /// Fails when a program has ended by itself.
    ///
    /// # Errors
    /// The first such program with the end of its log.
    pub fn check_alive(&mut self) -> Result<()> {
        let services = self
            .agents
            .values_mut()
            .chain(self.coordinators.values_mut());
        services.into_iter().try_for_each(Service::check_alive)
    }

    /// Where the lab looks at the bus: the server of the witness site, or the next one while that is down.
    ///
    /// # Errors
    /// When the wiring has no such server.
    pub fn watcher(&self) -> Result<SocketAddr> {
        let mut sites = SITES.iter().rev();
        let site = sites.find(|site| self.nats.is_up(site));
        self.wiring.own(site.unwrap_or(&"dc3"), Door::Nats)
    }

    /// Where the lab listens to the bus: every site's server.
    ///
    /// # Errors
    /// When the wiring has no such server.
    pub fn ears(&self) -> Result<Vec<SocketAddr>> {
        let sites = SITES.iter().rev();
        sites
            .map(|site| self.wiring.own(site, Door::Nats))
            .collect()
    }

    /// The database of a site.
    ///
    /// # Errors
    /// When there is none.
    pub fn database(&self, site: &str) -> Result<&Postgres> {
        self.databases
            .get(site)
            .with_context(|| format!("no database in {site}"))
    }

    /// The cluster of a site.
    ///
    /// # Errors
    /// When there is none.
    pub fn cluster(&self, site: &str) -> Result<&Cluster> {
        self.clusters
            .get(site)
            .with_context(|| format!("no cluster in {site}"))
    }

    /// The names and logs of all agents and coordinators.
    pub fn logs(&self) -> Vec<(String, PathBuf)> {
        let services = self.agents.values().chain(self.coordinators.values());
        services
            .map(|service| (service.name().to_owned(), service.log().to_owned()))
            .collect()
    }

    /// Kills an agent or a coordinator by its program's name, and starts it again at once.
    ///
    /// # Errors
    /// When there is none of this name.
    pub async fn restart(&mut self, program: &str) -> Result<()> {
        let services = self
            .agents
            .values_mut()
            .chain(self.coordinators.values_mut());
        let service = services
            .into_iter()
            .find(|service| service.name() == program);
        let service = service.with_context(|| format!("no program {program}"))?;
        service.kill().await?;
        if let Some(tap) = self.taps.get(program) {
            tap.go_on();
        }
        service.start()
    }

    /// The lab's directory.
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// The stack file that was put in force.
    pub fn stack_file(&self) -> &Path {
        &self.stack_file
    }

    /// Makes the store until nothing is left to be made or moved: the servers of a young cluster may not yet
    /// count each other as there, and a store whose leader was just moved does not answer at once.
    pub(super) async fn provision(&self, narrative: &Narrative) -> Result<()> {
        let deadline = Instant::now() + START;
        let provision = ["provision", "--preferred-server", "nats-dc3"];
        loop {
            let made = self.operator.must(&provision, COMMAND).await;
            match &made {
                Ok(said) if said.lines().all(|line| line.ends_with(AS_IT_SHOULD_BE)) => {
                    return Ok(());
                }
                Ok(said) => narrative.show(said),
                Err(_) => {}
            }
            if Instant::now() > deadline {
                made?;
                anyhow::bail!("the store is not as it should be after {START:?}");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn substrate(setup: &Setup, narrative: &Narrative) -> Result<Self> {
        let scratch = Scratch::new()?;
        let home = scratch.path().to_owned();
        let disks = small_disks(&home, &setup.small_disks)?;
        let links = links(narrative).await?;
        let mut wiring = Wiring::reserve(&links)?;
        narrative.say(format!("everything is kept in {}", home.display()));
        narrative.say("starting a NATS server for each site, one cluster");
        let mut nats = NatsCluster::configure(&home, &SITES, &links).await?;
        nats.start_all()?;
        narrative.say("starting PostgreSQL: the primary in dc1, standbys in dc2 and dc3");
        let (ready, databases) = tokio::join!(
            nats.wait_ready(START),
            databases(&home, &links, &mut wiring)
        );
        ready.context("the NATS cluster")?;
        let databases = databases.context("PostgreSQL")?;
        if setup.is_synchronous() {
            let [first, second, ..] = SITES;
            let primary = databases.get(first).context("no primary")?;
            let names = format!("FIRST 1 ({second})");
            primary.wait_for_standbys(&names).await?;
            narrative.say(format!(
                "commits in {first} wait for the standby in {second}"
            ));
        }
        for site in SITES {
            wiring.place(site, Door::Nats, nats.client_address(site)?);
            wiring.open(&links, site, Door::Nats).await?;
            wiring.open(&links, site, Door::Agent).await?;
        }
        let mut clusters = BTreeMap::new();
        for site in CLUSTERED {
            let address = wiring.own(site, Door::Kubernetes)?;
            let directory = home.join(format!("kubernetes-{site}"));
            let place = (site, &links.ground(site));
            let cluster = Cluster::prepare(&directory, place, address, site == "dc1")?;
            wiring.open(&links, site, Door::Kubernetes).await?;
            clusters.insert(site.to_owned(), cluster);
        }
        let servers = [
            wiring.own("dc3", Door::Nats)?,
            wiring.own("dc2", Door::Nats)?,
        ];
        Ok(Self {
            agents: BTreeMap::new(),
            coordinators: BTreeMap::new(),
            clusters,
            databases,
            nats,
            links,
            taps: BTreeMap::new(),
            wiring,
            route: RouteFile::new(home.join("route")),
            operator: Operator::new(&servers)?,
            disks,
            clocks: BTreeMap::new(),
            stack_file: home.join("stack.toml"),
            scratch,
        })
    }

    async fn open_taps(&mut self) -> Result<()> {
        for site in SITES {
            let server = self.wiring.own(site, Door::Nats)?;
            let mut programs = vec![
                format!("coordinator-{site}"),
                format!("agent-{}", database_node(site)),
            ];
            if CLUSTERED.contains(&site) {
                programs.push(format!("agent-{}", cluster_node(site)));
            }
            for program in programs {
                let tap = Tap::open(self.links.outside(), server).await?;
                self.wiring.tap(&program, tap.address());
                self.taps.insert(program, tap);
            }
        }
        Ok(())
    }

    fn write_files(&mut self, setup: &Setup) -> Result<()> {
        let home = self.scratch.path().to_owned();
        std::fs::write(
            &self.stack_file,
            stack_file::text(&self.wiring, &setup.policy)?,
        )
        .context("writing the stack file")?;
        let switch_route = switch_route(&home, &self.wiring, &self.route)?;
        let key = setup.keeps_plans.then(|| SigningKey::make(&home));
        let key = key.transpose()?;
        let of_agents = key.as_ref().map_or_else(String::new, SigningKey::for_agent);
        let of_coordinators = key
            .as_ref()
            .map_or_else(String::new, SigningKey::for_coordinator);
        for site in SITES {
            let database = self.database(site)?;
            let side = DatabaseSide {
                pgdata: &database.data(),
                bin_dir: database.installation().binaries(),
                user: AGENT,
                socket: database.socket(),
                deadman: setup.fences_itself() && database.socket().is_some(),
                switch_route: &switch_route,
            };
            let node = database_node(site);
            let directory = home.join(format!("agent-{node}"));
            let text =
                agent_file::beside_database(&self.wiring, site, &directory.join("state"), &side)?
                    + &of_agents;
            let agent = self.prepare(setup, ("agent", &node, site), (&directory, &text))?;
            self.agents.insert(node, agent);
        }
        for site in CLUSTERED {
            let node = cluster_node(site);
            let directory = home.join(format!("agent-{node}"));
            let kubeconfig = self.cluster(site)?.kubeconfig();
            let text = agent_file::beside_cluster(
                &self.wiring,
                site,
                &directory.join("state"),
                kubeconfig,
            )? + &of_agents;
            let agent = self.prepare(setup, ("agent", &node, site), (&directory, &text))?;
            self.agents.insert(node, agent);
        }
        for site in SITES {
            let directory = home.join(format!("coordinator-{site}"));
            let text =
                coordinator_file::text(&self.wiring, site, &directory.join("state"), &setup.lead)?
                    + &of_coordinators;
            let names = ("coordinator", site, site);
            let coordinator = self.prepare(setup, names, (&directory, &text))?;
            self.coordinators.insert(site.to_owned(), coordinator);
        }
        Ok(())
    }

    /// An agent or coordinator with its file written, not started.
    fn prepare(
        &mut self,
        setup: &Setup,
        (kind, name, site): (&str, &str, &str),
        (directory, text): (&Path, &str),
    ) -> Result<Service> {
        create_directory(&directory.join("state"), &Account::Caller, 0o700)?;
        let file = directory.join(format!("{kind}.toml"));
        std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        let name = format!("{kind}-{name}");
        let mut environment = Vec::new();
        if setup.false_clocks.contains(&name) {
            let clock = FalseClock::right(directory)?;
            environment = clock.environment()?;
            self.clocks.insert(name.clone(), clock);
        }
        Ok(Service::new(Program {
            name,
            executable: program::path(&format!("pointsman-{kind}"))?,
            arguments: vec!["--config".into(), file.into()],
            environment,
            directory: directory.to_owned(),
            log: directory.join(format!("{kind}.log")),
            account: Account::Caller,
            ground: self.links.ground(site),
        }))
    }
}
