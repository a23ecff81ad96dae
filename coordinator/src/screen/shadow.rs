//! What would have been proposed in shadow mode, newest first: each with its cause, how long it lasted, how it ended,
//! and what automatic mode would have done.

use decision::{ShadowAct, ShadowProposal};
use shared::clock::{Millis, UnixMillis};

use super::text::paragraph;
use crate::reply::ShadowReply;

/// Width of the words before the sentences.
const INDENT: &str = "             ";

/// The screen.
pub fn render(reply: &ShadowReply) -> String {
    let mut text = paragraph("", "", &reply.summary);
    for one in &reply.proposals {
        text.push_str(&entry(one, reply.from.as_of));
    }
    text
}

fn entry(one: &ShadowProposal, as_of: UnixMillis) -> String {
    let first = format!(
        "{}  {} -> {}  {} steps, digest {}",
        one.at.rfc3339(),
        one.from,
        one.to,
        one.steps,
        one.digest.short()
    );
    let mut text = format!("\n{}", paragraph("", "  ", &first));
    let mut line = |word: &str, sentence: &str| {
        text.push_str(&paragraph(&format!("  {word:<11}"), INDENT, sentence));
    };
    line("verdict", &one.verdict);
    for seen in &one.evidence {
        line("evidence", &format!("{} {}", seen.observer, seen.saw));
    }
    line("loss", &one.loss);
    line("needs", &format!("fence grade {}", one.fence_grade));
    for rule in &one.overrides {
        line("", &format!("rule {} overridden: {}", rule.rule, rule.says));
    }
    match &one.automatic {
        ShadowAct::WindowNotOver => line("automatic", "the window was not over"),
        ShadowAct::Acted { at } => line(
            "automatic",
            &format!("would have acted at {}", at.rfc3339()),
        ),
        ShadowAct::Blocked { at, because } => {
            let first = format!("would not have acted at {}:", at.rfc3339());
            line("automatic", &first);
            for reason in because {
                line("", reason);
            }
        }
    }
    let lasted = |until: UnixMillis| Millis(until.0.saturating_sub(one.at.0)).human();
    match &one.ended {
        None => line("ended", &format!("not yet, after {}", lasted(as_of))),
        Some(end) => {
            let sentence = format!(
                "{}, after {}: {}",
                end.at.rfc3339(),
                lasted(end.at),
                end.reason
            );
            line("ended", &sentence);
        }
    }
    text
}
