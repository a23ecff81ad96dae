//! The detector: from the observers' votes to a judgement over time.
//!
//! Only an uninterrupted agreement of every observer of every other site, never fewer than two, confirms a
//! loss; one sighting by anybody starts it anew. After a start nothing is inherited: the own time counts.

use serde::{Deserialize, Serialize};
use shared::clock::{Millis, Mono};
use shared::stack::Policy;

use crate::sighting::{ObserverVote, Vote};

/// Fewest observing sites that can confirm a loss.
pub(crate) const OBSERVERS_MIN: usize = 2;

/// Entries into suspicion within [`FLAPPING_WINDOW_MS`] that count as flapping.
const FLAPPING_ENTRIES: usize = 3;

/// The window in which entries into suspicion are counted: ten minutes.
const FLAPPING_WINDOW_MS: Millis = Millis::seconds(600);

/// What the votes say at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Tally {
    /// Nobody says anything.
    Unknown,
    /// Somebody sights it and nobody misses it.
    Sighted,
    /// Somebody misses it, and somebody sights it or has no vote.
    SomeSilent,
    /// Everybody misses it, and they are enough.
    AllSilent,
}

/// The detector's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Detector {
    /// The newest tally.
    pub(crate) tally: Tally,
    /// Since when everybody misses it without an interruption.
    pub(crate) quiet_since: Option<Mono>,
    /// Since when somebody sights it and nobody misses it.
    pub(crate) sighted_since: Option<Mono>,
    /// The newest entries into suspicion, oldest first.
    suspicions: Vec<Mono>,
}

impl Detector {
    /// A detector that knows nothing.
    pub(crate) const fn new() -> Self {
        Self {
            tally: Tally::Unknown,
            quiet_since: None,
            sighted_since: None,
            suspicions: Vec::new(),
        }
    }

    /// Takes the votes of this instant; `lives_here` when the judging process itself stands in the site.
    ///
    /// A sighting that was told late interrupts too, at its own time: the silence begins `silence` after the newest one.
    pub(crate) fn step(
        &mut self,
        now: Mono,
        votes: &[ObserverVote],
        silence: Millis,
        lives_here: bool,
    ) {
        let tally = match tally(votes) {
            Tally::AllSilent if lives_here => Tally::SomeSilent,
            Tally::AllSilent => Tally::AllSilent,
            Tally::Unknown => Tally::Unknown,
            Tally::Sighted => Tally::Sighted,
            Tally::SomeSilent => Tally::SomeSilent,
        };
        let misses = |t| matches!(t, Tally::SomeSilent | Tally::AllSilent);
        if misses(tally) && !misses(self.tally) {
            self.suspicions.push(now);
            // Older ones than those that count together are of no use.
            if self.suspicions.len() > FLAPPING_ENTRIES {
                self.suspicions.remove(0);
            }
        }
        self.quiet_since = if tally == Tally::AllSilent {
            let sightings = votes.iter().filter_map(|vote| vote.sighting.as_ref());
            let silent_from = sightings.map(|sighting| sighting.at.after(silence)).max();
            self.quiet_since.or(Some(now)).max(silent_from)
        } else {
            None
        };
        self.sighted_since = if tally == Tally::Sighted {
            self.sighted_since.or(Some(now))
        } else {
            None
        };
        self.tally = tally;
    }

    /// True when the silence has held for the confirmation time.
    pub(crate) fn confirmed(&self, now: Mono, policy: &Policy) -> bool {
        self.quiet_since
            .is_some_and(|since| since.after(policy.confirm_ms) <= now)
    }

    /// True when it was sighted for so long that it counts as back.
    pub(crate) fn clear(&self, now: Mono, policy: &Policy) -> bool {
        self.sighted_since
            .is_some_and(|since| since.after(policy.clear_ms) <= now)
    }

    /// True when it comes and goes.
    pub(crate) fn flapping(&self, now: Mono) -> bool {
        self.suspicions
            .iter()
            .filter(|at| at.after(FLAPPING_WINDOW_MS) > now)
            .count()
            >= FLAPPING_ENTRIES
    }

    /// Forgets everything: another site is live now.
    pub(crate) fn reset(&mut self) {
        *self = Self::new();
    }
}

fn tally(votes: &[ObserverVote]) -> Tally {
    let count = |wanted: fn(&Vote) -> bool| votes.iter().filter(|v| wanted(&v.vote)).count();
    let silent = count(|vote| matches!(vote, Vote::Silent));
    let sighted = count(|vote| matches!(vote, Vote::Sighted));
    match (silent, sighted) {
        (0, 0) => Tally::Unknown,
        (0, _) => Tally::Sighted,
        (n, 0) if n == votes.len() && n >= OBSERVERS_MIN => Tally::AllSilent,
        _ => Tally::SomeSilent,
    }
}

#[cfg(test)]
mod tests;
