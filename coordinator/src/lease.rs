//! How long this process may act as the leader, by its own clock alone.
//!
//! Counted from the *sending* of the last accepted renewal, less a margin: whatever NATS says later, past that
//! instant nothing more is done. It must never be prolonged by a read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shared::clock::Mono;

/// One term's lease. Clones share it; another term has another.
#[derive(Debug, Clone)]
pub struct Lease(Arc<AtomicU64>);

impl Lease {
    /// A lease until an instant.
    pub fn until(end: Mono) -> Self {
        Self(Arc::new(AtomicU64::new(end.0)))
    }

    /// Its end.
    pub fn end(&self) -> Mono {
        Mono(self.0.load(Ordering::Acquire))
    }

    /// Whether it still holds.
    pub fn holds(&self, now: Mono) -> bool {
        now < self.end()
    }

    /// Moves its end forward, unless it was ended or is over: what is over is never revived.
    pub fn extend(&self, now: Mono, end: Mono) {
        let _unchanged = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |present| {
                (present > now.0 && end.0 > present).then_some(end.0)
            });
    }

    /// Ends it now.
    pub fn revoke(&self) {
        self.0.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_is_not_revived() {
        let lease = Lease::until(Mono(100));
        lease.extend(Mono(50), Mono(200));
        assert!(lease.holds(Mono(199)) && !lease.holds(Mono(200)));
        lease.extend(Mono(200), Mono(300));
        assert!(!lease.holds(Mono(200)), "past its end");
        let lease = Lease::until(Mono(100));
        lease.revoke();
        lease.extend(Mono(1), Mono(500));
        assert!(!lease.holds(Mono(2)), "after a revocation");
    }
}
