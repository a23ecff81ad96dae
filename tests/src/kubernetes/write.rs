//! Creating, changing and deleting objects by the API server's rules.
//!
//! Clients, the controller loop and saboteurs all write through here, so that none of them can
//! break generation, ownership or history. A dry run takes the same path and stops before storing.

use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::defaults;
use super::field::{list, member, number, text, timestamp_after};
use super::generation::{self, Part};
use super::ownership::{Author, claim_replicas};
use super::refusal::Refusal;
use super::resource::Resource;
use super::store::{Key, Store};

/// Whether a write is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Stored.
    Real,
    /// Judged and answered, not stored.
    DryRun,
}

/// Creates `object` in `namespace`; `metadata.generateName` is honoured.
///
/// # Errors
/// 409 when it exists, 404 when the namespace does not, 422 for a missing name, and what
/// [`defaults::admit`] refuses.
pub(super) fn create(
    store: &mut Store,
    resource: &Resource,
    namespace: &str,
    mut object: Value,
    author: &Author,
    (mode, keep_status): (Mode, bool),
) -> Result<Arc<Value>, Refusal> {
    check_shape(&object)?;
    if resource.namespaced && store.get(&Key::new("namespaces", "", namespace)).is_none() {
        let unknown = Resource {
            plural: "namespaces".to_owned(),
            ..core()
        };
        return Err(Refusal::not_found(&unknown, namespace));
    }
    let name = name_of_new(resource, &object)?;
    let key = Key::new(&resource.qualified(), namespace, &name);
    if store.get(&key).is_some() {
        return Err(Refusal::already_exists(resource, &name));
    }
    object["apiVersion"] = json!(resource.api_version());
    object["kind"] = json!(resource.kind);
    if let Some(metadata) = member(&mut object, "metadata") {
        metadata.insert("name".to_owned(), json!(name));
        if resource.namespaced {
            metadata.insert("namespace".to_owned(), json!(namespace));
        }
    }
    generation::born(resource, &mut object, keep_status);
    defaults::admit(resource, None, &mut object)?;
    claim_replicas(None, &mut object, author);
    Ok(match mode {
        Mode::Real => store.put(&key, object),
        Mode::DryRun => Arc::new(object),
    })
}

/// Writes `after` over the stored object; a resource version inside `after` is a precondition.
///
/// # Errors
/// 404, 409 when the resource version or the uid is another, 400 for another name, and what
/// [`defaults::admit`] refuses.
pub(super) fn update(
    store: &mut Store,
    resource: &Resource,
    key: &Key,
    mut after: Value,
    part: Part,
    author: &Author,
    mode: Mode,
) -> Result<Arc<Value>, Refusal> {
    check_shape(&after)?;
    let before = store
        .get(key)
        .ok_or_else(|| Refusal::not_found(resource, &key.name))?;
    for pointer in ["/metadata/resourceVersion", "/metadata/uid"] {
        let expected = text(&after, pointer);
        if !expected.is_empty() && expected != text(&before, pointer) {
            return Err(Refusal::conflict(resource, &key.name));
        }
    }
    if text(&after, "/metadata/name") != key.name {
        return Err(Refusal::bad_request(
            "the name of the object does not match the name on the URL",
        ));
    }
    if part == Part::Desired {
        defaults::admit(resource, Some(&before), &mut after)?;
        claim_replicas(Some(&before), &mut after, author);
    }
    let Some(next) = generation::changed(resource, &before, after, part) else {
        return Ok(before);
    };
    if mode == Mode::DryRun {
        return Ok(Arc::new(next));
    }
    let stored = store.put(key, next);
    let leaving = !text(&stored, "/metadata/deletionTimestamp").is_empty();
    if leaving && resource.plural != "pods" && list(&stored, "/metadata/finalizers").is_empty() {
        store.remove(key);
    }
    Ok(stored)
}

/// What a deletion led to.
#[derive(Debug)]
pub(super) enum Deletion {
    /// The object is gone.
    Gone(Arc<Value>),
    /// The object is marked and goes later.
    Marked(Arc<Value>),
}

/// Deletes an object: pods after their grace period, objects with finalizers when these are
/// cleared, all others at once. `options` are the `DeleteOptions` of the request.
///
/// # Errors
/// 404, or 409 when a precondition of `options` does not hold.
pub(super) fn delete(
    store: &mut Store,
    resource: &Resource,
    key: &Key,
    options: &Value,
    mode: Mode,
) -> Result<Deletion, Refusal> {
    let before = store
        .get(key)
        .ok_or_else(|| Refusal::not_found(resource, &key.name))?;
    for field in ["uid", "resourceVersion"] {
        let expected = text(options, &format!("/preconditions/{field}"));
        if !expected.is_empty() && expected != text(&before, &format!("/metadata/{field}")) {
            return Err(Refusal::conflict(resource, &key.name));
        }
    }
    let grace = number(options, "/gracePeriodSeconds");
    let waits = (resource.plural == "pods" && grace != Some(0))
        || !list(&before, "/metadata/finalizers").is_empty();
    if mode == Mode::DryRun {
        return Ok(Deletion::Gone(before));
    }
    if !waits {
        let last = store.remove(key).unwrap_or(before);
        return Ok(Deletion::Gone(last));
    }
    if !text(&before, "/metadata/deletionTimestamp").is_empty() {
        return Ok(Deletion::Marked(before));
    }
    let seconds = grace
        .or_else(|| number(&before, "/spec/terminationGracePeriodSeconds"))
        .unwrap_or(if resource.plural == "pods" { 30 } else { 0 });
    let mut marked = Value::clone(&before);
    marked["metadata"]["deletionTimestamp"] = json!(timestamp_after(seconds));
    marked["metadata"]["deletionGracePeriodSeconds"] = json!(seconds);
    Ok(Deletion::Marked(store.put(key, marked)))
}

fn core() -> Resource {
    Resource {
        group: String::new(),
        version: "v1".to_owned(),
        kind: String::new(),
        plural: String::new(),
        namespaced: false,
        scalable: false,
        short_names: Vec::new(),
    }
}

/// Refuses what is no Kubernetes object, so that later steps may rely on the shape.
fn check_shape(object: &Value) -> Result<(), Refusal> {
    let part_fits = |key: &str| object.get(key).is_none_or(Value::is_object);
    if object.is_object() && ["metadata", "spec", "status"].into_iter().all(part_fits) {
        Ok(())
    } else {
        Err(Refusal::bad_request("the body is not a Kubernetes object"))
    }
}

fn name_of_new(resource: &Resource, object: &Value) -> Result<String, Refusal> {
    let name = text(object, "/metadata/name");
    if !name.is_empty() {
        return Ok(name.to_owned());
    }
    let prefix = text(object, "/metadata/generateName");
    if prefix.is_empty() {
        let why = "Required value: name or generateName is required";
        return Err(Refusal::invalid(resource, "", "metadata.name", why));
    }
    Ok(format!("{prefix}{}", random_suffix()))
}

/// Five letters or digits, as generated names end with.
pub(super) fn random_suffix() -> String {
    Uuid::new_v4()
        .simple()
        .to_string()
        .chars()
        .take(5)
        .collect()
}
