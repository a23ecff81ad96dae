//! Links between sites that can be cut, slowed and refused, each direction by itself.
//!
//! There are two kinds. [`Links::in_namespaces`] gives each site a network namespace and carries its
//! *packets* to the others: a cut, a one-way cut, loss and delay are then what a host sees of a wide-area
//! network, retransmissions and all, and loss of acknowledgements counts. It takes root.
//!
//! [`Links::between`] needs no right: all sites share loopback, and every *connection* from one site to
//! another goes through a relay. The condition belongs to a direction (bytes from one site to another),
//! whichever side opened the connection. What a process can notice then:
//!
//! - [`Flow::Silent`]: bytes under way stall and arrive after healing, as TCP would retransmit them.
//!   New connections hang without an answer: the relay keeps its accept queue full, so the kernel
//!   drops SYNs. A connection made in the instant before that, and not yet carried, hangs open.
//! - [`Flow::Refused`]: carried connections are reset, new ones refused.
//! - a target that nobody listens on is refused as well (seen within 50 ms), so that a probe which
//!   only connects is not fooled by the relay. A *frozen* target still accepts, as a frozen process
//!   does; isolate its site too when the whole host is meant to be silent.
//! - with one direction silent, the other goes on freely: loss of acknowledgements is not imitated.
//!
//! Neither must ever reorder or invent bytes within a connection that it does not reset.

mod forward;
mod lane;
mod line;
mod listening;
mod namespace;
mod packet;
mod pump;
mod wan;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::ground::Ground;
use forward::Forward;
use line::Line;
use namespace::Namespaces;
use wan::Wan;

pub use line::{Flow, Traffic};

/// The links between all sites. Dropping it closes every relay.
#[derive(Debug)]
pub struct Links {
    lines: BTreeMap<(String, String), Arc<Line>>,
    carrier: Carrier,
}

/// What carries from site to site.
#[derive(Debug)]
enum Carrier {
    /// A relay for each door.
    Relays(Mutex<Vec<Arc<Forward>>>),
    /// A relay of packets; it goes before the namespaces that it stands in.
    Packets { wan: Wan, namespaces: Namespaces },
}

impl Links {
    /// Open links between every two of `sites`.
    pub fn between(sites: &[&str]) -> Self {
        Self {
            lines: lines(sites),
            carrier: Carrier::Relays(Mutex::default()),
        }
    }

    /// Open links between every two of `sites`, each in a network namespace of its own; `seed` decides
    /// which packets are lost.
    ///
    /// # Errors
    /// When this process may not make namespaces, or the machine cannot.
    pub async fn in_namespaces(sites: &[&str], seed: u64) -> Result<Self> {
        let lines = lines(sites);
        let namespaces = Namespaces::make(sites)?;
        let wan = Wan::start(namespaces.grounds(), &lines, seed).await?;
        namespaces.connect()?;
        Ok(Self {
            lines,
            carrier: Carrier::Packets { wan, namespaces },
        })
    }

    /// Whether each site has a namespace of its own.
    pub const fn has_namespaces(&self) -> bool {
        matches!(self.carrier, Carrier::Packets { .. })
    }

    /// Where a site's programs run and listen.
    pub fn ground(&self, site: &str) -> Ground {
        match &self.carrier {
            Carrier::Relays(_) => Ground::LOOPBACK,
            Carrier::Packets { namespaces, .. } => {
                namespaces.grounds().get(site).cloned().unwrap_or_default()
            }
        }
    }

    /// The address by which sites in namespaces see the lab itself.
    pub fn outside(&self) -> Option<Ipv4Addr> {
        match &self.carrier {
            Carrier::Relays(_) => None,
            Carrier::Packets { namespaces, .. } => Some(namespaces.outside()),
        }
    }

    /// Opens a port at `from` that leads to `target` at `to`, and gives its address; between namespaces that
    /// is the target itself.
    ///
    /// # Errors
    /// When a site is unknown or no port is free.
    pub async fn forward(&self, from: &str, to: &str, target: SocketAddr) -> Result<SocketAddr> {
        let Carrier::Relays(forwards) = &self.carrier else {
            return Ok(target);
        };
        let out = Arc::clone(self.line(from, to)?);
        let back = Arc::clone(self.line(to, from)?);
        let forward = Arc::new(Forward::open(target, out, back)?);
        forward.settled().await?;
        let address = forward.address();
        forwards
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(forward);
        Ok(address)
    }

    /// Sets one direction, and waits until every relay acts on it.
    ///
    /// # Errors
    /// When a site is unknown, a relay has ended, or packets shall be lost where none are carried.
    pub async fn set(&self, from: &str, to: &str, flow: Flow) -> Result<()> {
        self.check(flow)?;
        self.line(from, to)?.set(flow);
        self.settled().await
    }

    /// Cuts the link: silence both ways.
    ///
    /// # Errors
    /// As [`Links::set`].
    pub async fn cut(&self, one: &str, other: &str) -> Result<()> {
        self.set_both(one, other, Flow::Silent).await
    }

    /// Cuts the link audibly: connections are reset and refused.
    ///
    /// # Errors
    /// As [`Links::set`].
    pub async fn refuse(&self, one: &str, other: &str) -> Result<()> {
        self.set_both(one, other, Flow::Refused).await
    }

    /// Restores the link, without delay.
    ///
    /// # Errors
    /// As [`Links::set`].
    pub async fn heal(&self, one: &str, other: &str) -> Result<()> {
        self.set_both(one, other, Flow::OPEN).await
    }

    /// Slows the link: each direction takes `delay` and up to `jitter` more.
    ///
    /// # Errors
    /// As [`Links::set`].
    pub async fn slow(
        &self,
        one: &str,
        other: &str,
        delay: Duration,
        jitter: Duration,
    ) -> Result<()> {
        let loss_per_mille = 0;
        let flow = Flow::Open {
            delay,
            jitter,
            loss_per_mille,
        };
        self.set_both(one, other, flow).await
    }

    /// Ends every connection between two sites, and what was under way in it is gone.
    ///
    /// # Errors
    /// As [`Links::set`].
    pub async fn end_connections(&self, one: &str, other: &str) -> Result<()> {
        match &self.carrier {
            Carrier::Relays(_) => {
                self.refuse(one, other).await?;
            }
            Carrier::Packets { wan, .. } => wan.end_connections(one, other),
        }
        self.heal(one, other).await
    }

    /// Cuts every link of `site`.
    ///
    /// # Errors
    /// When the site is unknown or a relay has ended.
    pub async fn isolate(&self, site: &str) -> Result<()> {
        self.set_around(site, Flow::Silent).await
    }

    /// Restores every link of `site`.
    ///
    /// # Errors
    /// When the site is unknown or a relay has ended.
    pub async fn rejoin(&self, site: &str) -> Result<()> {
        self.set_around(site, Flow::OPEN).await
    }

    /// What went from one site to the other so far.
    ///
    /// # Errors
    /// When a site is unknown.
    pub fn traffic(&self, from: &str, to: &str) -> Result<Traffic> {
        Ok(self.line(from, to)?.traffic())
    }

    /// Sets both directions of a link.
    ///
    /// # Errors
    /// As [`Links::set`].
    pub async fn set_both(&self, one: &str, other: &str, flow: Flow) -> Result<()> {
        self.check(flow)?;
        self.line(one, other)?.set(flow);
        self.line(other, one)?.set(flow);
        self.settled().await
    }

    async fn set_around(&self, site: &str, flow: Flow) -> Result<()> {
        let mut touched = 0_usize;
        for ((from, to), line) in &self.lines {
            if from == site || to == site {
                line.set(flow);
                touched += 1;
            }
        }
        anyhow::ensure!(touched > 0, "no links at {site}");
        self.settled().await
    }

    async fn settled(&self) -> Result<()> {
        let Carrier::Relays(forwards) = &self.carrier else {
            // Each packet looks at its line.
            return Ok(());
        };
        let forwards = forwards
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for forward in forwards {
            forward.settled().await?;
        }
        Ok(())
    }

    fn check(&self, flow: Flow) -> Result<()> {
        let loses = matches!(flow, Flow::Open { loss_per_mille, .. } if loss_per_mille > 0);
        anyhow::ensure!(
            !loses || self.has_namespaces(),
            "only packets can be lost, and without namespaces none are carried"
        );
        Ok(())
    }

    fn line(&self, from: &str, to: &str) -> Result<&Arc<Line>> {
        let pair = (from.to_owned(), to.to_owned());
        self.lines
            .get(&pair)
            .with_context(|| format!("no link from {from} to {to}"))
    }
}

fn lines(sites: &[&str]) -> BTreeMap<(String, String), Arc<Line>> {
    let mut lines = BTreeMap::new();
    for from in sites {
        for to in sites.iter().filter(|to| *to != from) {
            let pair = ((*from).to_owned(), (*to).to_owned());
            lines.insert(pair, Arc::new(Line::default()));
        }
    }
    lines
}
