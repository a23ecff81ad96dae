//! Heartbeats as they pass on the bus: when each came, from whom, and how long it was.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use shared::codec;
use shared::wire::Heartbeat;
use tokio::task::JoinHandle;

use crate::lab::STACK;
use crate::nats_wire::Wire;

const CONNECT: Duration = Duration::from_secs(5);

/// One heartbeat.
#[derive(Debug, Clone)]
pub struct Heard {
    /// When it arrived.
    pub at: Instant,
    /// The sender's site.
    pub site: String,
    /// Its length in bytes, without subject and headers.
    pub bytes: usize,
    /// True for an agent beside a database.
    pub database: bool,
}

/// Every heartbeat since the start. Dropping it ends the listening.
#[derive(Debug)]
pub struct Heartbeats {
    list: Arc<Mutex<Vec<Heard>>>,
    task: JoinHandle<()>,
}

impl Heartbeats {
    /// Listens at one NATS server.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn follow(address: SocketAddr) -> Result<Self> {
        let mut wire = Wire::connect(address, CONNECT).await?;
        wire.subscribe(&format!("pointsman.{STACK}.hb.*.*")).await?;
        let list = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&list);
        let task = tokio::spawn(async move {
            while let Ok(message) = wire.next_message().await {
                let at = Instant::now();
                // A coordinator's canary is on these subjects and is no heartbeat.
                let Ok(beat) = codec::decode::<Heartbeat>(&message.payload) else {
                    continue;
                };
                let site = message
                    .subject
                    .split('.')
                    .nth(3)
                    .unwrap_or_default()
                    .to_owned();
                if message.subject.contains(".canary-") {
                    continue;
                }
                let heard = Heard {
                    at,
                    site,
                    bytes: message.payload.len(),
                    database: beat.database.is_some(),
                };
                kept.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(heard);
            }
        });
        Ok(Self { list, task })
    }

    /// When the newest heartbeat of a site came.
    ///
    /// # Errors
    /// When none came.
    pub fn last_of(&self, site: &str) -> Result<Instant> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let mut of_site = list.iter().filter(|heard| heard.site == site);
        of_site
            .next_back()
            .map(|heard| heard.at)
            .with_context(|| format!("no heartbeat of {site}"))
    }

    /// The longest heartbeat of an agent beside a database, and how many there were.
    ///
    /// # Errors
    /// When there was none.
    pub fn longest(&self) -> Result<(usize, usize)> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let sizes: Vec<usize> = list
            .iter()
            .filter(|heard| heard.database)
            .map(|heard| heard.bytes)
            .collect();
        let longest = sizes
            .iter()
            .max()
            .copied()
            .context("no heartbeat of a database agent")?;
        Ok((longest, sizes.len()))
    }
}

impl Drop for Heartbeats {
    fn drop(&mut self) {
        self.task.abort();
    }
}
