//! What a write does to an object's metadata: identity is kept, `generation` grows only with the
//! desired state, and a write that changes nothing is no write.
//!
//! Status and desired state are separate doors: each write keeps the other's part unchanged.

use serde_json::{Value, json};
use uuid::Uuid;

use super::field::{member, number, timestamp};
use super::resource::Resource;

/// Which part of the object a write may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Everything but status and server-owned metadata.
    Desired,
    /// Only status.
    Status,
}

/// Metadata which the server sets and no client may change.
const SERVER_OWNED: &[&str] = &[
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "resourceVersion",
    "name",
    "namespace",
];

/// Gives a new object its identity and first generation; a status sent along is dropped unless
/// `keep_status`.
pub(super) fn born(resource: &Resource, object: &mut Value, keep_status: bool) {
    if let Some(metadata) = member(object, "metadata") {
        metadata.insert("uid".to_owned(), json!(Uuid::new_v4().to_string()));
        metadata.insert("creationTimestamp".to_owned(), json!(timestamp()));
        for key in ["deletionTimestamp", "resourceVersion", "generation"] {
            metadata.remove(key);
        }
        if resource.keeps_generation() {
            metadata.insert("generation".to_owned(), json!(1));
        }
    }
    let object = object.as_object_mut();
    if let Some(object) = object
        && !keep_status
        && has_status(resource)
    {
        object.remove("status");
    }
}

/// The object to store when `after` is written over `before`, or `None` when nothing changes.
pub(super) fn changed(
    resource: &Resource,
    before: &Value,
    after: Value,
    part: Part,
) -> Option<Value> {
    let mut next = match part {
        Part::Desired => after,
        Part::Status => {
            let mut next = before.clone();
            next["status"] = after.get("status").cloned().unwrap_or_else(|| json!({}));
            next
        }
    };
    if part == Part::Desired && has_status(resource) {
        restore(&mut next, before, "status");
    }
    for key in ["apiVersion", "kind"] {
        restore(&mut next, before, key);
    }
    let kept = before.get("metadata").unwrap_or(&Value::Null);
    if member(&mut next, "metadata").is_some() {
        for key in SERVER_OWNED {
            restore(&mut next["metadata"], kept, key);
        }
    }
    if next == *before {
        return None;
    }
    if resource.keeps_generation() && desired(&next) != desired(before) {
        let generation = number(before, "/metadata/generation").unwrap_or(0);
        next["metadata"]["generation"] = json!(generation.saturating_add(1));
    }
    Some(next)
}

fn has_status(resource: &Resource) -> bool {
    !matches!(resource.kind.as_str(), "ConfigMap" | "Secret" | "Event")
}

fn restore(target: &mut Value, source: &Value, key: &str) {
    let Some(members) = target.as_object_mut() else {
        return;
    };
    match source.get(key) {
        Some(value) => {
            members.insert(key.to_owned(), value.clone());
        }
        None => {
            members.remove(key);
        }
    }
}

/// Everything that states a wish: all but metadata and status.
fn desired(object: &Value) -> Vec<(&String, &Value)> {
    object
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| !matches!(key.as_str(), "metadata" | "status"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::resource::ResourceTable;

    fn written(change: impl Fn(&mut Value), part: Part) -> Option<(i64, Value)> {
        let table = ResourceTable::with(&[]);
        let deployments = table.by_plural("apps", "v1", "deployments")?;
        let before = json!({
            "metadata": {"name": "d", "uid": "u", "generation": 4, "resourceVersion": "9"},
            "spec": {"replicas": 1}, "status": {"replicas": 1}});
        let mut after = before.clone();
        change(&mut after);
        let object = changed(deployments, &before, after, part)?;
        Some((number(&object, "/metadata/generation")?, object))
    }

    #[test]
    fn generation_follows_the_spec_alone() {
        let spec = written(|o| o["spec"]["replicas"] = json!(2), Part::Desired).unwrap();
        assert_eq!(spec.0, 5);
        let note = |o: &mut Value| o["metadata"]["annotations"] = json!({"a": "b"});
        assert_eq!(written(note, Part::Desired).unwrap().0, 4);
        let status = written(|o| o["status"]["replicas"] = json!(7), Part::Status).unwrap();
        assert_eq!((status.0, &status.1["status"]["replicas"]), (4, &json!(7)));
        assert_eq!(written(|_| (), Part::Desired), None);
    }

    #[test]
    fn each_door_keeps_the_other_part_and_the_identity() {
        assert_eq!(
            written(|o| o["status"]["replicas"] = json!(7), Part::Desired),
            None
        );
        assert_eq!(
            written(|o| o["spec"]["replicas"] = json!(7), Part::Status),
            None
        );
        assert_eq!(
            written(|o| o["metadata"]["uid"] = json!("x"), Part::Desired),
            None
        );
    }
}
