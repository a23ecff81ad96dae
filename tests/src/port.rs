//! Free TCP ports on loopback.
//!
//! It decides which port a server gets. Ports come from below the kernel's ephemeral range, because
//! a port inside it can be taken by any outgoing connection while its server is down for a restart.
//! A lock file per port keeps it from other processes of the same user for as long as this process
//! lives; it must never hand out a port twice.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

/// The lowest port considered.
const FLOOR: u16 = 15_000;
/// Where the ephemeral range begins when the kernel does not say.
const USUAL_CEILING: u16 = 32_768;

static RESERVED: Mutex<BTreeMap<u16, File>> = Mutex::new(BTreeMap::new());

/// Reserves a port on 127.0.0.1 that nothing listens on, until this process ends.
///
/// # Errors
/// When the lock directory is not writable or every port is taken.
pub fn reserve() -> Result<u16> {
    let mut reserved = RESERVED.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = lock_directory()?;
    let span = ceiling().saturating_sub(FLOOR).max(1);
    // Spread over processes so that runs beside each other seldom try the same port.
    let seed = std::process::id().wrapping_mul(7919);
    let start = u16::try_from(seed % u32::from(span)).unwrap_or_default();
    for step in 0..span {
        let offset = (u32::from(start) + u32::from(step)) % u32::from(span);
        let port = FLOOR + u16::try_from(offset).unwrap_or_default();
        if reserved.contains_key(&port) {
            continue;
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join(port.to_string()))
            .context("opening a port's lock file")?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            reserved.insert(port, lock);
            return Ok(port);
        }
    }
    bail!("no free port between {FLOOR} and {}", ceiling())
}

fn lock_directory() -> Result<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let directory = std::env::temp_dir().join(format!("pointsman-ports-{user}"));
    std::fs::create_dir_all(&directory).context("making the port lock directory")?;
    Ok(directory)
}

fn ceiling() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .filter(|low| *low > FLOOR + 1000)
        .unwrap_or(USUAL_CEILING)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ports_are_distinct_and_free() {
        let ports: BTreeSet<u16> = (0..50).map(|_| reserve().unwrap()).collect();
        assert_eq!(ports.len(), 50);
        for port in ports {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    }

    #[test]
    fn a_port_that_is_in_use_is_not_handed_out() {
        let first = reserve().unwrap();
        let taken: Vec<TcpListener> = (1..=200)
            .filter_map(|step| TcpListener::bind((Ipv4Addr::LOCALHOST, first + step)).ok())
            .collect();
        let next = reserve().unwrap();
        let used: Vec<u16> = taken
            .iter()
            .map(|held| held.local_addr().unwrap().port())
            .collect();
        assert!(!used.contains(&next));
    }
}
