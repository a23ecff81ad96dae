//! A coordinator's process: the real core, its own clock, its lead and the write that is under way.

use std::collections::{BTreeMap, BTreeSet};

use decision::{Core, Durable, Identity, Input};
use shared::clock::Mono;
use shared::epoch::Epoch;
use shared::id::{CommandId, NodeName, ProcessId, SiteName};
use uuid::Uuid;

use super::clock::Clock;

/// A lead that is held.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) term: u64,
    /// It holds until then, by the own clock.
    pub(super) until: Mono,
    /// The state was read, and the core leads.
    pub(super) taken_over: bool,
}

#[derive(Debug)]
pub(super) struct Seat {
    pub(super) site: SiteName,
    pub(super) core: Core,
    pub(super) clock: Clock,
    pub(super) up: bool,
    pub(super) life: u64,
    pub(super) paused_until: u64,
    pub(super) unfit_until: u64,
    pub(super) held: Option<Held>,
    /// Counts leads and losses of it: an answer to a write of an earlier one is not fed.
    pub(super) session: u64,
    pub(super) writing: bool,
    pub(super) known: (u64, u64),
    /// The lead as last seen in the store, and since when it stands so, by the own clock.
    pub(super) lead_seen: Option<(u64, Mono)>,
    pub(super) sequence: u64,
    pub(super) waiting: BTreeSet<CommandId>,
    /// What this process has written and the store has acknowledged.
    pub(super) written: Option<Durable>,
    /// The process dies at its next write: before it is sent, or before its answer.
    pub(super) dies_at_write: Option<bool>,
    pub(super) next_wake: Option<u64>,
    /// The revisions of state and ticket, and the term, that it was last shown as a follower.
    /// Agents that it heard: when the newest word was sent, and the epoch in it.
    pub(super) heard: BTreeMap<NodeName, (u64, Epoch)>,
    pub(super) mirrored: Option<(u64, u64, Option<u64>)>,
}

impl Seat {
    pub(super) fn new(site: SiteName, clock: Clock, process: Uuid) -> Self {
        let identity = Identity {
            site: site.clone(),
            process: ProcessId::new(process),
        };
        Self {
            core: Core::new(identity, clock.now(0)),
            site,
            clock,
            up: true,
            life: 1,
            paused_until: 0,
            unfit_until: 0,
            held: None,
            session: 0,
            writing: false,
            known: (0, 0),
            lead_seen: None,
            sequence: 0,
            waiting: BTreeSet::new(),
            written: None,
            dies_at_write: None,
            next_wake: None,
            mirrored: None,
            heard: BTreeMap::new(),
        }
    }

    pub(super) fn crash(&mut self) {
        self.up = false;
        self.life += 1;
        self.session += 1;
        self.held = None;
        self.writing = false;
        self.dies_at_write = None;
    }

    pub(super) fn restart(&mut self, time: u64, process: Uuid) {
        let identity = Identity {
            site: self.site.clone(),
            process: ProcessId::new(process),
        };
        let (now, memory) = (self.clock.now(time), self.core.memory().clone());
        self.core = Core::new(identity, now);
        self.core.handle(now, Input::Remembered(memory));
        self.up = true;
        self.sequence = 0;
        self.lead_seen = None;
        self.waiting.clear();
        self.written = None;
        self.next_wake = None;
        self.mirrored = None;
        self.heard.clear();
    }

    /// True while its core leads and its lease holds.
    pub(super) fn leads(&self, time: u64) -> bool {
        let now = self.clock.mono(time);
        self.up
            && self
                .held
                .as_ref()
                .is_some_and(|held| held.taken_over && now <= held.until)
    }
}
