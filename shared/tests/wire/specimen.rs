//! One value for every message and every variant that matters, each with the name of its file.

mod report;

use std::collections::BTreeMap;

use shared::clock::{Millis, UnixMillis};
use shared::digest::ContentDigest;
use shared::epoch::{Epoch, StackVersion, Term};
use shared::id::{
    Actor, BootId, CommandId, DatabaseName, HookName, NodeName, Nonce, ProcessId, ProposalId,
    RunId, SiteName, StackName,
};
use shared::lsn::{LagBytes, Lsn, SystemIdentifier, Timeline};
use shared::stack::WorkloadKind;
use shared::wire::{
    Action, Anchor, ApprovalProof, BrokenGlass, CheckExpectation, ClusterSample, Command,
    DatabaseRole, DatabaseSample, DatabaseState, DeadmanKind, Fitness, GlassSample, Grant,
    Heartbeat, HostSample, LeaseSample, LeaseStanding, Observation, PeerChannel, PeerOutcome,
    PeerSample, ProbeRequest, PromotionObstacle, ReceiverSample, ReceiverStatus, ScaleTarget,
    SenderSample, SightingChannel, SiteSighting, SlotName, StoreHalt, SyncCommit, SyncSample,
    Unfit, WorkloadSample,
};
use uuid::Uuid;

pub(crate) use self::report::reports;

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0000 + n)
}

fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn database() -> DatabaseName {
    DatabaseName::new("main").unwrap()
}

fn cluster_identity() -> SystemIdentifier {
    SystemIdentifier("7512345678901234567".to_owned())
}

/// Every heartbeat.
pub(crate) fn heartbeats() -> Vec<(&'static str, Heartbeat)> {
    vec![
        ("heartbeat-minimal", minimal()),
        ("heartbeat-primary", primary()),
        ("heartbeat-standby", standby()),
        ("heartbeat-cluster", cluster()),
        ("heartbeat-unfit", unfit()),
        ("heartbeat-leased", leased(LeaseStanding::Held)),
        ("heartbeat-fenced", leased(LeaseStanding::Fenced)),
        ("heartbeat-glass", glass()),
        ("heartbeat-synchronous", synchronous()),
        ("heartbeat-named-standby", named_standby()),
    ]
}

fn minimal() -> Heartbeat {
    Heartbeat {
        process: ProcessId::new(uuid(1)),
        boot: BootId::new(uuid(2)),
        sequence: 1,
        sent_at: UnixMillis(1_790_000_000_123),
        uptime_ms: Millis(0),
        loop_lag_ms: Millis(0),
        epoch: Epoch(0),
        fitness: Fitness::Fit,
        version: "0.1.0".to_owned(),
        foreign_server: None,
        host: None,
        database: None,
        cluster: None,
        peers: Vec::new(),
        running: None,
        lease: None,
        glass: None,
    }
}

fn primary() -> Heartbeat {
    Heartbeat {
        sequence: 86_401,
        uptime_ms: Millis(86_401_003),
        loop_lag_ms: Millis(12),
        epoch: Epoch(7),
        host: Some(host()),
        database: Some(DatabaseSample {
            state: DatabaseState::Up,
            role: Some(DatabaseRole::Primary),
            replayed_lsn: None,
            receiver: None,
            senders: vec![
                sender("dc2", Some(Lsn(0x16_B374_D848))),
                sender("dc3", None),
            ],
            lag_bytes: None,
            lag_ms: None,
            ..standby_sample()
        }),
        peers: peers(),
        ..minimal()
    }
}

/// A primary whose commits wait for a standby.
pub(crate) fn synchronous() -> Heartbeat {
    let sample = primary().database.unwrap();
    Heartbeat {
        database: Some(DatabaseSample {
            sync: Some(SyncSample {
                names: "FIRST 1 (dc2)".to_owned(),
                commit: SyncCommit::RemoteApply,
                exception: Some("report in every database".to_owned()),
                answering: vec!["dc2".to_owned()],
            }),
            ..sample
        }),
        ..primary()
    }
}

/// A standby that says under which name it streams.
fn named_standby() -> Heartbeat {
    Heartbeat {
        database: Some(DatabaseSample {
            application: Some("dc2".to_owned()),
            ..standby_sample()
        }),
        ..standby()
    }
}

/// What a database agent sends in a healthy stack: the size aim is for this one.
pub(crate) fn standby() -> Heartbeat {
    Heartbeat {
        sequence: 86_401,
        uptime_ms: Millis(86_401_003),
        loop_lag_ms: Millis(12),
        epoch: Epoch(7),
        host: Some(host()),
        database: Some(standby_sample()),
        peers: peers(),
        ..minimal()
    }
}

/// A database agent that keeps, or has lost, its site's right to be live.
fn leased(standing: LeaseStanding) -> Heartbeat {
    let kept = standing == LeaseStanding::Held;
    Heartbeat {
        lease: Some(LeaseSample {
            standing,
            age_ms: kept.then_some(Millis(1_204)),
            worst_gap_ms: Some(Millis(8_311)),
            deadman: if kept {
                DeadmanKind::Nftables
            } else {
                DeadmanKind::None
            },
            stack_version: StackVersion(4),
        }),
        ..primary()
    }
}

fn standby_sample() -> DatabaseSample {
    DatabaseSample {
        database: database(),
        age_ms: Millis(211),
        state: DatabaseState::Up,
        role: Some(DatabaseRole::Standby),
        system_identifier: Some(cluster_identity()),
        timeline: Some(Timeline(12)),
        received_lsn: Some(Lsn(0x16_B374_D848)),
        replayed_lsn: Some(Lsn(0x16_B374_0000)),
        receiver: Some(ReceiverSample {
            status: ReceiverStatus::Streaming,
            message_age_ms: Some(Millis(480)),
            sender: Some("db.dc1.example.org:5432".to_owned()),
        }),
        senders: Vec::new(),
        lag_bytes: Some(LagBytes(55_368)),
        lag_ms: Some(Millis(1_204)),
        obstacles: Vec::new(),
        application: None,
        sync: None,
    }
}

fn cluster() -> Heartbeat {
    let workload = |object: &str, wanted, ready| WorkloadSample {
        object: object.to_owned(),
        wanted,
        ready,
    };
    Heartbeat {
        foreign_server: Some("dc2".to_owned()),
        cluster: Some(ClusterSample {
            reachable: true,
            age_ms: Millis(1_900),
            workloads: vec![
                workload("ess/ess-synapse-main", Some(1), 1),
                workload("ess/ess-haproxy", Some(2), 0),
                workload("ess/ess-gone", None, 0),
            ],
        }),
        running: Some(CommandId::new(uuid(9))),
        lease: None,
        glass: None,
        ..minimal()
    }
}

fn unfit() -> Heartbeat {
    Heartbeat {
        fitness: Fitness::Unfit(vec![
            Unfit::LoopLag,
            Unfit::JustStarted,
            Unfit::NoCanary,
            Unfit::NotConnected,
            Unfit::Isolated,
            Unfit::SlowConsumer,
        ]),
        database: Some(DatabaseSample {
            state: DatabaseState::Hung,
            role: None,
            system_identifier: None,
            timeline: None,
            received_lsn: None,
            replayed_lsn: None,
            receiver: None,
            lag_bytes: None,
            lag_ms: None,
            obstacles: vec![
                PromotionObstacle::ReplayPaused,
                PromotionObstacle::RecoveryTarget,
                PromotionObstacle::SettingsTooLow,
                PromotionObstacle::NeverStreamed,
                PromotionObstacle::Privilege,
            ],
            ..standby_sample()
        }),
        ..minimal()
    }
}

/// Of an agent where an operator broke the glass.
fn glass() -> Heartbeat {
    Heartbeat {
        glass: Some(GlassSample {
            plan_age_ms: Some(Millis(61_000)),
            broken: Some(Box::new(BrokenGlass {
                epoch: Epoch(1_007),
                plan: ContentDigest::of_bytes(b"plan"),
                operator: Actor::new("alice"),
                reason: "dc1 burnt down".to_owned(),
                to: site("dc2"),
                site_off: site("dc1"),
                at: UnixMillis(1_790_000_000_123),
                reconciled: false,
            })),
        }),
        ..minimal()
    }
}

fn host() -> HostSample {
    HostSample {
        cpu_permille: 431,
        memory_available_mib: 61_204,
        memory_total_mib: 128_744,
        load_centi: 312,
        disk_free_mib: Some(812_345),
    }
}

fn sender(application: &str, flushed_lsn: Option<Lsn>) -> SenderSample {
    SenderSample {
        application: application.to_owned(),
        streaming: flushed_lsn.is_some(),
        flushed_lsn,
    }
}

fn peers() -> Vec<PeerSample> {
    vec![
        PeerSample {
            site: site("dc1"),
            channel: PeerChannel::Postgres,
            outcome: PeerOutcome::Answered,
            answered_ms: Some(Millis(640)),
        },
        PeerSample {
            site: site("dc3"),
            channel: PeerChannel::Agent,
            outcome: PeerOutcome::Silent,
            answered_ms: None,
        },
    ]
}

/// Every observation.
pub(crate) fn observations() -> Vec<(&'static str, Observation)> {
    let sighting = |name: &str, age, by| SiteSighting {
        site: site(name),
        age_ms: age,
        by,
    };
    let fit = Observation {
        process: ProcessId::new(uuid(20)),
        sequence: 40,
        sent_at: UnixMillis(1_790_000_000_456),
        uptime_ms: None,
        term: Term(3),
        leads: true,
        stack_version: Some(StackVersion(2)),
        fitness: Fitness::Fit,
        sites: vec![
            sighting("dc1", None, None),
            sighting(
                "dc2",
                Some(Millis(310)),
                Some((node("dc2-db"), SightingChannel::Heartbeat)),
            ),
            sighting(
                "dc3",
                Some(Millis(4_310)),
                Some((node("dc3-db"), SightingChannel::WalReceiver)),
            ),
        ],
        store: None,
    };
    let halted = Observation {
        store: Some(StoreHalt {
            accepted: 1_790_000_000_456,
            why: "the store shows epoch 1, this coordinator has seen epoch 3".to_owned(),
        }),
        ..fit.clone()
    };
    let unfit = Observation {
        leads: false,
        stack_version: None,
        fitness: Fitness::Unfit(vec![Unfit::NoCanary]),
        sites: Vec::new(),
        ..fit.clone()
    };
    vec![
        ("observation-leading", fit),
        ("observation-unfit", unfit),
        ("observation-halted", halted),
    ]
}

/// One command for every kind of action.
pub(crate) fn commands() -> Vec<(&'static str, Command)> {
    let named = |(name, action)| (name, command(action));
    actions().into_iter().map(named).collect()
}

fn actions() -> Vec<(&'static str, Action)> {
    let targets = || {
        vec![
            target(WorkloadKind::StatefulSet, "ess-synapse-main", 1),
            target(WorkloadKind::Deployment, "ess-haproxy", 0),
        ]
    };
    let promotable = CheckExpectation::Promotable {
        database: database(),
        system_identifier: cluster_identity(),
        timeline: Timeline(12),
        min_lsn: Lsn(0x16_B374_D848),
    };
    let present = CheckExpectation::WorkloadsPresent { targets: targets() };
    let verify = |probe| Action::Verify {
        probe,
        site: site("dc2"),
    };
    let http = ProbeRequest::Http {
        url: "http://127.0.0.1:8008/_matrix/client/versions".to_owned(),
        status: 200,
        contains: None,
        attempt_ms: Millis(2_000),
    };
    let sql = ProbeRequest::Sql {
        statement: "SELECT pg_is_in_recovery()::text".to_owned(),
        equals: "false".to_owned(),
    };
    let environment = [("EPOCH", "8"), ("SITE", "dc2")];
    let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    vec![
        (
            "command-check-promotable",
            Action::Check { expect: promotable },
        ),
        ("command-check-workloads", Action::Check { expect: present }),
        ("command-fence", fence()),
        ("command-promote", promote()),
        ("command-follow", follow()),
        ("command-scale", Action::Scale { targets: targets() }),
        (
            "command-hook",
            Action::Hook {
                hook: HookName::new("switch-route").unwrap(),
                environment: BTreeMap::from(environment.map(text)),
            },
        ),
        ("command-verify-http", verify(http)),
        ("command-verify-sql", verify(sql)),
    ]
}

fn fence() -> Action {
    Action::Fence {
        database: database(),
        system_identifier: cluster_identity(),
    }
}

fn promote() -> Action {
    Action::Promote {
        database: database(),
        system_identifier: cluster_identity(),
        timeline: Timeline(12),
        min_lsn: Lsn(0x16_B374_D848),
        slots: vec![SlotName("pointsman_dc3".to_owned())],
    }
}

fn follow() -> Action {
    Action::Follow {
        database: database(),
        system_identifier: cluster_identity(),
        primary: "[2001:db8::2]:5432".parse().unwrap(),
        above_timeline: Timeline(12),
        slot: SlotName("pointsman_dc3".to_owned()),
    }
}

fn target(kind: WorkloadKind, object: &str, replicas: u32) -> ScaleTarget {
    ScaleTarget {
        kind,
        namespace: "ess".to_owned(),
        object: object.to_owned(),
        replicas,
    }
}

fn command(action: Action) -> Command {
    let plan = ContentDigest::of_bytes(b"plan");
    let approval = action.changes().then(|| ApprovalProof {
        proposal: ProposalId::new(uuid(31)),
        plan: plan.clone(),
        operator: Actor::new("alice"),
        approved_at: UnixMillis(1_790_000_060_000),
        automatic: false,
        stack_version: None,
    });
    let grant = action.needs_grant().then(|| Grant {
        epoch: Epoch(8),
        nonce: Nonce::new(uuid(32)),
    });
    Command {
        id: CommandId::new(uuid(33)),
        stack: StackName::new("ess").unwrap(),
        site: site("dc2"),
        node: node("dc2-db"),
        run: RunId::new(uuid(34)),
        step: 4,
        epoch: Epoch(8),
        term: Term(3),
        plan,
        approval,
        grant,
        anchor: Anchor {
            process: ProcessId::new(uuid(1)),
            sequence: 86_401,
        },
        valid_for_ms: Millis(5_000),
        deadline_ms: Millis(120_000),
        action,
        digest: ContentDigest::of_bytes(b""),
    }
    .sealed()
}
