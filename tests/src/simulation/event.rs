//! What will happen, and in which order.

use std::rc::Rc;

use agent::lease::{Attempt, Reading};
use decision::{Input, Persist};
use shared::id::{CommandId, NodeName, SiteName};
use shared::wire::{Command, Heartbeat, LeasePromise, Observation, Report, ReportState};

use super::breakage::Mend;
use super::labour::Job;
use super::noise::Source;
use super::store::{Renewal, Written};

/// Something that will happen.
pub(super) enum Event {
    /// An operator at a site's own hosts goes on with breaking the glass.
    Glass {
        site: SiteName,
    },
    SeatBeat {
        site: SiteName,
        life: u64,
    },
    Wake {
        site: SiteName,
        life: u64,
    },
    Input {
        site: SiteName,
        life: u64,
        input: Box<Input>,
    },
    Reply {
        site: SiteName,
        life: u64,
        node: NodeName,
        report: Box<Report>,
    },
    NoReply {
        site: SiteName,
        life: u64,
        command: CommandId,
    },
    Campaign {
        site: SiteName,
        life: u64,
        revision: u64,
        beat: u64,
    },
    TakeOver {
        site: SiteName,
        session: u64,
    },
    Write {
        site: SiteName,
        session: u64,
        write: Box<Persist>,
        known: (u64, u64),
    },
    Acknowledged {
        site: SiteName,
        session: u64,
        written: Box<Written>,
        write: Box<Persist>,
    },
    SeatRestart {
        site: SiteName,
    },
    WorkerBeat {
        node: NodeName,
        life: u64,
    },
    Word {
        to: SiteName,
        life: u64,
        word: Word,
        sent: u64,
    },
    Command {
        command: Box<Command>,
        from: SiteName,
        asker: u64,
    },
    Confirm {
        job: Box<Job>,
    },
    Work {
        job: Box<Job>,
    },
    PromotionLands {
        job: Box<Job>,
    },
    Finish {
        job: Box<Job>,
        state: ReportState,
    },
    Look {
        node: NodeName,
        life: u64,
    },
    Renew {
        node: NodeName,
        life: u64,
        attempt: Attempt,
        sent: (u64, Reading),
    },
    Renewed {
        node: NodeName,
        life: u64,
        attempt: Attempt,
        sent: (u64, Reading),
        promise: Option<LeasePromise>,
        outcome: Box<Renewal>,
    },
    Vouch {
        node: NodeName,
        life: u64,
        attempt: Attempt,
        sent: (u64, Reading),
    },
    StopLands {
        node: NodeName,
    },
    WorkerRestart {
        node: NodeName,
    },
    DatabaseStart {
        node: NodeName,
    },
    Replicate,
    Fault,
    Mend(Mend),
    LoseWrites,
    Trouble(Source, u64),
    Heal,
    Rest,
    Operator,
}

/// What is said once a second, and heard elsewhere.
#[derive(Clone)]
pub(super) enum Word {
    /// An agent's.
    Heartbeat {
        node: NodeName,
        heartbeat: Rc<Heartbeat>,
    },
    /// A coordinator's, with what it can have known.
    Observation {
        from: SiteName,
        observation: Rc<Observation>,
        told: [u64; 3],
    },
}

/// An event at its time; the one that was planned first comes first.
pub(super) struct Planned {
    pub(super) at: u64,
    pub(super) order: u64,
    pub(super) event: Event,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
