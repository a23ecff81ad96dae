//! What operators may send, read so that every wrong field is named with what was found and what is allowed.
//!
//! An empty payload stands for all defaults. A field that nobody asked for is a problem: a misspelt `digest`
//! must not become an approval without one.

mod alarm;

use std::collections::BTreeMap;

use decision::{ApprovalRequest, Ask, Durable, Past};
use serde_json::{Map, Value};
use shared::clock::Millis;
use shared::config::Problem;
use shared::epoch::StackVersion;
use shared::id::{ProposalId, RunId, StackName};
use shared::stack::Stack;
use shared::subject::Verb;

/// Longest text that an operator may send in one field, in characters.
const TEXT_LEN_MAX: usize = 2_000;
/// Records that `history` gives when it is not told how many.
const HISTORY_DEFAULT: u64 = 50;
/// Records that `history` gives at most.
const HISTORY_MAX: u64 = 500;
/// Longest accepted request, in bytes.
const REQUEST_BYTES_MAX: usize = 512 * 1024;

/// A request, read.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// What is true.
    Status,
    /// The proposals.
    Proposals,
    /// One proposal.
    Show {
        /// Which.
        proposal: ProposalId,
    },
    /// Why there is, or is not, a proposal.
    Explain,
    /// The audit trail.
    History {
        /// How many records, the newest.
        limit: u64,
    },
    /// The stack in force.
    StackShow,
    /// What a stack file would change.
    StackCheck {
        /// The stack.
        stack: Box<Stack>,
    },
    /// Something that changes, for the core.
    Change(Ask),
}

/// What was wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// It cannot be read.
    Problems(Vec<Problem>),
    /// It is well formed and names something that is not there.
    Unknown {
        /// What is not there, as a rule's name: `no-such-proposal`.
        rule: &'static str,
        /// One sentence.
        reason: String,
    },
}

/// Reads the operator's name that a request carries in its field `operator`, if it does.
pub fn operator(payload: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(payload).ok()?;
    value
        .get("operator")
        .and_then(Value::as_str)
        .map(ToOwned::to_owned)
}

/// Reads a request. `durable` resolves `latest` and shortened identities.
///
/// # Errors
/// [`Wrong`] with everything that is wrong.
pub fn read(
    verb: Verb,
    payload: &[u8],
    stack: &StackName,
    durable: Option<&Durable>,
) -> Result<Request, Wrong> {
    let mut fields = Fields::parse(payload)?;
    // Whoever asks; read before.
    let _operator = fields.text("operator");
    let request = match verb {
        Verb::Status => Some(Request::Status),
        Verb::Proposals => Some(Request::Proposals),
        Verb::Explain => Some(Request::Explain),
        Verb::StackShow => Some(Request::StackShow),
        Verb::Show => {
            let text = fields
                .text("proposal")
                .unwrap_or_else(|| "latest".to_owned());
            Some(Request::Show {
                proposal: proposal(&text, durable)?,
            })
        }
        Verb::History => {
            let limit = fields
                .number("limit", 1, HISTORY_MAX)
                .unwrap_or(HISTORY_DEFAULT);
            Some(Request::History { limit })
        }
        Verb::StackCheck => {
            read_stack(&mut fields, stack).map(|stack| Request::StackCheck { stack })
        }
        Verb::StackApply => {
            let replaces = fields.number("replaces", 0, u64::MAX).map(StackVersion);
            let stack = read_stack(&mut fields, stack);
            stack.map(|stack| Request::Change(Ask::ApplyStack { stack, replaces }))
        }
        Verb::Approve | Verb::Reject => read_about_proposal(verb, &mut fields, durable)?,
        Verb::Resume | Verb::Abandon => read_about_run(verb, &mut fields, durable)?,
        Verb::Hold => fields
            .required_text("reason")
            .map(|reason| Request::Change(Ask::Hold { reason })),
        Verb::Acknowledge => alarm::read(&mut fields).map(Request::Change),
        Verb::Release => {
            let reason = fields.text("reason").unwrap_or_default();
            Some(Request::Change(Ask::Release { reason }))
        }
    };
    fields.finish(request)
}

fn read_about_proposal(
    verb: Verb,
    fields: &mut Fields,
    durable: Option<&Durable>,
) -> Result<Option<Request>, Wrong> {
    let name = fields.required_text("proposal");
    let ask = if verb == Verb::Reject {
        let reason = fields.required_text("reason");
        let Some((name, reason)) = name.zip(reason) else {
            return Ok(None);
        };
        Ask::Reject {
            proposal: proposal(&name, durable)?,
            reason,
        }
    } else {
        let digest = fields.required_text("digest");
        let attest_site_off = fields.text("attest_site_off");
        let overrides = fields.texts("overrides");
        let reason = fields.text("reason").unwrap_or_default();
        let Some((name, digest)) = name.zip(digest) else {
            return Ok(None);
        };
        let proposal = proposal(&name, durable)?;
        Ask::Approve(ApprovalRequest {
            proposal,
            digest,
            attest_site_off,
            overrides,
            reason,
        })
    };
    Ok(Some(Request::Change(ask)))
}

fn read_about_run(
    verb: Verb,
    fields: &mut Fields,
    durable: Option<&Durable>,
) -> Result<Option<Request>, Wrong> {
    let name = fields.text("run").unwrap_or_else(|| "latest".to_owned());
    let reason = fields.required_text("reason");
    let waive = if verb == Verb::Resume {
        fields.number("waive", 1, u64::from(u32::MAX))
    } else {
        None
    };
    let (overrides, attest_site_off) = if verb == Verb::Resume {
        (fields.texts("overrides"), fields.text("attest_site_off"))
    } else {
        (BTreeMap::new(), None)
    };
    let Some(reason) = reason else {
        return Ok(None);
    };
    let run = run(&name, durable)?;
    if !overrides.is_empty() || attest_site_off.is_some() {
        if waive.is_some() {
            let allowed = "nothing, beside a rule that is overridden";
            fields.problem("waive", "a step", allowed);
            return Ok(None);
        }
        return Ok(Some(Request::Change(Ask::ResumePast(Past {
            run,
            overrides,
            attest_site_off,
            reason,
        }))));
    }
    Ok(Some(Request::Change(if verb == Verb::Abandon {
        Ask::Abandon { run, reason }
    } else {
        Ask::Resume {
            run,
            waive: waive.and_then(|step| u32::try_from(step).ok()),
            reason,
        }
    })))
}

fn read_stack(fields: &mut Fields, name: &StackName) -> Option<Box<Stack>> {
    let file = fields
        .text("file")
        .unwrap_or_else(|| "stack.toml".to_owned());
    let text = fields.required_long_text("text")?;
    match Stack::parse(&file, &text) {
        Err(problems) => {
            fields.problems.extend(problems.problems);
            None
        }
        Ok(stack) if stack.name != *name => {
            fields.problem(
                "name",
                format!("{:?}", stack.name.as_str()),
                format!("{name:?}, for which this coordinator works"),
            );
            None
        }
        Ok(stack) => Some(Box::new(stack)),
    }
}

/// A proposal by its identity, by the last characters of it, or `latest`.
fn proposal(text: &str, durable: Option<&Durable>) -> Result<ProposalId, Wrong> {
    let known: Vec<ProposalId> = durable
        .map(|d| d.proposals.iter().map(|p| p.id).collect())
        .unwrap_or_default();
    let latest = durable
        .and_then(|d| d.open_proposal().or_else(|| d.proposals.last()))
        .map(|p| p.id);
    pick(text, &known, latest, ProposalId::short)
        .or_else(|| text.parse().ok())
        .ok_or_else(|| Wrong::Unknown {
            rule: "no-such-proposal",
            reason: absent(
                "proposal",
                text,
                &known.iter().map(|id| id.short()).collect::<Vec<_>>(),
            ),
        })
}

/// A run by its identity, by the last characters of it, or `latest`.
fn run(text: &str, durable: Option<&Durable>) -> Result<RunId, Wrong> {
    let runs = |d: &Durable| {
        d.past_runs
            .iter()
            .chain(&d.run)
            .map(|run| run.id)
            .collect::<Vec<_>>()
    };
    let known: Vec<RunId> = durable.map(runs).unwrap_or_default();
    let latest = known.last().copied();
    pick(text, &known, latest, RunId::short)
        .or_else(|| text.parse().ok())
        .ok_or_else(|| Wrong::Unknown {
            rule: "no-such-run",
            reason: absent(
                "run",
                text,
                &known.iter().map(|id| id.short()).collect::<Vec<_>>(),
            ),
        })
}

fn pick<T: Copy>(text: &str, known: &[T], latest: Option<T>, short: fn(T) -> String) -> Option<T> {
    if text == "latest" {
        return latest;
    }
    let mut fitting = known
        .iter()
        .filter(|id| short(**id) == text.to_ascii_lowercase());
    let first = fitting.next().copied();
    if fitting.next().is_some() {
        None
    } else {
        first
    }
}

fn absent(what: &str, text: &str, known: &[String]) -> String {
    let shown: String = text.chars().take(80).collect();
    if known.is_empty() {
        return format!("there is no {what} {shown:?}: there is none at all yet");
    }
    format!(
        "there is no {what} {shown:?}; known are {} and \"latest\"",
        known.join(", ")
    )
}

/// The fields of a JSON object, each asked for once.
struct Fields {
    map: Map<String, Value>,
    asked: Vec<&'static str>,
    problems: Vec<Problem>,
}

impl Fields {
    fn parse(payload: &[u8]) -> Result<Self, Wrong> {
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

    fn problem(&mut self, key: &str, found: impl Into<String>, allowed: impl Into<String>) {
        self.problems.push(Problem {
            key: key.to_owned(),
            found: found.into(),
            allowed: allowed.into(),
        });
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.asked.push(key);
        self.map.remove(key).filter(|value| !value.is_null())
    }

    fn text(&mut self, key: &'static str) -> Option<String> {
        let value = self.take(key)?;
        self.short_enough(key, &value)
    }

    fn required_text(&mut self, key: &'static str) -> Option<String> {
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

    fn required_long_text(&mut self, key: &'static str) -> Option<String> {
        match self.take(key) {
            Some(Value::String(text)) => return Some(text),
            Some(other) => self.problem(key, kind(&other), "a text"),
            None => self.problem(key, "nothing", "a text"),
        }
        None
    }

    fn number(&mut self, key: &'static str, least: u64, most: u64) -> Option<u64> {
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

    fn texts(&mut self, key: &'static str) -> BTreeMap<String, String> {
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

    fn finish(mut self, request: Option<Request>) -> Result<Request, Wrong> {
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

/// How long a follower waits before it answers a question that a live leader should have answered.
pub const FOLLOWER_DELAY: Millis = Millis(500);

#[cfg(test)]
mod tests;
