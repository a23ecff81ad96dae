//! What many histories came to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::History;

/// Counts over histories.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Histories played.
    pub histories: u64,
    /// Faults by their kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Events by their kind.
    pub events: BTreeMap<String, u64>,
    /// Phases reached.
    pub phases: BTreeSet<String>,
    /// Rows of the table of moves used.
    pub rows: BTreeSet<u16>,
    /// Pairs of fault kinds that met in one history.
    pub fault_pairs: BTreeSet<(&'static str, &'static str)>,
    /// Seeds with their violations.
    pub violations: Vec<(u64, String)>,
}

impl Summary {
    /// Counts a history in.
    pub fn add(&mut self, history: &History) {
        self.histories += 1;
        for (kind, count) in &history.faults {
            *self.faults.entry(kind).or_insert(0) += count;
        }
        for (kind, count) in &history.events {
            *self.events.entry(kind.clone()).or_insert(0) += count;
        }
        for first in history.faults.keys() {
            let later = history.faults.keys().filter(|second| *second > first);
            self.fault_pairs
                .extend(later.map(|second| (*first, *second)));
        }
        self.phases.extend(history.phases.iter().cloned());
        self.rows.extend(history.rows.iter().copied());
        self.violations.extend(
            history
                .violations
                .iter()
                .map(|violation| (history.seed, violation.clone())),
        );
    }
}

impl Summary {
    /// A violation in the history of a seed.
    pub fn violate(&mut self, seed: u64, sentence: &str) {
        self.violations.push((seed, sentence.to_owned()));
    }

    /// Counts another summary in, of later seeds.
    pub fn merge(&mut self, other: Self) {
        self.histories += other.histories;
        for (kind, count) in other.faults {
            *self.faults.entry(kind).or_insert(0) += count;
        }
        for (kind, count) in other.events {
            *self.events.entry(kind).or_insert(0) += count;
        }
        self.phases.extend(other.phases);
        self.rows.extend(other.rows);
        self.fault_pairs.extend(other.fault_pairs);
        self.violations.extend(other.violations);
    }

    /// Pairs of fault kinds that met in one history, and how many there are.
    pub fn pairs(&self) -> (usize, usize) {
        let kinds = self.faults.len();
        (self.fault_pairs.len(), kinds * kinds.saturating_sub(1) / 2)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "histories  {}", self.histories)?;
        writeln!(
            f,
            "faults     {}",
            counted(self.faults.iter().map(|(kind, count)| (*kind, *count)))
        )?;
        writeln!(
            f,
            "events     {}",
            counted(
                self.events
                    .iter()
                    .map(|(kind, count)| (kind.as_str(), *count))
            )
        )?;
        writeln!(
            f,
            "phases     {}",
            self.phases.iter().cloned().collect::<Vec<_>>().join(" ")
        )?;
        let rows: Vec<String> = self.rows.iter().map(ToString::to_string).collect();
        writeln!(
            f,
            "rows       {} of {}: {}",
            rows.len(),
            decision::MOVES.len(),
            rows.join(" ")
        )?;
        writeln!(f, "violations {}", self.violations.len())?;
        for (seed, violation) in self.violations.iter().take(20) {
            writeln!(f, "  seed {seed}: {violation}")?;
        }
        Ok(())
    }
}

fn counted<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> String {
    counts
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect::<Vec<_>>()
        .join(", ")
}
