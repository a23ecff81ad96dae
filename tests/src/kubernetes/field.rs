//! Reading single fields of schemaless objects.
//!
//! A missing field reads as the empty or zero value, as Kubernetes itself decodes it; nothing here
//! writes.

use k8s_openapi::jiff::{Timestamp, Unit};
use serde_json::{Map, Value};

/// The text at a JSON pointer, or the empty text.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or("")
}

/// The whole number at a JSON pointer.
pub(super) fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

/// The list at a JSON pointer, or the empty list.
pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The member `key` of `object` as an object, made when absent. `None` when `object` is none itself.
pub(super) fn member<'a>(object: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    let entry = object
        .as_object_mut()?
        .entry(key)
        .or_insert_with(|| Value::Object(Map::new()));
    if !entry.is_object() {
        *entry = Value::Object(Map::new());
    }
    entry.as_object_mut()
}

/// Now, in RFC 3339 with whole seconds, as Kubernetes writes times.
pub(super) fn timestamp() -> String {
    timestamp_after(0)
}

/// `seconds` from now, in RFC 3339 with whole seconds.
pub(super) fn timestamp_after(seconds: i64) -> String {
    let now = Timestamp::now();
    let shifted = Timestamp::from_second(now.as_second().saturating_add(seconds)).unwrap_or(now);
    shifted.round(Unit::Second).unwrap_or(shifted).to_string()
}
