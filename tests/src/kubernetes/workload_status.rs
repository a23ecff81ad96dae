//! The status which the Deployment and StatefulSet controllers report.
//!
//! Fields that are zero are left out where the real API leaves them out. As in the real Deployment
//! controller, a completed rollout stays `Progressing=True/NewReplicaSetAvailable` while it is
//! scaled, so that condition alone proves nothing.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::agenda::Agenda;
use super::field::{list, number, text};
use super::rollout::PodView;

/// What a controller knows when it reports.
#[derive(Debug)]
pub(super) struct Known<'a> {
    /// The workload as the controller last observed it.
    pub(super) observed: &'a Value,
    /// The status reported before.
    pub(super) before: &'a Value,
    /// Revision of the present template.
    pub(super) revision: &'a str,
    pub(super) pods: &'a [PodView],
    /// Whether creating pods is refused.
    pub(super) create_failed: bool,
    /// Since when the rollout made no progress.
    pub(super) stalled_since: Instant,
}

/// The status of a Deployment.
pub(super) fn deployment(known: &Known<'_>, agenda: &mut Agenda) -> Value {
    let active = known.count(|pod| !pod.terminating);
    let updated = known.count(|pod| !pod.terminating && pod.revision == known.revision);
    let ready = known.count(|pod| !pod.terminating && pod.ready);
    let wanted = known.wanted();
    let mut status = json!({"observedGeneration": known.generation()});
    for (field, count) in [
        ("replicas", active),
        ("updatedReplicas", updated),
        ("readyReplicas", ready),
        ("availableReplicas", ready),
        ("unavailableReplicas", wanted.max(active) - ready),
    ] {
        if count > 0 {
            status[field] = json!(count);
        }
    }
    let enough = ready >= wanted - unavailable_allowed(known.observed, wanted);
    let available = if enough {
        json!({"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable",
            "message": "Deployment has minimum availability."})
    } else {
        json!({"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable",
            "message": "Deployment does not have minimum availability."})
    };
    let complete = updated == wanted && active == wanted && ready == wanted;
    let mut conditions = vec![
        available,
        progressing(known, complete, active == updated, agenda),
    ];
    if known.create_failed && active < wanted {
        conditions.push(json!({"type": "ReplicaFailure", "status": "True",
            "reason": "FailedCreate", "message": "pods are forbidden: exceeded quota"}));
    }
    status["conditions"] = json!(conditions);
    status
}

/// The status of a StatefulSet; its counts include terminating pods.
pub(super) fn stateful_set(known: &Known<'_>) -> Value {
    let all = known.count(|_| true);
    let ready = known.count(|pod| pod.ready);
    let updated = known.count(|pod| !pod.terminating && pod.revision == known.revision);
    let was = text(known.before, "/currentRevision");
    let settled = was.is_empty() || (updated == known.wanted() && ready == all && updated == all);
    let current = if settled { known.revision } else { was };
    let on_current = known.count(|pod| !pod.terminating && pod.revision == current);
    let mut status = json!({
        "observedGeneration": known.generation(),
        "replicas": all,
        "availableReplicas": ready,
        "currentRevision": current,
        "updateRevision": known.revision,
        "collisionCount": 0,
    });
    for (field, count) in [
        ("readyReplicas", ready),
        ("currentReplicas", on_current),
        ("updatedReplicas", updated),
    ] {
        if count > 0 {
            status[field] = json!(count);
        }
    }
    status
}

impl Known<'_> {
    fn generation(&self) -> i64 {
        number(self.observed, "/metadata/generation").unwrap_or(0)
    }

    fn wanted(&self) -> i64 {
        number(self.observed, "/spec/replicas").unwrap_or(1)
    }

    fn count(&self, which: impl Fn(&&PodView) -> bool) -> i64 {
        i64::try_from(self.pods.iter().filter(which).count()).unwrap_or(i64::MAX)
    }
}

fn progressing(known: &Known<'_>, complete: bool, one_set: bool, agenda: &mut Agenda) -> Value {
    let was = list(known.before, "/conditions")
        .iter()
        .find(|condition| text(condition, "/type") == "Progressing")
        .map_or("", |condition| text(condition, "/reason"));
    if complete || (one_set && was == "NewReplicaSetAvailable") {
        return json!({"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable",
            "message": "ReplicaSet has successfully progressed."});
    }
    let seconds = number(known.observed, "/spec/progressDeadlineSeconds").unwrap_or(600);
    let deadline = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    if agenda.passed(known.stalled_since, deadline) {
        return json!({"type": "Progressing", "status": "False",
            "reason": "ProgressDeadlineExceeded",
            "message": "ReplicaSet has timed out progressing."});
    }
    json!({"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated",
        "message": "ReplicaSet is progressing."})
}

/// `maxUnavailable` in pods, percentages rounded down.
fn unavailable_allowed(deployment: &Value, wanted: i64) -> i64 {
    let pointer = "/spec/strategy/rollingUpdate/maxUnavailable";
    let percent = text(deployment, pointer)
        .trim_end_matches('%')
        .parse::<i64>();
    match (number(deployment, pointer), percent) {
        (Some(pods), _) => pods,
        (None, Ok(percent)) => wanted.saturating_mul(percent) / 100,
        (None, Err(_)) => 0,
    }
}
