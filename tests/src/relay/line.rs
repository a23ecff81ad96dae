//! One direction between two sites: its condition and what went over it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// How bytes travel in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// They arrive after `delay` plus up to `jitter`, in order.
    Open {
        /// The least time under way.
        delay: Duration,
        /// The most that is added to it.
        jitter: Duration,
        /// So many packets of a thousand are lost; only where packets are carried.
        loss_per_mille: u16,
    },
    /// They stall, and nobody is told.
    Silent,
    /// Connections are reset, new ones refused.
    Refused,
}

impl Flow {
    /// Open, without delay.
    pub const OPEN: Self = Self::Open {
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        loss_per_mille: 0,
    };
}

/// What went over one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Connections opened in this direction and carried to their target.
    pub connections: u64,
    /// Connections of those that ended by a reset of the relay or of a peer.
    pub resets: u64,
    /// Bytes delivered in this direction, over connections opened by either side.
    pub bytes: u64,
}

/// The condition and the counters of one direction.
#[derive(Debug)]
pub(super) struct Line {
    flow: watch::Sender<Flow>,
    connections: AtomicU64,
    resets: AtomicU64,
    bytes: AtomicU64,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            flow: watch::Sender::new(Flow::OPEN),
            connections: AtomicU64::default(),
            resets: AtomicU64::default(),
            bytes: AtomicU64::default(),
        }
    }
}

impl Line {
    pub(super) fn set(&self, flow: Flow) {
        self.flow.send_replace(flow);
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Flow> {
        self.flow.subscribe()
    }

    pub(super) fn flow(&self) -> Flow {
        *self.flow.borrow()
    }

    pub(super) fn count_connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_reset(&self) {
        self.resets.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_bytes(&self, count: usize) {
        self.bytes
            .fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            connections: self.connections.load(Ordering::Relaxed),
            resets: self.resets.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}
