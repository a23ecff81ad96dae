//! This process's two clocks: the monotonic one decides, the wall clock is shown.

use rustix::time::{ClockId, Timespec, clock_gettime};
use shared::clock::{Mono, UnixMillis};

use decision::Now;

/// Milliseconds on the kernel's clock that also counts suspend: a paused host sees the pause.
pub fn mono() -> Mono {
    Mono(millis(clock_gettime(ClockId::Boottime)))
}

/// Milliseconds since 1970 in UTC, for display and audit.
pub fn wall() -> UnixMillis {
    UnixMillis(millis(clock_gettime(ClockId::Realtime)))
}

/// This instant on both.
pub fn now() -> Now {
    Now {
        mono: mono(),
        wall: wall(),
    }
}

fn millis(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
    seconds
        .saturating_mul(1_000)
        .saturating_add(nanos / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_go_forward_and_are_told_apart() {
        let (first, second) = (now(), now());
        assert!(second.mono >= first.mono);
        assert!(
            first.wall.0 > 1_700_000_000_000,
            "the wall clock counts from 1970"
        );
        assert_ne!(first.mono.0, first.wall.0);
    }
}
