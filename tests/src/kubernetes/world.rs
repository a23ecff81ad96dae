//! Everything one stand-in shares between its connections and its controller loop.
//!
//! Each part has its own lock, held for short computations only and never across an await. Where
//! two are needed the store comes first.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::field::{number, text};
use super::request_log::RequestLog;
use super::resource::ResourceTable;
use super::saboteur::{Sabotage, Saboteur};
use super::script::{Script, Scripts, Timings, WorkloadName};
use super::store::Store;

/// The shared state of one stand-in.
#[derive(Debug)]
pub(super) struct World {
    pub(super) table: ResourceTable,
    pub(super) timings: Timings,
    pub(super) bookmark_every: Duration,
    /// The bearer token every request must carry.
    pub(super) token: Option<String>,
    /// True once the stand-in stops.
    pub(super) stopping: watch::Sender<bool>,
    pub(super) store: Mutex<Store>,
    pub(super) saboteur: Mutex<Saboteur>,
    pub(super) scripts: Mutex<Scripts>,
    pub(super) requests: Mutex<RequestLog>,
}

/// The kinds which the controller loop runs, with their place in the store.
pub(super) const WORKLOADS: [(&str, &str); 2] = [
    ("Deployment", "deployments.apps"),
    ("StatefulSet", "statefulsets.apps"),
];

/// Locks a part; a panic elsewhere does not make the state unreadable.
pub(super) fn lock<T>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// Carries out a saboteur's order.
    pub(super) fn sabotage(&self, order: &Sabotage) {
        let mut store = lock(&self.store);
        let present = replicas(&store);
        lock(&self.saboteur).obey(order, &present);
        if *order == Sabotage::ForgetHistory {
            store.forget_history();
        }
        store.stir();
    }

    /// Puts a script in force for a workload, from now on.
    pub(super) fn set_script(&self, workload: WorkloadName, script: Script) {
        lock(&self.scripts).set(workload, script, Some(Instant::now()));
        lock(&self.store).stir();
    }
}

/// The wanted replicas of every workload.
fn replicas(store: &Store) -> BTreeMap<WorkloadName, i64> {
    let mut counts = BTreeMap::new();
    for (kind, resource) in WORKLOADS {
        for (_, object) in store.list(resource, None) {
            let name = WorkloadName::new(
                kind,
                text(&object, "/metadata/namespace"),
                text(&object, "/metadata/name"),
            );
            counts.insert(name, number(&object, "/spec/replicas").unwrap_or(1));
        }
    }
    counts
}
