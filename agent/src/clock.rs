//! The only place that reads clocks.
//!
//! Decisions use [`mono`], which counts suspend. [`wall`] is for display and audit alone.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use shared::clock::{Millis, Mono, UnixMillis};

use crate::lease::Reading;

/// The own monotonic clock (`CLOCK_BOOTTIME`).
pub fn mono() -> Mono {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let millis = u64::try_from(now.tv_nsec / 1_000_000).unwrap_or_default();
    Mono(seconds.saturating_mul(1_000).saturating_add(millis))
}

/// Both clocks at this instant, for a lease.
pub fn reading() -> Reading {
    Reading {
        mono: mono(),
        wall: wall(),
    }
}

/// The wall clock.
pub fn wall() -> UnixMillis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMillis(Millis::from_duration(since).0)
}
