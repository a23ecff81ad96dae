//! A database server as far as a failover cares: whether it writes, what it has acknowledged, where it stands,
//! whom it follows, and whether clients reach its port.

use shared::clock::{Millis, Mono};
use shared::id::{DatabaseName, SiteName};
use shared::lsn::{Lsn, SystemIdentifier, Timeline};
use shared::wire::{DatabaseRole, DatabaseSample, DatabaseState, ReceiverSample, ReceiverStatus};

/// Whether clients reach the port: what a kernel's timed set decides, without its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    /// Nothing guards it.
    Open,
    /// Closed.
    Closed,
    /// Open until then, by the host's own clock.
    Until(Mono),
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fault or a fact of its own"
)]
#[derive(Debug, Clone)]
pub(super) struct Database {
    pub(super) name: DatabaseName,
    pub(super) up: bool,
    /// What its directory says; a server that is down keeps it.
    pub(super) primary: bool,
    pub(super) timeline: u32,
    pub(super) lsn: u64,
    /// The highest position that a client was told to be committed here.
    pub(super) acknowledged: u64,
    pub(super) follows: Option<(SiteName, String)>,
    pub(super) message_at: Option<Mono>,
    pub(super) receives: bool,
    /// Its names of synchronous standbys were cleared when it was promoted: it acknowledges alone.
    pub(super) names_cleared: bool,
    /// Its disk hangs: nothing is written, and it does not stop either.
    pub(super) hangs: bool,
    /// It was told to stop while its disk hung.
    pub(super) stop_ordered: bool,
    /// It goes through recovery by itself.
    pub(super) recovers: bool,
    pub(super) port: Port,
}

impl Database {
    pub(super) fn sample(&self, now: Mono) -> DatabaseSample {
        let standby = !self.primary || self.recovers;
        let role = if standby {
            DatabaseRole::Standby
        } else {
            DatabaseRole::Primary
        };
        let receiver = self.follows.as_ref().filter(|_| self.up && !self.primary);
        DatabaseSample {
            database: self.name.clone(),
            age_ms: Millis(100),
            state: if self.up {
                DatabaseState::Up
            } else {
                DatabaseState::Down
            },
            role: self.up.then_some(role),
            system_identifier: self
                .up
                .then(|| SystemIdentifier("7500000000000000001".to_owned())),
            timeline: self.up.then_some(Timeline(self.timeline)),
            received_lsn: self.up.then_some(Lsn(self.lsn)),
            replayed_lsn: (self.up && standby).then_some(Lsn(self.lsn)),
            receiver: receiver.map(|(_, address)| ReceiverSample {
                status: if self.receives {
                    ReceiverStatus::Streaming
                } else {
                    ReceiverStatus::Waiting
                },
                message_age_ms: self.message_at.map(|at| now.since(at)),
                sender: Some(address.clone()),
            }),
            senders: Vec::new(),
            lag_bytes: None,
            lag_ms: None,
            obstacles: Vec::new(),
            application: None,
            sync: None,
        }
    }

    /// Becomes a primary on a timeline of its own, and acknowledges alone; tells how far it came.
    pub(super) fn promote(&mut self) -> u64 {
        self.primary = true;
        self.timeline += 1;
        self.follows = None;
        self.names_cleared = true;
        self.lsn
    }

    /// True when it would commit what a local client wrote.
    pub(super) const fn writable(&self) -> bool {
        self.up && self.primary && !self.recovers && !self.hangs
    }

    /// True when clients reach it.
    pub(super) fn reachable(&self, now: Mono) -> bool {
        match self.port {
            Port::Open => true,
            Port::Closed => false,
            Port::Until(at) => now < at,
        }
    }

    /// True when a client could have a commit acknowledged, but for a synchronous standby.
    pub(super) fn serves(&self, now: Mono) -> bool {
        self.writable() && self.reachable(now)
    }

    /// An immediate stop; one whose disk hangs stops when that is over.
    pub(super) const fn stop(&mut self) {
        if self.hangs {
            self.stop_ordered = true;
        } else {
            self.up = false;
            self.recovers = false;
        }
    }
}
