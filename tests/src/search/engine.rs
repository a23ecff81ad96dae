//! Breadth-first search: every state that can be reached, each once, nearest first; so the first violation has a
//! shortest trace.
//!
//! A visited state is remembered by a 64-bit fingerprint and its predecessor's. The chance that two of ten million
//! states share one is below one in a hundred thousand, and what would follow is one state left out.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};

/// What can be searched.
pub(super) trait Model {
    /// A state of the whole world.
    type State: Copy + Eq + Hash;
    /// What leads from one to the next.
    type Action: Copy;

    /// Where the search begins.
    fn initial(&mut self) -> Self::State;

    /// Every action that is possible in a state, with the state that follows.
    fn follow(&mut self, state: &Self::State, into: &mut Vec<(Self::Action, Self::State)>);

    /// The invariant that does not hold in a state, if there is one. Nothing is searched beyond such a state.
    fn violated(&self, state: &Self::State) -> Option<&'static str>;

    /// An action, and what it came to, for people.
    fn tell(&self, before: &Self::State, action: Self::Action, after: &Self::State) -> String;
}

/// How far to search.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// No more than so many states.
    pub(super) states_max: usize,
    /// Whether the first violation ends it.
    pub(super) stop_at_violation: bool,
}

/// What a search came to.
#[derive(Debug, Clone, Default)]
pub(super) struct Explored {
    /// Distinct states.
    pub(super) states: usize,
    /// Transitions that were followed.
    pub(super) transitions: u64,
    /// Steps from the initial state to the farthest one.
    pub(super) depth: usize,
    /// States in which an invariant does not hold.
    pub(super) violations: usize,
    /// The first of them: the invariant, and the way there.
    pub(super) first: Option<(&'static str, Vec<String>)>,
    /// Whether nothing was left to search.
    pub(super) complete: bool,
}

/// Searches.
pub(super) fn explore<M: Model>(model: &mut M, bounds: Bounds) -> Explored {
    let initial = model.initial();
    let mut seen = Seen::default();
    seen.note(&initial, 0);
    let mut explored = Explored {
        states: 1,
        complete: true,
        ..Explored::default()
    };
    let mut level = vec![initial];
    let mut followers = Vec::new();
    while !level.is_empty() {
        let mut next = Vec::new();
        for state in &level {
            let from = print(state);
            followers.clear();
            model.follow(state, &mut followers);
            for (_, follower) in &followers {
                explored.transitions += 1;
                if !seen.note(follower, from) {
                    continue;
                }
                explored.states += 1;
                let Some(invariant) = model.violated(follower) else {
                    next.push(*follower);
                    continue;
                };
                explored.violations += 1;
                if explored.first.is_none() {
                    let trace = seen.trace(model, initial, print(follower));
                    explored.first = Some((invariant, trace));
                }
                if bounds.stop_at_violation {
                    return explored;
                }
            }
            if explored.states >= bounds.states_max {
                explored.complete = false;
                return explored;
            }
        }
        explored.depth += usize::from(!next.is_empty());
        level = next;
    }
    explored
}

fn print(state: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// Fingerprints of what was visited, each with the one that it was first reached from.
#[derive(Default)]
struct Seen(HashMap<u64, u64, BuildHasherDefault<AsIs>>);

impl Seen {
    /// True when the state is new.
    fn note(&mut self, state: &impl Hash, from: u64) -> bool {
        match self.0.entry(print(state)) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(from);
                true
            }
        }
    }

    /// The way from the initial state to the one with this fingerprint, found by going it again.
    fn trace<M: Model>(&self, model: &mut M, initial: M::State, last: u64) -> Vec<String> {
        let mut prints = vec![last];
        let first = print(&initial);
        while let Some(print) = prints.last().filter(|print| **print != first) {
            prints.push(self.0[print]);
        }
        let mut state = initial;
        let mut lines = Vec::new();
        let mut followers = Vec::new();
        for wanted in prints.iter().rev().skip(1) {
            followers.clear();
            model.follow(&state, &mut followers);
            let (action, after) = *followers
                .iter()
                .find(|(_, follower)| print(follower) == *wanted)
                .expect("a state that was reached is reached again");
            lines.push(model.tell(&state, action, &after));
            state = after;
        }
        lines
    }
}

/// A fingerprint is its own hash.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, print: u64) {
        self.0 = print;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two counters that wrap; a violation when both are 3.
    struct Counters;

    impl Model for Counters {
        type State = (u8, u8);
        type Action = char;

        fn initial(&mut self) -> (u8, u8) {
            (0, 0)
        }

        fn follow(&mut self, (a, b): &(u8, u8), into: &mut Vec<(char, (u8, u8))>) {
            into.push(('a', ((a + 1) % 5, *b)));
            into.push(('b', (*a, (b + 1) % 5)));
        }

        fn violated(&self, state: &(u8, u8)) -> Option<&'static str> {
            (*state == (3, 3)).then_some("both are three")
        }

        fn tell(&self, _: &(u8, u8), action: char, after: &(u8, u8)) -> String {
            format!("{action} {after:?}")
        }
    }

    #[test]
    fn every_state_is_found_once_and_the_trace_is_a_shortest_one() {
        let all = Bounds {
            states_max: 1_000,
            stop_at_violation: false,
        };
        let explored = explore(&mut Counters, all);
        assert_eq!((explored.states, explored.violations), (25, 1));
        // 24 states are gone on from, two ways each.
        assert_eq!(explored.transitions, 48);
        assert!(explored.complete);
        let (invariant, trace) = explored.first.unwrap();
        assert_eq!((invariant, trace.len()), ("both are three", 6));
        assert_eq!(trace.last().unwrap().as_str().get(2..), Some("(3, 3)"));
    }

    #[test]
    fn a_bound_ends_the_search_and_is_told() {
        let few = Bounds {
            states_max: 7,
            stop_at_violation: true,
        };
        let explored = explore(&mut Counters, few);
        assert!(!explored.complete && explored.states >= 7 && explored.violations == 0);
    }
}
