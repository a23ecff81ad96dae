//! An agent as the core knows it: what it says each second, and what becomes of its commands.

use std::collections::BTreeMap;

use shared::clock::{Millis, Mono, UnixMillis};
use shared::epoch::{Epoch, StackVersion};
use shared::id::{BootId, CommandId, DatabaseName, ProcessId, SiteName};
use shared::lsn::{Lsn, SystemIdentifier, Timeline};
use shared::wire::{
    ClusterSample, DatabaseRole, DatabaseSample, DatabaseState, DeadmanKind, Fitness, GlassSample,
    Heartbeat, LeaseSample, LeaseStanding, PeerChannel, PeerOutcome, PeerSample, PromotionObstacle,
    ReceiverSample, ReceiverStatus, ReportState, SenderSample, SyncSample, Unfit, WorkloadSample,
};
use uuid::Uuid;

/// One agent with what stands beside it.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) site: SiteName,
    pub(crate) process: u128,
    pub(crate) started: Mono,
    pub(crate) sequence: u64,
    pub(crate) alive: bool,
    pub(crate) epoch: Epoch,
    pub(crate) loop_lag: Millis,
    pub(crate) wall_jump: u64,
    pub(crate) unfit: Vec<Unfit>,
    pub(crate) foreign_server: Option<String>,
    pub(crate) looks: bool,
    pub(crate) renews: Renews,
    /// The stack version whose rules it keeps.
    pub(crate) rules: StackVersion,
    /// It learns no newer one.
    pub(crate) keeps_rules: bool,
    pub(crate) database: Option<Database>,
    pub(crate) cluster: Option<BTreeMap<String, u32>>,
    pub(crate) glass: Option<GlassSample>,
    pub(crate) ledger: BTreeMap<CommandId, Option<ReportState>>,
}

/// How an agent keeps its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renews {
    Never,
    WithoutDeadman,
    WithDeadman,
}

/// A database server.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) name: DatabaseName,
    pub(crate) state: DatabaseState,
    pub(crate) role: DatabaseRole,
    pub(crate) cluster: u64,
    pub(crate) timeline: u32,
    pub(crate) lsn: u64,
    pub(crate) follows: Option<(SiteName, String)>,
    pub(crate) message_at: Option<Mono>,
    pub(crate) receiving: bool,
    pub(crate) obstacles: Vec<PromotionObstacle>,
    /// Its `application_name` as a standby.
    pub(crate) application: Option<String>,
    /// Whom its commits wait for as a primary.
    pub(crate) sync: Option<SyncSample>,
    /// The standbys that it sends to as a primary, by their application names.
    pub(crate) senders: Vec<String>,
}

impl Agent {
    /// What it says now; `sees` gives the sites that answer its direct looks.
    pub(crate) fn speak(
        &mut self,
        now: Mono,
        wall: UnixMillis,
        sees: &[(SiteName, bool)],
    ) -> Heartbeat {
        self.sequence += 1;
        let peers = sees
            .iter()
            .filter(|_| self.looks)
            .map(|(site, answers)| PeerSample {
                site: site.clone(),
                channel: PeerChannel::Postgres,
                outcome: if *answers {
                    PeerOutcome::Answered
                } else {
                    PeerOutcome::Silent
                },
                answered_ms: answers.then_some(Millis(200)),
            });
        Heartbeat {
            process: ProcessId::new(Uuid::from_u128(self.process)),
            boot: BootId::new(Uuid::from_u128(1)),
            sequence: self.sequence,
            sent_at: UnixMillis(wall.0 + self.wall_jump),
            uptime_ms: now.since(self.started),
            loop_lag_ms: self.loop_lag,
            epoch: self.epoch,
            fitness: if self.unfit.is_empty() {
                Fitness::Fit
            } else {
                Fitness::Unfit(self.unfit.clone())
            },
            version: "0.1.0".to_owned(),
            foreign_server: self.foreign_server.clone(),
            host: None,
            database: self.database.as_ref().map(|database| database.sample(now)),
            cluster: self.cluster.as_ref().map(|workloads| ClusterSample {
                reachable: true,
                age_ms: Millis(100),
                workloads: workloads
                    .iter()
                    .map(|(object, count)| WorkloadSample {
                        object: object.clone(),
                        wanted: Some(*count),
                        ready: *count,
                    })
                    .collect(),
            }),
            peers: peers.collect(),
            running: None,
            lease: (self.renews != Renews::Never).then(|| LeaseSample {
                standing: if self.database.as_ref().is_some_and(Database::writes) {
                    LeaseStanding::Held
                } else {
                    LeaseStanding::NotHolder
                },
                age_ms: None,
                worst_gap_ms: None,
                deadman: match self.renews {
                    Renews::WithDeadman => DeadmanKind::Nftables,
                    Renews::WithoutDeadman | Renews::Never => DeadmanKind::None,
                },
                stack_version: self.rules,
            }),
            glass: self.glass.clone(),
        }
    }
}

impl Database {
    fn sample(&self, now: Mono) -> DatabaseSample {
        let up = self.state == DatabaseState::Up;
        let standby = self.role == DatabaseRole::Standby;
        DatabaseSample {
            database: self.name.clone(),
            age_ms: Millis(100),
            state: self.state,
            role: up.then_some(self.role),
            system_identifier: up.then(|| SystemIdentifier(self.cluster.to_string())),
            timeline: up.then_some(Timeline(self.timeline)),
            received_lsn: up.then_some(Lsn(self.lsn)),
            replayed_lsn: (up && standby).then_some(Lsn(self.lsn)),
            receiver: self
                .follows
                .as_ref()
                .filter(|_| up && standby)
                .map(|(_, address)| ReceiverSample {
                    status: if self.receiving {
                        ReceiverStatus::Streaming
                    } else {
                        ReceiverStatus::Waiting
                    },
                    message_age_ms: self.message_at.map(|at| now.since(at)),
                    sender: Some(address.clone()),
                }),
            senders: self
                .senders
                .iter()
                .map(|application| SenderSample {
                    application: application.clone(),
                    streaming: true,
                    flushed_lsn: None,
                })
                .collect(),
            lag_bytes: None,
            lag_ms: None,
            obstacles: self.obstacles.clone(),
            application: self.application.clone(),
            sync: (up && !standby).then(|| self.sync.clone()).flatten(),
        }
    }

    /// True while it writes.
    pub(crate) fn writes(&self) -> bool {
        self.state == DatabaseState::Up && self.role == DatabaseRole::Primary
    }
}
