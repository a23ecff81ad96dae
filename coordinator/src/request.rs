//! What operators may send, read so that every wrong field is named with what was found and what is allowed.
//!
//! An empty payload stands for all defaults. A field that nobody asked for is a problem: a misspelt `digest`
//! must not become an approval without one.

mod alarm;
mod fields;

use std::collections::BTreeMap;

use decision::{ApprovalRequest, Ask, Durable, Past};
use serde_json::Value;
use shared::clock::Millis;
use shared::config::Problem;
use shared::epoch::StackVersion;
use shared::id::{ProposalId, RunId, SiteName, StackName};
use shared::stack::Stack;
use shared::subject::Verb;

use self::fields::Fields;

/// Records that `history` gives when it is not told how many.
const HISTORY_DEFAULT: u64 = 50;
/// Records that `history` gives at most.
const HISTORY_MAX: u64 = 500;

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
    /// What would have been proposed in shadow mode.
    Shadow,
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
        Verb::StoreAccept => read_acceptance(&mut fields, stack),
        Verb::Hold => fields
            .required_text("reason")
            .map(|reason| Request::Change(Ask::Hold { reason })),
        Verb::Acknowledge => alarm::read(&mut fields).map(Request::Change),
        Verb::Automatic => read_switch(&mut fields),
        Verb::Shadow => Some(Request::Shadow),
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

fn read_switch(fields: &mut Fields) -> Option<Request> {
    let word = fields.required_text("switch");
    let reason = fields.required_text("reason");
    let on = match word?.as_str() {
        "on" => true,
        "off" => false,
        other => {
            fields.problem("switch", format!("{other:?}"), "on | off");
            return None;
        }
    };
    Some(Request::Change(Ask::Automatic {
        on,
        reason: reason?,
    }))
}

fn read_acceptance(fields: &mut Fields, stack: &StackName) -> Option<Request> {
    let live = fields.required_text("live");
    let confirm = fields.required_text("confirm");
    let reason = fields.required_text("reason");
    let live = live.and_then(|text| {
        let site = SiteName::new(&text).ok();
        if site.is_none() {
            let allowed = "the name of the site that is live";
            fields.problem("live", format!("{text:?}"), allowed);
        }
        site
    });
    let confirm = confirm.and_then(|text| {
        let fits = text == stack.as_str();
        if !fits {
            let allowed = format!("{:?}, the stack's name", stack.as_str());
            fields.problem("confirm", format!("{text:?}"), allowed);
        }
        fits.then_some(())
    });
    let (live, (), reason) = (live?, confirm?, reason?);
    Some(Request::Change(Ask::AcceptStore { live, reason }))
}

fn read_stack(fields: &mut Fields, name: &StackName) -> Option<Box<Stack>> {
    let file = fields
        .text("file")
        .unwrap_or_else(|| "stack.toml".to_owned());
    let text = fields.required_long_text("text")?;
    match Stack::parse(&file, &text) {
        Err(problems) => {
            fields.add(problems.problems);
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

/// How long a follower waits before it answers a question that a live leader should have answered.
pub const FOLLOWER_DELAY: Millis = Millis(500);

#[cfg(test)]
mod tests;
