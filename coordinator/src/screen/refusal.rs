//! What was not done and why, and what was done.

use super::stack;
use super::text::paragraph;
use crate::reply::{DoneReply, RefusedReply};

/// A refusal: the rule by its name, the sentence, every wrong field.
pub fn render(reply: &RefusedReply) -> String {
    let refused = &reply.refused;
    let kind = if refused.safety {
        "refused by the safety rule"
    } else {
        "refused by the rule"
    };
    let mut text = paragraph(
        "",
        "  ",
        &format!("{kind} {}: {}", refused.rule, refused.reason),
    );
    for problem in &refused.problems {
        let key = if problem.key.is_empty() {
            "(file)"
        } else {
            &problem.key
        };
        let sentence = format!(
            "{key}: found {}; allowed: {}",
            problem.found, problem.allowed
        );
        text.push_str(&paragraph("  ", "    ", &sentence));
    }
    text
}

/// Something was done.
pub fn done(reply: &DoneReply) -> String {
    format!(
        "{}{}",
        paragraph("", "  ", &reply.summary),
        stack::changes(&reply.differences)
    )
}
