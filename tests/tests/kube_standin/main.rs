//! The Kubernetes stand-in, driven by the client library that agents use, and by `kubectl`.

mod fault;
mod program;
mod protocol;
mod workload;

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Error};
use serde_json::{Value, json};
use tests::kubernetes::{Config, Fixture, Script, ShortWorkload, Standin, Timings};
use tokio::time::{Instant, sleep};

pub(crate) const NAMESPACE: &str = "ess";
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn row(kind: &str, name: &str, replicas: u32) -> ShortWorkload {
    let labels = [(
        "app.kubernetes.io/component".to_owned(),
        "matrix-server".to_owned(),
    )];
    ShortWorkload {
        kind: kind.to_owned(),
        namespace: NAMESPACE.to_owned(),
        name: name.to_owned(),
        replicas,
        labels: labels.into(),
        script: Script::Normal,
    }
}

/// One Deployment `web` and one StatefulSet `synapse`, both at zero unless stated.
pub(crate) async fn start_with(replicas: u32, timings: Timings) -> Standin {
    let mut fixture = Fixture::default();
    for (kind, name) in [("Deployment", "web"), ("StatefulSet", "synapse")] {
        fixture
            .add(row(kind, name, replicas))
            .expect("both kinds have a short form");
    }
    let bookmark_every = Duration::from_millis(100);
    Standin::start(Config {
        timings,
        fixture,
        bookmark_every,
        ..Config::default()
    })
    .await
    .expect("a free port and a valid fixture")
}

pub(crate) async fn start() -> Standin {
    start_with(0, Timings::default()).await
}

/// A client that fails instead of retrying, as agents use it.
pub(crate) fn client_of(url: &str) -> Client {
    let mut config = kube::Config::new(url.parse().expect("a URL"));
    config.default_retry = false;
    config.read_timeout = Some(Duration::from_secs(2));
    NAMESPACE.clone_into(&mut config.default_namespace);
    Client::try_from(config).expect("a plain HTTP client")
}

pub(crate) struct Workloads {
    pub(crate) web: Api<Deployment>,
    pub(crate) synapse: Api<StatefulSet>,
    pub(crate) pods: Api<Pod>,
}

pub(crate) fn workloads(standin: &Standin) -> Workloads {
    let client = client_of(&standin.url);
    Workloads {
        web: Api::default_namespaced(client.clone()),
        synapse: Api::default_namespaced(client.clone()),
        pods: Api::default_namespaced(client),
    }
}

pub(crate) fn to(replicas: u32) -> Patch<Value> {
    Patch::Merge(json!({"spec": {"replicas": replicas}}))
}

pub(crate) fn params() -> PatchParams {
    PatchParams {
        field_manager: Some("pointsman".to_owned()),
        ..PatchParams::default()
    }
}

/// The `Status` with which the API refused.
pub(crate) fn refusal<T: std::fmt::Debug>(answer: Result<T, Error>) -> (u16, String) {
    match answer {
        Err(Error::Api(status)) => (status.code, status.reason.clone()),
        other => (0, format!("not a refusal: {other:?}")),
    }
}

/// Waits until `check` holds for the stored object.
pub(crate) async fn until(
    standin: &Standin,
    kind: &str,
    name: &str,
    check: impl Fn(&Value) -> bool,
) -> Value {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let version = if kind == "Pod" { "v1" } else { "apps/v1" };
        let object = standin
            .object(version, kind, NAMESPACE, name)
            .unwrap_or(Value::Null);
        if check(&object) {
            return object;
        }
        assert!(
            Instant::now() < deadline,
            "{kind} {name} did not get there: {object:#}"
        );
        sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn ready(count: i64) -> impl Fn(&Value) -> bool {
    move |object| {
        let status = &object["status"];
        status["observedGeneration"] == object["metadata"]["generation"]
            && status["readyReplicas"].as_i64().unwrap_or(0) == count
            && status["replicas"].as_i64().unwrap_or(0) == count
    }
}
