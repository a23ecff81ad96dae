use super::*;

/// A host that has been up for a second, heard at an arbitrary instant.
fn transit() -> (u64, Transit) {
    let start = 1_000_000;
    (start, Transit::new(Mono(start), Millis(1_000)))
}

/// Hears the message of each second, `late` milliseconds late, and gives how old the last one is taken to be.
fn hear(transit: &mut Transit, start: u64, seconds: std::ops::Range<u64>, late: u64) -> Millis {
    let mut age = Millis(0);
    for second in seconds {
        let now = Mono(start + second * 1_000 + late);
        let uptime = Millis(1_000 + second * 1_000);
        transit.learn(now, uptime);
        age = now.since(transit.sent(now, uptime));
    }
    age
}

#[test]
fn a_late_message_shows_its_age() {
    let (start, mut transit) = transit();
    let age = hear(&mut transit, start, 1..10, 5_000);
    assert!(age >= Millis(4_900), "{age:?}");
}

#[test]
fn a_host_that_lost_time_is_not_late_for_ever() {
    // A virtual machine that was paused for five seconds does not know it, and never makes up for them.
    let (start, mut transit) = transit();
    let age = hear(&mut transit, start, 1..29, 5_000);
    assert!(age >= Millis(4_900), "{age:?}");
    let age = hear(&mut transit, start, 29..40, 5_000);
    assert!(age <= Millis(100), "{age:?}");
}

#[test]
fn a_message_in_time_ends_the_doubt_about_the_host() {
    let (start, mut transit) = transit();
    hear(&mut transit, start, 1..29, 5_000);
    hear(&mut transit, start, 34..35, 0);
    let age = hear(&mut transit, start, 35..50, 5_000);
    assert!(age >= Millis(4_900), "{age:?}");
}
