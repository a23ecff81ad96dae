//! Relations between the parts of a stack file that no single key can show.

use std::collections::{BTreeMap, BTreeSet};

use super::{CheckProbe, SiteRole, Stack};
use crate::config::Section;
use crate::id::{NodeName, SiteName};

/// Says everything that does not fit together.
pub(super) fn check(stack: &Stack, top: &Section<'_>) {
    sites(stack, top);
    databases(stack, top);
    nodes_keep_to_one_site(stack, top);
    placed(stack, top);
    fences(stack, top);
    workloads(stack, top);
    names_are_unique(stack, top);
    numbers(stack, top);
    super::timing::check(stack, top);
}

fn known_sites(stack: &Stack) -> String {
    if stack.sites.is_empty() {
        return "a site of the file, which names none".to_owned();
    }
    let names: Vec<&str> = stack.sites.keys().map(SiteName::as_str).collect();
    names.join(" | ")
}

fn sites(stack: &Stack, top: &Section<'_>) {
    let count = |role| stack.sites.values().filter(|r| **r == role).count();
    if stack.sites.len() < 3 {
        top.problem(
            "sites",
            format!("{} sites", stack.sites.len()),
            "at least 3: two observers must remain when one is lost",
        );
    }
    if count(SiteRole::Primary) != 1 {
        top.problem(
            "sites",
            format!("{} sites with role primary", count(SiteRole::Primary)),
            "exactly 1",
        );
    }
    if count(SiteRole::Standby) == 0 {
        top.problem("sites", "no site with role standby", "at least 1");
    }
}

fn databases(stack: &Stack, top: &Section<'_>) {
    if stack.databases.is_empty() {
        top.problem("database", "no [[database]]", "at least 1");
    }
    for (d, database) in stack.databases.iter().enumerate() {
        let mut seen = BTreeSet::new();
        for (m, member) in database.members.iter().enumerate() {
            let key = format!("database[{d}].member[{m}]");
            if !stack.sites.contains_key(&member.site) {
                top.problem(
                    &format!("{key}.site"),
                    format!("{:?}", member.site.as_str()),
                    known_sites(stack),
                );
            }
            if !seen.insert(&member.site) {
                top.problem(
                    &format!("{key}.site"),
                    format!("{} a second time", member.site),
                    "one member for a site",
                );
            }
            for site in member
                .address_from
                .keys()
                .filter(|site| !stack.sites.contains_key(*site))
            {
                top.problem(
                    &format!("{key}.address_from.{site}"),
                    format!("{:?}", site.as_str()),
                    known_sites(stack),
                );
            }
        }
        for site in stack.eligible().filter(|site| !seen.contains(site)) {
            top.problem(
                &format!("database[{d}].member"),
                format!("no member in site {site}"),
                "one in each site that may be live",
            );
        }
    }
}

fn nodes_keep_to_one_site(stack: &Stack, top: &Section<'_>) {
    let mut homes: BTreeMap<&NodeName, &SiteName> = BTreeMap::new();
    let mut beside: BTreeMap<&NodeName, usize> = BTreeMap::new();
    let members = stack
        .databases
        .iter()
        .flat_map(|database| database.members.iter());
    for member in members {
        *beside.entry(&member.node).or_default() += 1;
    }
    for (node, _) in beside.iter().filter(|(_, servers)| **servers > 1) {
        top.problem(
            "database",
            format!("node {node} beside two members"),
            "one member for an agent",
        );
    }
    let members = stack
        .databases
        .iter()
        .flat_map(|d| d.members.iter().map(|m| (&m.site, &m.node)));
    let routes = stack.routes.iter().flat_map(|route| route.nodes.iter());
    let checks = stack.checks.iter().flat_map(|check| check.nodes.iter());
    let fences = stack.fences.iter().flat_map(|fence| fence.nodes.iter());
    for (site, node) in members
        .chain(fences)
        .chain(stack.clusters.iter())
        .chain(routes)
        .chain(checks)
    {
        let home = *homes.entry(node).or_insert(site);
        if home != site {
            top.problem(
                "",
                format!("node {node} in sites {home} and {site}"),
                "one site for a node",
            );
        }
    }
}

fn placed(stack: &Stack, top: &Section<'_>) {
    let mut tables: Vec<(String, BTreeSet<&SiteName>)> = Vec::new();
    tables.push(("clusters".to_owned(), stack.clusters.keys().collect()));
    for (index, route) in stack.routes.iter().enumerate() {
        tables.push((
            format!("route[{index}].nodes"),
            route.nodes.keys().collect(),
        ));
    }
    for (index, check) in stack.checks.iter().enumerate() {
        tables.push((
            format!("check[{index}].nodes"),
            check.nodes.keys().collect(),
        ));
        if let CheckProbe::Http { url, .. } = &check.probe {
            tables.push((format!("check[{index}].url"), url.keys().collect()));
        }
    }
    for (key, sites) in tables {
        for site in sites
            .iter()
            .filter(|site| !stack.sites.contains_key(**site))
        {
            top.problem(
                &format!("{key}.{site}"),
                format!("{:?}", site.as_str()),
                known_sites(stack),
            );
        }
        // Clusters are for workloads: without one, none is needed.
        let needed = key != "clusters" || !stack.workloads.is_empty();
        for site in stack
            .eligible()
            .filter(|site| needed && !sites.contains(site))
        {
            top.problem(
                &key,
                format!("nothing for site {site}"),
                "one entry for each site that may be live",
            );
        }
    }
}

fn fences(stack: &Stack, top: &Section<'_>) {
    for (index, fence) in stack.fences.iter().enumerate() {
        let key = format!("fence[{index}]");
        if !stack.eligible().any(|site| *site == fence.site) {
            top.problem(
                &format!("{key}.site"),
                format!("{:?}", fence.site.as_str()),
                "a site that may be live",
            );
        }
        if fence.nodes.is_empty() {
            top.problem(&format!("{key}.nodes"), "no node", "at least 1");
        }
        for site in fence.nodes.keys() {
            let place = format!("{key}.nodes.{site}");
            if *site == fence.site {
                let allowed = "a site other than the one that is fenced";
                top.problem(&place, format!("{:?}", site.as_str()), allowed);
            } else if !stack.sites.contains_key(site) {
                top.problem(&place, format!("{:?}", site.as_str()), known_sites(stack));
            }
        }
    }
}

fn workloads(stack: &Stack, top: &Section<'_>) {
    let mut seen = BTreeSet::new();
    for workload in &stack.workloads {
        if !seen.insert((workload.kind, &workload.namespace, &workload.object)) {
            let object = format!(
                "{} {}/{}",
                workload.kind.as_str(),
                workload.namespace,
                workload.object
            );
            top.problem(
                "workload",
                format!("{object} a second time"),
                "each object once",
            );
        }
    }
}

fn names_are_unique(stack: &Stack, top: &Section<'_>) {
    let lists: [(&str, Vec<&str>); 5] = [
        (
            "fence",
            stack.fences.iter().map(|f| f.name.as_str()).collect(),
        ),
        (
            "database",
            stack.databases.iter().map(|d| d.name.as_str()).collect(),
        ),
        (
            "workload",
            stack.workloads.iter().map(|w| w.name.as_str()).collect(),
        ),
        (
            "route",
            stack.routes.iter().map(|r| r.name.as_str()).collect(),
        ),
        (
            "check",
            stack.checks.iter().map(|c| c.name.as_str()).collect(),
        ),
    ];
    for (key, names) in lists {
        let mut seen = BTreeSet::new();
        for name in names.into_iter().filter(|name| !seen.insert(*name)) {
            top.problem(
                key,
                format!("name {name:?} a second time"),
                "each name once",
            );
        }
    }
}

fn numbers(stack: &Stack, top: &Section<'_>) {
    let policy = &stack.policy;
    if policy.observation_age_max_ms >= policy.silence_ms {
        let found = format!(
            "{} with silence {}",
            policy.observation_age_max_ms, policy.silence_ms
        );
        top.problem(
            "policy.observation_age_max",
            found,
            "less than silence: older evidence cannot show silence",
        );
    }
    if policy.proposal_expiry_ms <= policy.confirm_ms {
        let found = format!(
            "{} with confirm {}",
            policy.proposal_expiry_ms, policy.confirm_ms
        );
        top.problem("policy.proposal_expiry", found, "more than confirm");
    }
    if policy.evidence_age_max_ms < policy.observation_age_max_ms {
        let found = format!(
            "{} with observation_age_max {}",
            policy.evidence_age_max_ms, policy.observation_age_max_ms
        );
        top.problem(
            "policy.evidence_age_max",
            found,
            "at least observation_age_max",
        );
    }
}
