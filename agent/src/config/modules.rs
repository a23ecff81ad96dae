//! The tables of the smaller modules: host, Kubernetes, peers, responder, hooks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use shared::clock::Millis;
use shared::config::Section;
use shared::id::{HookName, SiteName};
use shared::stack::{Address, WorkloadKind};
use shared::wire::PeerChannel;

use super::{absolute, all, argv, filled, optional_absolute, optional_filled};

/// Host metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConfig {
    /// The filesystem whose free space is told.
    pub watch: Option<PathBuf>,
}

/// The site's Kubernetes cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesConfig {
    /// The kubeconfig file.
    pub kubeconfig: PathBuf,
    /// Its context; the file's current one when absent.
    pub context: Option<String>,
    /// Workloads told in heartbeats.
    pub watch: Vec<Watched>,
    /// Name under which the cluster records the agent's writes.
    pub field_manager: String,
    /// Between two samples.
    pub every: Millis,
    /// Longest wait for one answer.
    pub timeout: Millis,
}

/// A workload that is told in heartbeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its namespace.
    pub namespace: String,
    /// Its object name.
    pub object: String,
}

/// Something looked at in another site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConfig {
    /// The other site.
    pub site: SiteName,
    /// How it is looked at.
    pub channel: PeerChannel,
    /// Where.
    pub address: Address,
    /// Between two looks.
    pub every: Millis,
    /// Longest wait for one answer.
    pub timeout: Millis,
}

/// Where this agent answers the looks of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponderConfig {
    /// The address listened on.
    pub listen: SocketAddr,
}

/// A program that a step may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookConfig {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Longest run.
    pub timeout: Millis,
    /// Its environment, besides what the step gives.
    pub environment: BTreeMap<String, String>,
}

pub(super) fn read_host(section: Section<'_>) -> Option<HostConfig> {
    let watch = optional_absolute(&section, "watch", "an absolute path");
    section.finish();
    Some(HostConfig { watch: watch.ok()? })
}

pub(super) fn read_kubernetes(section: Section<'_>) -> Option<KubernetesConfig> {
    let kubeconfig = absolute(
        &section,
        "kubeconfig",
        "the absolute path of a kubeconfig file",
    );
    let context = optional_filled(&section, "context", "a context of the kubeconfig");
    let manager = optional_filled(&section, "field_manager", "a name");
    let every = section.span(
        "every",
        Millis::seconds(2),
        Millis(500)..=Millis::seconds(60),
    );
    let timeout = section.span(
        "timeout",
        Millis::seconds(2),
        Millis(200)..=Millis::seconds(10),
    );
    let watch = section
        .sections("watch")
        .into_iter()
        .map(read_watched)
        .collect();
    section.finish();
    Some(KubernetesConfig {
        kubeconfig: kubeconfig?,
        context: context.ok()?,
        watch: all(watch)?,
        field_manager: manager.ok()?.unwrap_or_else(|| "pointsman".to_owned()),
        every: every?,
        timeout: timeout?,
    })
}

fn read_watched(section: Section<'_>) -> Option<Watched> {
    let kinds =
        [WorkloadKind::Deployment, WorkloadKind::StatefulSet].map(|kind| (kind.as_str(), kind));
    let kind = section.word("kind", &kinds, None);
    let namespace = object_name(&section, "namespace");
    let object = object_name(&section, "object");
    section.finish();
    Some(Watched {
        kind: kind?,
        namespace: namespace?,
        object: object?,
    })
}

/// A DNS subdomain, as Kubernetes names objects: it goes into a URL path.
fn object_name(section: &Section<'_>, key: &'static str) -> Option<String> {
    const ALLOWED: &str = "a Kubernetes name: a-z, 0-9, '-' and '.'";
    let name = filled(section, key, ALLOWED)?;
    if crate::cluster::is_object_name(&name) {
        return Some(name);
    }
    section.problem(key, format!("{name:?}"), ALLOWED);
    None
}

pub(super) fn read_peer(section: Section<'_>, own: Option<&SiteName>) -> Option<PeerConfig> {
    let site: Option<SiteName> = section.required("site", "another site of the stack");
    if site.is_some() && site.as_ref() == own {
        section.problem("site", "the agent's own site", "another site of the stack");
    }
    let channels = [
        ("postgres", PeerChannel::Postgres),
        ("http", PeerChannel::Http),
        ("agent", PeerChannel::Agent),
    ];
    let channel = section.word("channel", &channels, None);
    let address = section.required("address", "host:port");
    let every = section.span(
        "every",
        Millis::seconds(1),
        Millis(250)..=Millis::seconds(60),
    );
    let timeout = section.span("timeout", Millis(800), Millis(50)..=Millis::seconds(10));
    if every
        .zip(timeout)
        .is_some_and(|(every, timeout)| timeout > every)
    {
        section.problem("timeout", "longer than every", "at most as long as every");
    }
    section.finish();
    Some(PeerConfig {
        site: site?,
        channel: channel?,
        address: address?,
        every: every?,
        timeout: timeout?,
    })
}

pub(super) fn read_responder(section: Section<'_>) -> Option<ResponderConfig> {
    let listen = section.required("listen", "IP:port");
    section.finish();
    Some(ResponderConfig { listen: listen? })
}

pub(super) fn read_hooks(top: &Section<'_>) -> Option<BTreeMap<HookName, HookConfig>> {
    let mut seen = BTreeSet::new();
    let hooks = top.sections("hook").into_iter().map(|section| {
        let name: Option<HookName> = section.required("name", "the hook's name in the stack file");
        if let Some(name) = name.as_ref().filter(|name| !seen.insert((*name).clone())) {
            section.problem(
                "name",
                format!("{:?} again", name.as_str()),
                "each name once",
            );
        }
        let argv = argv(&section, "argv");
        let span = Millis::seconds(1)..=Millis::seconds(3_600);
        let timeout = section.span("timeout", Millis::seconds(30), span);
        let environment = read_environment(&section);
        section.finish();
        Some((
            name?,
            HookConfig {
                argv: argv?,
                timeout: timeout?,
                environment: environment?,
            },
        ))
    });
    Some(all(hooks.collect())?.into_iter().collect())
}

fn read_environment(section: &Section<'_>) -> Option<BTreeMap<String, String>> {
    const ALLOWED: &str =
        "names of A-Z, 0-9 and '_' without the prefix POINTSMAN_, each with a text";
    let mut right = true;
    let mut environment = BTreeMap::new();
    for (name, value) in section.named_texts("environment", ALLOWED) {
        if is_variable(&name) && !name.starts_with("POINTSMAN_") && !value.contains('\0') {
            environment.insert(name, value);
        } else {
            section.problem("environment", format!("{name:?}"), ALLOWED);
            right = false;
        }
    }
    right.then_some(environment)
}

/// Whether a text is the name of an environment variable.
pub(crate) fn is_variable(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    !name.is_empty()
        && name.len() <= 128
        && name.chars().all(fits)
        && !name.starts_with(|c: char| c.is_ascii_digit())
}
