//! Links between sites that can be cut, slowed and refused.
//!
//! Every connection from one site to another goes through a relay on loopback. The condition
//! belongs to a *direction* (bytes from one site to another), whichever side opened the connection,
//! so one-way faults work too. What a process can notice:
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
//! It must never lose, reorder or invent bytes within a connection that it does not reset.

mod forward;
mod line;
mod listening;
mod pump;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

use forward::Forward;
use line::Line;

pub use line::{Flow, Traffic};

/// The links between all sites. Dropping it closes every relay.
#[derive(Debug)]
pub struct Links {
    lines: BTreeMap<(String, String), Arc<Line>>,
    forwards: Mutex<Vec<Arc<Forward>>>,
}

impl Links {
    /// Open links between every two of `sites`.
    pub fn between(sites: &[&str]) -> Self {
        let mut lines = BTreeMap::new();
        for from in sites {
            for to in sites.iter().filter(|to| *to != from) {
                let pair = ((*from).to_owned(), (*to).to_owned());
                lines.insert(pair, Arc::new(Line::default()));
            }
        }
        Self {
            lines,
            forwards: Mutex::new(Vec::new()),
        }
    }

    /// Opens a port at `from` that leads to `target` at `to`, and gives its address.
    ///
    /// # Errors
    /// When a site is unknown or no port is free.
    pub async fn forward(&self, from: &str, to: &str, target: SocketAddr) -> Result<SocketAddr> {
        let out = Arc::clone(self.line(from, to)?);
        let back = Arc::clone(self.line(to, from)?);
        let forward = Arc::new(Forward::open(target, out, back)?);
        forward.settled().await?;
        let address = forward.address();
        self.forwards
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(forward);
        Ok(address)
    }

    /// Sets one direction, and waits until every relay acts on it.
    ///
    /// # Errors
    /// When a site is unknown or a relay has ended.
    pub async fn set(&self, from: &str, to: &str, flow: Flow) -> Result<()> {
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
        self.set_both(one, other, Flow::Open { delay, jitter })
            .await
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

    async fn set_both(&self, one: &str, other: &str, flow: Flow) -> Result<()> {
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
        let forwards = self
            .forwards
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for forward in forwards {
            forward.settled().await?;
        }
        Ok(())
    }

    fn line(&self, from: &str, to: &str) -> Result<&Arc<Line>> {
        let pair = (from.to_owned(), to.to_owned());
        self.lines
            .get(&pair)
            .with_context(|| format!("no link from {from} to {to}"))
    }
}
