//! Fixed seeds of the simulation: safe while faulty, at rest once healed, the same twice; and flaws are found.

use tests::simulation::{Campaign, Depth, Flaw, play, play_flawed};

#[test]
fn two_hundred_histories_are_safe_and_come_to_rest() {
    let summary = Campaign::new(0..200).play();
    assert!(
        summary.violations.is_empty(),
        "replay with `cargo sim --seed N --replay`\n{summary}"
    );
    assert_eq!(summary.histories, 200);
    assert!(summary.faults.len() >= 12, "{summary}");
    assert_eq!(
        summary.phases.len(),
        decision::Phase::ALL.len(),
        "{summary}"
    );
    for kind in [
        "run-completed",
        "run-halted",
        "run-adopted",
        "run-resumed",
        "proposal-withdrawn",
        "hold",
    ] {
        assert!(
            summary.events.contains_key(kind),
            "{kind} never happened\n{summary}"
        );
    }
}

#[test]
fn a_seed_gives_the_same_history_twice() {
    for seed in [3, 1_492] {
        let (first, second) = (play(seed, Depth::Told), play(seed, Depth::Told));
        assert!(
            first.log.len() > 30,
            "seed {seed}: {} lines",
            first.log.len()
        );
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn every_flaw_is_found() {
    let flaws = [Flaw::LeaseTooLong, Flaw::WritesSkipped, Flaw::NoWait];
    for flaw in flaws {
        let found = (0..120).find(|seed| !play_flawed(*seed, flaw).violations.is_empty());
        assert!(found.is_some(), "{flaw:?} is not found");
    }
}
