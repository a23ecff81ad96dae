//! Noise as networks make it: how often links fail, for how long, and what of it comes together.
//!
//! The profile N1: each pair of sites loses its link 52 times a year, for a lognormal time with median 5 s and sigma
//! 1.5; the uplinks of the live site fail together 6 times a year, median 10 s, sigma 1.3; an observer stalls 24
//! times a year, median 2 s, sigma 1.2.

use super::dice::Dice;

/// A year, in milliseconds.
const YEAR: u64 = 31_557_600_000;

/// Troubles closer than this are played together.
const NEAR: u64 = 60_000;

/// What is in trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The link between two sites, by their places.
    Link(usize, usize),
    /// Both links of the first site.
    Uplinks,
    /// A site's coordinator and agent.
    Observer(usize),
}

/// One trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) source: Source,
    pub(super) from: u64,
    pub(super) span: u64,
}

/// Each source of noise: how often a year, the median time in milliseconds, and sigma.
const SOURCES: [(Source, f64, f64, f64); 6] = [
    (Source::Link(0, 1), 52.0, 5_000.0, 1.5),
    (Source::Link(0, 2), 52.0, 5_000.0, 1.5),
    (Source::Link(1, 2), 52.0, 5_000.0, 1.5),
    (Source::Uplinks, 6.0, 10_000.0, 1.3),
    (Source::Observer(1), 24.0, 2_000.0, 1.2),
    (Source::Observer(2), 24.0, 2_000.0, 1.2),
];

/// The troubles of a year, in groups that touch each other, earliest first.
pub(super) fn year(dice: &mut Dice) -> Vec<Vec<Trouble>> {
    let mut troubles = Vec::new();
    for (source, rate, median, sigma) in SOURCES {
        for _ in 0..occurrences(dice, rate) {
            troubles.push(Trouble {
                source,
                from: dice.between(0, YEAR),
                span: lognormal(dice, median, sigma),
            });
        }
    }
    troubles.sort_by_key(|trouble| trouble.from);
    let mut groups: Vec<Vec<Trouble>> = Vec::new();
    let mut end = 0;
    for trouble in troubles {
        let until = trouble.from + trouble.span;
        match groups.last_mut().filter(|_| trouble.from <= end + NEAR) {
            Some(group) => group.push(trouble),
            None => groups.push(vec![trouble]),
        }
        end = until.max(end);
    }
    groups
}

/// A number between 0 and 1, neither included.
fn fraction(dice: &mut Dice) -> f64 {
    let drawn = u32::try_from(dice.between(1, u64::from(u32::MAX) - 1)).unwrap_or(1);
    f64::from(drawn) / f64::from(u32::MAX)
}

/// How often something of a mean rate happens in a year: exponential times between.
fn occurrences(dice: &mut Dice, rate: f64) -> u32 {
    let (mut count, mut passed) = (0, 0.0);
    loop {
        passed -= fraction(dice).ln() / rate;
        if passed >= 1.0 {
            return count;
        }
        count += 1;
    }
}

/// A lognormal time in whole milliseconds, at most a day.
fn lognormal(dice: &mut Dice, median: f64, sigma: f64) -> u64 {
    let (u, v) = (fraction(dice), fraction(dice));
    let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
    let millis = (median * (sigma * normal).exp()).min(86_400_000.0);
    std::time::Duration::try_from_secs_f64(millis / 1_000.0)
        .ok()
        .and_then(|span| u64::try_from(span.as_millis()).ok())
        .unwrap_or(0)
}
