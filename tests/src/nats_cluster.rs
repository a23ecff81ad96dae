//! One nats-server per site, together one `JetStream` cluster.
//!
//! Every route goes through the relays of [`Links`], so that cutting a link cuts the route. It
//! decides the servers' settings and when the cluster is ready; it must never make streams.

mod settings;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::account::Account;
use crate::ground::Ground;
use crate::nats_wire::Wire;
use crate::process::{Process, Program};
use crate::relay::Links;
use crate::scratch::create_directory;
use settings::{Ports, Route, Settings};

/// A port on which nobody listens.
const NOBODY: u16 = 6221;
const POLL: Duration = Duration::from_millis(50);
const ANSWER: Duration = Duration::from_secs(1);
const STOP: Duration = Duration::from_secs(10);

/// The servers of all sites.
#[derive(Debug)]
pub struct NatsCluster {
    binary: PathBuf,
    servers: BTreeMap<String, Server>,
}

#[derive(Debug)]
struct Server {
    name: String,
    directory: PathBuf,
    ground: Ground,
    ports: Ports,
    process: Option<Process>,
    frozen: bool,
}

impl NatsCluster {
    /// Writes the settings of one server for each of `sites` below `directory`; starts none.
    ///
    /// # Errors
    /// When nats-server is not installed, no port is free, or a file cannot be written.
    pub async fn configure(directory: &Path, sites: &[&str], links: &Links) -> Result<Self> {
        let binary = binary()?;
        let mut ports = BTreeMap::new();
        for site in sites {
            let ground = links.ground(site);
            ports.insert((*site).to_owned(), (Ports::reserve(&ground)?, ground));
        }
        let mut servers = BTreeMap::new();
        for (site, (own, ground)) in &ports {
            let mut routes = Vec::new();
            for (peer, (theirs, _)) in ports.iter().filter(|(peer, _)| *peer != site) {
                let through = links.forward(site, peer, theirs.route).await?;
                routes.push(Route { through });
            }
            let home = directory.join(format!("nats-{site}"));
            create_directory(&home, &Account::Caller, 0o755)?;
            // Nobody listens there: peers that are told of this server by gossip must fail to reach
            // it around the relays.
            let advertised = ground.door(NOBODY)?;
            let settings = Settings {
                site,
                ports: *own,
                routes,
                advertised,
                home: &home,
            };
            std::fs::write(home.join("server.conf"), settings.to_string())
                .with_context(|| format!("writing the settings of {site}"))?;
            let name = format!("nats-{site}");
            let server = Server {
                name,
                directory: home,
                ground: ground.clone(),
                ports: *own,
                process: None,
                frozen: false,
            };
            servers.insert(site.clone(), server);
        }
        Ok(Self { binary, servers })
    }

    /// Starts every server that is not running.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn start_all(&mut self) -> Result<()> {
        let sites: Vec<String> = self.servers.keys().cloned().collect();
        sites.iter().try_for_each(|site| self.start(site))
    }

    /// Starts the server of `site`, on the disk it had before.
    ///
    /// # Errors
    /// When it is running already or cannot be started.
    pub fn start(&mut self, site: &str) -> Result<()> {
        let executable = self.binary.clone();
        let server = self.server_mut(site)?;
        ensure!(server.process.is_none(), "{} is running", server.name);
        server.process = Some(Process::spawn(&Program {
            name: server.name.clone(),
            executable,
            arguments: vec!["-c".into(), server.directory.join("server.conf").into()],
            environment: Vec::new(),
            directory: server.directory.clone(),
            log: server.directory.join("server.log"),
            account: Account::Caller,
            ground: server.ground.clone(),
        })?);
        Ok(())
    }

    /// Stops the server of `site` in an orderly way; it hands over its leaderships first.
    ///
    /// # Errors
    /// When it is not running or survives.
    pub async fn stop(&mut self, site: &str) -> Result<()> {
        let mut process = self.take(site)?;
        process.terminate(STOP).await
    }

    /// Kills the server of `site`.
    ///
    /// # Errors
    /// When it is not running or survives.
    pub async fn kill(&mut self, site: &str) -> Result<()> {
        self.take(site)?.kill().await
    }

    /// Freezes the server of `site`: its connections stay open and silent.
    ///
    /// # Errors
    /// When it is not running or runs on.
    pub async fn freeze(&mut self, site: &str) -> Result<()> {
        self.running(site)?.freeze().await?;
        self.server_mut(site)?.frozen = true;
        Ok(())
    }

    /// Lets the frozen server of `site` run again.
    ///
    /// # Errors
    /// When it is not running.
    pub fn thaw(&mut self, site: &str) -> Result<()> {
        self.running(site)?.thaw();
        self.server_mut(site)?.frozen = false;
        Ok(())
    }

    /// Whether the server of `site` was started and not killed here.
    pub fn is_started(&self, site: &str) -> bool {
        let server = self.servers.get(site);
        server.is_some_and(|server| server.process.is_some())
    }

    /// Whether the server of `site` was started and neither killed nor frozen here.
    pub fn is_up(&self, site: &str) -> bool {
        let server = self.servers.get(site);
        server.is_some_and(|server| server.process.is_some() && !server.frozen)
    }

    /// Waits until every running server has routes to all other running ones, agrees on a meta
    /// leader and answers for `JetStream`.
    ///
    /// # Errors
    /// When that is not so `within`; says what was missing last.
    pub async fn wait_ready(&self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            match self.ready().await {
                Ok(()) => return Ok(()),
                Err(missing) if Instant::now() > deadline => {
                    return Err(missing.context(format!("not ready after {within:?}")));
                }
                Err(_) => sleep(POLL).await,
            }
        }
    }

    /// Names of the servers that the one of `site` has a route to.
    ///
    /// # Errors
    /// When its monitoring does not answer.
    pub async fn routes(&self, site: &str) -> Result<Vec<String>> {
        let answer = self.monitoring(site, "/routez").await?;
        let mut names: Vec<String> = answer
            .get("routes")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|route| Some(route.get("remote_name")?.as_str()?.to_owned()))
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Asks the monitoring port of `site`, such as `/varz`, for JSON.
    ///
    /// # Errors
    /// When it does not answer with JSON in a second.
    pub async fn monitoring(&self, site: &str, path: &str) -> Result<Value> {
        let address = self.server(site)?.ports.monitor;
        timeout(ANSWER, fetch(address, path))
            .await
            .context("monitoring is silent")?
    }

    /// Where clients of `site` connect.
    ///
    /// # Errors
    /// When the site is unknown.
    pub fn client_address(&self, site: &str) -> Result<SocketAddr> {
        Ok(self.server(site)?.ports.client)
    }

    /// The same as a NATS address.
    ///
    /// # Errors
    /// When the site is unknown.
    pub fn client_url(&self, site: &str) -> Result<String> {
        Ok(format!("nats://{}", self.client_address(site)?))
    }

    /// Where the monitoring of `site` answers.
    ///
    /// # Errors
    /// When the site is unknown.
    pub fn monitor_address(&self, site: &str) -> Result<SocketAddr> {
        Ok(self.server(site)?.ports.monitor)
    }

    /// The directory of the server of `site`, with its `server.log` and `server.conf`.
    ///
    /// # Errors
    /// When the site is unknown.
    pub fn directory(&self, site: &str) -> Result<&Path> {
        Ok(&self.server(site)?.directory)
    }

    async fn ready(&self) -> Result<()> {
        let running: Vec<&String> = self
            .servers
            .iter()
            .filter(|(_, it)| it.process.is_some())
            .map(|(site, _)| site)
            .collect();
        let mut leaders = Vec::new();
        for site in &running {
            let routes = self.routes(site).await?;
            ensure!(
                routes.len() + 1 >= running.len(),
                "{site} has routes to {routes:?} only"
            );
            let meta = self.monitoring(site, "/jsz").await?;
            let leader = meta.pointer("/meta_cluster/leader").and_then(Value::as_str);
            leaders.push(
                leader
                    .filter(|name| !name.is_empty())
                    .context("no meta leader")?
                    .to_owned(),
            );
            let health = self.monitoring(site, "/healthz").await?;
            ensure!(
                health.get("status") == Some(&Value::from("ok")),
                "{site} says {health}"
            );
        }
        leaders.dedup();
        ensure!(leaders.len() == 1, "meta leaders {leaders:?}");
        for site in &running {
            let mut wire = Wire::connect(self.client_address(site)?, ANSWER).await?;
            wire.jetstream("INFO", &Value::Null, ANSWER).await?;
        }
        Ok(())
    }

    fn take(&mut self, site: &str) -> Result<Process> {
        let server = self.server_mut(site)?;
        server.frozen = false;
        server
            .process
            .take()
            .with_context(|| format!("nats-{site} is not running"))
    }

    fn running(&self, site: &str) -> Result<&Process> {
        let server = self.server(site)?;
        server
            .process
            .as_ref()
            .with_context(|| format!("nats-{site} is not running"))
    }

    fn server(&self, site: &str) -> Result<&Server> {
        self.servers
            .get(site)
            .with_context(|| format!("no nats-server at {site}"))
    }

    fn server_mut(&mut self, site: &str) -> Result<&mut Server> {
        self.servers
            .get_mut(site)
            .with_context(|| format!("no nats-server at {site}"))
    }
}

/// `POINTSMAN_NATS_SERVER`, else on `PATH`, else where the set-up puts it.
fn binary() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("POINTSMAN_NATS_SERVER") {
        return Ok(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let cache = std::env::var_os("POINTSMAN_CACHE")
        .map_or_else(|| home.join(".cache/pointsman"), PathBuf::from);
    let found = std::env::split_paths(&path)
        .chain([cache.join("bin")])
        .map(|directory| directory.join("nats-server"))
        .find(|candidate| candidate.is_file());
    match found {
        Some(found) => Ok(found),
        None => bail!(
            "nats-server is neither on PATH nor in {}",
            cache.join("bin").display()
        ),
    }
}

async fn fetch(address: SocketAddr, path: &str) -> Result<Value> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())
        .await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    let (_, body) = text.split_once("\r\n\r\n").context("not an HTTP answer")?;
    serde_json::from_str(body).with_context(|| format!("{path} is not JSON"))
}
