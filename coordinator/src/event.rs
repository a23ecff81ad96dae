//! What the background tasks tell the runtime.

use bus::{Bucket, Connection};
use decision::Unanswered;
use shared::epoch::Term;
use shared::id::{CommandId, NodeName, SiteName};
use shared::wire::{Report, Ticket};

use crate::lease::Lease;
use crate::store::Snapshot;

/// Something that a background task came to know.
#[derive(Debug)]
pub enum Event {
    /// The connection for commands and decisions stands for the first time.
    CommandUp(Connection),
    /// The bucket was found and is fit for decisions.
    StoreOpen(Bucket),
    /// The lead was won by a write.
    Won {
        /// Its term.
        term: Term,
        /// For how long.
        lease: Lease,
    },
    /// The lead is lost.
    Lost {
        /// Which term's.
        term: Term,
        /// Why.
        reason: String,
    },
    /// What the store shows to a follower.
    Mirrored(Box<Snapshot>),
    /// The ticket and its revision, as they are read between the writes.
    TicketSeen(Box<Option<(u64, Ticket)>>),
    /// An agent answered a command.
    Reported {
        /// Its site.
        site: SiteName,
        /// The agent.
        node: NodeName,
        /// What it said.
        report: Box<Report>,
    },
    /// A command did not get an answer.
    Unanswered {
        /// The command.
        command: CommandId,
        /// Why.
        cause: Unanswered,
    },
}
