//! The stand-in and the real server, asked the same: what the agent relies on must be answered alike.

use std::time::Duration;

use anyhow::{Result, ensure};
use hyper::Method;
use kube::Client;
use serde_json::{Map, Value, json};
use tests::kubernetes::{Config, Standin};

use crate::agent_scale::{fixture, workloads};
use crate::control_plane::{Answer, client, exchange, until};
use crate::kubelet::Kubelet;
use crate::{NAMESPACE, control_plane};

/// How long pods take to end.
const TERMINATE: Duration = Duration::from_millis(300);
const MERGE: &str = "application/merge-patch+json";
const APPS: &str = "/apis/apps/v1/namespaces/ess";

/// One question and what of the answer must be alike.
struct Question {
    what: &'static str,
    method: Method,
    path: String,
    content: &'static str,
    body: String,
    /// Pointers into the answer; none for the whole of a refusal.
    alike: &'static [&'static str],
}

fn get(what: &'static str, path: impl Into<String>, alike: &'static [&'static str]) -> Question {
    Question {
        what,
        method: Method::GET,
        path: path.into(),
        content: "",
        body: String::new(),
        alike,
    }
}

fn patch(
    what: &'static str,
    path: impl Into<String>,
    body: &Value,
    alike: &'static [&'static str],
) -> Question {
    let (path, body) = (path.into(), body.to_string());
    Question {
        what,
        method: Method::PATCH,
        path,
        content: MERGE,
        body,
        alike,
    }
}

const OBJECT: &[&str] = &[
    "/apiVersion",
    "/kind",
    "/metadata/name",
    "/metadata/namespace",
    "/metadata/generation",
    "/spec/replicas",
    "/spec/selector",
    "/status/observedGeneration",
];
const SCALE: &[&str] = &[
    "/apiVersion",
    "/kind",
    "/metadata/name",
    "/metadata/namespace",
    "/spec",
    "/status/replicas",
    "/status/selector",
];

/// What is asked while both workloads are at zero.
fn at_rest() -> Vec<Question> {
    let stale = json!({"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 1}});
    let negative = json!({"spec": {"replicas": -1}});
    let mut questions = vec![
        get(
            "a workload that is not there",
            format!("{APPS}/deployments/nothing"),
            &[],
        ),
        get(
            "a scale that is not there",
            format!("{APPS}/statefulsets/nothing/scale"),
            &[],
        ),
        patch(
            "scaling what is not there",
            format!("{APPS}/deployments/nothing/scale"),
            &negative,
            &[],
        ),
        get(
            "pods of nobody",
            "/api/v1/namespaces/ess/pods?labelSelector=a%3Dnobody&limit=500",
            &["/kind", "/items"],
        ),
    ];
    for (plural, name) in [("deployments", "web"), ("statefulsets", "main")] {
        let (object, scale) = (
            format!("{APPS}/{plural}/{name}"),
            format!("{APPS}/{plural}/{name}/scale"),
        );
        questions.push(get("a workload", object, OBJECT));
        questions.push(get("a scale", scale.clone(), SCALE));
        questions.push(patch("a stale revision", scale.clone(), &stale, &[]));
        questions.push(patch("a negative count", scale.clone(), &negative, &[]));
        let mut odd = patch(
            "a patch of no known kind",
            scale,
            &json!({"spec": {"replicas": 1}}),
            &["/code", "/reason"],
        );
        odd.content = "text/plain";
        questions.push(odd);
    }
    questions
}

async fn ask(client: &Client, question: &Question) -> Result<Answer> {
    let Question {
        method,
        path,
        content,
        body,
        ..
    } = question;
    exchange(client, method.clone(), path, content, body.clone()).await
}

/// The status and the parts of an answer that must be alike.
fn essence(answer: &Answer, alike: &[&str]) -> Value {
    let mut parts = Map::new();
    parts.insert("http".to_owned(), json!(answer.status));
    if alike.is_empty() {
        parts.insert("body".to_owned(), answer.body.clone());
    }
    for pointer in alike {
        let part = answer.body.pointer(pointer).cloned().unwrap_or(Value::Null);
        parts.insert((*pointer).to_owned(), part);
    }
    Value::Object(parts)
}

async fn compare(standin: &Client, real: &Client, questions: &[Question]) -> Result<()> {
    let mut unlike = Vec::new();
    for question in questions {
        let one = essence(&ask(standin, question).await?, question.alike);
        let other = essence(&ask(real, question).await?, question.alike);
        if one != other {
            let Question {
                what, method, path, ..
            } = question;
            unlike.push(format!(
                "{what} ({method} {path})\n  stand-in {one}\n  real     {other}"
            ));
        }
    }
    ensure!(unlike.is_empty(), "answered unlike:\n{}", unlike.join("\n"));
    Ok(())
}

/// The status of a workload as far as the agent judges by it.
fn judged(object: &Value) -> Value {
    let counts = [
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
    ];
    let conditions = object
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    let condition = |c: &Value| json!([c["type"], c["status"], c["reason"]]);
    let mut conditions: Vec<Value> = conditions.into_iter().flatten().map(condition).collect();
    conditions.sort_by_key(ToString::to_string);
    json!([
        counts.map(|name| object["status"][name].clone()),
        conditions,
        object["spec"]["updateStrategy"]
    ])
}

/// The entry of the writer of a count; the real server keeps none for a count of zero.
fn writer(object: &Value) -> Value {
    let entries = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let mut of_agent = entries
        .into_iter()
        .flatten()
        .filter(|entry| entry["manager"] == "pointsman");
    let mut entry = of_agent.next().cloned().unwrap_or_default();
    if let Some(fields) = entry.as_object_mut() {
        fields.remove("time");
    }
    entry
}

/// True once the controllers have seen the newest change.
fn seen(object: &Value) -> bool {
    object["status"]["observedGeneration"] == object["metadata"]["generation"]
}

/// True once all that a count asks for is there, and nothing else.
fn settled(object: &Value, plural: &str, count: u64) -> bool {
    let status = |name: &str| object["status"][name].as_u64().unwrap_or(0);
    let counts = ["replicas", "readyReplicas", "updatedReplicas"];
    let available = plural == "statefulsets" || status("availableReplicas") == count;
    seen(object) && counts.iter().all(|name| status(name) == count) && available
}

/// Writes one count on both, and holds what comes of it side by side.
async fn scale_both(
    standin: &Client,
    real: &Client,
    plural: &str,
    name: &str,
    count: u64,
) -> Result<()> {
    let (object, scale) = (
        format!("{APPS}/{plural}/{name}"),
        format!("{APPS}/{plural}/{name}/scale"),
    );
    let body = json!({"spec": {"replicas": count}});
    let path = format!("{scale}?fieldManager=pointsman");
    compare(
        standin,
        real,
        &[patch("a count", path, &body, &["/kind", "/spec"])],
    )
    .await?;
    let one = until(standin, &object, |o| settled(o, plural, count)).await?;
    let other = until(real, &object, |o| settled(o, plural, count)).await?;
    for look in [judged, writer] {
        let (one, other) = (look(&one), look(&other));
        ensure!(
            one == other,
            "{name} at {count}\n  stand-in {one}\n  real     {other}"
        );
    }
    compare(standin, real, &[get("a scale afterwards", scale, SCALE)]).await
}

#[tokio::test]
async fn the_stand_in_answers_as_the_real_server_does() -> Result<()> {
    let Some(plane) = control_plane("the stand-in beside a real API server").await? else {
        return Ok(());
    };
    let admin = plane.admin().await?;
    for (path, object) in workloads().await? {
        let made = plane.post(&path, &object).await?;
        ensure!(
            made.status == 201,
            "the real server refuses the stand-in's object: {made:?}"
        );
    }
    let token = "a-token";
    let config = Config {
        fixture: fixture()?,
        token: Some(token.to_owned()),
        ..Config::default()
    };
    let standin = Standin::start(config).await?;
    let stand_in = client(&standin.kubeconfig(NAMESPACE)).await?;
    for path in [
        format!("{APPS}/deployments/web"),
        format!("{APPS}/statefulsets/main"),
    ] {
        for client in [&stand_in, &admin] {
            until(client, &path, seen).await?;
        }
    }
    compare(&stand_in, &admin, &at_rest()).await?;

    // A token that nobody gave.
    let stranger = client(&standin.kubeconfig(NAMESPACE).replace(token, "another")).await?;
    let alike = &["/kind", "/code", "/reason", "/message"];
    let unknown = [get("a stranger", format!("{APPS}/deployments/web"), alike)];
    compare(&stranger, &plane.client("another").await?, &unknown).await?;

    let _kubelet = Kubelet::start(admin.clone(), TERMINATE);
    for (plural, name) in [("deployments", "web"), ("statefulsets", "main")] {
        for count in [2, 1, 0] {
            scale_both(&stand_in, &admin, plural, name, count).await?;
        }
    }
    standin.stop().await;
    plane.stop().await
}
