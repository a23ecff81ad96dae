//! Many histories on every processor, merged in the order of their seeds, so that what is printed does not depend
//! on who was faster.

use std::any::Any;
use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use super::{Depth, History, Summary, play};

/// Seeds that a thread takes at once.
const BLOCK: u64 = 32;

/// Histories to play.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// The seeds.
    pub seeds: Range<u64>,
    /// Plays each seed twice, with every event told, and compares.
    pub meta: bool,
    /// Threads; as many as there are processors unless stated.
    pub threads: Option<usize>,
}

/// Blocks that are done, and what was merged so far.
struct Progress {
    next: u64,
    merged: u64,
    waiting: BTreeMap<u64, Summary>,
    summary: Summary,
}

impl Campaign {
    /// A campaign over seeds.
    pub const fn new(seeds: Range<u64>) -> Self {
        Self {
            seeds,
            meta: false,
            threads: None,
        }
    }

    /// Plays them all.
    pub fn play(&self) -> Summary {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = self.threads.unwrap_or(processors).max(1);
        let progress = Mutex::new(Progress {
            next: 0,
            merged: 0,
            waiting: BTreeMap::new(),
            summary: Summary::default(),
        });
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| while self.play_block(&progress) {});
            }
        });
        let progress = progress.into_inner();
        progress
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .summary
    }

    /// Plays the next block of seeds; false when there is none.
    fn play_block(&self, progress: &Mutex<Progress>) -> bool {
        let block = {
            let mut progress = locked(progress);
            progress.next += 1;
            progress.next - 1
        };
        let from = self.seeds.start.saturating_add(block.saturating_mul(BLOCK));
        if from >= self.seeds.end {
            return false;
        }
        let mut summary = Summary::default();
        for seed in from..from.saturating_add(BLOCK).min(self.seeds.end) {
            self.play_one(seed, &mut summary);
        }
        let mut progress = locked(progress);
        progress.waiting.insert(block, summary);
        loop {
            let due = progress.merged;
            let Some(done) = progress.waiting.remove(&due) else {
                return true;
            };
            progress.summary.merge(done);
            progress.merged += 1;
        }
    }

    fn play_one(&self, seed: u64, summary: &mut Summary) {
        let depth = if self.meta {
            Depth::Told
        } else {
            Depth::Counted
        };
        match caught(seed, depth) {
            Ok(history) => {
                summary.add(&history);
                if self.meta && caught(seed, depth).ok().as_ref() != Some(&history) {
                    summary.violate(seed, "the same seed played twice differs");
                }
            }
            Err(sentence) => {
                summary.histories += 1;
                summary.violate(seed, &sentence);
            }
        }
    }
}

/// A history, or what it panicked with: an assertion of the core is a finding, not an end.
fn caught(seed: u64, depth: Depth) -> Result<History, String> {
    catch_unwind(AssertUnwindSafe(|| play(seed, depth)))
        .map_err(|panic| format!("a panic: {}", words(panic.as_ref())))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without words")
}

fn locked(progress: &Mutex<Progress>) -> std::sync::MutexGuard<'_, Progress> {
    progress
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
