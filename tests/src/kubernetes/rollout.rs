//! Which pods a Deployment or StatefulSet creates and deletes next.
//!
//! Pure: from the pods there are to the steps of this pass. It follows the real controllers in what
//! clients can see (ordinals, order, surge, terminating pods that block their name), not in detail.

use serde_json::Value;

use super::field::{number, text};

/// One pod, as a controller sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PodView {
    pub(super) name: String,
    pub(super) revision: String,
    pub(super) terminating: bool,
    pub(super) ready: bool,
}

/// What to do in this pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Moves {
    /// Ordinals of a StatefulSet to create.
    pub(super) ordinals: Vec<i64>,
    /// How many pods of a Deployment to create.
    pub(super) create: i64,
    /// Names of pods to delete.
    pub(super) delete: Vec<String>,
}

/// The next moves of a Deployment with `spec`, whose template is at `revision`.
pub(super) fn deployment(spec: &Value, revision: &str, pods: &[PodView]) -> Moves {
    let wanted = number(spec, "/replicas").unwrap_or(1);
    let paused = spec.get("paused") == Some(&Value::Bool(true));
    let active: Vec<&PodView> = pods.iter().filter(|pod| !pod.terminating).collect();
    let (fresh, old): (Vec<&PodView>, Vec<&PodView>) = active
        .iter()
        .partition(|pod| paused || pod.revision == revision);
    let mut moves = Moves::default();
    if old.is_empty() {
        moves.create = (wanted - count(&fresh)).max(0);
        moves.delete = surplus(&fresh, count(&fresh) - wanted);
        return moves;
    }
    if text(spec, "/strategy/type") == "Recreate" {
        moves.delete = surplus(&old, count(&old));
        return moves;
    }
    let ready = active.iter().filter(|pod| pod.ready).count();
    let ready = i64::try_from(ready).unwrap_or(i64::MAX);
    moves.create = (wanted - count(&fresh))
        .min(wanted + 1 - count(&active))
        .max(0);
    let (unready, settled): (Vec<&PodView>, Vec<&PodView>) = old.iter().partition(|pod| !pod.ready);
    moves.delete = surplus(&unready, count(&unready));
    moves.delete.extend(surplus(&settled, ready - wanted));
    moves
}

/// The next moves of a StatefulSet `name` with `spec`, whose template is at `revision`.
pub(super) fn stateful_set(name: &str, spec: &Value, revision: &str, pods: &[PodView]) -> Moves {
    let wanted = number(spec, "/replicas").unwrap_or(1);
    let in_order = text(spec, "/podManagementPolicy") != "Parallel";
    let mut moves = Moves::default();
    let mut healthy = true;
    for ordinal in 0..wanted {
        let known = pods
            .iter()
            .find(|pod| ordinal_of(name, pod) == Some(ordinal));
        match known {
            None => {
                healthy = false;
                moves.ordinals.push(ordinal);
            }
            Some(pod) => healthy = healthy && pod.ready && !pod.terminating,
        }
        if in_order && !healthy {
            return moves;
        }
    }
    let mut condemned: Vec<(i64, &PodView)> = pods
        .iter()
        .filter_map(|pod| ordinal_of(name, pod).map(|ordinal| (ordinal, pod)))
        .filter(|(ordinal, _)| *ordinal >= wanted)
        .collect();
    condemned.sort_by_key(|(ordinal, _)| std::cmp::Reverse(*ordinal));
    for (_, pod) in &condemned {
        if !pod.terminating {
            moves.delete.push(pod.name.clone());
        }
        if in_order {
            return moves;
        }
    }
    if condemned.is_empty() && text(spec, "/updateStrategy/type") != "OnDelete" {
        moves.delete.extend(outdated(name, spec, revision, pods));
    }
    moves
}

/// The one pod that a rolling update replaces next: the highest outdated ordinal, once all above
/// are up to date and ready.
fn outdated(name: &str, spec: &Value, revision: &str, pods: &[PodView]) -> Option<String> {
    let wanted = number(spec, "/replicas").unwrap_or(1);
    let partition = number(spec, "/updateStrategy/rollingUpdate/partition").unwrap_or(0);
    for ordinal in (partition..wanted).rev() {
        let pod = pods
            .iter()
            .find(|pod| ordinal_of(name, pod) == Some(ordinal))?;
        if pod.terminating {
            return None;
        }
        if pod.revision != revision {
            return Some(pod.name.clone());
        }
        if !pod.ready {
            return None;
        }
    }
    None
}

fn ordinal_of(name: &str, pod: &PodView) -> Option<i64> {
    pod.name.strip_prefix(name)?.strip_prefix('-')?.parse().ok()
}

fn count(pods: &[&PodView]) -> i64 {
    i64::try_from(pods.len()).unwrap_or(i64::MAX)
}

/// Names of `how_many` pods, those not ready first.
fn surplus(pods: &[&PodView], how_many: i64) -> Vec<String> {
    let mut pods = pods.to_vec();
    pods.sort_by_key(|pod| pod.ready);
    pods.iter()
        .take(usize::try_from(how_many).unwrap_or(0))
        .map(|pod| pod.name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, revision: &str, ready: bool) -> PodView {
        PodView {
            name: name.into(),
            revision: revision.into(),
            terminating: false,
            ready,
        }
    }

    #[test]
    fn stateful_pods_go_in_order_unless_parallel() {
        let parallel = json!({"replicas": 3, "podManagementPolicy": "Parallel"});
        assert_eq!(stateful_set("s", &parallel, "r", &[]).ordinals, [0, 1, 2]);
        let ordered = json!({"replicas": 3, "podManagementPolicy": "OrderedReady"});
        assert_eq!(stateful_set("s", &ordered, "r", &[]).ordinals, [0]);
        let pods = [pod("s-0", "r", true), pod("s-1", "r", true)];
        assert_eq!(stateful_set("s", &ordered, "r", &pods).ordinals, [2]);
        let none = json!({"replicas": 0, "podManagementPolicy": "OrderedReady"});
        assert_eq!(stateful_set("s", &none, "r", &pods).delete, ["s-1"]);
    }

    #[test]
    fn a_terminating_pod_keeps_its_name() {
        let mut leaving = pod("s-0", "r", true);
        leaving.terminating = true;
        let spec = json!({"replicas": 1, "podManagementPolicy": "Parallel"});
        assert_eq!(stateful_set("s", &spec, "r", &[leaving]), Moves::default());
    }

    #[test]
    fn a_changed_template_rolls_without_losing_readiness() {
        let spec = json!({"replicas": 2});
        let old = [pod("a", "1", true), pod("b", "1", true)];
        let first = deployment(&spec, "2", &old);
        assert_eq!((first.create, first.delete.len()), (1, 0));
        let surged = [old[0].clone(), old[1].clone(), pod("c", "2", true)];
        assert_eq!(deployment(&spec, "2", &surged).delete, ["a"]);
        let to_zero = deployment(&json!({"replicas": 0}), "1", &old);
        assert_eq!(to_zero.delete, ["a", "b"]);
    }
}
