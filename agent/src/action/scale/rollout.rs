//! Whether a rollout is finished, by the rules of `kubectl rollout status`. Pure.
//!
//! The rules are those of kubectl's `rollout_status.go`, line by line; the caller adds what they leave open
//! for a count of zero.

use shared::stack::WorkloadKind;

use crate::cluster::Workload;

/// Where a rollout stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rollout {
    Done(String),
    Waiting(String),
    Failed(String),
}

pub(super) fn judge(kind: WorkloadKind, workload: &Workload) -> Rollout {
    match kind {
        WorkloadKind::Deployment => deployment(workload),
        WorkloadKind::StatefulSet => stateful_set(workload),
    }
}

fn deployment(workload: &Workload) -> Rollout {
    let (wanted, status) = (workload.wanted(), &workload.status);
    if workload.metadata.generation > status.observed_generation {
        return Rollout::Waiting("waiting for the controller to see the change".to_owned());
    }
    let progressing = status
        .conditions
        .iter()
        .find(|condition| condition.r#type == "Progressing");
    if let Some(condition) =
        progressing.filter(|condition| condition.reason == "ProgressDeadlineExceeded")
    {
        return Rollout::Failed(format!(
            "exceeded its progress deadline: {}",
            condition.message
        ));
    }
    if status.updated_replicas < wanted {
        let paused = if workload.spec.paused {
            ", and it is paused"
        } else {
            ""
        };
        let made = status.updated_replicas;
        return Rollout::Waiting(format!(
            "{made} of {wanted} new replicas have been made{paused}"
        ));
    }
    if status.replicas > status.updated_replicas {
        let old = status.replicas - status.updated_replicas;
        return Rollout::Waiting(format!("{old} old replicas are pending termination"));
    }
    if status.available_replicas < status.updated_replicas {
        let (available, updated) = (status.available_replicas, status.updated_replicas);
        return Rollout::Waiting(format!(
            "{available} of {updated} updated replicas are available"
        ));
    }
    Rollout::Done(format!(
        "{} of {wanted} available",
        status.available_replicas
    ))
}

fn stateful_set(workload: &Workload) -> Rollout {
    let (wanted, status) = (workload.wanted(), &workload.status);
    let strategy = &workload.spec.update_strategy;
    if strategy
        .r#type
        .as_deref()
        .is_some_and(|kind| kind != "RollingUpdate")
    {
        // kubectl gives no status for OnDelete; what can be seen is whether the replicas are ready.
        return ready(workload);
    }
    if status.observed_generation == 0 || workload.metadata.generation > status.observed_generation
    {
        return Rollout::Waiting("waiting for the controller to see the change".to_owned());
    }
    if status.ready_replicas < wanted {
        return Rollout::Waiting(format!(
            "{} of {wanted} pods are ready",
            status.ready_replicas
        ));
    }
    if let Some(rolling) = &strategy.rolling_update {
        let updated = wanted.saturating_sub(rolling.partition.unwrap_or(wanted));
        if status.updated_replicas < updated {
            return Rollout::Waiting(format!(
                "{} of {updated} pods are updated",
                status.updated_replicas
            ));
        }
        return Rollout::Done(format!("{} of {wanted} ready", status.ready_replicas));
    }
    if status.update_revision != status.current_revision {
        return Rollout::Waiting(format!(
            "{} pods are at the new revision",
            status.updated_replicas
        ));
    }
    Rollout::Done(format!("{} of {wanted} ready", status.ready_replicas))
}

fn ready(workload: &Workload) -> Rollout {
    let (wanted, status) = (workload.wanted(), &workload.status);
    if workload.metadata.generation > status.observed_generation {
        return Rollout::Waiting("waiting for the controller to see the change".to_owned());
    }
    if status.ready_replicas < wanted {
        return Rollout::Waiting(format!(
            "{} of {wanted} pods are ready",
            status.ready_replicas
        ));
    }
    Rollout::Done(format!("{} of {wanted} ready", status.ready_replicas))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(kind: WorkloadKind, object: serde_json::Value) -> String {
        let workload: Workload = serde_json::from_value(object).unwrap();
        format!("{:?}", judge(kind, &workload))
    }

    #[test]
    fn deployments_are_judged_as_kubectl_does() {
        let with = |status| json!({"metadata": {"generation": 4}, "spec": {"replicas": 3}, "status": status});
        let cases = [
            (
                json!({"observedGeneration": 3, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}),
                "Waiting",
            ),
            (
                json!({"observedGeneration": 4, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}),
                "2 of 3 new",
            ),
            (
                json!({"observedGeneration": 4, "replicas": 4, "updatedReplicas": 3, "availableReplicas": 3}),
                "1 old",
            ),
            (
                json!({"observedGeneration": 4, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 2}),
                "2 of 3 updated",
            ),
            (
                json!({"observedGeneration": 4, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}),
                "Done",
            ),
            (
                json!({"observedGeneration": 4, "conditions": [
                    {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "m"}]}),
                "Failed",
            ),
        ];
        for (status, word) in cases {
            let found = judged(WorkloadKind::Deployment, with(status));
            assert!(found.contains(word), "{word}: {found}");
        }
    }

    #[test]
    fn stateful_sets_are_judged_as_kubectl_does() {
        let with = |strategy, status| json!({"metadata": {"generation": 2}, "spec": {"replicas": 2, "updateStrategy": strategy}, "status": status});
        let rolling = || json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}});
        let same = json!({"observedGeneration": 2, "readyReplicas": 2, "updatedReplicas": 2,
            "currentRevision": "a", "updateRevision": "a"});
        let other = json!({"observedGeneration": 2, "readyReplicas": 2, "currentRevision": "a", "updateRevision": "b"});
        let cases = [
            (
                with(
                    rolling(),
                    json!({"observedGeneration": 1, "readyReplicas": 2}),
                ),
                "Waiting",
            ),
            (
                with(
                    rolling(),
                    json!({"observedGeneration": 0, "readyReplicas": 2}),
                ),
                "Waiting",
            ),
            (
                with(
                    rolling(),
                    json!({"observedGeneration": 2, "readyReplicas": 1}),
                ),
                "1 of 2",
            ),
            (
                with(
                    rolling(),
                    json!({"observedGeneration": 2, "readyReplicas": 2, "updatedReplicas": 1}),
                ),
                "1 of 2 pods are updated",
            ),
            (
                with(json!({"type": "RollingUpdate"}), other),
                "new revision",
            ),
            (with(rolling(), same.clone()), "Done"),
            (with(json!({"type": "OnDelete"}), same), "Done"),
        ];
        for (object, word) in cases {
            let found = judged(WorkloadKind::StatefulSet, object);
            assert!(found.contains(word), "{word}: {found}");
        }
    }

    #[test]
    fn an_absent_count_means_one() {
        let object = json!({"status": {"updatedReplicas": 0}});
        assert!(judged(WorkloadKind::Deployment, object).contains("0 of 1"));
    }
}
