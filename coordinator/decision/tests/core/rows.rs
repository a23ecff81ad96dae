//! Every row of the table of moves is used by some story: a row that none uses is no row.

use std::collections::BTreeSet;

use decision::{Ask, MOVES, Phase, find};
use shared::clock::Millis;
use shared::stack::Stack;
use shared::wire::DatabaseState;

use crate::run::proposed;
use crate::tables::inner_phase;
use crate::world::{Fault, What, World, site, two_standbys};

/// The rows that were used.
#[derive(Default)]
struct Used(BTreeSet<u16>);

impl Used {
    /// A leader's moves stand in its events.
    fn note(&mut self, world: &World) {
        self.0.extend(world.events().filter_map(|event| event.row));
    }

    /// A lead that is lost is no event: the phase inside shows the move.
    fn lose(&mut self, world: &mut World) {
        let leader = world.leader.clone().unwrap();
        let from = inner_phase(&world.cores[&leader]);
        world.lose_lead();
        let to = inner_phase(&world.cores[&leader]);
        self.0.extend(find(from, to).map(|row| row.row));
        self.note(world);
    }
}

#[test]
fn every_row_of_the_table_is_used() {
    let mut used = Used::default();
    after_a_run(&mut used);
    within_a_run(&mut used);
    before_a_proposal(&mut used);
    links(&mut used);
    everybody_silent(&mut used);
    blocked(&mut used);
    let unused: Vec<u16> = MOVES
        .iter()
        .map(|row| row.row)
        .filter(|row| !used.0.contains(row))
        .collect();
    assert!(unused.is_empty(), "never used: {unused:?}");
}

fn completed(stack: Stack, leader: &str) -> World {
    let mut world = proposed(stack);
    world.lead(&site(leader));
    world.pass(Millis::seconds(3));
    world.approve();
    world.pass(Millis::seconds(15));
    assert_eq!(world.phase(), Phase::Completed);
    world
}

fn sample() -> Stack {
    World::new().stack
}

fn hold() -> Ask {
    Ask::Hold {
        reason: "work".to_owned(),
    }
}

fn cut(world: &mut World, a: &str, b: &str) {
    world.cuts.extend([(site(a), site(b)), (site(b), site(a))]);
}

/// The agents of dc2 say nothing of the other sites any more.
fn blind(world: &mut World) {
    world.agent("dc2-db").looks = false;
    world.database("dc2-db").follows = None;
}

fn after_a_run(used: &mut Used) {
    let mut calm = completed(sample(), "dc2");
    calm.pass(Millis::seconds(60));
    used.note(&calm);
    let mut missed = completed(sample(), "dc3");
    cut(&mut missed, "dc2", "dc3");
    missed.pass(Millis::seconds(20));
    used.note(&missed);
    let mut second = completed(two_standbys(), "dc3");
    second.gone.remove(&site("dc1"));
    second.database("dc1-db").state = DatabaseState::Down;
    second.pass(Millis::seconds(3));
    second.gone.insert(site("dc2"));
    second.pass(Millis::seconds(20));
    used.note(&second);
    used.lose(&mut completed(sample(), "dc2"));
}

fn within_a_run(used: &mut Used) {
    for kind in ["promote", "check"] {
        let mut world = proposed(sample());
        world.faults.push(Fault {
            kind: kind.to_owned(),
            what: What::Fails("disk".to_owned()),
        });
        world.approve();
        world.pass(Millis::seconds(15));
        world.lead(&site("dc3"));
        let run = world.core().durable().unwrap().run.clone().unwrap().id;
        let reason = "a person decides".to_owned();
        if kind == "check" {
            world.ask(Ask::Abandon { run, reason });
            used.note(&world);
        } else {
            world.ask(Ask::Resume {
                run,
                waive: None,
                reason,
            });
            used.lose(&mut world);
            world.lead(&site("dc2"));
            used.note(&world);
        }
    }
}

fn before_a_proposal(used: &mut Used) {
    for stop in [3, 10, 16, 25] {
        for what in 0..3 {
            let mut world = World::healthy("dc2");
            world.gone.insert(site("dc1"));
            world.pass(Millis::seconds(stop));
            match what {
                0 => world.gone.clear(),
                1 => {
                    world.gone.insert(site("dc3"));
                }
                _ => world.lead(&site("dc3")),
            }
            world.pass(Millis::seconds(60));
            used.lose(&mut world);
        }
        let mut world = World::healthy("dc2");
        world.gone.insert(site("dc1"));
        world.pass(Millis::seconds(stop));
        used.lose(&mut world);
    }
}

fn links(used: &mut Used) {
    for (a, b) in [("dc1", "dc2"), ("dc2", "dc3")] {
        let mut world = World::healthy("dc2");
        cut(&mut world, a, b);
        world.pass(Millis::seconds(20));
        world.lead(&site("dc3"));
        world.pass(Millis::seconds(5));
        world.gone.insert(site("dc1"));
        world.pass(Millis::seconds(30));
        used.note(&world);
        let mut world = World::healthy("dc2");
        cut(&mut world, a, b);
        world.pass(Millis::seconds(20));
        world.cuts.clear();
        world.pass(Millis::seconds(50));
        used.note(&world);
    }
}

fn everybody_silent(used: &mut Used) {
    for stop in [0, 10, 25] {
        for first in ["dc1", "dc3"] {
            let mut world = World::healthy("dc2");
            world.gone.insert(site(first));
            world.pass(Millis::seconds(stop));
            world.gone.extend([site("dc1"), site("dc3")]);
            blind(&mut world);
            world.pass(Millis::seconds(40));
            used.note(&world);
        }
    }
}

fn blocked(used: &mut Used) {
    let confirm = |world: &mut World, seconds: u64| {
        let (version, mut stack) = world.store.stack.clone().unwrap();
        stack.policy.confirm_ms = Millis::seconds(seconds);
        world.ask(Ask::ApplyStack {
            stack: Box::new(stack),
            replaces: Some(version),
        });
        world.pass(Millis::seconds(2));
    };
    let mut world = proposed(sample());
    confirm(&mut world, 60);
    used.note(&world);
    for end in 0..5 {
        let mut world = proposed(sample());
        world.ask(hold());
        world.pass(Millis::seconds(2));
        assert_eq!(world.phase(), Phase::Blocked);
        match end {
            0 => {
                world.ask(Ask::Release {
                    reason: "done".to_owned(),
                });
            }
            1 => world.gone.clear(),
            2 => {
                world.gone.insert(site("dc3"));
                blind(&mut world);
            }
            3 => world.lead(&site("dc3")),
            _ => confirm(&mut world, 60),
        }
        world.pass(Millis::seconds(20));
        used.lose(&mut world);
    }
    let mut world = World::healthy("dc2");
    world.ask(hold());
    world.gone.insert(site("dc1"));
    world.pass(Millis::seconds(40));
    used.lose(&mut world);
}
