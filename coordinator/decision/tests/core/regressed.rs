//! A store that shows less than was seen of it: what counts as less, what counts as slow, and who stops for whom.

use decision::{Answer, Ask, Halt, Input, Less, Memory, Output, Persist, Phase, Seen};
use shared::clock::{Millis, UnixMillis};
use shared::epoch::Epoch;
use shared::id::Nonce;
use shared::wire::Ticket;
use uuid::Uuid;

use crate::world::{Store, World, site};

fn ticket(incarnation: u128, epoch: u64) -> Ticket {
    Ticket {
        summary: String::new(),
        incarnation: Nonce::new(Uuid::from_u128(incarnation)),
        epoch: Epoch(epoch),
        holder: site("dc1"),
        grant: None,
        changed_at: UnixMillis(1),
        confirmed_by: None,
        confirmations: 0,
        accepted: 0,
        automatic_off: None,
        leases: std::collections::BTreeMap::new(),
    }
}

fn remembering(epoch: u64, revision: u64) -> Memory {
    let mut memory = Memory::default();
    memory.see(&ticket(1, epoch), revision);
    memory
}

#[test]
fn less_is_told_from_as_much_and_from_more() {
    let memory = remembering(3, 40);
    let cases = [
        (Some((1, 3, Some(40))), None),
        (Some((1, 3, Some(41))), None),
        (Some((1, 4, Some(41))), None),
        (Some((1, 3, None)), None),
        (Some((1, 3, Some(39))), Some(Less::Revision)),
        (Some((1, 4, Some(39))), Some(Less::Revision)),
        (Some((1, 2, Some(41))), Some(Less::Epoch)),
        (Some((1, 2, None)), Some(Less::Epoch)),
        (Some((2, 3, Some(40))), Some(Less::Incarnation)),
        (Some((2, 9, Some(90))), Some(Less::Incarnation)),
        (None, Some(Less::NoTicket)),
    ];
    for (shown, expected) in cases {
        let revision = shown.and_then(|(.., revision)| revision);
        let shown = shown.map(|(incarnation, epoch, _)| ticket(incarnation, epoch));
        let found = memory.less(shown.as_ref(), revision);
        assert_eq!(found, expected, "{shown:?} at {revision:?}");
    }
    assert_eq!(Memory::default().less(None, Some(0)), None);
}

#[test]
fn what_is_remembered_never_falls() {
    let mut memory = remembering(3, 40);
    for (incarnation, epoch, revision) in [(1, 2, 50), (2, 9, 50), (1, 3, 39), (1, 1, 1)] {
        memory.see(&ticket(incarnation, epoch), revision);
        let Some(seen) = memory.seen else {
            panic!("forgotten")
        };
        assert_eq!((seen.epoch, seen.revision), (Epoch(3), 40));
        assert_eq!(seen.incarnation, Nonce::new(Uuid::from_u128(1)));
    }
    memory.see(&ticket(1, 4), 41);
    let seen = memory.seen.map(|seen| (seen.epoch, seen.revision));
    assert_eq!((seen, memory.epoch_max), (Some((Epoch(4), 41)), Epoch(4)));
}

/// A failover was completed; then the store comes back as it was before.
fn restored() -> World {
    let mut world = World::healthy("dc2");
    let copy = world.store.clone();
    world.lose_and_approve();
    world.pass(Millis::seconds(120));
    assert_eq!(world.phase(), Phase::Watching);
    world.lose_lead();
    world.store = copy;
    world
}

fn is_refused_by_store(answer: Option<&Answer>) -> bool {
    matches!(answer, Some(Answer::Refused { rule, safety: true, .. }) if rule == "store-regressed")
}

/// Writes of the ticket and commands: what must not happen while the store is not believed.
fn acts(world: &World) -> usize {
    let acts = |output: &&Output| {
        matches!(
            output,
            Output::Send(_) | Output::Persist(Persist::Ticket { .. } | Persist::Stack { .. })
        )
    };
    world.done.iter().filter(acts).count()
}

#[test]
fn a_leader_stops_at_once_and_for_good_when_it_stays_so() {
    let mut world = restored();
    let before = acts(&world);
    world.lead(&site("dc3"));
    world.pass(Millis::seconds(1));
    assert!(world.core().distrust(world.instant()).is_some());
    assert_eq!(world.core().memory().halt, None, "a read may be old");
    world.pass(Millis::seconds(13));
    let halt = world.core().memory().halt.clone().unwrap();
    let epochs = |seen: Option<Seen>| seen.map(|seen| seen.epoch);
    assert_eq!(
        (halt.less, epochs(halt.remembered)),
        (Less::Epoch, Some(Epoch(2)))
    );
    assert_eq!(epochs(halt.shown), Some(Epoch(1)));
    assert_eq!(world.told("store-regressed"), 1);
    world.pass(Millis::seconds(60));
    assert_eq!(
        acts(&world),
        before,
        "nothing is written and nothing is ordered"
    );
    let stack = Box::new(world.stack.clone());
    let replaces = world.core().stack().map(|(version, _)| version);
    world.ask(Ask::ApplyStack { stack, replaces });
    assert!(
        is_refused_by_store(world.answers.last()),
        "{:?}",
        world.answers.last()
    );
}

#[test]
fn a_read_that_was_old_for_some_seconds_halts_nothing() {
    let mut world = World::healthy("dc2");
    let copy = world.store.clone();
    world.lose_and_approve();
    world.pass(Millis::seconds(120));
    let whole = std::mem::replace(&mut world.store, copy);
    world.pass(Millis::seconds(9));
    world.store = whole;
    world.pass(Millis::seconds(30));
    for core in world.cores.values() {
        assert_eq!(core.memory().halt, None);
        assert_eq!(core.distrust(world.instant()), None);
    }
}

#[test]
fn the_halt_outlasts_a_restart_and_a_store_that_has_grown_since() {
    let mut world = restored();
    world.lead(&site("dc3"));
    world.pass(Millis::seconds(15));
    world.lose_lead();
    world.start(&site("dc3"));
    world.store.revision += 1_000_000;
    let ticket = world.store.ticket.as_mut().unwrap();
    ticket.epoch = Epoch(50);
    world.lead(&site("dc3"));
    world.pass(Millis::seconds(60));
    assert!(world.core().memory().halt.is_some());
    assert!(world.core().distrust(world.instant()).is_some());
}

#[test]
fn a_leader_that_has_seen_nothing_stops_for_another_that_has() {
    let mut world = restored();
    // Its disk is a new one.
    world.cores.remove(&site("dc3"));
    world.start(&site("dc3"));
    for agent in world.agents.values_mut() {
        agent.epoch = Epoch(1);
    }
    world.lead(&site("dc3"));
    world.pass(Millis::seconds(25));
    assert_eq!(world.core().memory().halt, None);
    let why = world.core().distrust(world.instant()).unwrap();
    assert!(why.contains("the coordinator in dc2 says"), "{why}");
    assert!(world.core().status(world.instant()).store.is_some());
}

#[test]
fn an_acceptance_counts_when_the_store_has_taken_it_and_for_all() {
    let mut world = restored();
    world.lead(&site("dc3"));
    world.pass(Millis::seconds(15));
    let accept = |live: &str| Ask::AcceptStore {
        live: site(live),
        reason: "restored".to_owned(),
    };
    // The lead is lost before the ticket is written.
    world.lost_at_write = Some(0);
    world.ask(accept("dc2"));
    assert!(world.leader.is_none());
    world.lead(&site("dc3"));
    world.pass(Millis::seconds(3));
    assert!(world.core().memory().halt.is_some(), "not yet accepted");
    world.ask(accept("dc2"));
    world.pass(Millis::seconds(3));
    let ticket = world.core().ticket().unwrap();
    assert_eq!(ticket.holder, site("dc2"));
    assert!(ticket.epoch > Epoch(2), "above every epoch that was seen");
    assert_eq!(world.told("store-accepted"), 1);
    for (name, core) in world.cores.iter().filter(|(name, _)| **name != site("dc1")) {
        assert_eq!(core.distrust(world.instant()), None, "{name}");
        assert_eq!(core.memory().seen.unwrap().epoch, ticket.epoch, "{name}");
    }
    // The coordinator that was gone meanwhile takes it up, too.
    world.gone.clear();
    world.pass(Millis::seconds(20));
    assert_eq!(world.cores[&site("dc1")].distrust(world.instant()), None);
}

#[test]
fn an_acceptance_needs_a_reason_a_live_site_and_a_doubt() {
    let mut world = restored();
    world.lead(&site("dc3"));
    world.pass(Millis::seconds(15));
    let cases = [
        ("dc2", " ", "reason"),
        ("dc3", "restored", "live-site"),
        ("dc9", "restored", "live-site"),
        ("dc1", "restored", "live-elsewhere"),
    ];
    for (live, reason, expected) in cases {
        world.ask(Ask::AcceptStore {
            live: site(live),
            reason: reason.to_owned(),
        });
        let answer = world.answers.last().unwrap();
        let fits = matches!(answer, Answer::Refused { rule, .. } if rule == expected);
        assert!(fits, "{live}: {answer:?}");
        assert!(world.core().memory().halt.is_some());
    }
    let mut world = World::healthy("dc2");
    world.ask(Ask::AcceptStore {
        live: site("dc1"),
        reason: "for nothing".to_owned(),
    });
    let answer = world.answers.last().unwrap();
    assert!(
        matches!(answer, Answer::Refused { rule, .. } if rule == "not-regressed"),
        "{answer:?}"
    );
}

#[test]
fn a_store_made_anew_forgets_no_epoch() {
    let mut world = World::healthy("dc2");
    world.lose_lead();
    world.store = Store::default();
    for name in ["dc1", "dc2", "dc3"] {
        world.start(&site(name));
    }
    for agent in world.agents.values_mut() {
        agent.alive = false;
    }
    world.lead(&site("dc2"));
    let file = |world: &World| Ask::ApplyStack {
        stack: Box::new(world.stack.clone()),
        replaces: None,
    };
    let ask = file(&world);
    world.ask(ask);
    assert!(is_refused_by_store(world.answers.last()));
    world.ask(Ask::AcceptStore {
        live: site("dc1"),
        reason: "the bucket was lost".to_owned(),
    });
    let ask = file(&world);
    world.ask(ask);
    assert!(matches!(
        world.answers.last(),
        Some(Answer::Accepted { .. })
    ));
    world.pass(Millis::seconds(2));
    assert_eq!(world.core().ticket().unwrap().epoch, Epoch(2));
    assert_eq!(world.core().distrust(world.instant()), None);
}

/// Accepts the store as it is, and tells how often that was taken up.
fn accept(world: &mut World, live: &str) -> usize {
    world.ask(Ask::AcceptStore {
        live: site(live),
        reason: "restored".to_owned(),
    });
    world.pass(Millis::seconds(3));
    world.told("store-accepted")
}

#[test]
fn a_leader_under_which_the_ticket_was_lost_can_be_gone_on_with() {
    let mut world = World::healthy("dc2");
    world.store.ticket = None;
    world.pass(Millis::seconds(20));
    assert!(world.core().memory().halt.is_some());
    assert_eq!(accept(&mut world, "dc1"), 1);
    assert_eq!(world.core().ticket(), None);
    assert_eq!(world.core().memory().halt, None);
    let ask = Ask::ApplyStack {
        stack: Box::new(world.stack.clone()),
        replaces: world.core().stack().map(|(version, _)| version),
    };
    world.ask(ask);
    world.pass(Millis::seconds(3));
    let ticket = world.core().ticket().unwrap();
    assert_eq!((ticket.epoch, &ticket.holder), (Epoch(2), &site("dc1")));
    assert_eq!(world.store.ticket.as_ref(), Some(ticket));
    assert_eq!(world.core().distrust(world.instant()), None);
    assert_eq!(world.phase(), Phase::Watching);
}

#[test]
fn a_leader_under_which_the_epoch_fell_can_be_gone_on_with() {
    let mut world = World::healthy("dc2");
    let copy = world.store.clone();
    world.lose_and_approve();
    world.pass(Millis::seconds(120));
    world.store.ticket = copy.ticket;
    world.store.revision = copy.revision;
    world.pass(Millis::seconds(20));
    assert!(world.core().memory().halt.is_some());
    assert_eq!(accept(&mut world, "dc2"), 1);
    let ticket = world.core().ticket().unwrap();
    assert_eq!((ticket.epoch, &ticket.holder), (Epoch(3), &site("dc2")));
    assert_eq!(world.store.ticket.as_ref(), Some(ticket));
    assert_eq!(world.core().distrust(world.instant()), None);
}

/// A coordinator is certain that the store has lost writes, and last knew of an acceptance of this number.
fn is_certain(world: &mut World, name: &str, accepted: u64) {
    let halted = restored();
    let mut memory = halted.cores[&site(name)].memory().clone();
    memory.accepted = accepted;
    memory.halt = Some(Halt {
        at: UnixMillis(0),
        less: Less::Epoch,
        remembered: memory.seen,
        shown: None,
    });
    world.tell(&site(name), Input::Remembered(memory));
}

#[test]
fn an_acceptance_is_above_one_by_a_clock_that_was_ahead() {
    let mut world = restored();
    is_certain(&mut world, "dc2", u64::from(u32::MAX) * 1_000);
    world.lead(&site("dc3"));
    world.pass(Millis::seconds(15));
    assert_eq!(accept(&mut world, "dc2"), 1);
    world.pass(Millis::seconds(5));
    for name in ["dc2", "dc3"] {
        let core = &world.cores[&site(name)];
        assert_eq!(core.distrust(world.instant()), None, "{name}");
    }
}

#[test]
fn a_run_with_nothing_left_to_order_ends_though_the_store_is_not_trusted() {
    let mut world = World::healthy("dc2");
    world.lose_and_approve();
    let begun = |world: &World| {
        let run = world.core().durable().unwrap().run.clone().unwrap();
        run.steps.len() == run.plan.steps.len()
    };
    world.pass_until("the last step", begun);
    is_certain(&mut world, "dc3", 0);
    let told = world.cores[&site("dc3")].observation(world.instant(), 1_000_000);
    let said = Input::Observed {
        site: site("dc3"),
        observation: told,
    };
    world.tell(&site("dc2"), said);
    assert!(world.core().distrust(world.instant()).is_some());
    world.pass(Millis::seconds(5));
    assert!(world.core().distrust(world.instant()).is_some());
    assert_eq!(world.core().durable().unwrap().run, None);
    assert_eq!(world.told("run-completed"), 1);
}
