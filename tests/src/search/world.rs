//! The state of the small world, as a handful of numbers, and what may happen in it.

use super::setup::Faults;
use super::table::Id;

/// The whole world at an instant. Two worlds that are equal go on equally.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// Seconds since the beginning.
    pub(super) time: u8,
    /// The invariant that did not hold, by its place in [`INVARIANTS`] from 1; 0 while all hold.
    pub(super) violated: u8,
    /// Whether the coordinators hear the old site's agent.
    pub(super) heard: bool,
    /// How often an operator has approved.
    pub(super) approvals: u8,
    /// Faults that have happened.
    pub(super) spent: Faults,
    /// The coordinators.
    pub(super) seats: [Seat; 2],
    /// The store.
    pub(super) store: Store,
    /// The database hosts of the old site and of the target.
    pub(super) hosts: [Id; 2],
    /// Commands under way to each, the newest first.
    pub(super) orders: [[Option<Id>; 2]; 2],
    /// The newest report under way from each.
    pub(super) words: [Option<Id>; 2],
    /// The first run that was written.
    pub(super) run: Option<Id>,
    /// When the newest epoch was revoked from its holder, as the store saw it.
    pub(super) revoked: u8,
}

/// A coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Seat {
    /// Its core, while it leads or believes so.
    pub(super) core: Option<Id>,
    /// The state as it last wrote or read it.
    pub(super) known: Id,
    /// Its term.
    pub(super) term: u8,
    /// Its write of the ticket. It may reach the store after its process is gone.
    pub(super) write: Write,
}

/// A write of the ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum Write {
    /// None.
    #[default]
    None,
    /// It has not reached the store.
    Asked {
        /// What must be there.
        from: Id,
        /// What is to be there.
        to: Id,
    },
    /// The store has it; the answer is under way.
    Accepted(Id),
    /// The store holds another; the answer is under way.
    Refused(Id),
}

/// The store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Store {
    pub(super) durable: Id,
    pub(super) ticket: Id,
    /// The term of the lead.
    pub(super) term: u8,
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// A second passes for everybody.
    Second,
    /// A coordinator does what its core ordered next.
    Perform(u8),
    /// A coordinator's write of the ticket reaches the store.
    Arrive(u8),
    /// The store's answer to it comes back.
    Acknowledge(u8),
    /// A command reaches its agent: the newest or the one before.
    Deliver(u8, u8),
    /// An agent's report reaches the leading coordinator.
    Hear(u8, u8),
    /// An agent goes on with its command.
    Work(u8),
    /// The store confirms, or does not confirm, the grant that an agent asks about.
    Confirm(u8),
    /// An agent's renewal reaches the store.
    Renew(u8),
    /// The store's answer to it comes back.
    Renewed(u8),
    /// The other database's agent (0) or the witness's (1) promises not to promote.
    Vouch(u8),
    /// The promises come back to the old primary.
    Extend,
    /// An operator approves the proposal.
    Approve(u8),
    /// An operator resumes (true) or abandons the halted run.
    Decide(u8, bool),
    /// A coordinator dies.
    Crash(u8),
    /// A coordinator takes the lead.
    TakeOver(u8),
    /// The old site is heard again.
    Return,
    /// An agent hangs, goes on, is killed, is started.
    Hang(u8),
    /// It goes on.
    Resume(u8),
    /// An agent is killed.
    Kill(u8),
    /// It is started again.
    Start(u8),
    /// The old site loses power.
    PowerOff,
    /// The old site's machine is paused.
    Pause,
    /// It goes on.
    Continue,
}

/// The invariants, by the numbers of the design and of the facts on safety.
pub(super) const INVARIANTS: [&str; 11] = [
    "I1: two databases take writes",
    "I2: two databases acknowledge commits",
    "I3: a promotion without a proof that the old primary is stopped",
    "I4: a change that no operator has approved",
    "I4: a promotion without the right to be live, as the store shows it",
    "I5: the epoch fell, or has two holders",
    "I6: an epoch was granted before the wait was over",
    "I7: a finished command was begun anew",
    "I8: a command left before its intent was written",
    "I12: one approval began two runs",
    "I15: a coordinator that lost the lead sent a command",
];

/// An invariant by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Invariant {
    OneWriter,
    OneAcknowledger,
    Proof,
    Approval,
    Right,
    Epoch,
    Wait,
    Once,
    Intent,
    ApprovalOnce,
    Lead,
}

impl World {
    /// The world with a violation; the first one stays.
    pub(super) fn violate(&mut self, invariant: Invariant) {
        if self.violated == 0 {
            self.violated = invariant.place();
        }
    }
}

impl Invariant {
    const fn place(self) -> u8 {
        match self {
            Self::OneWriter => 1,
            Self::OneAcknowledger => 2,
            Self::Proof => 3,
            Self::Approval => 4,
            Self::Right => 5,
            Self::Epoch => 6,
            Self::Wait => 7,
            Self::Once => 8,
            Self::Intent => 9,
            Self::ApprovalOnce => 10,
            Self::Lead => 11,
        }
    }
}
