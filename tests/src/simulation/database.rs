//! A database server as far as a failover cares: whether it writes, where it stands, whom it follows.

use shared::clock::{Millis, Mono};
use shared::id::{DatabaseName, SiteName};
use shared::lsn::{Lsn, SystemIdentifier, Timeline};
use shared::wire::{DatabaseRole, DatabaseSample, DatabaseState, ReceiverSample, ReceiverStatus};

#[derive(Debug, Clone)]
pub(super) struct Database {
    pub(super) name: DatabaseName,
    pub(super) up: bool,
    pub(super) primary: bool,
    pub(super) timeline: u32,
    pub(super) lsn: u64,
    pub(super) follows: Option<(SiteName, String)>,
    pub(super) message_at: Option<Mono>,
    /// Promotions that took place here.
    pub(super) promotions: u32,
}

impl Database {
    pub(super) fn sample(&self, now: Mono) -> DatabaseSample {
        let role = if self.primary {
            DatabaseRole::Primary
        } else {
            DatabaseRole::Standby
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
            replayed_lsn: (self.up && !self.primary).then_some(Lsn(self.lsn)),
            receiver: receiver.map(|(_, address)| ReceiverSample {
                status: ReceiverStatus::Streaming,
                message_age_ms: self.message_at.map(|at| now.since(at)),
                sender: Some(address.clone()),
            }),
            senders: Vec::new(),
            lag_bytes: None,
            lag_ms: None,
            obstacles: Vec::new(),
        }
    }

    pub(super) fn writes(&self) -> bool {
        self.up && self.primary
    }
}
