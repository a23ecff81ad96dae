//! The lab coordinators' own files.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;

use super::wiring::Wiring;
use super::{SITES, STACK};

/// How the coordinators lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lead {
    /// A lead that was not renewed for so long is free.
    pub lease: String,
    /// How often a leader renews.
    pub renew: String,
}

impl Default for Lead {
    fn default() -> Self {
        Self {
            lease: "15s".to_owned(),
            renew: "3s".to_owned(),
        }
    }
}

/// The file of the coordinator of `site`.
///
/// The witness has the shortest delay, so that the lead need not move when the live site is lost.
///
/// # Errors
/// When an address is missing.
pub fn text(wiring: &Wiring, site: &str, state_dir: &Path, lead: &Lead) -> Result<String> {
    let rank = SITES.iter().rev().position(|name| *name == site);
    let mut out = format!("stack = \"{STACK}\"\nsite = \"{site}\"\n");
    writeln!(out, "state_dir = \"{}\"", state_dir.display())?;
    let servers = wiring.nats_servers(&format!("coordinator-{site}"), site)?;
    writeln!(out, "\n[nats]\nservers = [{servers}]")?;
    writeln!(
        out,
        "\n[lead]\ncandidate_delay = \"{}ms\"",
        rank.unwrap_or(0) * 700
    )?;
    writeln!(
        out,
        "lease = \"{}\"\nrenew = \"{}\"",
        lead.lease, lead.renew
    )?;
    Ok(out)
}
