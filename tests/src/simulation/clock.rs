//! A host's clocks: the monotonic one drifts and stands still while the host is paused; the wall clock jumps
//! besides.

use shared::clock::{Mono, UnixMillis};

use agent::lease::Reading;
use decision::Now;

#[derive(Debug, Clone)]
pub(super) struct Clock {
    /// What the monotonic clock showed at the world's time `since`.
    base: u64,
    since: u64,
    /// Gained in a million, above or below zero.
    drift: i64,
    wall_jump: i64,
    /// The world's time at which it was stopped.
    stopped: Option<u64>,
}

impl Clock {
    pub(super) const fn new(base: u64, drift: i64, wall_jump: i64) -> Self {
        Self {
            base,
            since: 0,
            drift,
            wall_jump,
            stopped: None,
        }
    }

    pub(super) fn mono(&self, time: u64) -> Mono {
        let time = self.stopped.map_or(time, |stopped| stopped.min(time));
        let span = time.saturating_sub(self.since);
        let gained = i64::try_from(span)
            .unwrap_or(i64::MAX)
            .saturating_mul(self.drift)
            / 1_000_000;
        Mono(self.base.saturating_add(span).saturating_add_signed(gained))
    }

    pub(super) fn wall(&self, time: u64) -> UnixMillis {
        let mono = self.mono(time).0.saturating_sub(self.base);
        let shown = 1_790_000_000_000 + self.since + mono;
        UnixMillis(shown.saturating_add_signed(self.wall_jump))
    }

    pub(super) fn now(&self, time: u64) -> Now {
        Now {
            mono: self.mono(time),
            wall: self.wall(time),
        }
    }

    pub(super) fn reading(&self, time: u64) -> Reading {
        Reading {
            mono: self.mono(time),
            wall: self.wall(time),
        }
    }

    /// Runs at another rate from now on.
    pub(super) fn drift_by(&mut self, time: u64, drift: i64) {
        self.base = self.mono(time).0;
        self.since = time;
        self.drift = drift;
    }

    /// Stands still, with its host.
    pub(super) fn stop(&mut self, time: u64) {
        self.stopped.get_or_insert(time);
    }

    /// Goes on from where it stood.
    pub(super) fn go(&mut self, time: u64) {
        if let Some(stopped) = self.stopped.take() {
            self.base = self.mono(stopped).0;
            self.since = time;
            // The wall clock is set right by the network, sooner or later; at once is the harder case.
        }
    }

    pub(super) const fn jump(&mut self, to: i64) {
        self.wall_jump = to;
    }
}
