//! The lab agents' own files.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::stack_file::ROUTE_HOOK;
use super::wiring::{Door, Wiring};
use super::workload::{NAMESPACE, WORKLOADS};
use super::{CLUSTERED, SITES, STACK, cluster_node, database_node, slot};

/// What a database agent is told of its server.
#[derive(Debug)]
pub struct DatabaseSide<'a> {
    /// Its data directory.
    pub pgdata: &'a Path,
    /// The directory of its programs.
    pub bin_dir: &'a Path,
    /// The agent's role.
    pub user: &'a str,
    /// The directory of the server's socket, where it has one.
    pub socket: Option<&'a Path>,
    /// Whether the kernel closes the server's port when the lease runs out; needs the socket.
    pub deadman: bool,
    /// The program that switches the route, with its arguments.
    pub switch_route: &'a [PathBuf],
}

/// The file of the agent beside the database of `site`.
///
/// # Errors
/// When an address is missing.
pub fn beside_database(
    wiring: &Wiring,
    site: &str,
    state_dir: &Path,
    side: &DatabaseSide<'_>,
) -> Result<String> {
    let own = wiring.own(site, Door::Postgres)?;
    let mut out = head(wiring, site, &database_node(site), state_dir)?;
    writeln!(out, "\n[host]")?;
    writeln!(out, "\n[postgres]\ndatabase = \"main\"")?;
    match side.socket {
        Some(directory) => writeln!(out, "socket = \"{}\"", directory.display())?,
        None => writeln!(out, "host = \"{}\"", own.ip())?,
    }
    writeln!(out, "port = {}", own.port())?;
    writeln!(out, "user = \"{}\"\ndbname = \"postgres\"", side.user)?;
    writeln!(out, "pgdata = \"{}\"", side.pgdata.display())?;
    writeln!(out, "bin_dir = \"{}\"", side.bin_dir.display())?;
    writeln!(
        out,
        "follow_conninfo = \"user={} application_name={site} sslmode=disable\"",
        side.user
    )?;
    writeln!(out, "slot = \"{}\"", slot(site))?;
    if side.deadman {
        writeln!(out, "\n[deadman]\nguard_port = true")?;
    }
    writeln!(
        out,
        "\n[responder]\nlisten = \"{}\"",
        wiring.own(site, Door::Agent)?
    )?;
    if CLUSTERED.contains(&site) {
        let argv: Vec<String> = side
            .switch_route
            .iter()
            .map(|word| format!("\"{}\"", word.display()))
            .collect();
        writeln!(
            out,
            "\n[[hook]]\nname = \"{ROUTE_HOOK}\"\nargv = [{}]",
            argv.join(", ")
        )?;
    }
    peers(&mut out, wiring, site, &[Door::Postgres, Door::Agent])?;
    Ok(out)
}

/// The file of the agent of the cluster of `site`.
///
/// # Errors
/// When an address is missing.
pub fn beside_cluster(
    wiring: &Wiring,
    site: &str,
    state_dir: &Path,
    kubeconfig: &Path,
) -> Result<String> {
    let mut out = head(wiring, site, &cluster_node(site), state_dir)?;
    writeln!(
        out,
        "\n[kubernetes]\nkubeconfig = \"{}\"",
        kubeconfig.display()
    )?;
    for workload in WORKLOADS {
        writeln!(out, "\n[[kubernetes.watch]]\nkind = \"{}\"", workload.kind)?;
        writeln!(
            out,
            "namespace = \"{NAMESPACE}\"\nobject = \"{}\"",
            workload.object
        )?;
    }
    peers(&mut out, wiring, site, &[Door::Kubernetes, Door::Agent])?;
    Ok(out)
}

fn head(wiring: &Wiring, site: &str, node: &str, state_dir: &Path) -> Result<String> {
    let mut out = format!("stack = \"{STACK}\"\nsite = \"{site}\"\nnode = \"{node}\"\n");
    writeln!(out, "state_dir = \"{}\"", state_dir.display())?;
    let servers = wiring.nats_servers(&format!("agent-{node}"), site)?;
    writeln!(out, "\n[nats]\nservers = [{servers}]")?;
    writeln!(out, "own_server_name = \"nats-{site}\"")?;
    Ok(out)
}

fn peers(out: &mut String, wiring: &Wiring, site: &str, doors: &[Door]) -> Result<()> {
    for to in SITES.iter().filter(|to| **to != site) {
        for door in doors {
            let channel = match door {
                Door::Postgres => "postgres",
                Door::Agent => "agent",
                Door::Kubernetes => "http",
                Door::Nats => continue,
            };
            if *door == Door::Kubernetes && !CLUSTERED.contains(to) {
                continue;
            }
            let address = wiring.reach(site, to, *door)?;
            writeln!(out, "\n[[peer]]\nsite = \"{to}\"\nchannel = \"{channel}\"")?;
            writeln!(out, "address = \"{address}\"")?;
        }
    }
    Ok(())
}
