//! Why there is, or is not, a proposal.

use decision::{AutomaticView, LeaseView};

use super::age;
use super::table::Table;
use super::text::{paragraph, put};
use crate::reply::ExplainReply;

/// The screen.
pub fn render(reply: &ExplainReply) -> String {
    let view = &reply.explain;
    let mut text = paragraph("", "", &view.summary);
    let by = if reply.from.leads {
        "which leads"
    } else {
        "which does not lead"
    };
    let about = format!(
        "phase {}  answered by {}, {by}  {}",
        view.phase.word(),
        reply.from.answered_by,
        view.as_of.rfc3339()
    );
    text.push_str(&paragraph("", "  ", &about));
    for wait in &view.waits_for {
        text.push_str(&paragraph("  waits for: ", "             ", wait));
    }
    if !view.observers.is_empty() {
        let mut table = Table::new(&["OBSERVER", "SIGHTED", "SAYS"]);
        for seen in &view.observers {
            let says = match (&seen.no_vote, seen.silent) {
                (Some(why), _) => format!("no vote: {why}"),
                (None, true) => "silent".to_owned(),
                (None, false) => "sighted".to_owned(),
            };
            let sighted = seen.age_ms.map_or_else(
                || "never".to_owned(),
                |ms| format!("{} ago", age::short(ms)),
            );
            table.row([seen.observer.to_string(), sighted, says]);
        }
        put(
            &mut text,
            format_args!("\nobservers of the live site\n{}", table.render("  ")),
        );
    }
    text.push_str(&leases(&view.leases));
    text.push_str(&automatic(view.automatic.as_ref()));
    if !view.hypotheses.is_empty() {
        let mut table = Table::new(&["EXPLANATION", "HOLDS", "BECAUSE"]);
        for one in &view.hypotheses {
            let holds = if one.holds { "YES" } else { "no" };
            table.row([one.code.to_string(), holds.to_owned(), one.because.clone()]);
        }
        put(
            &mut text,
            format_args!("\nexplanations\n{}", table.render("  ")),
        );
    }
    text
}

/// What the store and the agents say of the live site's leases.
pub(super) fn leases(leases: &[LeaseView]) -> String {
    if leases.is_empty() {
        return String::new();
    }
    let mut text = "\nleases of the live site\n".to_owned();
    for lease in leases {
        text.push_str(&paragraph("  ", "    ", &lease.sentence));
    }
    text
}

/// Whether automatic mode would act, and every rule that keeps it from acting.
pub(super) fn automatic(view: Option<&AutomaticView>) -> String {
    let Some(view) = view else {
        return String::new();
    };
    let mut text = format!("\n{}", paragraph("", "  ", &view.summary));
    for block in &view.blocked {
        let line = format!("rule {} {}: {}", block.row, block.rule, block.sentence);
        text.push_str(&paragraph("  ", "    ", &line));
    }
    text
}
