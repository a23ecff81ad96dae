//! A network namespace for each site, and the way there from where the lab itself stands.
//!
//! Each lab takes a number, by a lock that the kernel gives back when the lab is dead, and names everything
//! by it: whoever gets a number next first removes what a dead lab left under it. The addresses are of the
//! block that is set aside for measuring networks (RFC 2544); nothing routes them anywhere.
//!
//! It must never touch a namespace or a device whose number it does not hold.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{FlockOperation, flock};

use super::wan::DEVICE;
use crate::ground::{self, Ground};
use crate::process::guard;

/// Only root makes namespaces, so the locks lie where only root writes.
const LOCKS: &str = "/run/pointsman-lab";
/// What namespaces and devices begin with.
const PREFIX: &str = "pm";
/// The lab's own end of the way to a site.
const OUTSIDE: u8 = 254;
/// The site's end of it.
const DOOR: &str = "outside";

/// The namespaces of one lab. Dropping it removes them.
#[derive(Debug)]
pub(super) struct Namespaces {
    grounds: BTreeMap<String, Ground>,
    number: u8,
    _lock: File,
}

impl Namespaces {
    /// Makes a namespace for each of `sites`.
    ///
    /// # Errors
    /// When this process may not, or `ip` or `nsenter` is missing.
    pub(super) fn make(sites: &[&str]) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "only root may make network namespaces"
        );
        ensure!(
            Path::new("/dev/net/tun").exists(),
            "there is no /dev/net/tun"
        );
        let (number, lock) = take_number()?;
        sweep();
        let mut namespaces = Self {
            grounds: BTreeMap::new(),
            number,
            _lock: lock,
        };
        for (index, site) in sites.iter().enumerate() {
            let address = address(number, u8::try_from(index + 1).context("too many sites")?);
            let name = format!("{PREFIX}{number}-{site}");
            let ground = Ground::namespace(name, address);
            namespaces
                .grounds
                .insert((*site).to_owned(), ground.clone());
            namespaces.furnish(&ground)?;
        }
        Ok(namespaces)
    }

    /// The ground of each site.
    pub(super) const fn grounds(&self) -> &BTreeMap<String, Ground> {
        &self.grounds
    }

    /// The address of the lab's own end of every way.
    pub(super) fn outside(&self) -> Ipv4Addr {
        address(self.number, OUTSIDE)
    }

    /// Lets every site reach the others by its `wan` device, which must be there by now.
    ///
    /// # Errors
    /// When a device is not there.
    pub(super) fn connect(&self) -> Result<()> {
        for ground in self.grounds.values() {
            let name = ground.name().unwrap_or_default();
            let own = format!("{}/32", ground.address());
            ip(&["-n", name, "address", "add", &own, "dev", DEVICE])?;
            for other in self.grounds.values().filter(|other| *other != ground) {
                let to = format!("{}/32", other.address());
                let from = ground.address().to_string();
                ip(&["-n", name, "route", "add", &to, "dev", DEVICE, "src", &from])?;
            }
        }
        Ok(())
    }

    /// An empty namespace with a way from and to the lab itself.
    fn furnish(&self, ground: &Ground) -> Result<()> {
        let name = ground.name().unwrap_or_default();
        let (here, there) = (
            format!("{}/32", address(self.number, OUTSIDE)),
            format!("{}/32", ground.address()),
        );
        drop_namespace(name);
        ip(&["netns", "add", name])?;
        guard::drop_namespace_at_end(name, &lock_path(self.number))?;
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        // Both ends and their names are there from the start, so a dead lab's are found by name.
        ip(&[
            "link", "add", name, "type", "veth", "peer", "name", DOOR, "netns", name,
        ])?;
        ip(&["address", "add", &here, "dev", name])?;
        ip(&["link", "set", name, "up"])?;
        ip(&["-n", name, "address", "add", &there, "dev", DOOR])?;
        ip(&["-n", name, "link", "set", DOOR, "up"])?;
        ip(&["-n", name, "route", "add", &here, "dev", DOOR])?;
        ip(&["route", "add", &there, "dev", name])
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for ground in self.grounds.values() {
            drop_namespace(ground.name().unwrap_or_default());
        }
    }
}

fn address(number: u8, place: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, number, place)
}

/// The lowest number that no living lab holds.
fn take_number() -> Result<(u8, File)> {
    std::fs::create_dir_all(LOCKS).with_context(|| format!("making {LOCKS}"))?;
    for number in 0..=u8::MAX {
        if let Some(lock) = lock(number)? {
            return Ok((number, lock));
        }
    }
    bail!("256 labs run on this machine")
}

fn lock_path(number: u8) -> String {
    format!("{LOCKS}/network-{number}")
}

/// The lock of a number, unless a living lab holds it.
fn lock(number: u8) -> Result<Option<File>> {
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(lock_path(number))
        .context("opening a network's lock file")?;
    let free = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
    Ok(free.then_some(lock))
}

/// Removes what labs left that were killed together with their guard.
fn sweep() {
    let Ok(entries) = std::fs::read_dir(ground::NAMES) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some((number, name)) = name
            .to_str()
            .and_then(|name| Some((number_of(name)?, name)))
        else {
            continue;
        };
        if let Ok(Some(_held)) = lock(number) {
            drop_namespace(name);
        }
    }
}

/// The number in the name of a lab's namespace.
fn number_of(name: &str) -> Option<u8> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

/// Removes a namespace and the device that leads to it; neither need be there.
fn drop_namespace(name: &str) {
    // A device outlives the deletion of its namespace for a moment; the next lab wants the name.
    drop(ip(&["link", "delete", name]));
    drop(ip(&["netns", "delete", name]));
}

fn ip(words: &[&str]) -> Result<()> {
    let said = Command::new("ip")
        .args(words)
        .stdin(Stdio::null())
        .output()
        .context("running ip (iproute2)")?;
    ensure!(
        said.status.success(),
        "ip {}: {}",
        words.join(" "),
        String::from_utf8_lossy(&said.stderr).trim()
    );
    Ok(())
}
