//! How long to wait before dialling again: doubling, jittered, between 0.2 s and 5 s.

use std::time::Duration;

/// Shortest pause before a dial.
pub(crate) const SHORTEST: Duration = Duration::from_millis(200);
/// Longest pause before a dial.
pub(crate) const LONGEST: Duration = Duration::from_secs(5);

/// Pauses of one outage.
#[derive(Debug)]
pub(crate) struct Backoff {
    ceiling: Duration,
}

impl Backoff {
    /// Starts an outage; the first pause is at most `first`.
    pub(crate) fn new(first: Duration) -> Self {
        Self {
            ceiling: first.clamp(SHORTEST, LONGEST),
        }
    }

    /// The next pause: anywhere between the shortest and the present ceiling, which then doubles.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = between(SHORTEST, self.ceiling);
        self.ceiling = (self.ceiling * 2).min(LONGEST);
        pause
    }
}

/// A random span between two, both included.
pub(crate) fn between(low: Duration, high: Duration) -> Duration {
    if high <= low {
        low
    } else {
        rand::random_range(low..=high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_stay_between_the_bounds_and_differ() {
        let mut backoff = Backoff::new(Duration::from_millis(500));
        let pauses: Vec<Duration> = (0..200).map(|_| backoff.pause()).collect();
        assert!(
            pauses
                .iter()
                .all(|pause| (SHORTEST..=LONGEST).contains(pause))
        );
        let late = &pauses[10..];
        let (low, high) = (late.iter().min().unwrap(), late.iter().max().unwrap());
        assert!(
            *high > *low + Duration::from_secs(2),
            "spread {low:?}..{high:?}"
        );
    }

    #[test]
    fn first_pause_keeps_its_ceiling() {
        for _ in 0..100 {
            assert!(Backoff::new(Duration::from_millis(500)).pause() <= Duration::from_millis(500));
        }
    }
}
