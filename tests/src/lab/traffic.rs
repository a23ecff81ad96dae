//! The client that writes through the route, and the probes that try to write at each site.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::time::sleep;

use super::SITES;
use super::wiring::Door;
use super::world::Lab;
use crate::postgres::{OWNER, SERVICE};
use crate::stayer::{self, Stayer};
use crate::writability::{self, Probe, Success, overlap};
use crate::writer::{self, Pace, Record, Writer};

const POLL: Duration = Duration::from_millis(20);

/// What writes while the lab runs. Dropping it stops it.
#[derive(Debug)]
pub struct Traffic {
    writer: Writer,
    probes: BTreeMap<String, Probe>,
    stayer: Stayer,
    journals: PathBuf,
}

impl Traffic {
    /// Makes the tables on dc1's primary and starts to write.
    ///
    /// # Errors
    /// When a statement fails or a journal cannot be opened.
    pub async fn start(lab: &Lab) -> Result<Self> {
        let (primary, directory) = (lab.database("dc1")?, lab.directory());
        let origin = Instant::now();
        let session = primary.connect(OWNER, SERVICE).await?;
        writer::prepare(&session).await?;
        stayer::prepare(&session).await?;
        for site in SITES {
            writability::prepare(&session, site).await?;
        }
        lab.route.write(primary.address())?;
        let pace = Pace::default();
        let journal = directory.join("writer.jsonl");
        let writer = Writer::start(lab.route.clone(), pace, &journal, origin)?;
        let mut probes = BTreeMap::new();
        for site in SITES {
            let address = lab.wiring.own(site, Door::Postgres)?;
            let journal = directory.join(format!("writable-{site}.jsonl"));
            let probe = Probe::start(site, address, &journal, origin)?;
            probes.insert(site.to_owned(), probe);
        }
        let journals = directory.to_owned();
        let stayer = Stayer::start(primary.address()).await?;
        Ok(Self {
            writer,
            probes,
            stayer,
            journals,
        })
    }

    /// What the client did so far.
    pub fn record(&self) -> Record {
        self.writer.record()
    }

    /// Waits until the client was acknowledged `count` more rows.
    ///
    /// # Errors
    /// When it was not `within`.
    pub async fn wait_more(&self, count: usize, within: Duration) -> Result<()> {
        self.writer.wait_more(count, within).await
    }

    /// Waits until the site named `site` has acknowledged a row of the client.
    ///
    /// # Errors
    /// When it has not `within`.
    pub async fn wait_written_in(&self, site: &str, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        while self.record().first_of(site).is_none() {
            let last = self.record().failures.pop();
            anyhow::ensure!(
                Instant::now() < deadline,
                "the client was acknowledged nothing in {site} within {within:?}: {last:?}"
            );
            sleep(POLL).await;
        }
        Ok(())
    }

    /// The writes that a site accepted from its probe.
    ///
    /// # Errors
    /// When the site is unknown.
    pub fn accepted(&self, site: &str) -> Result<Vec<Success>> {
        let probe = self
            .probes
            .get(site)
            .with_context(|| format!("no probe of {site}"))?;
        Ok(probe.successes())
    }

    /// Writes that the site which was live at first acknowledged after a moment: to whoever connects anew, and
    /// to the client that never let go of its connection.
    ///
    /// # Errors
    /// When the site is unknown.
    pub fn acknowledged_by_first_after(&self, moment: Instant) -> Result<(usize, usize)> {
        let [first, ..] = SITES;
        let anew = self.accepted(first)?;
        let anew = anew.iter().filter(|it| it.acknowledged > moment).count();
        Ok((anew, self.stayer.acknowledged_after(moment)))
    }

    /// The longest time for which two sites may have accepted writes together, whichever they are.
    ///
    /// # Errors
    /// When a site is unknown.
    pub fn overlap(&self) -> Result<Duration> {
        let mut longest = Duration::ZERO;
        for (index, one) in SITES.iter().enumerate() {
            for other in SITES.iter().skip(index + 1) {
                let (one, other) = (self.accepted(one)?, self.accepted(other)?);
                let first = |list: &[Success]| list.first().map(|success| success.sent);
                let (old, new) = if first(&one) <= first(&other) {
                    (&one, &other)
                } else {
                    (&other, &one)
                };
                longest = longest.max(overlap(old, new));
            }
        }
        Ok(longest)
    }

    /// Where the journals of all writes are.
    pub fn journals(&self) -> &Path {
        &self.journals
    }
}
