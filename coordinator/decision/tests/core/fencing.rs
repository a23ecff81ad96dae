//! Proofs that the old site is stopped: whose word counts, which grade is reached, and what a new leader waits for.

use std::collections::BTreeMap;

use decision::{
    Answer, ApprovalRequest, Ask, Input, Phase, Run, RunState, Shown, StepOutcome, Work,
};
use shared::clock::Millis;
use shared::grade::FenceGrade;
use shared::wire::{Command, ProofLine, ReportState};

use crate::run::proposed;
use crate::world::{Fault, What, World, node, powered_off, report_on, self_fencing, site};

/// The run as it is written.
fn run(world: &World) -> &Run {
    let durable = world.store.durable.as_ref().unwrap();
    let past = || durable.past_runs.last();
    durable.run.as_ref().or_else(past).unwrap()
}

/// What became of the step of a kind.
fn outcome<'a>(world: &'a World, kind: &str) -> Option<&'a StepOutcome> {
    let run = run(world);
    let step = run
        .plan
        .steps
        .iter()
        .find(|step| step.work.kind() == kind)?;
    run.steps.get(&step.number).map(|record| &record.outcome)
}

fn is_done(world: &World, kind: &str) -> bool {
    matches!(outcome(world, kind), Some(StepOutcome::Done { .. }))
}

fn proofs(world: &World) -> Vec<&Shown> {
    run(world).proofs.iter().map(|proof| &proof.shown).collect()
}

/// The first command of a kind, once it is sent.
fn sent(world: &mut World, kind: &str) -> Command {
    let is_it = |command: &&Command| command.action.kind() == kind;
    world.pass_until(kind, |world| world.commands().any(|c| is_it(&c)));
    world.commands().find(is_it).unwrap().clone()
}

/// An agent says that a command is done.
fn reports_done(world: &mut World, (at, by): (&str, &str), command: &Command) {
    let done = ReportState::Done {
        took_ms: Millis(1),
        proof: vec![ProofLine::new("stopped", "no process is left")],
    };
    let report = report_on(command, done);
    let leader = world.leader.clone().unwrap();
    let (site, node) = (site(at), node(by));
    world.tell(&leader, Input::Reported { site, node, report });
}

#[test]
fn the_word_of_another_agent_is_not_believed() {
    let mut world = proposed(World::new().stack);
    world.approve();
    let fence = sent(&mut world, "fence");
    assert_eq!((&fence.site, &fence.node), (&site("dc1"), &node("dc1-db")));
    for (told, other) in [("dc1", "dc1-k8s"), ("dc2", "dc1-db"), ("dc2", "dc2-db")]
        .into_iter()
        .enumerate()
    {
        reports_done(&mut world, other, &fence);
        assert_eq!(world.told("report-refused"), told + 1, "{other:?}");
        assert!(!is_done(&world, "fence"), "{other:?}");
    }
    reports_done(&mut world, ("dc1", "dc1-db"), &fence);
    assert!(is_done(&world, "fence"));
    assert_eq!(world.told("report-refused"), 3);
}

#[test]
fn a_stop_that_the_old_sites_own_agent_proves_is_recorded_once_and_no_other_step_proves_anything() {
    let mut world = proposed(World::new().stack);
    world.approve();
    let fence = sent(&mut world, "fence");
    reports_done(&mut world, ("dc1", "dc1-db"), &fence);
    world.pass(Millis::seconds(120));
    assert!(is_done(&world, "promote"));
    let shown = proofs(&world);
    assert!(
        matches!(
            shown.as_slice(),
            [Shown::Attested { .. }, Shown::AgentConfirmed { nodes }] if *nodes == [node("dc1-db")]
        ),
        "{shown:?}"
    );
}

#[test]
fn a_wait_of_exactly_the_promised_time_is_a_proof() {
    let mut world = World::with(self_fencing());
    world.begin("dc2");
    world.pass(Millis::seconds(10));
    // Longer than the policy's own wait, so that the plan waits for the promise and not a moment longer.
    let promised = Millis::seconds(100);
    let ticket = world.store.ticket.as_mut().unwrap();
    for lease in ticket.leases.values_mut() {
        lease.promise.as_mut().unwrap().stop_bound_ms = promised;
    }
    world.gone.insert(site("dc1"));
    world.pass(Millis::seconds(60));
    let ppm = world.stack.policy.lease.clock_drift_ppm;
    let needed = Millis(promised.0 + promised.0 * ppm / 1_000_000 + 1_000);
    world.approve();
    let plan = &run(&world).plan;
    let wait = plan.steps.iter().find_map(|step| match step.work {
        Work::Wait { for_ms } => Some(for_ms),
        Work::Revoke | Work::Grant | Work::Agent { .. } => None,
    });
    assert_eq!(wait, Some(needed));
    world.pass(Millis::seconds(240));
    let shown = proofs(&world);
    assert!(
        matches!(
            shown.as_slice(),
            [Shown::LeaseExpired { waited_ms, .. }] if *waited_ms == needed
        ),
        "{needed:?} {shown:?}"
    );
    assert!(is_done(&world, "promote"));
}

#[test]
fn an_attestation_is_not_enough_where_the_policy_asks_for_more() {
    let mut world = proposed(powered_off());
    let durable = world.core().durable().unwrap();
    let open = durable.open_proposal().cloned().unwrap();
    assert_eq!(open.needs.attest_site_off, None, "the fence would prove it");
    world.faults.push(Fault {
        kind: "hook".to_owned(),
        what: What::Fails("the power switch does not answer".to_owned()),
    });
    world.ask(Ask::Approve(ApprovalRequest {
        proposal: open.id,
        digest: open.digest.to_string(),
        attest_site_off: Some("dc1".to_owned()),
        overrides: BTreeMap::new(),
        reason: "the fire brigade is there".to_owned(),
    }));
    world.pass(Millis::seconds(120));
    assert_eq!(world.phase(), Phase::Halted);
    let shown = proofs(&world);
    assert!(
        matches!(shown.as_slice(), [Shown::Attested { .. }]),
        "{shown:?}"
    );
    let RunState::Halted { reason, .. } = &run(&world).state else {
        panic!("{:?}", run(&world).state)
    };
    assert!(
        reason.contains("powered_off is asked and attested is reached"),
        "{reason}"
    );
    assert_eq!(world.store.ticket.as_ref().unwrap().grant, None);
}

/// Until the wait is over and the fence beside it is not.
fn waited(world: &mut World) {
    world.pass_until("the wait", |world| is_done(world, "wait"));
    assert!(matches!(
        outcome(world, "fence"),
        Some(StepOutcome::Started)
    ));
}

#[test]
fn a_new_leader_does_not_take_the_wait_of_the_one_before_for_a_proof() {
    let mut stack = self_fencing();
    stack.policy.fence_grade = FenceGrade::AgentConfirmed;
    stack.policy.deadlines.fence_ms = Millis::seconds(90);
    let mut world = proposed(stack);
    let answer = world.approve();
    assert!(matches!(answer, Answer::Accepted { .. }), "{answer:?}");
    waited(&mut world);
    assert!(matches!(
        proofs(&world).as_slice(),
        [.., Shown::LeaseExpired { .. }]
    ));
    world.lead(&site("dc3"));
    assert!(matches!(
        outcome(&world, "wait"),
        Some(StepOutcome::Started)
    ));
    assert!(is_done(&world, "check"), "only the wait is begun anew");
    assert!(
        !proofs(&world)
            .iter()
            .any(|shown| matches!(shown, Shown::LeaseExpired { .. })),
        "{:?}",
        proofs(&world)
    );
}

#[test]
fn a_new_leader_does_not_wait_once_the_right_is_granted() {
    // The ticket is written and the state that says so is not when the lead is lost.
    let between = |world: &World| {
        let written = world.store.durable.as_ref().unwrap();
        let run = written.run.as_ref().unwrap();
        let granted =
            run.grant.is_some() && world.store.ticket.as_ref().unwrap().grant == run.grant;
        granted && !is_done(world, "grant")
    };
    let mut met = 0;
    for at in 0..20 {
        let mut world = proposed(World::new().stack);
        world.approve();
        world.lost_at_write = Some(at);
        world.pass(Millis::seconds(8));
        if world.leader.is_none() && between(&world) {
            met += 1;
            world.lead(&site("dc3"));
            assert!(is_done(&world, "wait"), "{:?}", outcome(&world, "wait"));
        }
    }
    assert!(met > 0, "the lead was never lost there");
}
