//! JSON that is safe to print: whatever a terminal would obey is written as an escape.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::text::{clean, is_unsafe};

/// A value as one line of JSON. Reading it back gives the very same value.
///
/// # Panics
/// When the value cannot be written as JSON: a bug, since all values written here are plain.
pub fn line<T: Serialize>(value: &T) -> String {
    match serde_json::to_string(value) {
        Ok(text) => escaped(&text),
        Err(error) => unreachable!("a value that cannot be written as JSON: {error}"),
    }
}

/// A value as indented JSON, for people.
///
/// # Panics
/// As [`line()`].
pub fn pretty<T: Serialize>(value: &T) -> String {
    match serde_json::to_string_pretty(value) {
        Ok(text) => text.split('\n').map(escaped).collect::<Vec<_>>().join("\n"),
        Err(error) => unreachable!("a value that cannot be written as JSON: {error}"),
    }
}

/// A value in which every text is as a screen shows it, for those who print texts out of JSON.
pub fn cleaned<T: Serialize>(value: &T) -> Value {
    match serde_json::to_value(value) {
        Ok(mut value) => {
            clean_texts(&mut value);
            value
        }
        Err(error) => unreachable!("a value that cannot be written as JSON: {error}"),
    }
}

fn clean_texts(value: &mut Value) {
    match value {
        Value::String(text) => *text = clean(text),
        Value::Array(list) => list.iter_mut().for_each(clean_texts),
        Value::Object(map) => map.values_mut().for_each(clean_texts),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Such characters stand only inside the texts of a JSON document, where an escape means the same.
fn escaped(text: &str) -> String {
    if !text.chars().any(is_unsafe) {
        return text.to_owned();
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            // All of them are below U+10000; writing to a String never fails.
            let _written = write!(safe, "\\u{:04x}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_back_the_same_and_holds_no_control_character() {
        let value = serde_json::json!({ "a": "x\u{1b}[2J\u{9b}\u{202e}\u{7f}y", "b": ["\n"] });
        for text in [line(&value), pretty(&value).replace('\n', " ")] {
            assert!(!text.chars().any(is_unsafe), "{text:?}");
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }
        assert_eq!(cleaned(&value)["b"][0], "\\u{a}");
    }
}
