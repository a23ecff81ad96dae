//! Which kinds of object the stand-in serves, and under which paths.
//!
//! It decides names only (group, version, plural, kind). It must never hold objects.

use serde::Deserialize;

/// One row of the table of served kinds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// API group; empty for the core group.
    #[serde(default)]
    pub group: String,
    /// API version, such as `v1`.
    pub version: String,
    /// Kind as written in objects, such as `Deployment`.
    pub kind: String,
    /// Plural as written in paths, such as `deployments`.
    pub plural: String,
    /// Whether objects live in a namespace.
    #[serde(default = "yes")]
    pub namespaced: bool,
    /// Whether `/scale` is served.
    #[serde(default)]
    pub scalable: bool,
    /// Abbreviations which `kubectl` accepts.
    #[serde(default)]
    pub short_names: Vec<String>,
}

fn yes() -> bool {
    true
}

impl Resource {
    /// `apps/v1`, or `v1` for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `deployments.apps`, or `pods` for the core group; also the first part of a storage key.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// Whether `metadata.generation` is kept: the core group's kinds used here have none.
    pub(super) fn keeps_generation(&self) -> bool {
        !self.group.is_empty()
    }
}

/// Every kind served by one stand-in.
#[derive(Debug, Clone)]
pub(super) struct ResourceTable {
    rows: Vec<Resource>,
}

impl ResourceTable {
    /// The built-in kinds and `extra` ones; an extra row of a known group and plural is ignored.
    pub(super) fn with(extra: &[Resource]) -> Self {
        let mut rows: Vec<Resource> = BUILT_IN.iter().map(built_in).collect();
        for row in extra {
            if !rows.iter().any(|known| {
                known.group == row.group
                    && known.plural == row.plural
                    && known.version == row.version
            }) {
                rows.push(row.clone());
            }
        }
        Self { rows }
    }

    pub(super) fn rows(&self) -> &[Resource] {
        &self.rows
    }

    pub(super) fn by_plural(&self, group: &str, version: &str, plural: &str) -> Option<&Resource> {
        self.rows
            .iter()
            .find(|row| row.group == group && row.version == version && row.plural == plural)
    }

    pub(super) fn by_kind(&self, api_version: &str, kind: &str) -> Option<&Resource> {
        self.rows
            .iter()
            .find(|row| row.kind == kind && row.api_version() == api_version)
    }

    /// Groups with their versions, in table order; the core group is not among them.
    pub(super) fn groups(&self) -> Vec<(&str, Vec<&str>)> {
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for row in self.rows.iter().filter(|row| !row.group.is_empty()) {
            match groups.iter_mut().find(|(name, _)| *name == row.group) {
                Some((_, versions)) if versions.contains(&row.version.as_str()) => {}
                Some((_, versions)) => versions.push(&row.version),
                None => groups.push((&row.group, vec![&row.version])),
            }
        }
        groups
    }
}

/// Group, version, kind, plural, abbreviation, namespaced.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    bool,
);

const BUILT_IN: &[Row] = &[
    ("", "v1", "Namespace", "namespaces", "ns", false),
    ("", "v1", "Node", "nodes", "no", false),
    ("", "v1", "Pod", "pods", "po", true),
    ("", "v1", "Event", "events", "ev", true),
    ("", "v1", "ConfigMap", "configmaps", "cm", true),
    ("", "v1", "Secret", "secrets", "", true),
    ("", "v1", "Service", "services", "svc", true),
    (
        "",
        "v1",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        "pvc",
        true,
    ),
    ("", "v1", "ResourceQuota", "resourcequotas", "quota", true),
    ("apps", "v1", "Deployment", "deployments", "deploy", true),
    ("apps", "v1", "StatefulSet", "statefulsets", "sts", true),
    (
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        "hpa",
        true,
    ),
    (
        "networking.k8s.io",
        "v1",
        "Ingress",
        "ingresses",
        "ing",
        true,
    ),
    (
        "argoproj.io",
        "v1alpha1",
        "Application",
        "applications",
        "app",
        true,
    ),
    (
        "kustomize.toolkit.fluxcd.io",
        "v1",
        "Kustomization",
        "kustomizations",
        "ks",
        true,
    ),
    (
        "helm.toolkit.fluxcd.io",
        "v2",
        "HelmRelease",
        "helmreleases",
        "hr",
        true,
    ),
    (
        "keda.sh",
        "v1alpha1",
        "ScaledObject",
        "scaledobjects",
        "so",
        true,
    ),
];

fn built_in(row: &Row) -> Resource {
    let (group, version, kind, plural, short, namespaced) = *row;
    Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        namespaced,
        scalable: group == "apps",
        short_names: if short.is_empty() {
            Vec::new()
        } else {
            vec![short.to_owned()]
        },
    }
}
