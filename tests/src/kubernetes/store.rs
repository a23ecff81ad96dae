//! The objects, their resource versions, and the history which watches replay.
//!
//! It decides order: every write gets the next resource version and one event. It must never judge
//! a write; that is done before it arrives here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::field::member;

/// Where an object is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// Plural and group, such as `deployments.apps`.
    pub(super) resource: String,
    /// Empty for objects outside namespaces.
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Key {
    pub(super) fn new(resource: &str, namespace: &str, name: &str) -> Self {
        Self {
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// One write, as watches see it.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) revision: u64,
    pub(super) key: Key,
    /// The object before the write; absent when it was created.
    pub(super) before: Option<Arc<Value>>,
    /// The object after the write; for a deletion, its last state.
    pub(super) object: Arc<Value>,
    pub(super) deleted: bool,
}

/// The asked resource version is older than the kept history; holds the oldest one kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Compacted(pub(super) u64);

/// All objects of one stand-in.
#[derive(Debug)]
pub(super) struct Store {
    objects: BTreeMap<Key, Arc<Value>>,
    events: VecDeque<Event>,
    revision: u64,
    compacted: u64,
    kept_events: usize,
    changed: watch::Sender<u64>,
}

/// Resource versions start here, so that a client which mixes them up with generations fails.
const FIRST_REVISION: u64 = 1_000;

impl Store {
    /// An empty store which keeps the last `kept_events` writes for watches.
    pub(super) fn new(kept_events: usize) -> Self {
        Self {
            objects: BTreeMap::new(),
            events: VecDeque::new(),
            revision: FIRST_REVISION,
            compacted: FIRST_REVISION,
            kept_events,
            changed: watch::Sender::new(FIRST_REVISION),
        }
    }

    /// The resource version of the last write.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Wakes on every write and on every [`Self::stir`].
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Wakes all subscribers though nothing was written.
    pub(super) fn stir(&self) {
        self.changed.send_modify(|_| ());
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.objects.get(key).cloned()
    }

    /// The objects of one resource, in one namespace or in all.
    pub(super) fn list(&self, resource: &str, namespace: Option<&str>) -> Vec<(Key, Arc<Value>)> {
        let first = Key::new(resource, namespace.unwrap_or(""), "");
        self.objects
            .range(first..)
            .take_while(|(key, _)| {
                key.resource == resource && namespace.is_none_or(|wanted| key.namespace == wanted)
            })
            .map(|(key, object)| (key.clone(), Arc::clone(object)))
            .collect()
    }

    /// Stores `object` under `key` with the next resource version and returns it as stored.
    pub(super) fn put(&mut self, key: &Key, mut object: Value) -> Arc<Value> {
        self.stamp(&mut object);
        let object = Arc::new(object);
        let before = self.objects.insert(key.clone(), Arc::clone(&object));
        self.record(key, before, Arc::clone(&object), false);
        object
    }

    /// Removes an object and returns its last state.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let before = self.objects.remove(key)?;
        let mut last = Value::clone(&before);
        self.stamp(&mut last);
        let last = Arc::new(last);
        self.record(key, Some(before), Arc::clone(&last), true);
        Some(last)
    }

    /// The writes after `revision`.
    ///
    /// # Errors
    /// [`Compacted`] when some of them are no longer kept.
    pub(super) fn events_after(&self, revision: u64) -> Result<Vec<Event>, Compacted> {
        if revision < self.compacted {
            return Err(Compacted(self.compacted));
        }
        let first = self
            .events
            .partition_point(|event| event.revision <= revision);
        Ok(self.events.range(first..).cloned().collect())
    }

    /// Drops the history: watches from an older resource version are answered 410.
    pub(super) fn forget_history(&mut self) {
        // A write nobody asked for, so that the version known to clients is older than the history.
        self.revision = self.revision.saturating_add(1);
        self.compacted = self.revision;
        self.events.clear();
        self.changed.send_replace(self.revision);
    }

    fn stamp(&mut self, object: &mut Value) {
        self.revision = self.revision.saturating_add(1);
        if let Some(metadata) = member(object, "metadata") {
            metadata.insert(
                "resourceVersion".to_owned(),
                json!(self.revision.to_string()),
            );
        }
    }

    fn record(&mut self, key: &Key, before: Option<Arc<Value>>, object: Arc<Value>, gone: bool) {
        self.events.push_back(Event {
            revision: self.revision,
            key: key.clone(),
            before,
            object,
            deleted: gone,
        });
        while self.events.len() > self.kept_events {
            if let Some(dropped) = self.events.pop_front() {
                self.compacted = dropped.revision;
            }
        }
        self.changed.send_replace(self.revision);
    }
}
