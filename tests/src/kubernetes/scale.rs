//! The `autoscaling/v1` Scale of a workload: how it is read from the object, and how a written one
//! changes it.
//!
//! Like the real server it leaves `spec.replicas` out when that is zero, so a client which takes
//! absence for one is caught.

use serde_json::{Value, json};

use super::field::{number, text};
use super::refusal::Refusal;
use super::resource::Resource;
use super::selector::Selector;

/// The Scale of `workload`.
pub(super) fn view(workload: &Value) -> Value {
    let mut metadata = json!({});
    for key in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        if let Some(value) = workload.pointer(&format!("/metadata/{key}")) {
            metadata[key] = value.clone();
        }
    }
    let mut spec = json!({});
    match number(workload, "/spec/replicas").unwrap_or(1) {
        0 => {}
        replicas => spec["replicas"] = json!(replicas),
    }
    let mut status = json!({"replicas": number(workload, "/status/replicas").unwrap_or(0)});
    let selector = Selector::of_workload(workload);
    if !selector.is_empty() {
        status["selector"] = json!(selector.to_text());
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    })
}

/// The workload as it shall be after `scale` was written to it.
///
/// # Errors
/// 409 for a stale resource version, 400 for what is no Scale of this object, 422 for a negative
/// count.
pub(super) fn write(
    resource: &Resource,
    workload: &Value,
    scale: &Value,
) -> Result<Value, Refusal> {
    let name = text(workload, "/metadata/name");
    if text(scale, "/kind") != "Scale" || text(scale, "/apiVersion") != "autoscaling/v1" {
        return Err(Refusal::bad_request(format!(
            "{} in version {:?} cannot be handled as a Scale",
            text(scale, "/kind"),
            text(scale, "/apiVersion"),
        )));
    }
    if text(scale, "/metadata/name") != name {
        return Err(Refusal::bad_request(
            "the name of the object does not match the name on the URL",
        ));
    }
    let expected = text(scale, "/metadata/resourceVersion");
    if !expected.is_empty() && expected != text(workload, "/metadata/resourceVersion") {
        return Err(Refusal::conflict(resource, name));
    }
    let replicas = match scale.pointer("/spec/replicas") {
        None | Some(Value::Null) => 0,
        Some(value) => value
            .as_i64()
            .and_then(|count| i32::try_from(count).ok())
            .ok_or_else(|| {
                Refusal::bad_request("json: cannot unmarshal spec.replicas into int32")
            })?,
    };
    if replicas < 0 {
        let why = format!("Invalid value: {replicas}: must be greater than or equal to 0");
        return Err(Refusal::invalid_scale(name, "spec.replicas", &why));
    }
    let mut written = workload.clone();
    written["spec"]["replicas"] = json!(replicas);
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_replicas_are_left_out_as_the_real_server_does() {
        let workload = json!({"metadata": {"name": "d", "resourceVersion": "5"},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}},
            "status": {"replicas": 2}});
        let scale = view(&workload);
        assert_eq!(scale["spec"], json!({}));
        assert_eq!(scale["status"], json!({"replicas": 2, "selector": "a=b"}));
        assert_eq!(scale["metadata"]["resourceVersion"], "5");
    }
}
