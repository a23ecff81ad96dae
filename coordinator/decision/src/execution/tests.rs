//! Where a run stands by what is written of its steps, and a step's times.

use std::collections::BTreeMap;

use shared::clock::{Millis, UnixMillis};
use shared::digest::ContentDigest;
use shared::epoch::{Epoch, StackVersion};
use shared::id::{Actor, DatabaseName, ProposalId, RunId, StackName};
use shared::lsn::SystemIdentifier;
use shared::wire::{Action, ApprovalProof};
use uuid::Uuid;

use super::clocks::deadline;
use super::*;
use crate::plan::{OnFailure, Plan};

fn step(number: u32, group: u32, on_failure: OnFailure) -> Step {
    Step {
        number,
        group,
        title: String::new(),
        work: Work::Grant,
        deadline_ms: Millis(5_000),
        point_of_no_return: false,
        on_failure,
        fence: None,
    }
}

fn goes_on() -> OnFailure {
    OnFailure::Continue {
        because: "it may".to_owned(),
    }
}

fn fence(on_failure: OnFailure) -> Step {
    let action = Action::Fence {
        database: DatabaseName::new("main").unwrap(),
        system_identifier: SystemIdentifier("1".to_owned()),
    };
    let work = Work::Agent {
        site: SiteName::new("dc1").unwrap(),
        node: NodeName::new("dc1-db").unwrap(),
        action,
    };
    Step {
        work,
        ..step(1, 1, on_failure)
    }
}

/// A run of four steps in three groups, of which the second may fail.
fn run(outcomes: &[(u32, StepOutcome)]) -> Run {
    let digest = ContentDigest::of_bytes(b"plan");
    let site = |name| SiteName::new(name).unwrap();
    let record = |outcome: &StepOutcome| StepRecord {
        command: None,
        started_at: UnixMillis(0),
        outcome: outcome.clone(),
    };
    Run {
        id: RunId::new(Uuid::from_u128(1)),
        proposal: ProposalId::new(Uuid::from_u128(2)),
        plan: Plan {
            stack: StackName::new("ess").unwrap(),
            stack_version: StackVersion(1),
            base_epoch: Epoch(1),
            from: site("dc1"),
            to: site("dc2"),
            steps: vec![
                step(1, 1, OnFailure::Halt),
                step(2, 2, goes_on()),
                step(3, 2, OnFailure::Halt),
                step(4, 3, OnFailure::Halt),
            ],
        },
        approval: ApprovalProof {
            proposal: ProposalId::new(Uuid::from_u128(2)),
            plan: digest,
            operator: Actor::new("anna"),
            approved_at: UnixMillis(0),
            automatic: false,
            stack_version: None,
        },
        attestation: None,
        overrides: BTreeMap::new(),
        started_at: UnixMillis(0),
        ended_at: None,
        state: RunState::Running,
        epoch: None,
        grant: None,
        resumed: false,
        proofs: Vec::new(),
        steps: outcomes
            .iter()
            .map(|(number, outcome)| (*number, record(outcome)))
            .collect(),
    }
}

fn done() -> StepOutcome {
    StepOutcome::Done {
        took_ms: Millis(0),
        proof: Vec::new(),
    }
}

fn failed() -> StepOutcome {
    StepOutcome::Failed {
        took_ms: Millis(0),
        reason: String::new(),
        pending: false,
    }
}

fn waived() -> StepOutcome {
    StepOutcome::Waived {
        by: Actor::new("anna"),
        reason: String::new(),
    }
}

#[test]
fn the_due_step_is_the_first_that_is_not_settled() {
    let rows = [
        (vec![], Some((1, 1))),
        (vec![(1, StepOutcome::Started)], Some((1, 1))),
        // Where nothing may fail, a failure settles nothing.
        (vec![(1, failed())], Some((1, 1))),
        (vec![(1, waived())], Some((2, 2))),
        (vec![(1, done())], Some((2, 2))),
        (vec![(1, done()), (3, done())], Some((2, 2))),
        (vec![(1, done()), (2, failed())], Some((3, 2))),
        (
            vec![(1, done()), (2, failed()), (3, failed())],
            Some((3, 2)),
        ),
        (vec![(1, done()), (2, done()), (3, done())], Some((4, 3))),
        (
            vec![(1, done()), (2, failed()), (3, waived()), (4, done())],
            None,
        ),
    ];
    for (outcomes, due) in rows {
        let run = run(&outcomes);
        assert_eq!(
            run.current_step().zip(run.current_group()),
            due,
            "{outcomes:?}"
        );
        assert_eq!(run.outcome(1), outcomes.first().map(|(_, outcome)| outcome));
    }
}

#[test]
fn a_group_has_its_own_steps_only() {
    let run = run(&[]);
    let numbers = |group| run.steps_of(group).map(|s| s.number).collect::<Vec<_>>();
    assert_eq!(
        [numbers(1), numbers(2), numbers(3), numbers(4)],
        [vec![1], vec![2, 3], vec![4], vec![]]
    );
}

#[test]
fn a_fence_that_may_fail_is_not_waited_for_longer_than_its_time() {
    assert_eq!(deadline(&fence(goes_on())), Millis(5_000));
    assert_eq!(deadline(&fence(OnFailure::Halt)), Millis(8_000));
    assert_eq!(deadline(&step(1, 1, goes_on())), Millis(8_000));
    assert_eq!(deadline(&step(1, 1, OnFailure::Halt)), Millis(8_000));
}

#[test]
fn a_step_has_its_times_and_its_word_until_it_ends() {
    let mut clocks = RunClocks::default();
    assert_eq!(clocks.took(1, Mono(9)), Millis(0));
    clocks.heard(1, "before it began");
    clocks.start(1, Mono(100));
    clocks.start(2, Mono(150));
    assert_eq!(clocks.last_word(1), None, "a new begin has no word yet");
    assert_eq!(clocks.started(1), Some(Mono(100)));
    assert_eq!(clocks.next_send(1), Some(Mono(100)), "sent at once");
    clocks.resend(1, Mono(600));
    clocks.heard(1, "it waits");
    assert_eq!(clocks.next_send(1), Some(Mono(600)));
    assert_eq!(clocks.last_word(1), Some("it waits"));
    assert_eq!(clocks.took(1, Mono(350)), Millis(250));
    clocks.end(1);
    assert_eq!(
        (clocks.started(1), clocks.next_send(1), clocks.last_word(1)),
        (None, None, None)
    );
    assert_eq!(clocks.started(2), Some(Mono(150)), "the other goes on");
}

#[test]
fn what_gives_the_right_to_be_live_cannot_be_waived() {
    let kinds = [
        (Work::Revoke, false),
        (Work::Wait { for_ms: Millis(1) }, false),
        (Work::Grant, false),
        (fence(OnFailure::Halt).work, true),
    ];
    for (work, expected) in kinds {
        let step = Step {
            work,
            ..step(1, 1, OnFailure::Halt)
        };
        assert_eq!(waivable(&step), expected, "{:?}", step.work);
    }
}
