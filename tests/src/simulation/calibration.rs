//! Years of noise and nothing else: what the real core would have proposed, and whether it acted too early.
//!
//! The policy is the one that ships, with self-fencing and in automatic mode. Quiet time is skipped: a year is its
//! groups of troubles that touch each other. One short trouble alone is played for a sample of such groups; whatever
//! is long enough, or touches another, is played always.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use shared::id::SiteName;
use shared::stack::{Mode, Policy, SelfFence};

use super::breakage::Mend;
use super::dice::Dice;
use super::noise::{self, Source, Trouble};
use super::world::{Event, World};
use super::{Depth, setting};

/// The first trouble begins then: by then everybody has judged for long enough.
const WARM: u64 = 25_000;
/// A single trouble shorter than this cannot confirm a silence.
const SHORT: u64 = 12_000;
/// One in so many groups that cannot confirm anything is played too.
const SAMPLE: u64 = 50;
/// What ended before this is a short outage.
const EARLY: u64 = 60_000;
/// A word is sent once a second, and needs some time to arrive.
const PASSING: u64 = 1_500;
/// A group is played no longer than this: long enough for the automatic window and everything before it.
const LONGEST: u64 = 300_000;

/// What noise came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calibration {
    /// Years.
    pub years: u64,
    /// Groups of troubles in them.
    pub groups: u64,
    /// Groups that were played.
    pub played: u64,
    /// Proposals while an observer could reach the live site.
    pub wrong: u64,
    /// Proposals while the live site was cut off from everybody.
    pub isolation: u64,
    /// Runs that nobody approved.
    pub automatic: u64,
    /// Those of an outage that was over within a minute.
    pub early_automatic: u64,
}

/// What one group came to, and since when nobody could reach the live site.
#[derive(Debug)]
pub(super) struct Watch {
    wrong: u64,
    isolation: u64,
    automatic: u64,
    reached: bool,
    reached_from: u64,
    cut_off_from: u64,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            wrong: 0,
            isolation: 0,
            automatic: 0,
            reached: true,
            reached_from: 0,
            cut_off_from: 0,
        }
    }
}

impl Watch {
    /// Whether any observer can reach the live site now. Reach too short for a word to pass is none.
    const fn note(&mut self, time: u64, reached: bool) {
        if reached && !self.reached {
            self.reached_from = time;
        } else if !reached && self.reached && time.saturating_sub(self.reached_from) > PASSING {
            self.cut_off_from = time;
        }
        self.reached = reached;
    }

    /// True when nobody could have had a word of the live site for so long.
    const fn is_cut_off(&self, time: u64, span: u64) -> bool {
        let long = time.saturating_sub(self.cut_off_from) + PASSING >= span;
        long && (!self.reached || time.saturating_sub(self.reached_from) <= PASSING)
    }
}

/// Plays years of noise from a seed, on so many threads.
pub fn calibrate(years: u64, seed: u64, threads: usize) -> Calibration {
    let next = AtomicU64::new(0);
    let sum = Mutex::new(Calibration::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let year = next.fetch_add(1, Ordering::Relaxed);
                    if year >= years {
                        break;
                    }
                    let found = play_year(seed.wrapping_mul(1_000_003).wrapping_add(year));
                    let mut sum = sum
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    sum.add(found);
                }
            });
        }
    });
    sum.into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Calibration {
    fn add(&mut self, other: Self) {
        self.years += other.years;
        self.groups += other.groups;
        self.played += other.played;
        self.wrong += other.wrong;
        self.isolation += other.isolation;
        self.automatic += other.automatic;
        self.early_automatic += other.early_automatic;
    }
}

fn play_year(seed: u64) -> Calibration {
    let mut dice = Dice::new(seed);
    let mut sum = Calibration {
        years: 1,
        ..Calibration::default()
    };
    for (index, group) in noise::year(&mut dice).into_iter().enumerate() {
        sum.groups += 1;
        let seed = dice.between(0, u64::MAX - 1);
        if !matters(&group) && !seed.is_multiple_of(SAMPLE) {
            continue;
        }
        sum.played += 1;
        let watch = World::noisy(seed ^ u64::try_from(index).unwrap_or(0), &group).watch_noise();
        sum.wrong += watch.wrong;
        sum.isolation += watch.isolation;
        sum.automatic += watch.automatic;
        if outage(&group) < EARLY {
            sum.early_automatic += watch.automatic;
        }
    }
    sum
}

/// True for a group that could confirm a silence of the live site: a long trouble of all of it, or two that meet.
fn matters(group: &[Trouble]) -> bool {
    let long = |trouble: &Trouble| trouble.span >= SHORT;
    match group {
        [alone] => alone.source == Source::Uplinks && long(alone),
        several => several.iter().any(|t| touches_live(t.source) && long(t)),
    }
}

fn touches_live(source: Source) -> bool {
    matches!(source, Source::Uplinks | Source::Link(0, _))
}

/// How long the live site was in any trouble.
fn outage(group: &[Trouble]) -> u64 {
    let live = || group.iter().filter(|trouble| touches_live(trouble.source));
    let from = live().map(|trouble| trouble.from).min().unwrap_or(0);
    let until = live().map(|trouble| trouble.from + trouble.span).max();
    until.unwrap_or(from) - from
}

impl World {
    /// A world with the shipped policy in which nothing but these troubles happens.
    fn noisy(seed: u64, troubles: &[Trouble]) -> Self {
        let mut world = Self::new(seed, Depth::Counted, None);
        let mut stack = setting::shipped();
        stack.policy = Policy {
            mode: Mode::Automatic,
            ..Policy::default()
        };
        stack.policy.lease.self_fence = SelfFence::Stop;
        stack.policy.epoch_wait_ms = shared::stack::LeasePolicy::EPOCH_WAIT_MS;
        world.equip(stack);
        let first = troubles.first().map_or(0, |trouble| trouble.from);
        for trouble in troubles {
            world.trouble(WARM + trouble.from - first, trouble);
        }
        world
    }

    /// Everybody has what ships, and nobody is there to approve.
    fn equip(&mut self, stack: shared::stack::Stack) {
        self.stack = stack;
        self.guarded = true;
        self.lost_for_good = false;
        self.noise = Some(Watch::default());
        self.set_up_hosts(true);
        self.begin();
    }

    /// Plans a trouble.
    fn trouble(&mut self, at: u64, trouble: &Trouble) {
        self.quiet_at = self.quiet_at.max(at + trouble.span);
        self.plan(at, Event::Trouble(trouble.source, trouble.span));
    }

    /// A trouble begins.
    pub(super) fn make_trouble(&mut self, source: Source, span: u64) {
        let site = |place: usize| self.sites.get(place).cloned();
        let ways: Vec<(SiteName, SiteName)> = match source {
            Source::Link(a, b) => both(site(a), site(b)),
            Source::Uplinks => {
                let mut ways = both(site(0), site(1));
                ways.extend(both(site(0), site(2)));
                ways
            }
            Source::Observer(place) => {
                let until = self.time + span;
                if let Some(seat) = site(place).and_then(|site| self.seats.get_mut(&site)) {
                    seat.paused_until = seat.paused_until.max(until);
                }
                return;
            }
        };
        for (from, to) in &ways {
            self.network.cut(from, to);
        }
        self.note_reach();
        self.plan(span, Event::Mend(Mend::Ways(ways)));
    }

    /// Counts what a leader did, and ends what can come to nothing more.
    pub(super) fn watch(&mut self, kind: &str) {
        let (time, policy) = (self.time, &self.stack.policy);
        let span = policy.silence_ms.0 + policy.confirm_ms.0;
        let Some(watch) = &mut self.noise else {
            return;
        };
        match kind {
            "proposal-raised" if watch.is_cut_off(time, span) => watch.isolation += 1,
            "proposal-raised" => watch.wrong += 1,
            "proposal-approved" => watch.automatic += 1,
            _ => {}
        }
    }

    /// Whether an observer reaches the live site may have changed.
    pub(super) fn note_reach(&mut self) {
        let [live, a, b] = self.sites.as_slice() else {
            return;
        };
        let reached = self.network.connects(live, a) || self.network.connects(live, b);
        if let Some(watch) = &mut self.noise {
            watch.note(self.time, reached);
        }
    }

    fn watch_noise(mut self) -> Watch {
        // A sighting takes a proposal back; what is not raised by then is not raised any more.
        let end = self.quiet_at.saturating_add(15_000).min(LONGEST);
        self.run_until(end);
        self.noise.unwrap_or_default()
    }
}

fn both(a: Option<SiteName>, b: Option<SiteName>) -> Vec<(SiteName, SiteName)> {
    match a.zip(b) {
        Some((a, b)) => vec![(a.clone(), b.clone()), (b, a)],
        None => Vec::new(),
    }
}
