//! All proposals that are kept, newest first.

use super::proposal;
use super::table::Table;
use super::text::paragraph;
use crate::reply::ProposalsReply;

/// The screen.
pub fn render(reply: &ProposalsReply) -> String {
    let mut text = paragraph("", "", &reply.summary);
    if reply.proposals.is_empty() {
        return text;
    }
    let mut table = Table::new(&["ID", "MOVE", "RAISED", "DIGEST", "STATE"]);
    for one in &reply.proposals {
        table.row([
            one.id.short(),
            format!("{} -> {}", one.plan.from, one.plan.to),
            one.raised_at.rfc3339(),
            one.digest.short().to_owned(),
            proposal::state(one, reply.from.as_of),
        ]);
    }
    text.push('\n');
    text.push_str(&table.render(""));
    text.push_str("\nnext: pointsman show ID\n");
    text
}
