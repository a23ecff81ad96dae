//! What would change between the stack in force and a new file.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Stack;

/// One line of change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The dotted place.
    pub key: String,
    /// The value in force, if any.
    pub before: Option<String>,
    /// The new value, if any.
    pub after: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.before, &self.after) {
            (None, Some(after)) => write!(f, "+ {} = {after}", self.key),
            (Some(before), None) => write!(f, "- {} = {before}", self.key),
            (before, after) => {
                let text = |side: &Option<String>| side.clone().unwrap_or_default();
                write!(f, "~ {} = {} -> {}", self.key, text(before), text(after))
            }
        }
    }
}

/// The changes from the stack in force (nothing at the first apply) to a new one, in the order of their keys.
///
/// # Panics
/// When a stack cannot be written as JSON: a bug, since it is plain data.
pub fn difference(before: Option<&Stack>, after: &Stack) -> Vec<Difference> {
    let value = |stack: &Stack| match serde_json::to_value(stack) {
        Ok(value) => value,
        Err(error) => unreachable!("a stack that cannot be written as JSON: {error}"),
    };
    let mut changes = Vec::new();
    compare(
        "",
        before.map(value).as_ref(),
        Some(&value(after)),
        &mut changes,
    );
    changes
}

fn compare(
    key: &str,
    before: Option<&Value>,
    after: Option<&Value>,
    changes: &mut Vec<Difference>,
) {
    if before == after {
        return;
    }
    let nested = |value: Option<&Value>| value.is_none_or(|v| v.is_object() || v.is_array());
    if nested(before) && nested(after) {
        let mut names: Vec<String> = names(before).into_iter().chain(names(after)).collect();
        names.sort();
        names.dedup();
        for name in names {
            let below = if key.is_empty() {
                name.clone()
            } else {
                format!("{key}.{name}")
            };
            compare(&below, child(before, &name), child(after, &name), changes);
        }
        return;
    }
    let text = |value: Option<&Value>| value.map(Value::to_string);
    changes.push(Difference {
        key: key.to_owned(),
        before: text(before),
        after: text(after),
    });
}

/// The names below a value: keys of a table; in a list the entries' own names where they have one.
fn names(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Object(map)) => map.keys().cloned().collect(),
        Some(Value::Array(list)) => list
            .iter()
            .enumerate()
            .map(|(i, v)| entry_name(i, v))
            .collect(),
        _ => Vec::new(),
    }
}

fn child<'a>(value: Option<&'a Value>, name: &str) -> Option<&'a Value> {
    match value {
        Some(Value::Object(map)) => map.get(name),
        Some(Value::Array(list)) => list
            .iter()
            .enumerate()
            .find(|(i, v)| entry_name(*i, v) == name)
            .map(|(_, v)| v),
        _ => None,
    }
}

fn entry_name(index: usize, value: &Value) -> String {
    let own = value
        .get("name")
        .or_else(|| value.get("node"))
        .and_then(Value::as_str);
    own.map_or_else(|| index.to_string(), ToOwned::to_owned)
}
