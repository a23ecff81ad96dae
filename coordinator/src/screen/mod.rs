//! What operators read: plain text in a hundred columns, and JSON, made from the core's views and nothing else.
//!
//! Everything that came from an agent or another operator is escaped here, in one place, so that no text can
//! move a cursor or hide a line. Screens add no fact and decide nothing.

pub mod age;
pub mod explain;
pub mod history;
pub mod json;
pub mod proposal;
pub mod proposals;
pub mod refusal;
pub mod run;
pub mod shadow;
pub mod stack;
pub mod status;
pub mod table;
pub mod text;

use crate::reply::Reply;

/// Columns that a screen may take.
pub const WIDTH: usize = 100;

/// A reply as a screen.
pub fn render(reply: &Reply) -> String {
    match reply {
        Reply::Status(view) => status::render(view),
        Reply::Proposals(reply) => proposals::render(reply),
        Reply::Shadow(reply) => shadow::render(reply),
        Reply::Show(reply) => {
            proposal::render(&reply.proposal, reply.run.as_ref(), reply.from.as_of)
        }
        Reply::Explain(reply) => explain::render(reply),
        Reply::History(reply) => history::render(reply),
        Reply::Stack(reply) => stack::render(reply),
        Reply::Check(reply) => stack::check(reply),
        Reply::Done(reply) => refusal::done(reply),
        Reply::Refused(reply) => refusal::render(reply),
    }
}
