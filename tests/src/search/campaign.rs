//! All searches, spread over threads; each has a model of its own, so that nothing is shared.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use super::catalogue;
use super::engine::{Bounds, Explored, explore};
use super::setup::Setup;
use super::small::Small;

/// What to search.
#[derive(Debug, Clone, Default)]
pub struct Campaign {
    /// Small horizons only.
    pub quick: bool,
    /// Only searches whose name holds this text.
    pub only: Option<String>,
    /// Threads; as many as there are processors unless stated.
    pub threads: Option<usize>,
}

/// What one search came to.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its name.
    pub name: &'static str,
    /// Whether a bug was built in.
    pub seeded: bool,
    /// Distinct states of the world.
    pub states: usize,
    /// Transitions followed.
    pub transitions: u64,
    /// Steps from the beginning to the farthest state.
    pub depth: usize,
    /// Distinct cores and hosts among them.
    pub values: (usize, usize),
    /// States in which an invariant does not hold.
    pub violations: usize,
    /// The first of them: the invariant, and a shortest way there.
    pub first: Option<(&'static str, Vec<String>)>,
    /// Whether every state within the horizon was searched.
    pub complete: bool,
    /// How long it took.
    pub took: Duration,
}

/// What all searches came to.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Distinct states of worlds without a flaw.
    pub states: usize,
    /// States of worlds without a flaw in which an invariant does not hold.
    pub violations: usize,
    /// Seeded bugs that were found.
    pub found: usize,
    /// Seeded bugs.
    pub seeded: usize,
    /// Worlds of which only the nearest states were searched.
    pub incomplete: usize,
}

impl Campaign {
    /// Searches everything, and tells each result as it comes.
    ///
    /// # Panics
    /// When the core finds itself in a state that its tables do not allow.
    pub fn search(&self, mut tell: impl FnMut(&Found)) -> Summary {
        let mut setups = catalogue::sound(self.quick);
        setups.extend(catalogue::flawed());
        if let Some(only) = &self.only {
            setups.retain(|setup| setup.name.contains(only.as_str()));
        }
        let threads = self.threads.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        });
        let next = AtomicUsize::new(0);
        let (sender, receiver) = channel();
        let sender = Mutex::new(sender);
        let mut summary = Summary::default();
        std::thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                let own = sender.lock().map(|sender| sender.clone());
                let Ok(own) = own else { continue };
                scope.spawn(|| work(&setups, &next, own));
            }
            // The clones of the threads are the last ones.
            drop(sender);
            for found in receiver {
                summary.add(&found);
                tell(&found);
            }
        });
        summary
    }
}

fn work(setups: &[Setup], next: &AtomicUsize, sender: Sender<Found>) {
    while let Some(setup) = setups.get(next.fetch_add(1, Ordering::Relaxed)) {
        if sender.send(search(setup)).is_err() {
            return;
        }
    }
}

fn search(setup: &Setup) -> Found {
    let begun = Instant::now();
    let mut model = Small::new(setup);
    let seeded = setup.flaw.is_some();
    let bounds = Bounds {
        states_max: setup.states_max,
        stop_at_violation: seeded,
    };
    let Explored {
        states,
        transitions,
        depth,
        violations,
        first,
        complete,
    } = explore(&mut model, bounds);
    Found {
        name: setup.name,
        seeded,
        states,
        transitions,
        depth,
        values: model.sizes(),
        violations,
        first,
        complete,
        took: begun.elapsed(),
    }
}

impl Summary {
    fn add(&mut self, found: &Found) {
        if found.seeded {
            self.seeded += 1;
            self.found += usize::from(found.first.is_some());
        } else {
            self.states += found.states;
            self.violations += found.violations;
            self.incomplete += usize::from(!found.complete);
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.seeded { "bug" } else { "sound" };
        let came_to = match (&self.first, self.complete) {
            (Some((invariant, trace)), _) => format!("{invariant}, in {} steps", trace.len()),
            (None, true) => "every invariant holds".to_owned(),
            (None, false) => "every invariant holds in the nearest states".to_owned(),
        };
        write!(
            f,
            "{kind:<5} {:<26} states={} transitions={} depth={} cores={} hosts={} seconds={:.1}: {came_to}",
            self.name,
            self.states,
            self.transitions,
            self.depth,
            self.values.0,
            self.values.1,
            self.took.as_secs_f64(),
        )
    }
}
