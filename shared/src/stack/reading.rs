//! From a TOML text to a [`Stack`]: every key, its type and its range.

mod policy;

use std::collections::BTreeMap;

use super::{
    Address, Check, CheckProbe, Database, Fence, Member, Route, STACK_FILE_BYTES_MAX, SiteRole,
    Stack, Workload, WorkloadKind, relations,
};
use crate::config::{Document, Problem, Problems, Section};
use crate::grade::FenceGrade;
use crate::id::{NAME_LEN_MAX, NodeName, SiteName};

const A_NAME: &str = "a name of a-z, 0-9 and '-', at most 63 characters";
const AN_ADDRESS: &str = "host:port, like db1.example.org:5432";
const REPLICAS_MAX: u64 = 10_000;
const WAVE_MAX: u64 = 1_000;

/// Reads and checks a whole stack file.
pub(super) fn read(file: &str, text: &str) -> Result<Stack, Problems> {
    if text.len() > STACK_FILE_BYTES_MAX {
        let found = format!("{} bytes", text.len());
        let allowed = format!("at most {STACK_FILE_BYTES_MAX} bytes");
        let problems = vec![Problem {
            key: String::new(),
            found,
            allowed,
        }];
        return Err(Problems {
            file: file.to_owned(),
            problems,
        });
    }
    let document = Document::parse(file, text)?;
    let top = document.top();
    let stack = stack(&top);
    if let Some(stack) = &stack {
        relations::check(stack, &top);
    }
    top.finish();
    document.finish(stack)
}

fn stack(top: &Section<'_>) -> Option<Stack> {
    let schema = top.number("schema", None, 1..=1);
    let name = top.required("name", A_NAME);
    let sites = sites(top);
    let databases: Vec<_> = top.sections("database").into_iter().map(database).collect();
    let clusters = nodes_by_site(top, "clusters");
    let workloads: Vec<_> = top.sections("workload").into_iter().map(workload).collect();
    let routes: Vec<_> = top.sections("route").into_iter().map(route).collect();
    let checks: Vec<_> = top.sections("check").into_iter().map(check).collect();
    let fences: Vec<_> = top.sections("fence").into_iter().map(fence).collect();
    let policy = policy::read(top.section("policy"));
    let mut workloads: Vec<Workload> = workloads.into_iter().collect::<Option<_>>()?;
    workloads.sort_by_key(|workload| workload.wave);
    schema?;
    Some(Stack {
        name: name?,
        sites,
        databases: databases.into_iter().collect::<Option<_>>()?,
        clusters,
        workloads,
        routes: routes.into_iter().collect::<Option<_>>()?,
        checks: checks.into_iter().collect::<Option<_>>()?,
        fences: fences.into_iter().collect::<Option<_>>()?,
        policy: policy?,
    })
}

fn sites(top: &Section<'_>) -> BTreeMap<SiteName, SiteRole> {
    let roles = [
        ("primary", SiteRole::Primary),
        ("standby", SiteRole::Standby),
        ("witness", SiteRole::Witness),
    ];
    let mut sites = BTreeMap::new();
    for (name, section) in top.named_sections("sites") {
        let role = section.word("role", &roles, None);
        match SiteName::new(name.clone()) {
            Ok(site) => {
                if let Some(role) = role {
                    sites.insert(site, role);
                }
            }
            Err(error) => section.problem("", error, A_NAME),
        }
        section.finish();
    }
    sites
}

fn database(section: Section<'_>) -> Option<Database> {
    let name = section.required("name", A_NAME);
    let members: Vec<_> = section.sections("member").into_iter().map(member).collect();
    section.finish();
    Some(Database {
        name: name?,
        members: members.into_iter().collect::<Option<_>>()?,
    })
}

fn member(section: Section<'_>) -> Option<Member> {
    let site = section.required("site", "a name under [sites]");
    let node = section.required("node", "the node name of the agent beside this server");
    let address = section.required("address", AN_ADDRESS);
    let mut address_from = BTreeMap::new();
    for (site, text) in section.named_texts("address_from", AN_ADDRESS) {
        let key = format!("address_from.{site}");
        match (SiteName::new(site), text.parse::<Address>()) {
            (Ok(site), Ok(address)) => {
                address_from.insert(site, address);
            }
            (Err(error), _) => section.problem(&key, error, "a name under [sites]"),
            (_, Err(error)) => section.problem(&key, error, AN_ADDRESS),
        }
    }
    section.finish();
    Some(Member {
        site: site?,
        node: node?,
        address: address?,
        address_from,
    })
}

fn nodes_by_site(section: &Section<'_>, key: &'static str) -> BTreeMap<SiteName, NodeName> {
    let mut nodes = BTreeMap::new();
    for (site, node) in section.named_texts(key, "the node name of an agent") {
        let place = format!("{key}.{site}");
        match (SiteName::new(site), NodeName::new(node)) {
            (Ok(site), Ok(node)) => {
                nodes.insert(site, node);
            }
            (Err(error), _) => section.problem(&place, error, "a name under [sites]"),
            (_, Err(error)) => section.problem(&place, error, A_NAME),
        }
    }
    nodes
}

/// A Kubernetes object or namespace name (RFC 1123 subdomain, at most 253 characters).
fn object_name(section: &Section<'_>, key: &'static str) -> Option<String> {
    let allowed = "a Kubernetes name of a-z, 0-9, '-' and '.'";
    let text: String = section.required(key, allowed)?;
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let inner = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
    if inner
        && text.len() <= 4 * NAME_LEN_MAX
        && edge(text.chars().next())
        && edge(text.chars().next_back())
    {
        return Some(text);
    }
    section.problem(key, format!("{text:?}"), allowed);
    None
}

fn workload(section: Section<'_>) -> Option<Workload> {
    let kinds = [
        ("Deployment", WorkloadKind::Deployment),
        ("StatefulSet", WorkloadKind::StatefulSet),
    ];
    let name = section.required("name", A_NAME);
    let kind = section.word("kind", &kinds, None);
    let namespace = object_name(&section, "namespace");
    let object = object_name(&section, "object");
    let replicas = section.number("replicas", None, 1..=REPLICAS_MAX);
    let wave = section.number("wave", None, 0..=WAVE_MAX);
    section.finish();
    Some(Workload {
        name: name?,
        kind: kind?,
        namespace: namespace?,
        object: object?,
        replicas: u32::try_from(replicas?).ok()?,
        wave: u32::try_from(wave?).ok()?,
    })
}

fn route(section: Section<'_>) -> Option<Route> {
    let name = section.required("name", A_NAME);
    let hook = section.required("hook", "the name of a [[hook]] in the agent's file");
    let nodes = nodes_by_site(&section, "nodes");
    section.finish();
    Some(Route {
        name: name?,
        hook: hook?,
        nodes,
    })
}

fn fence(section: Section<'_>) -> Option<Fence> {
    let grades = [FenceGrade::CutOff, FenceGrade::PoweredOff].map(|grade| (grade.word(), grade));
    let name = section.required("name", A_NAME);
    let site = section.required("site", "a name under [sites]");
    let grade = section.word("grade", &grades, None);
    let hook = section.required("hook", "the name of a [[hook]] in the agent's file");
    let nodes = nodes_by_site(&section, "nodes");
    section.finish();
    Some(Fence {
        name: name?,
        site: site?,
        grade: grade?,
        hook: hook?,
        nodes,
    })
}

fn check(section: Section<'_>) -> Option<Check> {
    let name = section.required("name", A_NAME);
    let nodes = nodes_by_site(&section, "nodes");
    let kind = section.word("kind", &[("http", true), ("sql", false)], None);
    let probe = match kind {
        Some(true) => http_probe(&section),
        Some(false) => {
            let statement = section.required("statement", "one SQL statement");
            let equals = section.required("equals", "the answer as text");
            statement
                .zip(equals)
                .map(|(statement, equals)| CheckProbe::Sql { statement, equals })
        }
        None => None,
    };
    if kind.is_some() {
        section.finish();
    }
    Some(Check {
        name: name?,
        probe: probe?,
        nodes,
    })
}

fn http_probe(section: &Section<'_>) -> Option<CheckProbe> {
    let allowed = "a URL like http://127.0.0.1:8080/health";
    let mut url = BTreeMap::new();
    for (site, text) in section.named_texts("url", allowed) {
        let place = format!("url.{site}");
        let rest = text
            .strip_prefix("http://")
            .filter(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace));
        match SiteName::new(site) {
            Ok(site) if rest.is_some() => {
                url.insert(site, text);
            }
            Ok(_) => section.problem(&place, format!("{text:?}"), allowed),
            Err(error) => section.problem(&place, error, "a name under [sites]"),
        }
    }
    let status = section.number("status", Some(200), 100..=599);
    let contains = section.optional("contains", "a text that the body must hold");
    Some(CheckProbe::Http {
        url,
        status: u16::try_from(status?).ok()?,
        contains,
    })
}
