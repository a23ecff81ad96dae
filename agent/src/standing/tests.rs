use std::collections::BTreeMap;

use shared::clock::UnixMillis;
use shared::id::Nonce;
use shared::stack::Rollout;
use uuid::Uuid;

use super::*;

const TICK: Millis = Millis(250);

fn at(mono: u64) -> Reading {
    Reading {
        mono: Mono(mono),
        wall: UnixMillis(1_000_000 + mono),
    }
}

fn rules(version: u64, self_fence: SelfFence) -> Rules {
    Rules {
        version: StackVersion(version),
        lease: LeasePolicy {
            self_fence,
            ..LeasePolicy::default()
        },
    }
}

/// Exchanges with a store that accepts at once.
fn renew(standing: &mut Standing, now: u64) -> Option<LeasePromise> {
    let sent = standing.send(at(now));
    let promise = sent.promise;
    standing.accepted(sent, Epoch(2), at(now));
    promise
}

fn run(standing: &mut Standing, from: u64, to: u64) {
    for mono in (from..=to).step_by(250) {
        standing.look(at(mono));
    }
}

fn held() -> Standing {
    let mut standing = Standing::new(TICK, DeadmanKind::Nftables);
    standing.know(rules(1, SelfFence::Stop));
    renew(&mut standing, 0);
    standing.guard(true);
    standing
}

#[test]
fn a_ticket_says_whose_the_right_is() {
    let ticket = |holder: &str, grant| Ticket {
        summary: String::new(),
        incarnation: Nonce::new(Uuid::from_u128(1)),
        epoch: Epoch(2),
        holder: SiteName::new(holder).unwrap(),
        grant,
        changed_at: UnixMillis(0),
        confirmed_by: None,
        confirmations: 0,
        accepted: 0,
        leases: BTreeMap::new(),
        automatic_off: None,
    };
    let (own, nonce) = (
        SiteName::new("dc1").unwrap(),
        Nonce::new(Uuid::from_u128(9)),
    );
    assert_eq!(right(&ticket("dc1", Some(nonce)), &own), Right::Own);
    assert_eq!(right(&ticket("dc1", None), &own), Right::Pending);
    assert_eq!(right(&ticket("dc2", Some(nonce)), &own), Right::Other);
}

#[test]
fn without_rules_or_with_self_fencing_off_the_store_is_left_alone() {
    let mut standing = Standing::new(TICK, DeadmanKind::None);
    assert!(!standing.due(at(0)));
    standing.know(rules(1, SelfFence::Off));
    assert!(!standing.due(at(0)));
    assert_eq!(standing.order(at(100_000)), Order::Nothing);
    assert_eq!(standing.sample(false, at(0)), None);
}

#[test]
fn the_deadman_is_promised_only_once_it_is_armed_under_a_lease() {
    let mut standing = Standing::new(TICK, DeadmanKind::Nftables);
    standing.know(rules(1, SelfFence::Stop));
    standing.guard(true);
    let first = renew(&mut standing, 0).unwrap();
    assert!(!first.deadman, "nothing was armed by a lease yet");
    assert!(renew(&mut standing, 3_000).unwrap().deadman);
    standing.guard(false);
    assert!(!renew(&mut standing, 6_000).unwrap().deadman);
}

#[test]
fn rules_change_only_with_a_write_that_states_them() {
    let mut standing = held();
    standing.know(rules(2, SelfFence::Off));
    let sent = standing.send(at(3_000));
    assert_eq!(sent.promise, None);
    run(&mut standing, 0, 30_000);
    standing.unanswered();
    // Not accepted: the old promise stands, so it is kept.
    assert!(matches!(
        standing.order(at(30_000)),
        Order::Stop(Why::Expired { .. })
    ));
    standing.accepted(sent, Epoch(2), at(30_000));
    assert_eq!(standing.order(at(30_000)), Order::Nothing);
    assert!(!standing.is_leased() && !standing.due(at(60_000)));
}

#[test]
fn a_changed_bound_is_promised_as_the_longer_one_until_it_is_in_force() {
    let mut standing = held();
    let mut longer = rules(2, SelfFence::Stop);
    longer.lease.deadman_after_ms = Millis::seconds(60);
    let (long, short) = (
        longer.lease.stop_bound_ms(),
        LeasePolicy::default().stop_bound_ms(),
    );
    standing.know(longer);
    assert_eq!(renew(&mut standing, 3_000).unwrap().stop_bound_ms, long);
    standing.know(rules(3, SelfFence::Stop));
    assert_eq!(renew(&mut standing, 6_000).unwrap().stop_bound_ms, long);
    assert_eq!(renew(&mut standing, 9_000).unwrap().stop_bound_ms, short);
}

#[test]
fn recording_promises_nothing_and_stops_nothing() {
    let mut standing = Standing::new(TICK, DeadmanKind::Nftables);
    let mut recording = rules(1, SelfFence::Stop);
    recording.lease.rollout = Rollout::LogOnly;
    standing.know(recording);
    assert_eq!(renew(&mut standing, 0), None);
    let word = |standing: &Standing, now| standing.sample(false, at(now)).unwrap();
    assert_eq!(word(&standing, 1_000).standing, LeaseStanding::Recorded);
    run(&mut standing, 0, 30_000);
    assert!(matches!(
        standing.order(at(30_000)),
        Order::Record(Why::Expired { .. })
    ));
    assert_eq!(word(&standing, 30_000).standing, LeaseStanding::Lost);
    assert_eq!(word(&standing, 30_000).worst_gap_ms, Some(Millis(30_000)));
    assert!(standing.denied());
    assert_eq!(standing.order(at(30_000)), Order::Nothing);
}

#[test]
fn a_denied_right_stops_the_database_once() {
    let mut standing = held();
    assert!(standing.denied());
    assert_eq!(standing.order(at(1_000)), Order::Stop(Why::Deposed));
    assert!(!standing.denied(), "it was lost before");
    standing.stopped();
    assert_eq!(standing.order(at(1_000)), Order::Nothing);
    let word = |fenced| standing.sample(fenced, at(1_000)).unwrap().standing;
    assert_eq!(word(true), LeaseStanding::Fenced);
    assert_eq!(word(false), LeaseStanding::NotHolder);
}

#[test]
fn what_only_expired_is_renewed_after_it_was_stopped() {
    let mut standing = held();
    run(&mut standing, 0, 31_000);
    assert!(matches!(
        standing.order(at(31_000)),
        Order::Stop(Why::Expired { .. })
    ));
    standing.stopped();
    assert!(
        matches!(standing.order(at(31_000)), Order::Stop(_)),
        "nothing renewed it"
    );
    renew(&mut standing, 31_000);
    assert!(matches!(standing.order(at(31_250)), Order::Serve { .. }));
}

#[test]
fn a_short_look_back_is_staleness_and_a_long_one_is_lost_writes() {
    let mut standing = held();
    assert!(!standing.shown_less(at(1_000)));
    assert!(!standing.shown_less(at(12_999)));
    assert!(standing.shown_less(at(13_000)));
    let word = |standing: &Standing| standing.sample(false, at(13_000)).unwrap().standing;
    assert_eq!(word(&standing), LeaseStanding::Regressed);
    renew(&mut standing, 13_250);
    assert_eq!(word(&standing), LeaseStanding::Held);
    assert!(!standing.shown_less(at(14_000)), "it counts anew");
}

#[test]
fn peers_are_asked_only_when_the_store_is_silent_and_the_policy_says_so() {
    let mut strict = held();
    strict.unanswered();
    assert_eq!(strict.question(at(4_000)), None);

    let mut standing = Standing::new(TICK, DeadmanKind::Nftables);
    let mut failsafe = rules(1, SelfFence::Stop);
    failsafe.lease.store_loss = StoreLoss::Failsafe;
    standing.know(failsafe);
    renew(&mut standing, 0);
    assert_eq!(standing.question(at(4_000)), None, "the store answered");
    standing.unanswered();
    run(&mut standing, 0, 20_000);
    let asked = standing.question(at(20_000)).unwrap();
    run(&mut standing, 20_250, 31_000);
    standing.vouched(asked, at(31_000));
    // From the sending of the question.
    let left = Order::Serve {
        deadman_ms: Millis(27_000),
    };
    assert_eq!(standing.order(at(31_000)), left);
    assert_eq!(
        standing.sample(false, at(31_000)).unwrap().standing,
        LeaseStanding::Vouched
    );
    standing.denied();
    let asked = standing.question(at(31_250));
    assert_eq!(asked, None, "it was deposed");
}

#[test]
fn an_earlier_process_of_this_boot_is_taken_up_where_it_stood() {
    let mut standing = Standing::new(TICK, DeadmanKind::None);
    standing.know(rules(1, SelfFence::Stop));
    standing.resume(Epoch(2), Some(at(10_000)), at(35_000));
    assert!(matches!(standing.order(at(35_000)), Order::Serve { .. }));
    assert!(standing.due(at(35_000)));
    assert!(matches!(
        standing.order(at(40_000)),
        Order::Stop(Why::Expired { .. })
    ));
    let mut unknown = Standing::new(TICK, DeadmanKind::None);
    unknown.know(rules(1, SelfFence::Stop));
    unknown.resume(Epoch(2), None, at(0));
    run(&mut unknown, 0, 4_000);
    assert!(matches!(
        unknown.order(at(4_000)),
        Order::Stop(Why::Unproved { .. })
    ));
}
