//! A plan, its proposal and its run, as the screens of a failover show them.

use std::collections::BTreeMap;

use decision::{
    ApprovalNeeds, Attestation, CandidateChoice, ChosenCandidate, EvidenceLine, FenceProof,
    FindingCode, LossBound, OnFailure, Plan, Proposal, ProposalState, RefusedCandidate,
    RuleToOverride, RuledOut, Run, RunState, Shown, Step, StepOutcome, StepRecord, Work,
};
use shared::clock::{Millis, UnixMillis};
use shared::epoch::{Epoch, StackVersion};
use shared::grade::FenceGrade;
use shared::id::{Actor, CommandId, DatabaseName, NodeName, Nonce, ProposalId, RunId, StackName};
use shared::lsn::{LagBytes, Lsn, SystemIdentifier, Timeline};
use shared::stack::WorkloadKind;
use shared::wire::{Action, ApprovalProof, PlanDigest, ProofLine, ScaleTarget};
use uuid::Uuid;

use crate::plain::{NOON, site};

fn step(number: u32, group: u32, title: &str, work: Work, deadline: u64) -> Step {
    Step {
        number,
        group,
        title: title.to_owned(),
        point_of_no_return: matches!(work, Work::Grant),
        work,
        deadline_ms: Millis(deadline),
        on_failure: OnFailure::Halt,
        fence: None,
    }
}

fn synapse() -> ScaleTarget {
    ScaleTarget {
        kind: WorkloadKind::StatefulSet,
        namespace: "ess".to_owned(),
        object: "ess-synapse-main".to_owned(),
        replicas: 1,
    }
}

pub(crate) fn plan() -> Plan {
    let at = |name: &str, node: &str, action| Work::Agent {
        site: site(name),
        node: NodeName::new(node).unwrap(),
        action,
    };
    let database = DatabaseName::new("main").unwrap();
    let system_identifier = SystemIdentifier("7".to_owned());
    let fence = Action::Fence {
        database: database.clone(),
        system_identifier: system_identifier.clone(),
    };
    let promote = Action::Promote {
        database,
        system_identifier,
        timeline: Timeline(7),
        min_lsn: Lsn(0x5a_001e_f9c8),
        slots: Vec::new(),
    };
    let scale = Action::Scale {
        targets: vec![synapse()],
    };
    let mut stop = step(
        2,
        2,
        "stop database main in dc1",
        at("dc1", "dc1-db", fence),
        5_000,
    );
    stop.on_failure = OnFailure::Continue {
        because: "dc1 is expected to be silent; an operator vouches for it".to_owned(),
    };
    Plan {
        stack: StackName::new("ess").unwrap(),
        stack_version: StackVersion(3),
        base_epoch: Epoch(6),
        from: site("dc1"),
        to: site("dc2"),
        steps: vec![
            step(1, 1, "revoke epoch 6 from dc1", Work::Revoke, 10_000),
            stop,
            step(
                3,
                3,
                "wait until every grant of epoch 6 is over",
                Work::Wait {
                    for_ms: Millis(3_000),
                },
                3_000,
            ),
            step(4, 4, "grant epoch 7 to dc2", Work::Grant, 10_000),
            step(
                5,
                5,
                "promote dc2-db",
                at("dc2", "dc2-db", promote),
                120_000,
            ),
            step(
                6,
                6,
                "start wave 1: synapse-main",
                at("dc2", "dc2-k8s", scale),
                600_000,
            ),
        ],
    }
}

pub(crate) fn proposal(state: ProposalState) -> Proposal {
    let plan = plan();
    let line = |observer: &str, saw: &str, silent: Option<u64>| EvidenceLine {
        observer: site(observer),
        saw: saw.to_owned(),
        silent_for_ms: silent.map(Millis),
        age_ms: Millis(400),
    };
    let refused = RefusedCandidate {
        site: site("dc3"),
        node: NodeName::new("dc3-db").unwrap(),
        because: "dc3 is a witness: it never becomes live".to_owned(),
        why: None,
    };
    Proposal {
        id: ProposalId::new(Uuid::from_u128(0x2a)),
        digest: PlanDigest::of(&"the plan"),
        state,
        raised_at: UnixMillis(NOON.0 - 31_000),
        expires_at: UnixMillis(NOON.0 + 1_769_000),
        verdict: "site-lost: dc1 is lost, or cut off from everybody; both other sites are without a sighting for 22 s".to_owned(),
        evidence: vec![
            line("dc2", "nothing of dc1: no heartbeat, no WAL, no answer of its database port or ingress", Some(22_400)),
            line("dc3", "nothing of dc1 since this coordinator started", None),
        ],
        ruled_out: vec![
            RuledOut { code: FindingCode::LinkLost, because: "no observer sights the site".to_owned() },
            RuledOut { code: FindingCode::BusFault, because: "the observers hear each other".to_owned() },
        ],
        candidates: vec![CandidateChoice {
            database: DatabaseName::new("main").unwrap(),
            chosen: Some(ChosenCandidate {
                site: site("dc2"),
                node: NodeName::new("dc2-db").unwrap(),
                lsn: Lsn(0x5a_001e_f9c8),
            }),
            refused: vec![refused],
        }],
        loss: loss(),
        needs: needs(),
        plan,
    }
}

fn loss() -> LossBound {
    LossBound {
        known_bytes: Some(LagBytes(1_700_000)),
        blind_ms: Some(Millis(22_000)),
        projected_bytes: Some(LagBytes(0)),
        summary: "at least 1.6 MiB that dc2-db never received; blind for 22 s; nothing projected"
            .to_owned(),
    }
}

fn needs() -> ApprovalNeeds {
    ApprovalNeeds {
        fence_grade: FenceGrade::Attested,
        attest_site_off: Some(site("dc1")),
        overrides: vec![RuleToOverride {
            rule: "rpo".to_owned(),
            says: "1.6 MiB are more than the 1.0 MiB allowed".to_owned(),
        }],
        proofs: vec![
            "time proves nothing: dc1-db promised nothing".to_owned(),
            "the word of a person that dc1 is off".to_owned(),
        ],
    }
}

pub(crate) fn run(state: RunState, ended: bool) -> Run {
    let plan = plan();
    let steps = steps(&state);
    Run {
        id: RunId::new(Uuid::from_u128(0x51)),
        proposal: ProposalId::new(Uuid::from_u128(0x2a)),
        approval: ApprovalProof {
            proposal: ProposalId::new(Uuid::from_u128(0x2a)),
            plan: plan.digest(),
            operator: Actor::new("alice"),
            approved_at: NOON,
            automatic: false,
            stack_version: None,
        },
        plan,
        attestation: Some(Attestation {
            site: site("dc1"),
            by: Actor::new("alice"),
            reason: "power cut\u{1b}[2J, seen on site".to_owned(),
        }),
        overrides: BTreeMap::from([("rpo".to_owned(), "test data".to_owned())]),
        started_at: NOON,
        ended_at: ended.then_some(UnixMillis(NOON.0 + 14_200)),
        state,
        epoch: Some(Epoch(7)),
        grant: Some(Nonce::new(Uuid::from_u128(0x1b))),
        resumed: false,
        proofs: vec![FenceProof {
            epoch: Epoch(6),
            at: NOON,
            shown: Shown::Attested {
                by: Actor::new("alice"),
                site: site("dc1"),
                reason: "power cut\u{1b}[2J, seen on site".to_owned(),
            },
        }],
        steps,
    }
}

fn steps(state: &RunState) -> BTreeMap<u32, StepRecord> {
    let record = |outcome| StepRecord {
        command: Some(CommandId::new(Uuid::from_u128(1))),
        started_at: NOON,
        outcome,
    };
    let done = |ms, what: &str, found: &str| {
        let proof = if what.is_empty() {
            Vec::new()
        } else {
            vec![ProofLine::new(what, found)]
        };
        record(StepOutcome::Done {
            took_ms: Millis(ms),
            proof,
        })
    };
    let mut steps = BTreeMap::from([
        (1, done(12, "", "")),
        (
            2,
            record(StepOutcome::Failed {
                took_ms: Millis(5_000),
                reason: "nobody listens at dc1/dc1-db".to_owned(),
                pending: true,
            }),
        ),
        (3, done(3_001, "", "")),
        (4, done(9, "ticket", "epoch 7, grant 1b")),
    ]);
    let promote = match state {
        RunState::Halted { reason, .. } => StepOutcome::Failed {
            took_ms: Millis(120_000),
            reason: reason.clone(),
            pending: false,
        },
        RunState::Completed { .. } => StepOutcome::Waived {
            by: Actor::new("bob"),
            reason: "promoted by hand".to_owned(),
        },
        RunState::Running | RunState::Abandoned { .. } => StepOutcome::Started,
    };
    steps.insert(5, record(promote));
    steps
}
