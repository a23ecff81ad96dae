//! Automatic mode: every rule of its table has a case in which it forbids, and a near miss in which it does not.

use std::collections::BTreeSet;

use decision::{
    AUTOMATIC_RULES, Alarm, Answer, Ask, AutomaticBlock, Core, FINDINGS, Input, Output, Persist,
    Phase, RequestId, RunState,
};
use shared::clock::Millis;
use shared::id::Actor;
use shared::stack::{Mode, Replication, Rollout, SelfFence, Stack};
use shared::wire::{DatabaseRole, Unfit};

use crate::world::{Fault, Renews, What, World, in_mode, site};

type Spoil = fn(&mut World);

/// A rule's name, what breaks it, and what nearly does.
const ROWS: [(&str, Spoil, Spoil); 14] = [
    (
        "switch",
        |w| switch(w, false),
        |w| {
            switch(w, false);
            switch(w, true);
        },
    ),
    ("run", |w| approved(w, 5), |w| lost(w, 30)),
    (
        "cool-down",
        |w| approved(w, 70),
        |w| {
            approved(w, 70);
            w.ask(Ask::Acknowledge {
                alarm: Alarm::CoolDown,
                reason: because(),
            });
        },
    ),
    (
        "hold",
        |w| drop(w.ask(Ask::Hold { reason: because() })),
        |w| {
            w.ask(Ask::Hold { reason: because() });
            w.ask(Ask::Release { reason: because() });
        },
    ),
    ("flapping", |w| silences(w, 3), |w| silences(w, 2)),
    ("store", |w| obeyed(w, 2), |w| obeyed(w, 1)),
    (
        "observers",
        |w| {
            w.stopped.insert(site("dc3"));
            unfit(w);
            lost(w, 10);
        },
        |w| {
            unfit(w);
            lost(w, 10);
        },
    ),
    (
        "findings",
        |w| writes(w, "dc2-db"),
        |w| {
            w.database("dc2-db").receiving = false;
            w.pass(Millis::seconds(10));
        },
    ),
    ("coordinators", |w| stopped(w, 6), |w| stopped(w, 3)),
    (
        "stack-version",
        |w| {
            w.agent("dc2-db").keeps_rules = true;
            changed(w);
        },
        changed,
    ),
    (
        "fence-grade",
        |w| renews(w, Renews::WithoutDeadman),
        |w| renews(w, Renews::WithDeadman),
    ),
    (
        "overrides",
        |w| lags(w, 200_000_000),
        |w| lags(w, 20_000_000),
    ),
    (
        "self-fence",
        |w| *w = unfenced(|_| {}),
        |w| renews(w, Renews::WithDeadman),
    ),
    ("leader", |w| w.lose_lead(), |w| w.lead(&site("dc3"))),
];

fn because() -> String {
    "because".to_owned()
}

fn switch(world: &mut World, on: bool) {
    let reason = because();
    let answer = world.ask(Ask::Automatic { on, reason });
    assert!(matches!(answer, Answer::Accepted { .. }), "{answer:?}");
}

fn lost(world: &mut World, seconds: u64) {
    world.gone.insert(site("dc1"));
    world.pass(Millis::seconds(seconds));
}

fn approved(world: &mut World, seconds: u64) {
    lost(world, 30);
    world.approve();
    world.pass(Millis::seconds(seconds));
}

fn silences(world: &mut World, count: usize) {
    for _ in 0..count {
        lost(world, 10);
        world.gone.clear();
        world.pass(Millis::seconds(3));
    }
}

fn obeyed(world: &mut World, epoch: u64) {
    world.agent("dc3-db").epoch = shared::epoch::Epoch(epoch);
    world.pass(Millis::seconds(2));
}

fn unfit(world: &mut World) {
    world.agent("dc3-db").unfit = vec![Unfit::LoopLag];
    world.pass(Millis::seconds(10));
}

fn writes(world: &mut World, name: &str) {
    world.database(name).role = DatabaseRole::Primary;
    world.pass(Millis::seconds(2));
}

fn stopped(world: &mut World, seconds: u64) {
    world.stopped.insert(site("dc3"));
    world.pass(Millis::seconds(seconds));
}

fn changed(world: &mut World) {
    let (version, mut stack) = world.store.stack.clone().unwrap();
    stack.policy.confirm_ms = Millis::seconds(16);
    world.ask(Ask::ApplyStack {
        stack: Box::new(stack),
        replaces: Some(version),
    });
    world.pass(Millis::seconds(10));
}

fn renews(world: &mut World, how: Renews) {
    world.agent("dc1-db").renews = how;
    world.pass(Millis::seconds(10));
}

fn lags(world: &mut World, bytes: u64) {
    world.database("dc2-db").receiving = false;
    world.database("dc2-db").lsn -= bytes;
    world.pass(Millis::seconds(5));
    lost(world, 30);
}

/// Automatic mode over databases that do not stop themselves.
fn unfenced(change: fn(&mut Stack)) -> World {
    let mut stack = in_mode(Mode::Automatic);
    stack.policy.lease.self_fence = SelfFence::Off;
    change(&mut stack);
    let mut world = World::with(stack);
    world.begin("dc2");
    world
}

fn armed() -> World {
    let mut world = World::with(in_mode(Mode::Automatic));
    world.begin("dc2");
    assert_eq!(blocked(&world), BTreeSet::new());
    world
}

fn blocked(world: &World) -> BTreeSet<String> {
    let view = world.core().status(world.instant()).automatic.unwrap();
    for block in &view.blocked {
        assert!(!block.sentence.is_empty(), "{}", block.rule);
    }
    assert_eq!(view.armed, view.blocked.is_empty());
    view.blocked.into_iter().map(|block| block.rule).collect()
}

#[test]
fn every_rule_forbids_in_its_case_and_not_in_the_near_miss() {
    for (rule, spoil, nearly) in ROWS {
        let (mut case, mut near) = (armed(), armed());
        spoil(&mut case);
        nearly(&mut near);
        let found = blocked(&case);
        assert!(found.contains(rule), "{rule}: {found:?}");
        let found = blocked(&near);
        assert!(!found.contains(rule), "{rule}, near: {found:?}");
    }
    // These two have tests of their own.
    let own = ["mode", "window"];
    let told: BTreeSet<&str> = ROWS.iter().map(|row| row.0).chain(own).collect();
    let table: BTreeSet<&str> = AUTOMATIC_RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(told, table);
    assert_eq!(table.len(), AUTOMATIC_RULES.len());
    for (number, rule) in (1..).zip(&AUTOMATIC_RULES) {
        assert_eq!(rule.row, number);
    }
}

#[test]
fn every_finding_belongs_to_a_rule() {
    for row in &FINDINGS {
        let block = AutomaticBlock::Found {
            code: row.code,
            says: String::new(),
        };
        assert!(!block.rule().name.is_empty());
    }
}

#[test]
fn other_modes_never_act() {
    for mode in [Mode::Approval, Mode::Observe, Mode::Shadow] {
        let mut world = World::with(in_mode(mode));
        world.begin("dc2");
        lost(&mut world, 300);
        assert_eq!(world.commands().count(), 0, "{mode:?}");
        let view = world.core().status(world.instant()).automatic;
        assert_eq!(view.is_some(), mode == Mode::Shadow, "{mode:?}");
    }
}

#[test]
fn what_only_records_and_what_is_only_wished_fence_nothing() {
    let log_only = unfenced(|stack| {
        stack.policy.lease.self_fence = SelfFence::Stop;
        stack.policy.lease.rollout = Rollout::LogOnly;
    });
    assert!(blocked(&log_only).contains("self-fence"));
    let mut wished = unfenced(|stack| stack.policy.replication = Replication::Synchronous);
    assert!(blocked(&wished).contains("self-fence"));
    lost(&mut wished, 200);
    assert_eq!(wished.phase(), Phase::Proposed);
}

#[test]
fn it_acts_at_the_end_of_the_window_and_not_a_moment_before() {
    let mut world = armed();
    // The last sighting is at the moment of the loss: 7 s of silence, and 120 s of window.
    lost(&mut world, 126);
    world.pass(Millis(900));
    assert_eq!(world.phase(), Phase::Proposed);
    let view = world.core().status(world.instant()).automatic.unwrap();
    assert_eq!(view.acts_in_ms, Some(Millis(100)));
    world.pass(Millis(100));
    assert_eq!(world.phase(), Phase::Running);
    let run = world.core().durable().unwrap().run.clone().unwrap();
    assert!(run.approval.automatic);
    assert_eq!(run.approval.operator.as_str(), "automatic");
    let version = world.store.stack.as_ref().unwrap().0;
    assert_eq!(run.approval.stack_version, Some(version));
    assert!(run.overrides.is_empty() && run.attestation.is_none());
    let event = world
        .events()
        .find(|e| e.kind == "proposal-approved")
        .unwrap();
    assert_eq!(event.actor.as_str(), "automatic");
    for rule in &AUTOMATIC_RULES {
        let name = format!("rule {:02} {}", rule.row, rule.name);
        assert!(event.evidence.contains_key(&name), "{name}");
    }
    assert!(event.evidence.contains_key("observer dc3"));
}

#[test]
fn a_rule_that_is_broken_for_a_moment_begins_the_window_anew() {
    let mut world = armed();
    lost(&mut world, 60);
    switch(&mut world, false);
    world.pass(Millis(100));
    switch(&mut world, true);
    world.pass(Millis::seconds(119));
    assert_eq!(world.phase(), Phase::Proposed);
    world.pass(Millis::seconds(1));
    assert_eq!(world.phase(), Phase::Running);
}

#[test]
fn the_switch_is_in_the_ticket_before_the_operator_is_told() {
    let mut world = armed();
    switch(&mut world, false);
    let ticket = world.store.ticket.clone().unwrap();
    let off = ticket.automatic_off.clone().unwrap();
    assert_eq!(off.by.as_str(), "alice");
    assert!(!ticket.leases.is_empty(), "what agents promised is kept");
    let last = |wanted| world.done.iter().rposition(|output| kind(output) == wanted);
    assert!(last("ticket") < last("answer"));
    // It is carried over by a revocation and by a grant.
    approved(&mut world, 70);
    let ticket = world.store.ticket.clone().unwrap();
    assert_eq!((ticket.epoch.0, ticket.automatic_off), (2, Some(off)));
}

fn kind(output: &Output) -> &'static str {
    match output {
        Output::Persist(Persist::Ticket { .. }) => "ticket",
        Output::Persist(_) => "write",
        Output::Record(_) => "event",
        Output::Send(_) => "command",
        Output::Announce(_) => "answer",
    }
}

#[test]
fn nothing_of_a_run_is_decided_while_the_switch_is_written() {
    let mut world = World::with(in_mode(Mode::Automatic));
    world.begin("dc2");
    world.faults.push(Fault {
        kind: "promote".to_owned(),
        what: What::Hangs,
    });
    lost(&mut world, 25);
    world.approve();
    let promoting = |world: &World| world.commands().any(|c| c.action.kind() == "promote");
    world.pass_until("the promotion", promoting);
    let mut core = world.core().clone();
    let mut now = world.instant();
    let asked = Input::Asked {
        request: RequestId(2),
        actor: Actor::new("alice"),
        ask: Ask::Automatic {
            on: false,
            reason: because(),
        },
        fresh: world.fresh(),
    };
    core.handle(now, asked);
    let written = std::iter::from_fn(|| core.poll_output()).find_map(|output| match output {
        Output::Persist(Persist::Ticket { to, .. }) => Some(to),
        Output::Persist(_) | Output::Send(_) | Output::Record(_) | Output::Announce(_) => None,
    });
    let running = |core: &Core| core.durable().unwrap().run.as_ref().unwrap().state.clone();
    now.mono = now.mono.after(Millis::seconds(200));
    core.handle(now, Input::Tick(world.fresh()));
    assert_eq!(running(&core), RunState::Running, "the deadline is over");
    let (ticket, revision) = (written.unwrap(), 1_000);
    core.handle(now, Input::TicketWritten { ticket, revision });
    core.handle(now, Input::Tick(world.fresh()));
    assert!(matches!(running(&core), RunState::Halted { .. }));
}
