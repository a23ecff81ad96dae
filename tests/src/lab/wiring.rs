//! Every address of the lab, and the ways by which one site reaches another.
//!
//! A program of a site reaches its own site directly and every other site over the links, so that a cut
//! link is cut for everything. The lab itself reaches every site past them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result};

use super::{CLUSTERED, SITES};
use crate::relay::Links;

/// What is reached in a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Door {
    /// Its NATS server.
    Nats,
    /// Its database.
    Postgres,
    /// The responder of its database agent.
    Agent,
    /// Its Kubernetes API.
    Kubernetes,
}

/// The addresses.
#[derive(Debug, Default)]
pub struct Wiring {
    own: BTreeMap<(String, Door), SocketAddr>,
    relayed: BTreeMap<(String, String, Door), SocketAddr>,
    taps: BTreeMap<String, SocketAddr>,
}

impl Wiring {
    /// Chooses the doors of the responder of each site's database agent and each site's Kubernetes API.
    ///
    /// # Errors
    /// When no port is free.
    pub fn reserve(links: &Links) -> Result<Self> {
        let mut wiring = Self::default();
        for site in SITES {
            wiring.place(site, Door::Agent, links.ground(site).door(7443)?);
        }
        for site in CLUSTERED {
            wiring.place(site, Door::Kubernetes, links.ground(site).door(6443)?);
        }
        Ok(wiring)
    }

    /// Says where a door of a site is.
    pub fn place(&mut self, site: &str, door: Door, address: SocketAddr) {
        self.own.insert((site.to_owned(), door), address);
    }

    /// Opens the relays from every other site to a door that was placed.
    ///
    /// # Errors
    /// When it was not placed or no port is free.
    pub async fn open(&mut self, links: &Links, to: &str, door: Door) -> Result<()> {
        let target = self.own(to, door)?;
        for from in SITES.iter().filter(|from| **from != to) {
            let relay = links.forward(from, to, target).await?;
            self.relayed
                .insert(((*from).to_owned(), to.to_owned(), door), relay);
        }
        Ok(())
    }

    /// Where a door of a site is, for that site itself and for whoever stands outside all sites.
    ///
    /// # Errors
    /// When it was not placed.
    pub fn own(&self, site: &str, door: Door) -> Result<SocketAddr> {
        let key = (site.to_owned(), door);
        self.own
            .get(&key)
            .copied()
            .with_context(|| format!("{site} has no {door:?}"))
    }

    /// Where `from` reaches a door of `to`.
    ///
    /// # Errors
    /// When it was not placed or no relay leads there.
    pub fn reach(&self, from: &str, to: &str, door: Door) -> Result<SocketAddr> {
        if from == to {
            return self.own(to, door);
        }
        let key = (from.to_owned(), to.to_owned(), door);
        self.relayed
            .get(&key)
            .copied()
            .with_context(|| format!("{from} has no way to {door:?} of {to}"))
    }

    /// Says that a program reaches NATS by a tap and by nothing else.
    pub fn tap(&mut self, program: &str, address: SocketAddr) {
        self.taps.insert(program.to_owned(), address);
    }

    /// The NATS servers as a program of a site reaches them, its own site's first, each in quotes and with
    /// commas between.
    ///
    /// # Errors
    /// As [`Wiring::reach`].
    pub fn nats_servers(&self, program: &str, from: &str) -> Result<String> {
        if let Some(tap) = self.taps.get(program) {
            return Ok(format!("\"nats://{tap}\""));
        }
        let own = std::iter::once(from);
        let others = SITES.iter().copied().filter(|site| *site != from);
        let urls: Result<Vec<String>> = own
            .chain(others)
            .map(|site| {
                Ok(format!(
                    "\"nats://{}\"",
                    self.reach(from, site, Door::Nats)?
                ))
            })
            .collect();
        Ok(urls?.join(", "))
    }
}
