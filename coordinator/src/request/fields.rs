//! The fields of a request: each is asked for once, and what nobody asked for is a problem.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use shared::config::Problem;

use super::{Request, Wrong};

/// Longest text that an operator may send in one field, in characters.
const TEXT_LEN_MAX: usize = 2_000;
/// Longest accepted request, in bytes.
const REQUEST_BYTES_MAX: usize = 512 * 1024;

/// The fields of a JSON object, each asked for once.
pub(super) struct Fields {
    map: Map<String, Value>,
    asked: Vec<&'static str>,
    problems: Vec<Problem>,
}

impl Fields {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, Wrong> {
        let wrong = |key: &str, found: String, allowed: &str| {
            let problem = Problem {
                key: key.to_owned(),
                found,
                allowed: allowed.to_owned(),
            };
            Err(Wrong::Problems(vec![problem]))
        };
        if payload.len() > REQUEST_BYTES_MAX {
            let allowed = format!("at most {REQUEST_BYTES_MAX} bytes");
            return wrong("(request)", format!("{} bytes", payload.len()), &allowed);
        }
        let map = if payload.trim_ascii().is_empty() {
            Map::new()
        } else {
            match serde_json::from_slice(payload) {
                Ok(Value::Object(map)) => map,
                Ok(other) => {
                    return wrong(
                        "(request)",
                        kind(&other).to_owned(),
                        "a JSON object, or nothing at all",
                    );
                }
                Err(error) => {
                    return wrong(
                        "(request)",
                        error.to_string(),
                        "a JSON object, or nothing at all",
                    );
                }
            }
        };
        Ok(Self {
            map,
            asked: Vec::new(),
            problems: Vec::new(),
        })
    }

    pub(super) fn problem(
        &mut self,
        key: &str,
        found: impl Into<String>,
        allowed: impl Into<String>,
    ) {
        self.problems.push(Problem {
            key: key.to_owned(),
            found: found.into(),
            allowed: allowed.into(),
        });
    }

    /// Problems found elsewhere.
    pub(super) fn add(&mut self, problems: Vec<Problem>) {
        self.problems.extend(problems);
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.asked.push(key);
        self.map.remove(key).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        let value = self.take(key)?;
        self.short_enough(key, &value)
    }

    pub(super) fn required_text(&mut self, key: &'static str) -> Option<String> {
        let allowed = "a text that is not empty";
        match self.take(key) {
            None => self.problem(key, "nothing", allowed),
            Some(value) => {
                let text = self.short_enough(key, &value)?;
                if !text.trim().is_empty() {
                    return Some(text);
                }
                self.problem(key, "an empty text", allowed);
            }
        }
        None
    }

    pub(super) fn required_long_text(&mut self, key: &'static str) -> Option<String> {
        match self.take(key) {
            Some(Value::String(text)) => return Some(text),
            Some(other) => self.problem(key, kind(&other), "a text"),
            None => self.problem(key, "nothing", "a text"),
        }
        None
    }

    pub(super) fn number(&mut self, key: &'static str, least: u64, most: u64) -> Option<u64> {
        let value = self.take(key)?;
        let number = value.as_u64().filter(|n| (least..=most).contains(n));
        if number.is_none() {
            let found = if value.is_number() {
                value.to_string()
            } else {
                kind(&value).to_owned()
            };
            self.problem(key, found, format!("a whole number from {least} to {most}"));
        }
        number
    }

    pub(super) fn texts(&mut self, key: &'static str) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        match self.take(key) {
            None => {}
            Some(Value::Object(map)) => {
                for (name, value) in map {
                    let reason = value.as_str().filter(|text| !text.trim().is_empty());
                    if let Some(reason) = reason {
                        texts.insert(name, reason.to_owned());
                    } else {
                        self.problem(
                            &format!("{key}.{name}"),
                            kind(&value),
                            "a reason that is not empty",
                        );
                    }
                }
            }
            Some(other) => self.problem(key, kind(&other), "an object: rule = reason"),
        }
        texts
    }

    fn short_enough(&mut self, key: &'static str, value: &Value) -> Option<String> {
        let Some(text) = value.as_str() else {
            self.problem(key, kind(value), "a text");
            return None;
        };
        let length = text.chars().count();
        if length > TEXT_LEN_MAX {
            self.problem(
                key,
                format!("{length} characters"),
                format!("at most {TEXT_LEN_MAX} characters"),
            );
            return None;
        }
        Some(text.to_owned())
    }

    pub(super) fn finish(mut self, request: Option<Request>) -> Result<Request, Wrong> {
        let unknown: Vec<String> = self
            .map
            .keys()
            .filter(|key| !self.asked.contains(&key.as_str()))
            .cloned()
            .collect();
        self.asked.sort_unstable();
        let known = self.asked.join(" | ");
        for key in unknown {
            self.problem(&key, "an unknown field", known.clone());
        }
        match request {
            Some(request) if self.problems.is_empty() => Ok(request),
            _ => {
                assert!(
                    !self.problems.is_empty(),
                    "a request is missing and nobody said why"
                );
                Err(Wrong::Problems(self.problems))
            }
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(text) if text.trim().is_empty() => "an empty text",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
