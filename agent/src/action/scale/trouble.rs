//! Why pods do not start, in one sentence for the operator. Pure.

use crate::cluster::{ContainerStatus, Pod, Workload};

/// Waiting reasons that time alone cures.
const HARMLESS: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// The first reason found, most telling first; nothing while all is on its way.
pub(super) fn reason(workload: &Workload, pods: &[Pod]) -> Option<String> {
    pods.iter().find_map(of_pod).or_else(|| {
        let conditions = workload.status.conditions.iter();
        let mut failures =
            conditions.filter(|c| c.r#type == "ReplicaFailure" && c.status == "True");
        failures
            .next()
            .map(|c| format!("{}: {}", c.reason, c.message))
    })
}

fn of_pod(pod: &Pod) -> Option<String> {
    let name = &pod.metadata.name;
    let mut containers = pod
        .status
        .init_container_statuses
        .iter()
        .chain(&pod.status.container_statuses);
    let of_containers = containers.find_map(of_container);
    let unscheduled = || {
        let mut conditions = pod.status.conditions.iter();
        let found = conditions.find(|c| c.r#type == "PodScheduled" && c.status == "False")?;
        Some(format!("{}: {}", found.reason, found.message))
    };
    of_containers
        .or_else(unscheduled)
        .map(|why| format!("pod {name}: {why}"))
}

fn of_container(container: &ContainerStatus) -> Option<String> {
    let name = &container.name;
    let waiting = container
        .state
        .waiting
        .as_ref()
        .filter(|w| !HARMLESS.contains(&w.reason.as_str()));
    let ended = container
        .last_state
        .terminated
        .as_ref()
        .or(container.state.terminated.as_ref());
    let last = ended
        .filter(|t| t.exit_code != 0)
        .map(|t| format!(", last exit {} {}", t.exit_code, t.reason));
    match (waiting, last) {
        (Some(waiting), last) => {
            let message = if waiting.message.is_empty() {
                String::new()
            } else {
                format!(": {}", waiting.message)
            };
            Some(format!(
                "container {name} {}{message}{}",
                waiting.reason,
                last.unwrap_or_default()
            ))
        }
        (None, Some(last)) => Some(format!(
            "container {name} restarted {} times{last}",
            container.restart_count
        )),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(pod: serde_json::Value) -> Option<String> {
        let pod: Pod = serde_json::from_value(pod).unwrap();
        reason(&Workload::default(), &[pod])
    }

    #[test]
    fn the_reason_names_pod_and_container() {
        let pod = json!({"metadata": {"name": "p-0"}, "status": {"containerStatuses": [
            {"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]}});
        assert_eq!(
            found(pod).unwrap(),
            "pod p-0: container c ImagePullBackOff: no such image"
        );
        let pod = json!({"metadata": {"name": "p-0"}, "status": {"containerStatuses": [{"name": "c", "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}]}});
        assert_eq!(
            found(pod).unwrap(),
            "pod p-0: container c CrashLoopBackOff, last exit 137 OOMKilled"
        );
        let pod = json!({"metadata": {"name": "p-0"}, "status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]}});
        assert_eq!(found(pod).unwrap(), "pod p-0: Unschedulable: 0/3 nodes");
        let pod = json!({"metadata": {"name": "p-0"}, "status": {"containerStatuses": [
            {"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}}]}});
        assert_eq!(found(pod), None);
    }

    #[test]
    fn without_pods_the_workload_says_why() {
        let workload = json!({"status": {"conditions": [
            {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}]}});
        let workload: Workload = serde_json::from_value(workload).unwrap();
        assert_eq!(reason(&workload, &[]).unwrap(), "FailedCreate: quota");
    }
}
