//! The defaults and checks of `apps/v1` workloads which clients rely on.
//!
//! Only fields that decide how many pods run and when a rollout is done are filled in or judged;
//! full validation is the real server's.

use serde_json::{Value, json};

use super::field::{member, text};
use super::refusal::Refusal;
use super::resource::Resource;

/// Fills in what the API server would, and checks replicas and selector.
///
/// # Errors
/// 400 when replicas is no whole number, 422 when it is negative or the selector is missing,
/// changed, or does not fit the template.
pub(super) fn admit(
    resource: &Resource,
    before: Option<&Value>,
    object: &mut Value,
) -> Result<(), Refusal> {
    if !resource.scalable || resource.group != "apps" {
        return Ok(());
    }
    let name = text(object, "/metadata/name").to_owned();
    let Some(spec) = member(object, "spec") else {
        return Ok(());
    };
    let unset =
        |spec: &serde_json::Map<String, Value>, key: &str| spec.get(key).is_none_or(Value::is_null);
    let defaults = if resource.kind == "StatefulSet" {
        json!({
            "replicas": 1,
            "podManagementPolicy": "OrderedReady",
            "revisionHistoryLimit": 10,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        })
    } else {
        json!({
            "replicas": 1,
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 10,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
            },
        })
    };
    for (key, value) in defaults.as_object().into_iter().flatten() {
        if unset(spec, key) {
            spec.insert(key.clone(), value.clone());
        }
    }
    let replicas = spec
        .get("replicas")
        .and_then(Value::as_i64)
        .ok_or_else(|| {
            Refusal::bad_request("json: cannot unmarshal spec.replicas into a value of type int32")
        })?;
    if replicas < 0 {
        let why = format!("Invalid value: {replicas}: must be greater than or equal to 0");
        return Err(Refusal::invalid(resource, &name, "spec.replicas", &why));
    }
    check_selector(resource, &name, before, object)
}

fn check_selector(
    resource: &Resource,
    name: &str,
    before: Option<&Value>,
    object: &Value,
) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(Refusal::invalid(resource, name, "spec.selector", why));
    let selector = super::selector::Selector::of_workload(object);
    if selector.is_empty() {
        return refuse("Required value");
    }
    if before
        .is_some_and(|before| before.pointer("/spec/selector") != object.pointer("/spec/selector"))
    {
        return refuse("field is immutable");
    }
    let template = object.pointer("/spec/template").unwrap_or(&Value::Null);
    if !selector.matches(template) {
        return refuse("`selector` does not match template `labels`");
    }
    Ok(())
}
