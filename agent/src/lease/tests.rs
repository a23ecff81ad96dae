use super::*;

const TERMS: Terms = Terms {
    renew_every_ms: Millis(3_000),
    attempt_ms: Millis(4_000),
    demote_after_ms: Millis(30_000),
    deadman_after_ms: Millis(38_000),
    tick_ms: Millis(250),
    closable: true,
};

fn at(mono: u64) -> Reading {
    Reading {
        mono: Mono(mono),
        wall: UnixMillis(1_000_000 + mono),
    }
}

/// Looks at every tick, as an agent that runs does.
fn run(lease: &mut Lease, from: u64, to: u64) {
    for mono in (from..=to).step_by(250) {
        lease.look(at(mono));
    }
}

fn held() -> Lease {
    Lease::anchored(TERMS, at(0), at(0))
}

#[test]
fn the_age_counts_from_the_sending() {
    let mut lease = held();
    let attempt = lease.send(at(10_000));
    run(&mut lease, 0, 14_000);
    lease.accept(attempt, at(14_000));
    assert_eq!(lease.age_ms(at(14_000)), Millis(4_000));
    run(&mut lease, 14_000, 39_750);
    assert!(matches!(lease.verdict(at(39_999)), Verdict::Serve { .. }));
    let why = Why::Expired {
        age_ms: Millis(30_000),
    };
    assert_eq!(lease.verdict(at(40_000)), Verdict::Stop(why));
}

#[test]
fn the_kernel_gets_what_is_left_and_not_the_whole_span() {
    let mut lease = held();
    run(&mut lease, 0, 20_000);
    let left = Verdict::Serve {
        deadman_ms: Millis(18_000),
    };
    assert_eq!(lease.verdict(at(20_000)), left);
    assert_eq!(lease.deadman_ms(at(50_000)), Millis(0));
}

#[test]
fn a_pause_closes_the_port_until_a_later_renewal_is_accepted() {
    let mut lease = held();
    let before = lease.send(at(1_000));
    lease.look(at(5_000));
    assert_eq!(lease.verdict(at(5_000)), Verdict::Close);
    assert!(lease.renewal_due(at(5_000)));
    lease.accept(before, at(5_000));
    assert_eq!(
        lease.verdict(at(5_000)),
        Verdict::Close,
        "sent before the pause was noticed"
    );
    let after = lease.send(at(5_000));
    lease.accept(after, at(5_010));
    assert!(matches!(lease.verdict(at(5_010)), Verdict::Serve { .. }));
}

#[test]
fn a_port_that_cannot_be_closed_makes_doubt_stop_after_one_attempt() {
    let terms = Terms {
        closable: false,
        ..TERMS
    };
    let mut lease = Lease::anchored(terms, at(0), at(0));
    lease.look(at(5_000));
    assert_eq!(lease.verdict(at(8_999)), Verdict::Close);
    let why = Why::Unproved {
        for_ms: Millis(4_000),
    };
    assert_eq!(lease.verdict(at(9_000)), Verdict::Stop(why));
}

#[test]
fn a_gap_of_exactly_a_second_is_no_pause() {
    let mut lease = held();
    lease.look(at(1_000));
    assert!(matches!(lease.verdict(at(1_000)), Verdict::Serve { .. }));
    lease.look(at(2_001));
    assert_eq!(lease.verdict(at(2_001)), Verdict::Close);
}

#[test]
fn three_slow_ticks_are_no_pause() {
    let terms = Terms {
        tick_ms: Millis(2_000),
        ..TERMS
    };
    let mut lease = Lease::anchored(terms, at(0), at(0));
    lease.look(at(6_000));
    assert!(matches!(lease.verdict(at(6_000)), Verdict::Serve { .. }));
    lease.look(at(12_001));
    assert_eq!(lease.verdict(at(12_001)), Verdict::Close);
}

#[test]
fn a_wall_clock_that_jumps_forward_only_shortens() {
    let mut lease = held();
    run(&mut lease, 0, 2_000);
    let jumped = Reading {
        mono: Mono(2_250),
        wall: UnixMillis(1_000_000 + 3_600_000),
    };
    lease.look(jumped);
    assert_eq!(lease.verdict(jumped), Verdict::Close);
    assert_eq!(lease.deadman_ms(jumped), Millis(0));
    let attempt = lease.send(jumped);
    lease.accept(attempt, jumped);
    assert!(matches!(lease.verdict(jumped), Verdict::Serve { .. }));
}

#[test]
fn a_wall_clock_that_jumps_back_changes_nothing() {
    let mut lease = held();
    run(&mut lease, 0, 29_000);
    let back = Reading {
        mono: Mono(29_250),
        wall: UnixMillis(5),
    };
    lease.look(back);
    assert!(matches!(lease.verdict(back), Verdict::Serve { .. }));
    let later = Reading {
        mono: Mono(30_000),
        ..back
    };
    assert!(matches!(
        lease.verdict(later),
        Verdict::Stop(Why::Expired { .. })
    ));
}

#[test]
fn an_answer_to_an_older_renewal_does_not_make_it_older() {
    let mut lease = held();
    let (first, second) = (lease.send(at(3_000)), lease.send(at(6_000)));
    lease.accept(second, at(6_100));
    lease.accept(first, at(6_200));
    assert_eq!(lease.anchor(), at(6_000));
}

#[test]
fn the_stores_word_stops_at_once_and_only_a_renewal_ends_it() {
    let mut lease = held();
    lease.depose();
    assert_eq!(lease.verdict(at(10)), Verdict::Stop(Why::Deposed));
    let attempt = lease.send(at(20));
    lease.accept(attempt, at(30));
    assert!(matches!(lease.verdict(at(30)), Verdict::Serve { .. }));
}

#[test]
fn nothing_known_is_doubt() {
    let mut lease = Lease::unproved(TERMS, at(0));
    assert_eq!(lease.verdict(at(0)), Verdict::Close);
    run(&mut lease, 0, 30_000);
    assert!(matches!(
        lease.verdict(at(30_000)),
        Verdict::Stop(Why::Expired { .. })
    ));
}

#[test]
fn peers_extend_it_and_say_so() {
    let mut lease = held();
    let attempt = lease.send(at(25_000));
    lease.extend(attempt, at(25_100));
    assert!(lease.is_vouched());
    let attempt = lease.send(at(28_000));
    lease.accept(attempt, at(28_100));
    assert!(!lease.is_vouched());
}

#[test]
fn a_renewal_is_due_at_once_then_each_period() {
    let mut lease = held();
    assert!(lease.renewal_due(at(0)));
    lease.send(at(0));
    assert!(!lease.renewal_due(at(2_999)));
    assert!(lease.renewal_due(at(3_000)));
}

#[test]
fn the_worst_gap_is_what_was_reached_before_a_renewal() {
    let mut lease = held();
    run(&mut lease, 0, 11_000);
    let attempt = lease.send(at(11_000));
    lease.accept(attempt, at(11_200));
    run(&mut lease, 11_250, 13_000);
    assert_eq!(lease.worst_gap_ms(), Millis(11_200));
}

#[test]
fn other_spans_count_from_the_instant_they_are_given() {
    let mut lease = held();
    run(&mut lease, 0, 20_000);
    assert!(matches!(lease.verdict(at(20_000)), Verdict::Serve { .. }));
    lease.keep(Terms {
        demote_after_ms: Millis(15_000),
        ..TERMS
    });
    let why = Why::Expired {
        age_ms: Millis(20_000),
    };
    assert_eq!(lease.verdict(at(20_000)), Verdict::Stop(why));
}

#[test]
fn doubt_asks_for_one_renewal_at_once_and_then_in_the_usual_time() {
    let mut lease = held();
    lease.send(at(1_000));
    assert!(!lease.renewal_due(at(3_999)));
    assert!(lease.renewal_due(at(4_000)), "the usual time");
    lease.send(at(4_000));
    lease.look(at(5_000));
    lease.look(at(6_100));
    assert!(lease.renewal_due(at(6_100)), "a pause was noticed since");
    lease.send(at(6_100));
    assert!(!lease.renewal_due(at(6_100)), "it was asked in that doubt");
    assert!(!lease.renewal_due(at(9_099)));
    assert!(lease.renewal_due(at(9_100)));
}

/// A reading whose wall clock has jumped forward.
fn jumped(mono: u64) -> Reading {
    Reading {
        wall: UnixMillis(1_000_000 + mono + 3_600_000),
        ..at(mono)
    }
}

#[test]
fn a_wall_clock_that_jumps_closes_the_port_or_else_stops() {
    assert_eq!(held().verdict(jumped(500)), Verdict::Close);
    let terms = Terms {
        closable: false,
        ..TERMS
    };
    let lease = Lease::anchored(terms, at(0), at(0));
    let why = Why::Unproved { for_ms: Millis(0) };
    assert_eq!(lease.verdict(jumped(500)), Verdict::Stop(why));
}

#[test]
fn a_port_that_can_be_closed_is_closed_however_long_the_doubt_lasts() {
    let lease = Lease::unproved(TERMS, at(0));
    assert_eq!(lease.verdict(at(0)), Verdict::Close);
    assert_eq!(lease.verdict(at(3_999)), Verdict::Close);
    assert_eq!(lease.verdict(at(20_000)), Verdict::Close);
}

#[test]
fn a_renewal_of_the_same_instant_still_takes_the_place_of_the_peers_word() {
    let mut lease = held();
    let attempt = lease.send(at(2_000));
    lease.extend(attempt, at(2_010));
    assert!(lease.is_vouched());
    let attempt = lease.send(at(2_000));
    lease.accept(attempt, at(2_020));
    assert!(!lease.is_vouched());
}
