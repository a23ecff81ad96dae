//! The end of the audit trail: who moved what, when, and why.

use shared::wire::AuditEvent;

use super::status::severity;
use super::text::{paragraph, put};
use crate::reply::HistoryReply;

/// The screen.
pub fn render(reply: &HistoryReply) -> String {
    if reply.events.is_empty() {
        return "the audit trail is empty\n".to_owned();
    }
    let mut text = String::new();
    for entry in &reply.events {
        text.push_str(&line(&entry.event));
    }
    if reply.unreadable > 0 {
        put(
            &mut text,
            format_args!(
                "{} further records are no events of this version\n",
                reply.unreadable
            ),
        );
    }
    text
}

/// One event: a line, and below it what was given as a reason.
pub fn line(event: &AuditEvent) -> String {
    let first = format!("{}  {:<8}  ", event.time, severity(event.severity));
    let rest = " ".repeat(32);
    let row = event
        .row
        .map_or_else(String::new, |row| format!(", row {row}"));
    let sentence = format!(
        "{}: {} [{}, term {}, epoch {}{row}]",
        event.kind, event.summary, event.actor, event.term, event.epoch
    );
    // The time comes from the stream, and is as little to be trusted as every other text.
    let mut text = paragraph(&super::text::clean(&first), &rest, &sentence);
    if let Some(reason) = &event.reason {
        text.push_str(&paragraph(&format!("{rest}reason: "), &rest, reason));
    }
    text
}
