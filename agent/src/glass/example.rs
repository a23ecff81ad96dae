//! A small plan for tests: check, revoke, wait, grant, promote at dc2-db, follow at dc3-db, scale at dc2-k8s, and a
//! route switched at dc2-db.

use std::collections::BTreeMap;

use shared::clock::{Millis, UnixMillis};
use shared::digest::ContentDigest;
use shared::epoch::{Epoch, StackVersion};
use shared::id::{
    Actor, DatabaseName, HookName, NodeName, Nonce, ProcessId, RunId, SiteName, StackName,
};
use shared::lsn::{Lsn, SystemIdentifier, Timeline};
use shared::stack::WorkloadKind;
use shared::wire::{
    Action, CONTINGENCY_SCHEMA, CheckExpectation, Contingency, ContingencyStep, ContingencyWork,
    ScaleTarget, SlotName,
};
use uuid::Uuid;

use super::Broken;
use crate::gate::Identity;

pub(crate) fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

pub(crate) fn identity(node: &str) -> Identity {
    Identity {
        stack: StackName::new("ess").unwrap(),
        site: site(node.split('-').next().unwrap()),
        node: NodeName::new(node).unwrap(),
        process: ProcessId::new(Uuid::from_u128(5)),
    }
}

fn at(node: &str, action: Action) -> ContingencyWork {
    let identity = identity(node);
    ContingencyWork::Agent {
        site: identity.site,
        node: identity.node,
        action,
    }
}

#[expect(clippy::too_many_lines, reason = "one value a step, read as a table")]
pub(crate) fn plan() -> Contingency {
    let database = || DatabaseName::new("main").unwrap();
    let system_identifier = || SystemIdentifier("7512345678901234567".to_owned());
    let check = CheckExpectation::Promotable {
        database: database(),
        system_identifier: system_identifier(),
        timeline: Timeline(1),
        min_lsn: Lsn(100),
    };
    let promote = Action::Promote {
        database: database(),
        system_identifier: system_identifier(),
        timeline: Timeline(1),
        min_lsn: Lsn(100),
        slots: Vec::new(),
    };
    let follow = Action::Follow {
        database: database(),
        system_identifier: system_identifier(),
        primary: "10.0.0.2:5432".parse().unwrap(),
        above_timeline: Timeline(1),
        slot: SlotName("pointsman_dc3_db".to_owned()),
    };
    let scale = Action::Scale {
        targets: vec![ScaleTarget {
            kind: WorkloadKind::Deployment,
            namespace: "ess".to_owned(),
            object: "haproxy".to_owned(),
            replicas: 2,
        }],
    };
    let fence = Action::Fence {
        database: database(),
        system_identifier: system_identifier(),
    };
    let route = Action::Hook {
        hook: HookName::new("switch").unwrap(),
        environment: BTreeMap::new(),
    };
    let wait = ContingencyWork::Wait {
        for_ms: Millis(3_000),
    };
    let works = [
        (1, true, at("dc2-db", Action::Check { expect: check })),
        (2, true, ContingencyWork::Revoke),
        (3, true, wait),
        (3, false, at("dc1-db", fence)),
        (4, true, ContingencyWork::Grant),
        (5, true, at("dc2-db", promote)),
        (6, false, at("dc3-db", follow)),
        (6, true, at("dc2-k8s", scale)),
        (7, true, at("dc2-db", route)),
    ];
    let step = |(number, (group, needed, work))| ContingencyStep {
        number,
        group,
        title: format!("the work of step {number}"),
        deadline_ms: Millis(10_000),
        needed,
        work,
    };
    Contingency {
        schema: CONTINGENCY_SCHEMA,
        stack: StackName::new("ess").unwrap(),
        stack_version: StackVersion(2),
        incarnation: Nonce::new(Uuid::from_u128(1)),
        base_epoch: Epoch(3),
        from: site("dc1"),
        to: site("dc2"),
        plan: ContentDigest::of_bytes(b"plan"),
        loss: "0 B of WAL are known to be missing".to_owned(),
        made_at: UnixMillis(1_790_000_000_000),
        made_by: site("dc3"),
        steps: (1..).zip(works).map(step).collect(),
    }
}

pub(crate) fn broken(plan: Contingency, epoch: u64) -> Broken {
    Broken {
        epoch: Epoch(epoch),
        plan,
        operator: Actor::new("alice"),
        reason: "it burns".to_owned(),
        overrides: BTreeMap::new(),
        at: UnixMillis(1_790_000_000_000),
        run: RunId::new(Uuid::from_u128(7)),
        grant: Nonce::new(Uuid::from_u128(8)),
        reconciled: false,
    }
}
