//! A store that was made anew: the first ticket takes no site for live against what agents say.

use decision::{Answer, Ask};
use shared::clock::Millis;
use shared::epoch::Epoch;
use shared::wire::DatabaseRole;

use crate::world::{World, site};

/// Three sites that have obeyed epoch 7, and a store that knows nothing.
fn forgotten() -> World {
    let mut world = World::new();
    for node in ["dc1-db", "dc2-db", "dc3-db"] {
        world.agent(node).epoch = Epoch(7);
    }
    world.lead(&site("dc2"));
    world.pass(Millis::seconds(10));
    world
}

fn apply(world: &mut World) -> Answer {
    let stack = Box::new(world.stack.clone());
    world.ask(Ask::ApplyStack {
        stack,
        replaces: None,
    })
}

#[test]
fn the_first_epoch_is_above_every_one_that_agents_have_obeyed() {
    let mut world = forgotten();
    assert!(matches!(apply(&mut world), Answer::Accepted { .. }));
    let ticket = world.core().ticket().unwrap();
    assert_eq!((ticket.epoch, ticket.holder.as_str()), (Epoch(8), "dc1"));
}

#[test]
fn a_file_is_refused_while_a_database_writes_elsewhere() {
    let mut world = forgotten();
    world.database("dc2-db").role = DatabaseRole::Primary;
    world.database("dc1-db").role = DatabaseRole::Standby;
    world.pass(Millis::seconds(3));
    let answer = apply(&mut world);
    let Answer::Refused {
        rule,
        reason,
        safety: true,
    } = answer
    else {
        panic!("{answer:?}");
    };
    assert_eq!(rule, "live-elsewhere");
    assert!(
        reason.contains("dc2-db") && reason.contains("dc1"),
        "{reason}"
    );
    assert_eq!(world.core().ticket(), None);
    assert!(world.core().stack().is_none());
}

#[test]
fn nobody_leads_by_a_change_that_was_never_written() {
    for written in 0..4 {
        let mut world = World::healthy("dc2");
        let mut changed = world.stack.clone();
        changed.policy.silence_ms = Millis::seconds(31);
        let before = world.core().stack().map(|(version, _)| version);
        world.lost_at_write = Some(written);
        world.ask(Ask::ApplyStack {
            stack: Box::new(changed.clone()),
            replaces: before,
        });
        world.lose_lead();
        world.lost_at_write = None;
        world.lead(&site("dc2"));
        let shown = world.store.stack.clone().unwrap();
        let known = world.core().stack().unwrap();
        assert_eq!(known, (shown.0, &shown.1), "lost at write {written}");
        assert_eq!(written > 0, shown.1 == changed, "lost at write {written}");
    }
}
