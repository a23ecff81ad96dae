//! A stack, and what a new file would change in it.

use shared::stack::{Forecast, difference};

use super::table::Table;
use super::text::{clean, paragraph};
use crate::reply::{Change, CheckReply, StackReply};

/// The stack in force, one line a value.
pub fn render(reply: &StackReply) -> String {
    let mut text = format!(
        "stack {}  version {}  digest {}\n\n",
        reply.stack.name,
        reply.version,
        reply.digest.short()
    );
    for line in difference(None, &reply.stack) {
        let value = line.after.unwrap_or_default();
        text.push_str(&paragraph("", "    ", &format!("{} = {value}", line.key)));
    }
    text
}

/// What a file would change.
pub fn check(reply: &CheckReply) -> String {
    format!(
        "{}{}{}",
        paragraph("", "", &reply.summary),
        changes(&reply.differences),
        timing(&reply.timing)
    )
}

/// How long each phase of a failover takes at best and at worst, and what may be regretted.
pub fn timing(forecast: &Forecast) -> String {
    let mut table = Table::new(&["PHASE", "BEST", "WORST", "FROM"]);
    for phase in &forecast.phases {
        table.row([
            phase.phase.clone(),
            phase.span.best_ms.human(),
            phase.span.worst_ms.human(),
            phase.from.clone(),
        ]);
    }
    let mut text = format!("\n{}", table.render("  "));
    text.push_str(&paragraph("", "", &forecast.summary()));
    for warning in &forecast.warnings {
        text.push_str(&paragraph("warning: ", "    ", warning));
    }
    text
}

/// Lines of change: `+` added, `-` gone, `~` changed.
pub fn changes(changes: &[Change]) -> String {
    let mut text = String::new();
    for change in changes {
        let line = match (&change.before, &change.after) {
            (None, Some(after)) => format!("+ {} = {after}", change.key),
            (Some(before), None) => format!("- {} = {before}", change.key),
            (Some(before), Some(after)) => format!("~ {} = {before} -> {after}", change.key),
            (None, None) => format!("~ {}", change.key),
        };
        text.push_str(&paragraph("  ", "      ", &line));
    }
    if !changes.is_empty() {
        let count =
            |mark: fn(&Change) -> bool| changes.iter().filter(|change| mark(change)).count();
        let added = count(|change| change.before.is_none());
        let gone = count(|change| change.after.is_none());
        let changed = changes.len() - added - gone;
        text.push_str(&clean(&format!(
            "{added} added, {changed} changed, {gone} gone"
        )));
        text.push('\n');
    }
    text
}
