//! The objects a stand-in starts with.
//!
//! A fixture is JSON (Kubernetes objects as they are) or TOML (a short form for workloads). It only
//! describes; creating the objects is the server's.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

use super::resource::Resource;
use super::script::{Script, WorkloadName};

/// Objects, scripts and further kinds to start with.
#[derive(Debug, Clone, Default)]
pub struct Fixture {
    /// Kubernetes objects, created in this order; their namespaces are made when missing.
    pub objects: Vec<Value>,
    /// Kinds served besides the built-in ones.
    pub resources: Vec<Resource>,
    /// Scripts in force from the start.
    pub scripts: Vec<(WorkloadName, Script)>,
}

/// Why a fixture cannot be used.
#[derive(Debug, Error)]
pub enum FixtureError {
    /// The text is not JSON of the expected form.
    #[error("the fixture is not readable as JSON")]
    Json(#[source] serde_json::Error),
    /// The text is not TOML of the expected form.
    #[error("the fixture is not readable as TOML")]
    Toml(#[source] toml::de::Error),
    /// A row names a kind that has no short form.
    #[error("kind {0} has no short form; write it as a JSON object")]
    Kind(String),
}

/// One workload in short form.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShortWorkload {
    /// `Deployment` or `StatefulSet`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `spec.replicas`.
    pub replicas: u32,
    /// Labels of the workload and its pods; `app.kubernetes.io/instance` is the selector and
    /// defaults to the name.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// How its pods behave.
    #[serde(default)]
    pub script: Script,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonFixture {
    #[serde(default)]
    objects: Vec<Value>,
    #[serde(default)]
    resources: Vec<Resource>,
    #[serde(default)]
    scripts: Vec<JsonScript>,
}

#[derive(Deserialize)]
struct JsonScript {
    #[serde(flatten)]
    workload: WorkloadName,
    script: Script,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlFixture {
    #[serde(default)]
    object: Vec<ShortWorkload>,
    #[serde(default)]
    resource: Vec<Resource>,
}

const INSTANCE: &str = "app.kubernetes.io/instance";

impl Fixture {
    /// Reads JSON: a list of objects, a Kubernetes `List`, or
    /// `{"objects": […], "resources": […], "scripts": [{kind, namespace, name, script}]}`.
    ///
    /// # Errors
    /// [`FixtureError::Json`].
    pub fn from_json(text: &str) -> Result<Self, FixtureError> {
        let value: Value = serde_json::from_str(text).map_err(FixtureError::Json)?;
        if let Some(objects) = value.as_array() {
            return Ok(Self {
                objects: objects.clone(),
                ..Self::default()
            });
        }
        if let Some(items) = value.get("items").and_then(Value::as_array) {
            return Ok(Self {
                objects: items.clone(),
                ..Self::default()
            });
        }
        let read: JsonFixture = serde_json::from_value(value).map_err(FixtureError::Json)?;
        Ok(Self {
            objects: read.objects,
            resources: read.resources,
            scripts: read
                .scripts
                .into_iter()
                .map(|row| (row.workload, row.script))
                .collect(),
        })
    }

    /// Reads TOML: `[[object]]` tables as in [`ShortWorkload`], `[[resource]]` as in [`Resource`].
    ///
    /// # Errors
    /// [`FixtureError::Toml`], or [`FixtureError::Kind`] for other kinds than workloads.
    pub fn from_toml(text: &str) -> Result<Self, FixtureError> {
        let read: TomlFixture = toml::from_str(text).map_err(FixtureError::Toml)?;
        let mut fixture = Self {
            resources: read.resource,
            ..Self::default()
        };
        for row in read.object {
            fixture.add(row)?;
        }
        Ok(fixture)
    }

    /// Adds a workload in short form.
    ///
    /// # Errors
    /// [`FixtureError::Kind`] for other kinds than `Deployment` and `StatefulSet`.
    pub fn add(&mut self, row: ShortWorkload) -> Result<(), FixtureError> {
        let ShortWorkload {
            kind,
            namespace,
            name,
            replicas,
            mut labels,
            script,
        } = row;
        if !matches!(kind.as_str(), "Deployment" | "StatefulSet") {
            return Err(FixtureError::Kind(kind));
        }
        let instance = labels
            .entry(INSTANCE.to_owned())
            .or_insert_with(|| name.clone())
            .clone();
        let mut object = json!({
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {INSTANCE: instance}},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "main", "image": format!("{name}:1")}]},
                },
            },
        });
        if kind == "StatefulSet" {
            object["spec"]["podManagementPolicy"] = json!("Parallel");
            object["spec"]["serviceName"] = json!(name);
        }
        self.objects.push(object);
        self.scripts.push((
            WorkloadName {
                kind,
                namespace,
                name,
            },
            script,
        ));
        Ok(())
    }
}
