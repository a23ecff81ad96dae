//! The part of a node: pods that the controllers make are placed, become ready, and end when told to.
//!
//! Without a node a pod that is deleted is gone at once, and a real one is not: that is why pods are placed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use kube::Client;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::NAMESPACE;
use crate::control_plane::{Answer, exchange};

const LOOK: Duration = Duration::from_millis(100);
const MERGE: &str = "application/merge-patch+json";

/// A running node. Dropping it leaves the pods as they are.
pub(crate) struct Kubelet {
    task: JoinHandle<Result<()>>,
}

impl Kubelet {
    /// Runs pods; one that is deleted needs `terminate_after` to end.
    pub(crate) fn start(client: Client, terminate_after: Duration) -> Self {
        let task = tokio::spawn(async move {
            let mut leaving = BTreeMap::new();
            loop {
                look(&client, terminate_after, &mut leaving).await?;
                sleep(LOOK).await;
            }
        });
        Self { task }
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look(
    client: &Client,
    terminate_after: Duration,
    leaving: &mut BTreeMap<String, Instant>,
) -> Result<()> {
    let all = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let list = exchange(client, Method::GET, &all, "", String::new()).await?;
    let pods = list
        .body
        .get("items")
        .and_then(Value::as_array)
        .context("no list of pods")?;
    for pod in pods {
        let text = |pointer| pod.pointer(pointer).and_then(Value::as_str);
        let name = text("/metadata/name").context("a pod without name")?;
        let uid = text("/metadata/uid").unwrap_or_default();
        let path = format!("{all}/{name}");
        if text("/metadata/deletionTimestamp").is_some() {
            let since = leaving.entry(uid.to_owned()).or_insert_with(Instant::now);
            if since.elapsed() >= terminate_after {
                let now =
                    json!({"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}).to_string();
                settled(exchange(client, Method::DELETE, &path, "application/json", now).await?)?;
            }
        } else if text("/spec/nodeName").is_none() {
            let binding = json!({
                "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
                "target": {"apiVersion": "v1", "kind": "Node", "name": "node-1"},
            });
            let path = format!("{path}/binding");
            settled(
                exchange(
                    client,
                    Method::POST,
                    &path,
                    "application/json",
                    binding.to_string(),
                )
                .await?,
            )?;
        } else if text("/status/phase") != Some("Running") {
            let path = format!("{path}/status");
            settled(
                exchange(
                    client,
                    Method::PATCH,
                    &path,
                    MERGE,
                    running(pod).to_string(),
                )
                .await?,
            )?;
        }
    }
    Ok(())
}

/// Somebody else may have been faster: the next look sees it.
fn settled(answer: Answer) -> Result<()> {
    ensure!(
        answer.status < 300 || [404, 409].contains(&answer.status),
        "{answer:?}"
    );
    Ok(())
}

fn running(pod: &Value) -> Value {
    let started = &pod["metadata"]["creationTimestamp"];
    let condition = |kind| json!({"type": kind, "status": "True", "lastTransitionTime": started});
    let kinds = ["PodScheduled", "Initialized", "ContainersReady", "Ready"];
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
    let container = |container: &Value| {
        json!({
            "name": container["name"], "image": container["image"], "imageID": "", "restartCount": 0,
            "ready": true, "started": true, "state": {"running": {"startedAt": started}},
        })
    };
    let containers: Vec<Value> = containers.into_iter().flatten().map(container).collect();
    json!({"status": {
        "phase": "Running",
        "conditions": kinds.map(condition),
        "containerStatuses": containers,
    }})
}
