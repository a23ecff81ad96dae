//! How a site is taken away, and how it comes back.
//!
//! The witness is the site farthest away, and a dying site is cut off from it a moment before it dies: so
//! the standby that may be promoted has everything that the witness's replica has. Were it the other way
//! round, that replica would need a rewind, which a plan names and does not do.

use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::future::try_join_all;
use tokio::time::{sleep, timeout};

use super::database_node;
use super::service::Service;
use super::world::Lab;
use crate::relay::Flow;

/// The site farthest from all others.
const FAR: &str = "dc3";
const CUT_BEFORE: Duration = Duration::from_millis(30);

/// How long the start gate of a returning database waits for the store.
const GATE_WAIT: &str = "20s";
const GATE: Duration = Duration::from_mins(1);

/// How a site is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// All its processes are killed: connections are refused.
    Kill,
    /// All its processes are stopped and its links are cut: connections go silent.
    Freeze,
}

impl Loss {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Freeze => "freeze",
        }
    }
}

impl FromStr for Loss {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "kill" => Ok(Self::Kill),
            "freeze" => Ok(Self::Freeze),
            other => bail!("found {other:?}; allowed: kill | freeze"),
        }
    }
}

impl Lab {
    /// Takes a site away, and says when that began.
    ///
    /// # Errors
    /// When something of it survives.
    pub async fn lose(&mut self, site: &str, loss: Loss) -> Result<Instant> {
        let began = Instant::now();
        if site != FAR {
            self.links.set(site, FAR, Flow::Silent).await?;
            sleep(CUT_BEFORE).await;
        }
        match loss {
            Loss::Kill => {
                self.kill_all(site).await?;
                // What was still under way to the far site is gone with the site.
                if site != FAR {
                    self.links.end_connections(site, FAR).await?;
                }
            }
            Loss::Freeze => {
                self.links.isolate(site).await?;
                self.freeze_all(site).await?;
            }
        }
        Ok(began)
    }

    /// Brings a frozen site back as it was.
    ///
    /// # Errors
    /// When the site is unknown.
    pub async fn thaw(&mut self, site: &str) -> Result<()> {
        self.nats.thaw(site)?;
        self.database(site)?.thaw();
        for service in self.services_of(site) {
            service.thaw();
        }
        self.links.rejoin(site).await
    }

    /// Brings a lost site back: what is frozen thaws; what was killed is started again as an init system
    /// would, the database behind its start gate. What the gate said, when it kept the database down.
    ///
    /// # Errors
    /// When the site is unknown or a program cannot be started.
    pub async fn return_site(&mut self, site: &str) -> Result<Option<String>> {
        if self.nats.is_started(site) {
            return self.thaw(site).await.map(|()| None);
        }
        self.links.rejoin(site).await?;
        self.nats.start(site)?;
        for service in self.services_of(site) {
            service.start()?;
        }
        if let Some(reason) = self.start_gate(site).await? {
            return Ok(Some(reason));
        }
        let database = self.databases.get_mut(site);
        let database = database.with_context(|| format!("no database in {site}"))?;
        database.launch().map(|()| None)
    }

    /// Asks as `ExecStartPre` of the database's service does; the reason when it may not be started.
    async fn start_gate(&self, site: &str) -> Result<Option<String>> {
        let node = database_node(site);
        let agent = self.agents.get(&node).context("no such agent")?;
        let mut command = self.links.ground(site).command(agent.executable());
        command.args(["start-gate", "--wait", GATE_WAIT, "--config"]);
        command.arg(agent.directory().join("agent.toml"));
        let said = timeout(GATE, command.kill_on_drop(true).output())
            .await
            .context("the start gate hangs")?
            .context("starting the start gate")?;
        let reason = String::from_utf8_lossy(&said.stderr).trim().to_owned();
        Ok((!said.status.success()).then_some(reason))
    }

    /// The agents, coordinator and cluster of a site.
    pub fn services_of(&mut self, site: &str) -> Vec<&mut Service> {
        let prefix = format!("{site}-");
        let agents = self
            .agents
            .iter_mut()
            .filter(|(node, _)| node.starts_with(&prefix));
        let coordinators = self
            .coordinators
            .iter_mut()
            .filter(|(name, _)| *name == site);
        let clusters = self.clusters.iter_mut().filter(|(name, _)| *name == site);
        agents
            .map(|(_, service)| service)
            .chain(coordinators.map(|(_, service)| service))
            .chain(clusters.map(|(_, cluster)| &mut cluster.service))
            .collect()
    }

    async fn kill_all(&mut self, site: &str) -> Result<()> {
        let Self {
            agents,
            coordinators,
            clusters,
            databases,
            nats,
            ..
        } = self;
        let prefix = format!("{site}-");
        let database = databases
            .get_mut(site)
            .with_context(|| format!("no database in {site}"))?;
        let agents = agents
            .iter_mut()
            .filter(|(node, _)| node.starts_with(&prefix));
        let coordinators = coordinators.iter_mut().filter(|(name, _)| *name == site);
        let clusters = clusters.iter_mut().filter(|(name, _)| *name == site);
        let services = agents
            .map(|(_, service)| service)
            .chain(coordinators.map(|(_, service)| service))
            .chain(clusters.map(|(_, cluster)| &mut cluster.service));
        let services = try_join_all(services.map(Service::kill));
        // The first signals go out in this order: whoever would complain of the others goes first.
        tokio::try_join!(services, database.kill(), nats.kill(site)).map(drop)
    }

    /// Stops every process of a site with a signal; its links stay as they are.
    ///
    /// # Errors
    /// When something runs on.
    pub async fn freeze_all(&mut self, site: &str) -> Result<()> {
        self.database(site)?.freeze().await?;
        self.nats.freeze(site).await?;
        for service in self.services_of(site) {
            service.freeze().await?;
        }
        Ok(())
    }
}
