//! Applying patches to JSON: merge patch (RFC 7396) and JSON patch (RFC 6902).
//!
//! A strategic merge patch is accepted while it means the same as a merge patch, that is without
//! lists and directives; anything else is refused rather than applied wrongly. Server-side apply is
//! not served.

use serde_json::{Map, Value};

use super::refusal::Refusal;

/// Applies the patch `body` of `content_type` to a copy of `target`.
///
/// # Errors
/// 415 for a patch type that is not served, 400 for a body which is no patch, 422 when the patch
/// does not fit the target.
pub(super) fn apply(target: &Value, content_type: &str, body: &[u8]) -> Result<Value, Refusal> {
    let media = content_type.split(';').next().unwrap_or("").trim();
    if !matches!(
        media,
        "application/merge-patch+json"
            | "application/strategic-merge-patch+json"
            | "application/json-patch+json"
    ) {
        return Err(Refusal::unsupported_media(content_type));
    }
    let patch: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::bad_request(format!("error decoding patch: {error}")))?;
    let mut result = target.clone();
    if media == "application/json-patch+json" {
        let operations = patch
            .as_array()
            .ok_or_else(|| Refusal::bad_request("error decoding patch: not a list"))?;
        for operation in operations {
            step(&mut result, operation)?;
        }
    } else {
        if !patch.is_object() {
            return Err(Refusal::bad_request("error decoding patch: not an object"));
        }
        if media == "application/strategic-merge-patch+json" && !means_merge(&patch) {
            return Err(Refusal::unsupported_media(content_type));
        }
        merge(&mut result, &patch);
    }
    Ok(result)
}

/// RFC 7396: null removes, objects merge, everything else replaces.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Some(changes) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(members) = target.as_object_mut() else {
        return;
    };
    for (key, change) in changes {
        if change.is_null() {
            members.remove(key);
        } else {
            merge(members.entry(key.clone()).or_insert(Value::Null), change);
        }
    }
}

fn means_merge(patch: &Value) -> bool {
    if patch.is_array() {
        return false;
    }
    patch.as_object().is_none_or(|members| {
        members
            .iter()
            .all(|(key, value)| !key.starts_with('$') && means_merge(value))
    })
}

fn step(target: &mut Value, operation: &Value) -> Result<(), Refusal> {
    let word = |key: &str| operation.get(key).and_then(Value::as_str);
    let path = word("path").ok_or_else(|| Refusal::bad_request("patch operation without path"))?;
    let value = || {
        operation
            .get("value")
            .cloned()
            .ok_or_else(|| Refusal::bad_request("patch operation without value"))
    };
    let source =
        || word("from").ok_or_else(|| Refusal::bad_request("patch operation without from"));
    match word("op") {
        Some("add") => add(target, path, value()?),
        Some("remove") => remove(target, path).map(|_| ()),
        Some("replace") => {
            let slot = target.pointer_mut(path).ok_or_else(|| missing(path))?;
            *slot = value()?;
            Ok(())
        }
        Some("test") => {
            if target.pointer(path) == Some(&value()?) {
                Ok(())
            } else {
                Err(Refusal::patch_rejected(&format!(
                    "testing value {path} failed"
                )))
            }
        }
        Some("copy") => {
            let from = source()?;
            let copied = target.pointer(from).cloned().ok_or_else(|| missing(from))?;
            add(target, path, copied)
        }
        Some("move") => {
            let moved = remove(target, source()?)?;
            add(target, path, moved)
        }
        _ => Err(Refusal::bad_request("unknown patch operation")),
    }
}

fn add(target: &mut Value, path: &str, value: Value) -> Result<(), Refusal> {
    if path.is_empty() {
        *target = value;
        return Ok(());
    }
    let (parent, token) = split(path)?;
    let container = target.pointer_mut(parent).ok_or_else(|| missing(path))?;
    if let Some(members) = container.as_object_mut() {
        members.insert(token, value);
        return Ok(());
    }
    let items = container.as_array_mut().ok_or_else(|| missing(path))?;
    let index = if token == "-" {
        items.len()
    } else {
        token.parse().map_err(|_| missing(path))?
    };
    if index > items.len() {
        return Err(missing(path));
    }
    items.insert(index, value);
    Ok(())
}

fn remove(target: &mut Value, path: &str) -> Result<Value, Refusal> {
    let (parent, token) = split(path)?;
    let container = target.pointer_mut(parent).ok_or_else(|| missing(path))?;
    if let Some(members) = container.as_object_mut() {
        return members.remove(&token).ok_or_else(|| missing(path));
    }
    let items = container.as_array_mut().ok_or_else(|| missing(path))?;
    let index: usize = token.parse().map_err(|_| missing(path))?;
    if index >= items.len() {
        return Err(missing(path));
    }
    Ok(items.remove(index))
}

fn split(path: &str) -> Result<(&str, String), Refusal> {
    let (parent, token) = path.rsplit_once('/').ok_or_else(|| missing(path))?;
    Ok((parent, token.replace("~1", "/").replace("~0", "~")))
}

fn missing(path: &str) -> Refusal {
    Refusal::patch_rejected(&format!("the path {path:?} does not exist"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merge_patch_removes_on_null_and_replaces_lists() {
        let target = json!({"a": {"b": 1, "c": 2}, "l": [1, 2]});
        let patch = br#"{"a":{"b":null,"d":3},"l":[9]}"#;
        let result = apply(&target, "application/merge-patch+json", patch).unwrap();
        assert_eq!(result, json!({"a": {"c": 2, "d": 3}, "l": [9]}));
    }

    #[test]
    fn json_patch_applies_every_operation_or_nothing() {
        let target = json!({"spec": {"replicas": 1}, "l": ["x"]});
        let good = br#"[{"op":"test","path":"/spec/replicas","value":1},
            {"op":"replace","path":"/spec/replicas","value":3},
            {"op":"add","path":"/l/-","value":"y"},
            {"op":"copy","from":"/l/0","path":"/first"},
            {"op":"move","from":"/l/0","path":"/moved"}]"#;
        let result = apply(&target, "application/json-patch+json", good).unwrap();
        assert_eq!(
            result,
            json!({"spec": {"replicas": 3}, "l": ["y"], "first": "x", "moved": "x"})
        );
        let bad = br#"[{"op":"test","path":"/spec/replicas","value":7}]"#;
        let refusal = apply(&target, "application/json-patch+json", bad).unwrap_err();
        assert_eq!(refusal.code, 422);
    }

    #[test]
    fn a_strategic_patch_with_a_list_is_refused_not_guessed() {
        let refusal = apply(
            &json!({}),
            "application/strategic-merge-patch+json",
            br#"{"spec":{"containers":[]}}"#,
        )
        .unwrap_err();
        assert_eq!(refusal.code, 415);
    }
}
