//! One direction of the packet relay: what becomes of each packet, and when it arrives.
//!
//! It must never deliver a packet that a later one of the same direction has overtaken: TCP would take that
//! for loss, and loss is asked for by name.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_tun::Tun;

use super::line::{Flow, Line};
use super::packet::Segment;
use super::pump::fraction;

/// Packets under way at most; what comes on top is lost, as in a router whose queue is full.
const UNDER_WAY: usize = 8192;

/// The connections of one pair of sites that are let through, once older ones were ended.
#[derive(Debug, Default)]
pub(super) struct Conversations {
    /// Nothing while all of them pass; else those that were opened since, by both their ends.
    since: Mutex<Option<BTreeSet<Ends>>>,
}

type Ends = ((std::net::Ipv4Addr, u16), (std::net::Ipv4Addr, u16));

impl Conversations {
    /// Ends every connection there is: the next segment of each is answered by a reset to both sides.
    pub(super) fn end_all(&self) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(BTreeSet::new());
    }

    /// Whether a segment belongs to a connection that still is.
    fn admits(&self, segment: &Segment) -> bool {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(opened) = since.as_mut() else {
            return true;
        };
        let ends = (segment.from.min(segment.to), segment.from.max(segment.to));
        if segment.opens() {
            opened.insert(ends);
        }
        opened.contains(&ends)
    }
}

/// One direction.
pub(super) struct Lane {
    line: Arc<Line>,
    conversations: Arc<Conversations>,
    dice: u64,
    last_due: Instant,
    queue: mpsc::Sender<(Instant, Vec<u8>)>,
    /// The device of the side that sends.
    here: Rc<Tun>,
    /// The device of the side that receives.
    there: Rc<Tun>,
}

impl Lane {
    /// A direction, and what must run for its delayed packets to arrive.
    pub(super) fn new(
        line: &Arc<Line>,
        conversations: Arc<Conversations>,
        seed: u64,
        (here, there): (Rc<Tun>, Rc<Tun>),
    ) -> (Self, impl Future<Output = ()> + use<>) {
        let (queue, queued) = mpsc::channel(UNDER_WAY);
        let lane = Self {
            line: Arc::clone(line),
            conversations,
            dice: seed,
            last_due: Instant::now(),
            queue,
            here,
            there: Rc::clone(&there),
        };
        (lane, deliver(queued, Arc::clone(line), there))
    }

    /// Sends a packet on its way.
    pub(super) fn carry(&mut self, packet: &[u8]) {
        let flow = self.line.flow();
        if flow == Flow::Silent {
            return;
        }
        let segment = Segment::read(packet);
        let ended = |it: &Segment| flow == Flow::Refused || !self.conversations.admits(it);
        if let Some(segment) = segment.filter(ended) {
            self.reset(&segment);
            return;
        }
        let Flow::Open {
            delay,
            jitter,
            loss_per_mille,
        } = flow
        else {
            return;
        };
        if fraction(&mut self.dice) * 1000.0 < f64::from(loss_per_mille) {
            return;
        }
        let now = Instant::now();
        let travel = delay + jitter.mul_f64(fraction(&mut self.dice));
        let due = self.last_due.max(now + travel);
        self.last_due = due;
        if travel == Duration::ZERO && due <= now {
            arrive(&self.there, &self.line, packet);
        } else {
            // A full queue loses the packet.
            drop(self.queue.try_send((due, packet.to_vec())));
        }
    }

    fn reset(&self, segment: &Segment) {
        self.line.count_reset();
        if !segment.resets() {
            drop(self.here.try_send(&segment.refusal()));
        }
        drop(self.there.try_send(&segment.ending()));
    }
}

async fn deliver(mut queued: mpsc::Receiver<(Instant, Vec<u8>)>, line: Arc<Line>, there: Rc<Tun>) {
    while let Some((due, packet)) = queued.recv().await {
        sleep_until(due).await;
        if matches!(line.flow(), Flow::Open { .. }) {
            arrive(&there, &line, &packet);
        }
    }
}

/// What the device does not take is lost, as on a wire.
fn arrive(there: &Tun, line: &Line, packet: &[u8]) {
    if there.try_send(packet).is_ok() {
        line.count_bytes(packet.len());
    }
}
