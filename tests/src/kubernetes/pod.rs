//! Pods: how one is made from a workload's template, and what the kubelet reports of it.
//!
//! The report follows from the script and the pod's age alone, so the same moment always gives the
//! same status. It never decides how many pods there are.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::agenda::Agenda;
use super::field::{list, member, text, timestamp};
use super::script::{Script, Timings};

/// Which label of a pod carries the revision of its template.
pub(super) fn revision_label(kind: &str) -> &'static str {
    if kind == "StatefulSet" {
        "controller-revision-hash"
    } else {
        "pod-template-hash"
    }
}

/// A new pod `name` of `workload`, at `revision` of its template.
pub(super) fn build(workload: &Value, name: &str, revision: &str) -> Value {
    let kind = text(workload, "/kind");
    let owner_name = text(workload, "/metadata/name");
    let template = workload
        .pointer("/spec/template")
        .cloned()
        .unwrap_or_else(|| json!({}));
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": template.get("metadata").cloned().unwrap_or_else(|| json!({})),
        "spec": template.get("spec").cloned().unwrap_or_else(|| json!({})),
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    });
    let owner = if kind == "StatefulSet" {
        json!({"apiVersion": "apps/v1", "kind": kind, "name": owner_name,
            "uid": text(workload, "/metadata/uid"), "controller": true,
            "blockOwnerDeletion": true})
    } else {
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "name": format!("{owner_name}-{revision}"),
            "uid": text(workload, "/metadata/uid"), "controller": true,
            "blockOwnerDeletion": true})
    };
    if let Some(metadata) = member(&mut pod, "metadata") {
        metadata.insert("name".to_owned(), json!(name));
        metadata.insert("ownerReferences".to_owned(), json!([owner]));
    }
    if let Some(labels) = member(&mut pod["metadata"], "labels") {
        labels.insert(revision_label(kind).to_owned(), json!(revision));
        if kind == "StatefulSet" {
            labels.insert("statefulset.kubernetes.io/pod-name".to_owned(), json!(name));
        }
    }
    if let Some(spec) = member(&mut pod, "spec") {
        spec.entry("terminationGracePeriodSeconds")
            .or_insert(json!(30));
    }
    pod
}

/// Whether the kubelet reported the pod ready.
pub(super) fn is_ready(pod: &Value) -> bool {
    list(pod, "/status/conditions").iter().any(|condition| {
        text(condition, "/type") == "Ready" && text(condition, "/status") == "True"
    })
}

/// What the kubelet knows of a pod's containers.
struct Report {
    phase: &'static str,
    scheduled: bool,
    ready: bool,
    state: Value,
    last_state: Value,
    restarts: u32,
}

/// The status of `pod`, whose script has run since `since`.
pub(super) fn status(
    pod: &Value,
    script: Script,
    timings: &Timings,
    since: Instant,
    agenda: &mut Agenda,
) -> Value {
    let report = report(script, timings, since, agenda);
    let flag = |yes: bool| if yes { "True" } else { "False" };
    let mut conditions = vec![json!({"type": "PodScheduled", "status": flag(report.scheduled)})];
    if report.scheduled {
        conditions.push(json!({"type": "Initialized", "status": "True"}));
        for kind in ["ContainersReady", "Ready"] {
            let mut condition = json!({"type": kind, "status": flag(report.ready)});
            if !report.ready {
                condition["reason"] = json!("ContainersNotReady");
                condition["message"] = json!("containers with unready status: [main]");
            }
            conditions.push(condition);
        }
    } else {
        conditions[0]["reason"] = json!("Unschedulable");
        conditions[0]["message"] = json!("0/3 nodes are available: 3 Insufficient memory.");
    }
    let containers: Vec<Value> = list(pod, "/spec/containers")
        .iter()
        .filter(|_| report.scheduled)
        .map(|container| {
            json!({
                "name": text(container, "/name"),
                "image": text(container, "/image"),
                "imageID": "",
                "ready": report.ready,
                "started": report.phase == "Running" && report.state.get("running").is_some(),
                "restartCount": report.restarts,
                "state": report.state,
                "lastState": report.last_state,
            })
        })
        .collect();
    let mut status = json!({
        "phase": report.phase,
        "qosClass": "BestEffort",
        "conditions": conditions,
    });
    if report.scheduled {
        status["hostIP"] = json!("127.0.0.1");
        status["startTime"] = json!(text(pod, "/metadata/creationTimestamp"));
        status["containerStatuses"] = json!(containers);
    }
    carry_times(pod.get("status").unwrap_or(&Value::Null), &mut status);
    status
}

fn report(script: Script, timings: &Timings, since: Instant, agenda: &mut Agenda) -> Report {
    let waiting =
        |reason: &str, message: &str| json!({"waiting": {"reason": reason, "message": message}});
    let starting = Report {
        phase: "Pending",
        scheduled: true,
        ready: false,
        state: json!({"waiting": {"reason": "ContainerCreating"}}),
        last_state: json!({}),
        restarts: 0,
    };
    let running = |ready: bool| Report {
        phase: "Running",
        scheduled: true,
        ready,
        state: json!({"running": {"startedAt": timestamp()}}),
        last_state: json!({}),
        restarts: 0,
    };
    let usual = timings.ready_after;
    match script {
        Script::Unschedulable => Report {
            scheduled: false,
            ..starting
        },
        Script::ImagePullBackoff => {
            let state = if agenda.passed(since, usual) {
                waiting("ImagePullBackOff", "Back-off pulling image")
            } else {
                waiting("ErrImagePull", "failed to pull and unpack image: not found")
            };
            Report { state, ..starting }
        }
        Script::CrashLoop => crash_loop(usual, since, agenda),
        Script::Slow if !agenda.passed(since, usual * 10) => starting,
        _ if !agenda.passed(since, usual) => starting,
        Script::NeverReady => running(false),
        Script::Normal | Script::Slow | Script::FailedCreate | Script::StuckTerminating => {
            running(true)
        }
    }
}

/// A container that runs for `usual`, exits with 1, and waits twice as long after each exit.
fn crash_loop(usual: Duration, since: Instant, agenda: &mut Agenda) -> Report {
    const LONGEST_WAIT: u32 = 64;
    let mut report = Report {
        phase: "Running",
        scheduled: true,
        ready: false,
        state: json!({}),
        last_state: json!({}),
        restarts: 0,
    };
    let mut at = since;
    let mut factor = 1;
    // A zero duration would never leave the loop.
    let usual = usual.max(Duration::from_millis(10));
    loop {
        if !agenda.passed(at, usual) {
            report.state = json!({"running": {"startedAt": timestamp()}});
            return report;
        }
        at += usual;
        let exit = json!({"terminated": {"exitCode": 1, "reason": "Error",
            "startedAt": timestamp(), "finishedAt": timestamp()}});
        report.last_state = exit;
        if !agenda.passed(at, usual * factor) {
            report.state = json!({"waiting": {"reason": "CrashLoopBackOff",
                "message": "back-off restarting failed container"}});
            return report;
        }
        at += usual * factor;
        factor = (factor * 2).min(LONGEST_WAIT);
        report.restarts = report.restarts.saturating_add(1);
    }
}

/// Dates the conditions of `after`: those whose status did not change keep their time.
pub(super) fn carry_times(before: &Value, after: &mut Value) {
    let Some(conditions) = after.get_mut("conditions").and_then(Value::as_array_mut) else {
        return;
    };
    for condition in conditions {
        let known = list(before, "/conditions")
            .iter()
            .find(|known| known.get("type") == condition.get("type"));
        let same = known.filter(|known| known.get("status") == condition.get("status"));
        let since = same.map_or_else(timestamp, |known| {
            text(known, "/lastTransitionTime").to_owned()
        });
        condition["lastTransitionTime"] = json!(since);
    }
}

/// Whether two statuses say the same, times aside.
pub(super) fn says_the_same(one: &Value, other: &Value) -> bool {
    fn timeless(value: &Value) -> Value {
        if let Some(members) = value.as_object() {
            return members
                .iter()
                .filter(|(key, _)| !key.ends_with("Time") && !key.ends_with("At"))
                .map(|(key, value)| (key.clone(), timeless(value)))
                .collect();
        }
        value.as_array().map_or_else(
            || value.clone(),
            |items| items.iter().map(timeless).collect(),
        )
    }
    timeless(one) == timeless(other)
}
