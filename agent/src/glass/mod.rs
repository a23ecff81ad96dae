//! Break glass: an operator makes this site live while the store is lost together with the live site.
//!
//! ```text
//!   while there is a store   keep ── trust ── cache        the signed plan, on this host's disk
//!   when there is none       console ──(socket)── session  one JSON value a line
//!                              scene ── judge ── stage     facts, objections, this node's steps; stepping does them
//!                              broken ── ledger            the record, on the disk before the first effect
//!                              order ── runtime ── errand  the same action code as a commanded step
//! ```
//!
//! It must never act while the store can decide, while the old site is sighted here, or before its record is on the
//! disk; and no commanded step may ever take this way around the store (`broken::Vouched`).

mod broken;
mod cache;
pub mod console;
mod ending;
pub mod judge;
mod keep;
mod scene;
mod session;
mod socket;
mod speech;
mod stage;
mod stepping;
mod store;
mod trust;

#[cfg(test)]
pub(crate) mod example;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use shared::clock::UnixMillis;
use shared::refusal::Refusal;
use shared::wire::{Command, GlassSample, ReportState};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;

pub(crate) use self::broken::Vouched;
pub use self::broken::{Broken, EPOCH_JUMP};
use self::cache::Cache;
use self::keep::Keeper;
pub use self::store::StoreAnswer;
use crate::action::{Progress, Scene};
use crate::config::GlassConfig;
use crate::ledger::Ledger;
use crate::probe::{PeerReading, Reader};
use crate::vower::Vower;

/// A step that an operator wants done; the loop does it when it is free.
pub(crate) struct Order {
    pub(crate) command: Command,
    /// Nothing for a step that changes nothing.
    pub(crate) vouched: Option<Vouched>,
    pub(crate) resumed: bool,
    pub(crate) progress: Progress,
    /// How it ended, or that it was not begun.
    pub(crate) reply: oneshot::Sender<ReportState>,
}

impl Order {
    /// Tells that it was not begun.
    pub(crate) fn refuse(self, refusal: Refusal) {
        drop(self.reply.send(ReportState::Refused(refusal)));
    }
}

/// What the sessions of operators work with.
pub(crate) struct Room {
    config: GlassConfig,
    scene: Scene,
    ledger: Ledger,
    peers: Vec<Reader<PeerReading>>,
    /// Who vows to the live site, if anybody here does: a vow binds an operator as well.
    vower: Option<Arc<Vower>>,
    cache: Cache,
    orders: mpsc::Sender<Order>,
    /// One session acts at a time.
    at_work: Mutex<()>,
}

/// The loop's side.
pub(crate) struct Desk {
    orders: mpsc::Receiver<Order>,
    /// Held, so that the channel stays open also when break glass is not configured.
    _sender: mpsc::Sender<Order>,
    cache: Option<Cache>,
}

impl Desk {
    /// Starts what break glass needs, if the agent's file allows it.
    pub(crate) fn open(
        scene: &Scene,
        peers: &[Reader<PeerReading>],
        vower: Option<Arc<Vower>>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let ledger = &scene.ledger;
        let (sender, orders) = mpsc::channel(1);
        let Some(config) = scene.config.glass.clone() else {
            return Self {
                orders,
                _sender: sender,
                cache: None,
            };
        };
        let cache = Cache::open(&scene.config.state_dir, &config.trusted_keys);
        let keeper = Keeper {
            connection: scene.connection.clone(),
            identity: scene.identity.clone(),
            ledger: ledger.clone(),
            cache: cache.clone(),
            trusted: config.trusted_keys.clone(),
            said: None,
        };
        tasks.spawn(keeper.run());
        let room = Arc::new(Room {
            config,
            scene: scene.clone(),
            ledger: ledger.clone(),
            peers: peers.to_vec(),
            vower,
            cache: cache.clone(),
            orders: sender.clone(),
            at_work: Mutex::new(()),
        });
        tasks.spawn(socket::serve(socket::path(&scene.config.state_dir), room));
        Self {
            orders,
            _sender: sender,
            cache: Some(cache),
        }
    }

    /// The next step that an operator wants done.
    pub(crate) async fn next(&mut self) -> Option<Order> {
        self.orders.recv().await
    }

    /// As heartbeats tell it; nothing when the agent's file does not allow it.
    pub(crate) fn sample(&self, ledger: &Ledger, now: UnixMillis) -> Option<GlassSample> {
        let broken = ledger.glass().map(|broken| Box::new(broken.sample()));
        let cache = self.cache.as_ref();
        let plan_age_ms = cache.and_then(|cache| cache.kept().map(|kept| kept.age(now)));
        (cache.is_some() || broken.is_some()).then_some(GlassSample {
            plan_age_ms,
            broken,
        })
    }
}
