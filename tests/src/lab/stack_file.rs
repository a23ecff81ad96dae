//! The lab's stack file.

use std::fmt::Write;

use anyhow::Result;

use super::wiring::{Door, Wiring};
use super::workload::{NAMESPACE, WORKLOADS};
use super::{CLUSTERED, SITES, STACK, cluster_node, database_node};

/// The route and its hook, as agents and stack file name them.
pub const ROUTE_HOOK: &str = "switch-route";

/// Rules that differ from the usual ones: key and value of `[policy]`.
pub type PolicyLines = Vec<(String, String)>;

/// The stack file's text.
///
/// # Errors
/// When an address is missing.
pub fn text(wiring: &Wiring, policy: &PolicyLines) -> Result<String> {
    let mut out = format!("schema = 1\nname = \"{STACK}\"\n");
    for (site, role) in SITES.iter().zip(["primary", "standby", "witness"]) {
        writeln!(out, "\n[sites.{site}]\nrole = \"{role}\"")?;
    }
    writeln!(out, "\n[[database]]\nname = \"main\"")?;
    for site in SITES {
        member(&mut out, wiring, site)?;
    }
    writeln!(out, "\n[clusters]")?;
    for site in CLUSTERED {
        writeln!(out, "{site} = \"{}\"", cluster_node(site))?;
    }
    for workload in WORKLOADS {
        writeln!(out, "\n[[workload]]\nname = \"{}\"", workload.name)?;
        writeln!(
            out,
            "kind = \"{}\"\nnamespace = \"{NAMESPACE}\"",
            workload.kind
        )?;
        writeln!(out, "object = \"{}\"", workload.object)?;
        writeln!(
            out,
            "replicas = {}\nwave = {}",
            workload.replicas, workload.wave
        )?;
    }
    let databases = nodes(database_node);
    writeln!(
        out,
        "\n[[route]]\nname = \"public\"\nhook = \"{ROUTE_HOOK}\""
    )?;
    writeln!(out, "nodes = {{ {databases} }}")?;
    checks(&mut out, wiring, &databases)?;
    writeln!(out, "\n[policy]")?;
    for (key, value) in policy {
        writeln!(out, "{key} = \"{value}\"")?;
    }
    Ok(out)
}

fn member(out: &mut String, wiring: &Wiring, site: &str) -> Result<()> {
    writeln!(out, "\n[[database.member]]\nsite = \"{site}\"")?;
    writeln!(out, "node = \"{}\"", database_node(site))?;
    writeln!(out, "address = \"{}\"", wiring.own(site, Door::Postgres)?)?;
    let mut ways = Vec::new();
    for from in SITES.iter().filter(|from| **from != site) {
        let way = wiring.reach(from, site, Door::Postgres)?;
        ways.push(format!("{from} = \"{way}\""));
    }
    writeln!(out, "address_from = {{ {} }}", ways.join(", "))?;
    Ok(())
}

fn checks(out: &mut String, wiring: &Wiring, databases: &str) -> Result<()> {
    let mut urls = Vec::new();
    for site in CLUSTERED {
        let address = wiring.own(site, Door::Kubernetes)?;
        urls.push(format!("{site} = \"http://{address}/readyz\""));
    }
    writeln!(
        out,
        "\n[[check]]\nname = \"cluster-answers\"\nkind = \"http\""
    )?;
    writeln!(out, "url = {{ {} }}\nstatus = 200", urls.join(", "))?;
    writeln!(out, "nodes = {{ {} }}", nodes(cluster_node))?;
    writeln!(out, "\n[[check]]\nname = \"writable\"\nkind = \"sql\"")?;
    writeln!(
        out,
        "statement = \"SELECT pg_is_in_recovery()::text\"\nequals = \"false\""
    )?;
    writeln!(out, "nodes = {{ {databases} }}")?;
    Ok(())
}

fn nodes(named: fn(&str) -> String) -> String {
    let entries: Vec<String> = CLUSTERED
        .iter()
        .map(|site| format!("{site} = \"{}\"", named(site)))
        .collect();
    entries.join(", ")
}
