//! Right commands, one of each kind.

use std::collections::BTreeMap;

use shared::clock::UnixMillis;
use shared::digest::ContentDigest;
use shared::id::{Actor, Nonce, ProposalId, RunId};
use shared::lsn::{Lsn, SystemIdentifier, Timeline};
use shared::stack::WorkloadKind;
use shared::wire::{Anchor, ApprovalProof, Grant, ScaleTarget};
use uuid::Uuid;

use super::super::*;

pub(super) fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

pub(super) fn identity() -> Identity {
    Identity {
        stack: StackName::new("ess").unwrap(),
        site: SiteName::new("dc2").unwrap(),
        node: NodeName::new("dc2-db").unwrap(),
        process: ProcessId::new(id(1)),
    }
}

pub(super) fn modules() -> Modules {
    Modules {
        database: Some(DatabaseName::new("main").unwrap()),
        pgdata: true,
        kubernetes: true,
        hooks: BTreeSet::from([HookName::new("switch").unwrap()]),
    }
}

pub(super) fn sent() -> SentHeartbeats {
    let mut sent = SentHeartbeats::default();
    for sequence in 10..=20 {
        sent.note(sequence, Mono(80_000 + sequence * 1_000));
    }
    sent
}

pub(super) fn promote() -> Action {
    Action::Promote {
        database: DatabaseName::new("main").unwrap(),
        system_identifier: SystemIdentifier("7".to_owned()),
        timeline: Timeline(1),
        min_lsn: Lsn(5),
        slots: Vec::new(),
    }
}

pub(super) fn command(action: Action) -> Command {
    let plan = ContentDigest::of_bytes(b"plan");
    Command {
        id: CommandId::new(id(2)),
        stack: identity().stack,
        site: identity().site,
        node: identity().node,
        run: RunId::new(id(3)),
        step: 4,
        epoch: Epoch(7),
        term: Term(3),
        plan: plan.clone(),
        approval: Some(ApprovalProof {
            proposal: ProposalId::new(id(4)),
            plan,
            operator: Actor::new("alice"),
            approved_at: UnixMillis(0),
            automatic: false,
            stack_version: None,
        }),
        grant: Some(Grant {
            epoch: Epoch(7),
            nonce: Nonce::new(id(5)),
        }),
        anchor: Anchor {
            process: identity().process,
            sequence: 20,
        },
        valid_for_ms: Millis(5_000),
        deadline_ms: Millis(60_000),
        action,
        digest: ContentDigest::of_bytes(b""),
    }
    .sealed()
}

/// One of each kind, with what it needs.
pub(super) fn actions() -> Vec<Action> {
    let database = DatabaseName::new("main").unwrap();
    let system_identifier = SystemIdentifier("7".to_owned());
    vec![
        promote(),
        Action::Fence {
            database: database.clone(),
            system_identifier: system_identifier.clone(),
        },
        Action::Follow {
            database: database.clone(),
            system_identifier: system_identifier.clone(),
            primary: "db:5432".parse().unwrap(),
            above_timeline: Timeline(1),
            slot: shared::wire::SlotName("dc3".to_owned()),
        },
        scale(2),
        scale(0),
        Action::Hook {
            hook: HookName::new("switch").unwrap(),
            environment: BTreeMap::new(),
        },
        Action::Check {
            expect: CheckExpectation::Promotable {
                database,
                system_identifier,
                timeline: Timeline(1),
                min_lsn: Lsn(1),
            },
        },
        verify(),
    ]
}

pub(super) fn scale(replicas: u32) -> Action {
    Action::Scale {
        targets: vec![ScaleTarget {
            kind: WorkloadKind::Deployment,
            namespace: "ess".to_owned(),
            object: "web".to_owned(),
            replicas,
        }],
    }
}

pub(super) fn verify() -> Action {
    let probe = ProbeRequest::Sql {
        statement: "SELECT 1".to_owned(),
        equals: "1".to_owned(),
    };
    Action::Verify {
        probe,
        site: identity().site,
    }
}
