//! Votes to tallies, and tallies over time, each bound met exactly and missed by one millisecond.

use shared::id::{NodeName, SiteName};
use shared::wire::SightingChannel;

use super::*;
use crate::sighting::{NoVote, Sighting};

const SILENCE: Millis = Millis(7_000);

fn vote(vote: Vote) -> ObserverVote {
    ObserverVote {
        observer: SiteName::new("dc2").unwrap(),
        vote,
        sighting: None,
        knowledge_age: Millis(0),
    }
}

/// `s` sights it, `-` misses it, `?` has no vote.
fn votes(text: &str) -> Vec<ObserverVote> {
    let read = |c| match c {
        's' => Vote::Sighted,
        '-' => Vote::Silent,
        '?' => Vote::None(NoVote::Missing),
        other => panic!("no vote: {other}"),
    };
    text.chars().map(read).map(vote).collect()
}

fn policy() -> Policy {
    Policy {
        confirm_ms: Millis(15_000),
        clear_ms: Millis(10_000),
        ..Policy::default()
    }
}

/// A detector that took these votes, one step each.
fn after(steps: &[(u64, &str)]) -> Detector {
    let mut detector = Detector::new();
    for (at, text) in steps {
        detector.step(Mono(*at), &votes(text), SILENCE, false);
    }
    detector
}

#[test]
fn every_mixture_of_votes_has_its_tally() {
    let rows = [
        ("", Tally::Unknown),
        ("?", Tally::Unknown),
        ("??", Tally::Unknown),
        ("s", Tally::Sighted),
        ("s?", Tally::Sighted),
        ("ss", Tally::Sighted),
        ("s-", Tally::SomeSilent),
        ("-s", Tally::SomeSilent),
        ("-?", Tally::SomeSilent),
        ("--?", Tally::SomeSilent),
        ("--s", Tally::SomeSilent),
        // One observer alone never confirms a loss.
        ("-", Tally::SomeSilent),
        ("--", Tally::AllSilent),
        ("---", Tally::AllSilent),
    ];
    for (text, expected) in rows {
        assert_eq!(tally(&votes(text)), expected, "{text:?}");
        assert_eq!(after(&[(1, text)]).tally, expected, "{text:?}");
    }
}

#[test]
fn who_lives_in_the_site_does_not_confirm_its_loss() {
    let rows = [
        ("??", Tally::Unknown),
        ("ss", Tally::Sighted),
        ("s-", Tally::SomeSilent),
        ("--", Tally::SomeSilent),
    ];
    for (text, expected) in rows {
        let mut detector = Detector::new();
        detector.step(Mono(1), &votes(text), SILENCE, true);
        assert_eq!(detector.tally, expected, "{text:?}");
        assert_eq!(detector.quiet_since, None);
    }
}

#[test]
fn silence_is_confirmed_when_its_time_is_full_and_not_before() {
    let detector = after(&[(1_000, "--"), (5_000, "--"), (15_999, "--")]);
    assert_eq!(detector.quiet_since, Some(Mono(1_000)));
    assert!(!detector.confirmed(Mono(15_999), &policy()));
    assert!(detector.confirmed(Mono(16_000), &policy()));
    assert!(detector.confirmed(Mono(16_001), &policy()));
}

#[test]
fn one_interruption_starts_the_silence_anew() {
    for interruption in ["s-", "ss", "??", "-?"] {
        let interrupted = after(&[(0, "--"), (14_000, interruption)]);
        assert_eq!(interrupted.quiet_since, None, "{interruption}");
        assert!(!interrupted.confirmed(Mono(90_000), &policy()));
        let detector = after(&[(0, "--"), (14_000, interruption), (14_500, "--")]);
        assert_eq!(detector.quiet_since, Some(Mono(14_500)));
        assert!(!detector.confirmed(Mono(29_499), &policy()));
        assert!(detector.confirmed(Mono(29_500), &policy()));
    }
}

#[test]
fn a_sighting_told_late_starts_the_silence_anew_from_its_own_time() {
    let silent_since = |at| {
        let mut votes = votes("--");
        votes[1].sighting = Some(Sighting {
            at: Mono(at),
            node: NodeName::new("dc1-db").unwrap(),
            channel: SightingChannel::PeerPostgres,
        });
        votes
    };
    let mut detector = Detector::new();
    detector.step(Mono(10_000), &silent_since(2_000), SILENCE, false);
    assert_eq!(detector.quiet_since, Some(Mono(10_000)));
    // Nothing new: older words change nothing.
    detector.step(Mono(11_000), &silent_since(3_000), SILENCE, false);
    assert_eq!(detector.quiet_since, Some(Mono(10_000)));
    // Old enough to leave the vote silent, and yet after the silence was taken to have begun.
    detector.step(Mono(14_000), &silent_since(3_400), SILENCE, false);
    assert_eq!(detector.quiet_since, Some(Mono(10_400)));
    detector.step(Mono(15_000), &votes("--"), SILENCE, false);
    assert!(!detector.confirmed(Mono(25_399), &policy()));
    assert!(detector.confirmed(Mono(25_400), &policy()));
}

#[test]
fn it_is_clear_after_its_time_of_sightings_that_nobody_contradicts() {
    let detector = after(&[(1_000, "--"), (2_000, "ss"), (9_000, "s?")]);
    assert_eq!(detector.sighted_since, Some(Mono(2_000)));
    assert!(!detector.clear(Mono(11_999), &policy()));
    assert!(detector.clear(Mono(12_000), &policy()));
    for contradiction in ["s-", "??", "--"] {
        let detector = after(&[(2_000, "ss"), (3_000, contradiction)]);
        assert!(!detector.clear(Mono(90_000), &policy()), "{contradiction}");
    }
}

/// Enters suspicion at each instant; it is sighted for a moment before.
fn suspected_at(instants: &[u64]) -> Detector {
    let mut detector = Detector::new();
    for at in instants {
        detector.step(Mono(at - 1), &votes("ss"), SILENCE, false);
        detector.step(Mono(*at), &votes("s-"), SILENCE, false);
        // Staying in it is no new entry.
        detector.step(Mono(at + 1), &votes("--"), SILENCE, false);
        detector.step(Mono(at + 2), &votes("s-"), SILENCE, false);
    }
    detector
}

#[test]
fn three_entries_within_ten_minutes_are_flapping() {
    assert!(!suspected_at(&[1_000, 2_000]).flapping(Mono(2_000)));
    let detector = suspected_at(&[1_000, 2_000, 3_000]);
    assert!(detector.flapping(Mono(3_000)));
    assert!(detector.flapping(Mono(600_999)));
    assert!(!detector.flapping(Mono(601_000)), "the first is over");
    // However many came before, the newest three count.
    let detector = suspected_at(&[1_000, 2_000, 3_000, 300_000, 400_000, 500_000]);
    assert!(detector.flapping(Mono(899_999)));
    assert!(!detector.flapping(Mono(900_000)));
    let spread = suspected_at(&[1_000, 301_000, 602_000]);
    assert!(!spread.flapping(Mono(602_000)));
}

#[test]
fn coming_from_nothing_is_an_entry_too() {
    let steps = [(1, "--"), (2, "??"), (3, "-?"), (4, "??"), (5, "s-")];
    assert!(after(&steps).flapping(Mono(5)));
    assert!(!after(&steps[..4]).flapping(Mono(5)));
}

#[test]
fn a_reset_forgets_everything() {
    let mut detector = suspected_at(&[1_000, 2_000, 3_000]);
    detector.step(Mono(3_500), &votes("--"), SILENCE, false);
    detector.reset();
    assert_eq!(detector, Detector::new());
    assert!(!detector.flapping(Mono(3_500)));
}
