//! The configuration file of one nats-server.

use std::fmt::{Display, Formatter};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use crate::ground::Ground;

/// The doors of one server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) client: SocketAddr,
    pub(super) monitor: SocketAddr,
    pub(super) route: SocketAddr,
}

impl Ports {
    pub(super) fn reserve(ground: &Ground) -> Result<Self> {
        Ok(Self {
            client: ground.door(4222)?,
            monitor: ground.door(8222)?,
            route: ground.door(6222)?,
        })
    }
}

/// A relay that leads to the route port of a peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    pub(super) through: SocketAddr,
}

/// Everything that differs between the servers.
#[derive(Debug)]
pub(super) struct Settings<'a> {
    pub(super) site: &'a str,
    pub(super) ports: Ports,
    pub(super) routes: Vec<Route>,
    pub(super) advertised: SocketAddr,
    pub(super) home: &'a Path,
}

impl Display for Settings<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { site, ports, .. } = self;
        let store = self.home.join("store");
        let routes: Vec<String> = self
            .routes
            .iter()
            .map(|route| format!("\"nats-route://{}\"", route.through))
            .collect();
        writeln!(out, "server_name: \"nats-{site}\"")?;
        writeln!(out, "server_tags: [\"dc:{site}\"]")?;
        writeln!(out, "listen: \"{}\"", ports.client)?;
        writeln!(out, "http: \"{}\"", ports.monitor)?;
        writeln!(out, "max_payload: 1MB")?;
        writeln!(out, "ping_interval: \"2s\"")?;
        writeln!(out, "ping_max: 2")?;
        writeln!(out, "write_deadline: \"5s\"")?;
        writeln!(out, "jetstream {{")?;
        writeln!(out, "  store_dir: \"{}\"", store.display())?;
        writeln!(out, "  sync_interval: always")?;
        writeln!(out, "  unique_tag: \"dc:\"")?;
        writeln!(out, "  max_memory_store: 64MB")?;
        writeln!(out, "  max_file_store: 1GB")?;
        writeln!(out, "}}")?;
        writeln!(out, "cluster {{")?;
        writeln!(out, "  name: \"pointsman\"")?;
        writeln!(out, "  listen: \"{}\"", ports.route)?;
        writeln!(out, "  advertise: \"{}\"", self.advertised)?;
        writeln!(out, "  no_advertise: true")?;
        writeln!(out, "  pool_size: 1")?;
        writeln!(out, "  ping_interval: \"1s\"")?;
        writeln!(out, "  routes: [{}]", routes.join(", "))?;
        writeln!(out, "}}")
    }
}
