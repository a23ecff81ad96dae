//! What many histories came to, and what none of them reached.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use decision::{FINDINGS, FindingCode, MOVES, Phase};

use super::{FaultKind, History};

/// Kinds of faults that there are.
const KINDS: usize = FaultKind::ALL.len();

/// Violations that are shown; the rest is only counted.
const SHOWN: usize = 20;

/// Counts over histories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Histories played.
    pub histories: u64,
    /// Time that went by in them, in milliseconds.
    pub simulated_ms: u64,
    /// Faults by their kind, in the order of [`FaultKind::ALL`].
    pub faults: [u64; KINDS],
    /// Histories in which two kinds met, by the places of both; the lower one first.
    pub pairs: [[u64; KINDS]; KINDS],
    /// Events by their kind.
    pub events: BTreeMap<String, u64>,
    /// Phases reached.
    pub phases: BTreeSet<&'static str>,
    /// Rows of the table of moves used.
    pub rows: BTreeSet<u16>,
    /// Findings shown by a leader.
    pub findings: BTreeSet<FindingCode>,
    /// Seeds with their violations, the first ones.
    pub violations: Vec<(u64, String)>,
    /// All violations.
    pub violated: u64,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            histories: 0,
            simulated_ms: 0,
            faults: [0; KINDS],
            pairs: [[0; KINDS]; KINDS],
            events: BTreeMap::new(),
            phases: BTreeSet::new(),
            rows: BTreeSet::new(),
            findings: BTreeSet::new(),
            violations: Vec::new(),
            violated: 0,
        }
    }
}

impl Summary {
    /// Counts a history in.
    pub fn add(&mut self, history: &History) {
        self.histories += 1;
        self.simulated_ms += history.simulated_ms;
        for (first, count) in history.faults.iter().enumerate() {
            self.faults[first] += u64::from(*count);
            if *count == 0 {
                continue;
            }
            for (second, count) in history.faults.iter().enumerate().skip(first + 1) {
                self.pairs[first][second] += u64::from(*count > 0);
            }
        }
        for (kind, count) in &history.events {
            if let Some(sum) = self.events.get_mut(kind) {
                *sum += count;
            } else {
                self.events.insert(kind.clone(), *count);
            }
        }
        self.phases.extend(&history.phases);
        self.rows.extend(&history.rows);
        self.findings.extend(&history.findings);
        for violation in &history.violations {
            self.violate(history.seed, violation);
        }
    }

    /// A violation in the history of a seed.
    pub fn violate(&mut self, seed: u64, sentence: &str) {
        self.violated += 1;
        if self.violations.len() < SHOWN {
            self.violations.push((seed, sentence.to_owned()));
        }
    }

    /// Counts another summary in, of later seeds.
    pub fn merge(&mut self, other: Self) {
        self.histories += other.histories;
        self.simulated_ms += other.simulated_ms;
        for (sum, count) in self.faults.iter_mut().zip(other.faults) {
            *sum += count;
        }
        for (sums, counts) in self.pairs.iter_mut().zip(other.pairs) {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        for (kind, count) in other.events {
            *self.events.entry(kind).or_insert(0) += count;
        }
        self.phases.extend(other.phases);
        self.rows.extend(other.rows);
        self.findings.extend(other.findings);
        self.violated += other.violated;
        let room = SHOWN.saturating_sub(self.violations.len());
        self.violations
            .extend(other.violations.into_iter().take(room));
    }

    /// Pairs of fault kinds that met in one history, and how many there are.
    pub fn fault_pairs(&self) -> (usize, usize) {
        let met = self.pairs.iter().flatten().filter(|count| **count > 0);
        (met.count(), KINDS * (KINDS - 1) / 2)
    }

    /// Pairs that never met.
    fn apart(&self) -> Vec<String> {
        let mut apart = Vec::new();
        for (first, counts) in self.pairs.iter().enumerate() {
            for (second, count) in counts.iter().enumerate().skip(first + 1) {
                if *count == 0 {
                    let words = (FaultKind::ALL[first].word(), FaultKind::ALL[second].word());
                    apart.push(format!("{}+{}", words.0, words.1));
                }
            }
        }
        apart
    }

    /// Everything that was not reached, by name: nothing when the coverage is whole.
    pub fn missing(&self) -> Vec<String> {
        let rows = MOVES.iter().filter(|row| !self.rows.contains(&row.row));
        let findings = FINDINGS
            .iter()
            .filter(|row| !self.findings.contains(&row.code));
        let phases = Phase::ALL
            .iter()
            .filter(|phase| !self.phases.contains(phase.word()));
        rows.map(|row| format!("row {} ({} -> {})", row.row, row.from.word(), row.to.word()))
            .chain(findings.map(|row| format!("finding {}", row.code.word())))
            .chain(phases.map(|phase| format!("phase {}", phase.word())))
            .chain(self.apart().into_iter().map(|pair| format!("pair {pair}")))
            .collect()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = FaultKind::ALL.iter().map(|kind| kind.word());
        let faults = named.zip(self.faults);
        let events = self.events.iter().map(|(kind, n)| (kind.as_str(), *n));
        let (met, pairs) = self.fault_pairs();
        writeln!(f, "histories  {}", self.histories)?;
        writeln!(f, "simulated  {} h", self.simulated_ms / 3_600_000)?;
        writeln!(f, "faults     {}", counted(faults))?;
        writeln!(f, "pairs      {met} of {pairs}")?;
        writeln!(f, "events     {}", counted(events))?;
        let phases: Vec<&str> = self.phases.iter().copied().collect();
        writeln!(f, "phases     {}", phases.join(" "))?;
        writeln!(f, "rows       {} of {}", self.rows.len(), MOVES.len())?;
        writeln!(
            f,
            "findings   {} of {}",
            self.findings.len(),
            FINDINGS.len()
        )?;
        let missing = self.missing();
        let shown: Vec<&str> = missing.iter().take(40).map(String::as_str).collect();
        writeln!(f, "missing    {}: {}", missing.len(), shown.join(", "))?;
        writeln!(f, "violations {}", self.violated)?;
        for (seed, violation) in &self.violations {
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
