//! What an agent costs while nothing happens: one connection to a real PostgreSQL, one to a real nats-server.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::listening::Heartbeats;
use super::usage::{Usage, process_in};
use crate::lab::world::Lab;
use crate::lab::{SITES, database_node};

/// How long it is measured; the processor time of a minute is told.
const SPAN: Duration = Duration::from_mins(1);

/// The costliest of the database agents in each respect.
#[derive(Debug, Clone, Copy)]
pub struct Resting {
    /// Resident memory in bytes.
    pub resident: u64,
    /// Its own part of it in bytes.
    pub anonymous: u64,
    /// Processor seconds in a minute.
    pub cpu_seconds: f64,
    /// The longest heartbeat in bytes.
    pub heartbeat: usize,
}

/// Watches the agents of a lab that is left alone.
///
/// # Errors
/// When an agent ends or is silent.
pub async fn measure(lab: &Lab) -> Result<Resting> {
    let heartbeats = Heartbeats::follow(lab.watcher()?).await?;
    let mut agents = Vec::new();
    for site in SITES {
        let directory = lab
            .directory()
            .join(format!("agent-{}", database_node(site)));
        let pid = process_in(&directory)?;
        agents.push((pid, Usage::of(pid)?));
    }
    tokio::time::sleep(SPAN).await;
    let mut worst = Resting {
        resident: 0,
        anonymous: 0,
        cpu_seconds: 0.0,
        heartbeat: 0,
    };
    for (pid, before) in &agents {
        let after = Usage::of(*pid)?;
        worst.resident = worst.resident.max(after.resident);
        worst.anonymous = worst.anonymous.max(after.anonymous);
        worst.cpu_seconds = worst
            .cpu_seconds
            .max(after.cores_since(before) * SPAN.as_secs_f64());
    }
    let (longest, heard) = heartbeats.longest()?;
    let wanted = agents.len() * 50;
    ensure!(
        heard >= wanted,
        "{heard} heartbeats in a minute, at least {wanted} belong there"
    );
    worst.heartbeat = longest;
    Ok(worst)
}
