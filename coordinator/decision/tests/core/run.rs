//! Runs under changes of the leader at every write and at every step, and the rows of the table that are used.

use std::collections::{BTreeMap, BTreeSet};

use decision::{Ask, Durable, Input, Output, Persist, Phase, RunState, StepOutcome};
use shared::clock::Millis;
use shared::epoch::Epoch;
use shared::id::CommandId;
use shared::stack::Stack;

use crate::world::{Fault, What, World, site};

/// A world in which dc1 is lost and a proposal waits.
pub(crate) fn proposed(stack: Stack) -> World {
    let mut world = World::with(stack);
    world.begin("dc2");
    world.gone.insert(site("dc1"));
    world.pass(Millis::seconds(25));
    assert_eq!(world.phase(), Phase::Proposed);
    world
}

/// What must hold of everything that was ordered, in the order in which it was done.
fn check(world: &World) {
    let mut state: Option<Durable> = None;
    let mut epoch = Epoch(0);
    let mut groups: BTreeMap<CommandId, u32> = BTreeMap::new();
    for output in &world.done {
        match output {
            Output::Persist(Persist::State(durable)) => {
                assert!(durable.epoch_max >= epoch, "the epoch of the state fell");
                epoch = durable.epoch_max;
                state = Some((**durable).clone());
            }
            Output::Persist(Persist::Ticket { from, to }) => {
                let before = from.as_ref().map_or(Epoch(0), |ticket| ticket.epoch);
                assert!(to.epoch >= before, "the epoch of the ticket fell");
            }
            Output::Send(command) => {
                let run = state
                    .as_ref()
                    .and_then(|state| state.run.as_ref())
                    .expect("a run was written before");
                let record = &run.steps[&command.step];
                assert_eq!(
                    record.command,
                    Some(command.id),
                    "sent, and a restart would not know it"
                );
                assert_eq!(run.approval.plan, run.plan.digest());
                assert_eq!(command.approval.as_ref(), Some(&run.approval));
                let own = run.plan.step(command.step).unwrap();
                for earlier in run.plan.steps.iter().filter(|step| step.group < own.group) {
                    let settled = matches!(
                        run.steps.get(&earlier.number).map(|r| &r.outcome),
                        Some(
                            StepOutcome::Done { .. }
                                | StepOutcome::Waived { .. }
                                | StepOutcome::Failed { .. }
                        )
                    );
                    assert!(
                        settled,
                        "step {} before step {}",
                        own.number, earlier.number
                    );
                }
                assert_eq!(*groups.entry(command.id).or_insert(own.number), own.number);
            }
            Output::Persist(Persist::Stack { .. }) | Output::Record(_) | Output::Announce(_) => {}
        }
    }
}

fn assert_completed(world: &World, about: &str) {
    let durable = world.core().durable().unwrap();
    let last = durable.past_runs.last().map(|run| &run.state);
    assert!(
        matches!(last, Some(RunState::Completed { .. })),
        "{about}: {last:?} {:?}",
        durable.run
    );
    assert!(
        world.agents[&crate::world::node("dc2-db")]
            .database
            .as_ref()
            .unwrap()
            .writes(),
        "{about}"
    );
    assert_eq!(
        world.store.ticket.as_ref().unwrap().epoch,
        Epoch(2),
        "{about}"
    );
}

#[test]
fn the_lead_is_lost_at_every_write_of_a_run() {
    let mut reached = 0;
    for at in 0..60 {
        let mut world = proposed(World::new().stack);
        world.lost_at_write = Some(at);
        world.approve_if_asked();
        for _ in 0..120 {
            if world.leader.is_none() {
                world.pass(Millis::seconds(4));
                world.lead(&site("dc3"));
            }
            world.pass(Millis::seconds(1));
            if world.phase() == Phase::Proposed {
                world.approve_if_asked();
            }
        }
        check(&world);
        assert_completed(&world, &format!("lost at write {at}"));
        reached += u32::from(world.term == 2);
    }
    assert!(reached >= 15, "the lead was lost in {reached} runs only");
}

#[test]
fn the_leader_changes_after_every_step() {
    let steps = proposed(World::new().stack)
        .core()
        .durable()
        .unwrap()
        .open_proposal()
        .unwrap()
        .plan
        .steps
        .len();
    for after in 1..=steps {
        let mut world = proposed(World::new().stack);
        world.approve();
        for _ in 0..400 {
            world.pass(Millis(250));
            let durable = world.core().durable().unwrap();
            let begun = durable.run.as_ref().map_or(steps, |run| run.steps.len());
            if begun >= after && world.term == 1 {
                world.lose_lead();
                world.pass(Millis::seconds(5));
                world.lead(&site("dc3"));
            }
        }
        check(&world);
        assert_completed(&world, &format!("changed after step {after}"));
    }
}

#[test]
fn the_wait_starts_anew_with_a_new_leader() {
    let mut world = proposed(World::new().stack);
    world.approve();
    world.pass(Millis::seconds(2));
    world.lead(&site("dc3"));
    let from = world.now;
    world.pass_until("the grant", |world| {
        world.store.ticket.as_ref().unwrap().grant.is_some()
    });
    assert!(
        world.now.since(from) >= world.stack.policy.epoch_wait_ms,
        "{:?}",
        world.now.since(from)
    );
}

#[test]
fn a_new_leader_does_not_grant_when_the_old_site_was_sighted_again() {
    // The grant's intent is written and its ticket is not when the lead is lost.
    let mut world = proposed(World::new().stack);
    world.approve();
    world.pass(Millis::seconds(1));
    let is_due = |world: &World| {
        let run = || world.core().durable().unwrap().run.as_ref().unwrap();
        world.leader.is_none() || run().grant.is_some()
    };
    for _ in 0..400 {
        if !is_due(&world) {
            world.lost_at_write = Some(1);
            world.pass(Millis(50));
        }
    }
    assert!(is_due(&world), "within 20 s");
    world.lost_at_write = None;
    if world.leader.is_none() {
        world.gone.clear();
        world.agent("dc1-db").alive = false;
        world.pass(Millis::seconds(5));
        world.lead(&site("dc3"));
    }
    world.pass(Millis::seconds(10));
    assert_eq!(world.phase(), Phase::Halted);
    assert_eq!(world.store.ticket.as_ref().unwrap().grant, None);
}

#[test]
fn a_stack_of_databases_alone_moves_too() {
    let mut stack = World::new().stack;
    stack.workloads.clear();
    stack.routes.clear();
    stack.checks.clear();
    stack.clusters.clear();
    let mut world = proposed(stack);
    world.approve();
    world.pass(Millis::seconds(30));
    check(&world);
    assert_completed(&world, "no workloads");
}

#[test]
fn several_databases_move_to_one_site_one_after_the_other() {
    let text = crate::world::STACK.replace(
        "# The agent that acts on each site's",
        "[[database]]\nname = \"second\"\n[[database.member]]\nsite = \"dc1\"\nnode = \"dc1-db2\"\naddress = \"a:1\"\n\
         [[database.member]]\nsite = \"dc2\"\nnode = \"dc2-db2\"\naddress = \"b:1\"\n# The agent that acts on",
    );
    let mut world = proposed(Stack::parse("two-databases.toml", &text).unwrap());
    let plan = world
        .core()
        .durable()
        .unwrap()
        .open_proposal()
        .unwrap()
        .plan
        .clone();
    let promotions: Vec<u32> = plan
        .steps
        .iter()
        .filter(|step| step.work.kind() == "promote")
        .map(|step| step.group)
        .collect();
    assert_eq!(promotions.len(), 2);
    assert!(promotions[0] < promotions[1]);
    world.approve();
    world.pass(Millis::seconds(40));
    check(&world);
    assert_completed(&world, "two databases");
    assert!(
        world.agents[&crate::world::node("dc2-db2")]
            .database
            .as_ref()
            .unwrap()
            .writes()
    );
}

#[test]
fn a_witness_ahead_of_the_candidate_is_counted_as_loss() {
    let mut world = World::healthy("dc2");
    world.database("dc2-db").receiving = false;
    world.pass(Millis::seconds(3));
    world.gone.insert(site("dc1"));
    world.pass(Millis::seconds(25));
    let proposal = world
        .core()
        .durable()
        .unwrap()
        .open_proposal()
        .cloned()
        .unwrap();
    assert!(
        proposal.loss.known_bytes.unwrap().0 >= 3 * 4_096,
        "{}",
        proposal.loss.summary
    );
}

#[test]
fn a_retried_step_gets_a_new_command_and_one_that_may_have_worked_keeps_it() {
    for (what, same) in [(What::Fails("disk".to_owned()), false), (What::Hangs, true)] {
        let mut world = proposed(World::new().stack);
        world.faults.push(Fault {
            kind: "promote".to_owned(),
            what,
        });
        world.approve();
        world.pass(Millis::seconds(135));
        assert_eq!(world.phase(), Phase::Halted);
        let run = world.core().durable().unwrap().run.clone().unwrap();
        world.ask(Ask::Resume {
            run: run.id,
            waive: None,
            reason: "again".to_owned(),
        });
        let promoted: BTreeSet<CommandId> = world
            .commands()
            .filter(|command| command.action.kind() == "promote")
            .map(|command| command.id)
            .collect();
        assert_eq!(promoted.len() == 1, same);
        check(&world);
    }
}

#[test]
fn the_store_made_anew_is_a_fault() {
    let mut world = World::healthy("dc2");
    let mut ticket = world.store.ticket.clone().unwrap();
    ticket.incarnation = shared::id::Nonce::new(uuid::Uuid::from_u128(99));
    world.store.ticket = Some(ticket);
    world.lead(&site("dc3"));
    world.gone.insert(site("dc1"));
    world.pass(Millis::seconds(40));
    assert_eq!(world.phase(), Phase::Blocked);
    assert!(world.core().durable().unwrap().proposals.is_empty());
    let mut world = World::healthy("dc2");
    world.store.ticket = None;
    world.lead(&site("dc3"));
    world.pass(Millis::seconds(2));
    let status = world.core().status(world.instant());
    assert!(
        status
            .findings
            .iter()
            .any(|f| f.sentence.contains("no ticket any more")),
        "{:?}",
        status.findings
    );
}

#[test]
fn an_epoch_that_somebody_else_took_is_not_taken_from_it() {
    let mut world = proposed(World::new().stack);
    world.approve();
    let ticket = world.store.ticket.as_mut().unwrap();
    (ticket.epoch, ticket.holder) = (Epoch(2), site("dc3"));
    world.store.revision += 1;
    for _ in 0..2 {
        world.pass(Millis::seconds(5));
        assert_eq!(world.phase(), Phase::Halted);
        let run = world.core().durable().unwrap().run.clone().unwrap();
        assert_eq!(run.epoch, Some(Epoch(2)));
        let ticket = world.store.ticket.as_ref().unwrap();
        assert_eq!((ticket.epoch, &ticket.holder), (Epoch(2), &site("dc3")));
        world.ask(Ask::Resume {
            run: run.id,
            waive: None,
            reason: "once more".to_owned(),
        });
    }
    let halts = world.events().filter(|event| event.kind == "run-halted");
    let reason = &halts.last().unwrap().summary;
    assert!(reason.contains("somebody else has moved"), "{reason}");
}

#[test]
fn of_two_tickets_the_newer_one_of_the_same_store_is_believed() {
    let other = shared::id::Nonce::new(uuid::Uuid::from_u128(99));
    for (incarnation, epoch, believed) in [
        (None, 1, 2),
        (None, 2, 2),
        (None, 3, 3),
        (Some(other), 1, 2),
        (Some(other), 9, 2),
    ] {
        let mut world = proposed(World::new().stack);
        world.approve();
        world.pass_until("the revocation", |world| {
            world.store.ticket.as_ref().unwrap().grant.is_none()
        });
        let mut found = world.store.ticket.clone().unwrap();
        found.incarnation = incarnation.unwrap_or(found.incarnation);
        (found.epoch, found.holder) = (Epoch(epoch), site("dc3"));
        let leader = world.leader.clone().unwrap();
        let found = Some(found);
        world.tell(&leader, Input::TicketConflict { found });
        assert_eq!(world.told("store-conflict"), 1, "{incarnation:?} {epoch}");
        let ticket = world.core().ticket().unwrap();
        assert_eq!(ticket.epoch, Epoch(believed), "{incarnation:?} {epoch}");
    }
}

#[test]
fn a_boundless_epoch_of_an_agent_blocks_and_breaks_nothing() {
    let mut world = proposed(World::new().stack);
    world.faults.push(Fault {
        kind: "promote".to_owned(),
        what: What::Fails("disk".to_owned()),
    });
    world.agent("dc3-db").epoch = Epoch(u64::MAX);
    world.pass(Millis::seconds(5));
    assert_eq!(world.phase(), Phase::Blocked);
}
