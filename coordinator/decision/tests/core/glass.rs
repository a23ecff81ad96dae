//! The plans that are made for the loss of the store, and what becomes of one that was used.

use decision::{Answer, Ask, Phase};
use shared::clock::Millis;
use shared::epoch::Epoch;
use shared::wire::{Action, CheckExpectation, ContingencyWork};

use crate::world::{Fault, Renews, Store, What, World, node, self_fencing, site, two_standbys};

#[test]
fn the_contingency_is_the_plan_that_is_proposed_when_the_site_is_lost() {
    let mut world = World::new();
    world.begin("dc2");
    world.pass(Millis::seconds(10));
    let made = world.core().contingencies(world.instant());
    let [contingency] = made.as_slice() else {
        panic!("{made:?}")
    };
    assert_eq!(contingency.to, site("dc2"));
    world.gone.insert(site("dc1"));
    world.pass(Millis::seconds(25));
    let durable = world.core().durable().unwrap();
    let proposed = &durable.open_proposal().unwrap().plan;
    assert_eq!(contingency.base_epoch, proposed.base_epoch);
    assert_eq!(contingency.steps.len(), proposed.steps.len());
    for (kept, step) in contingency.steps.iter().zip(&proposed.steps) {
        assert_eq!(kept.title, step.title);
        assert_eq!(kept.group, step.group);
    }
    // What is proposed later is of the same shape: positions alone have moved.
    let later = world.core().contingencies(world.instant());
    assert_eq!(later[0].shape(), contingency.shape());
    let position = |work: &ContingencyWork| match work {
        ContingencyWork::Agent {
            action:
                Action::Check {
                    expect: CheckExpectation::Promotable { min_lsn, .. },
                },
            ..
        } => Some(*min_lsn),
        ContingencyWork::Revoke
        | ContingencyWork::Wait { .. }
        | ContingencyWork::Grant
        | ContingencyWork::Agent { .. } => None,
    };
    let before = position(&contingency.steps[0].work);
    assert!(before.is_some() && position(&later[0].steps[0].work) >= before);
}

#[test]
fn there_is_one_for_each_site_that_may_become_live_and_none_during_a_run_or_by_a_follower() {
    let mut world = World::with(two_standbys());
    world.begin("dc2");
    world.pass(Millis::seconds(10));
    let made = world.core().contingencies(world.instant());
    let sites: Vec<_> = made.iter().map(|plan| plan.to.clone()).collect();
    assert_eq!(sites, [site("dc2"), site("dc3")]);
    let follower = &world.cores[&site("dc3")];
    assert_eq!(follower.contingencies(world.instant()), []);

    world.ask(Ask::Hold {
        reason: "works".to_owned(),
    });
    world.pass(Millis::seconds(2));
    assert_eq!(
        world.core().contingencies(world.instant()).len(),
        2,
        "a hold says nothing about the sites"
    );
    world.break_glass("dc2-db", 1_001);
    world.pass(Millis::seconds(2));
    assert_eq!(world.core().contingencies(world.instant()), []);
}

#[test]
fn the_plan_waits_as_long_as_the_agents_of_the_live_site_have_promised_to_need() {
    let mut world = World::with(self_fencing());
    world.begin("dc2");
    world.pass(Millis::seconds(10));
    let made = world.core().contingencies(world.instant());
    assert_eq!(made[0].wait_ms(), Millis::seconds(45));
    // Another policy's promise, written by an agent that nobody has heard since.
    world.agent("dc1-db").renews = Renews::Never;
    let ticket = world.store.ticket.as_mut().unwrap();
    let lease = ticket.leases.get_mut(&node("dc1-db")).unwrap();
    lease.promise.as_mut().unwrap().stop_bound_ms = Millis::seconds(90);
    world.pass(Millis::seconds(5));
    let later = world.core().contingencies(world.instant());
    assert!(
        later[0].wait_ms() > Millis::seconds(90),
        "and the drift of the clocks"
    );
    assert_ne!(later[0].shape(), made[0].shape(), "it is written anew");
}

/// Gives the halted run up; what the operator is told.
fn abandoned(world: &mut World) -> String {
    let run = world.core().durable().unwrap().run.as_ref().unwrap().id;
    let answer = world.ask(Ask::Abandon {
        run,
        reason: "the glass was broken".to_owned(),
    });
    let Answer::Accepted { summary, .. } = answer else {
        panic!("{answer:?}")
    };
    summary
}

#[test]
fn a_run_that_is_abandoned_beside_a_broken_glass_gives_the_right_to_nobody() {
    let mut world = World::healthy("dc3");
    world.lose_and_approve();
    world.pass_until("the revocation", |world| {
        world.store.ticket.as_ref().unwrap().grant.is_none()
    });
    world.break_glass("dc2-db", 1_001);
    world.pass(Millis::seconds(2));
    assert_eq!(world.phase(), Phase::Halted);
    let summary = abandoned(&mut world);
    assert!(summary.contains("nothing is given back"), "{summary}");
    assert!(summary.contains("keep dc1 off"), "{summary}");
    world.pass(Millis::seconds(30));
    let ticket = world.store.ticket.as_ref().unwrap();
    assert_eq!((ticket.epoch, &ticket.holder), (Epoch(1_001), &site("dc2")));
    assert!(ticket.grant.is_some());
}

#[test]
fn a_run_that_is_abandoned_before_the_revocation_says_who_stays_off_beside_a_broken_glass() {
    let mut world = World::healthy("dc3");
    world.faults.push(Fault {
        kind: "check".to_owned(),
        what: What::Hangs,
    });
    world.lose_and_approve();
    world.break_glass("dc2-db", 1_001);
    world.pass(Millis::seconds(2));
    assert_eq!(world.phase(), Phase::Halted);
    let summary = abandoned(&mut world);
    assert!(
        summary.contains("this run did not take it; keep dc1 off: dc2 was made live in its place"),
        "{summary}"
    );
}

#[test]
fn a_break_beside_a_store_without_a_ticket_is_acknowledged_after_a_stack_was_applied() {
    let mut world = World::healthy("dc3");
    world.gone.insert(site("dc1"));
    world.pass(Millis::seconds(5));
    world.break_glass("dc2-db", 1_001);
    world.store = Store::default();
    world.lose_lead();
    world.lead(&site("dc3"));
    world.pass(Millis::seconds(20));
    world.ask(Ask::AcceptStore {
        live: site("dc2"),
        reason: "the bucket was lost".to_owned(),
    });
    world.acknowledge_glass();
    let Some(Answer::Refused { rule, reason, .. }) = world.answers.last() else {
        panic!("{:?}", world.answers.last())
    };
    assert_eq!(rule, "ticket");
    assert!(reason.contains("with dc2 as its primary"), "{reason}");
}
