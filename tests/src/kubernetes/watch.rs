//! Watches: the stream of events after a resource version.
//!
//! It decides which event a client sees when an object starts or stops matching its selector, when
//! bookmarks are due, and when the history no longer suffices (410 Gone inside the stream).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::refusal::Refusal;
use super::resource::Resource;
use super::selector::Selector;
use super::store::{Event, Store};
use super::world::{World, lock};

/// What one client watches.
#[derive(Debug, Clone)]
pub(super) struct WatchPlan {
    pub(super) resource: Resource,
    /// Empty for all namespaces.
    pub(super) namespace: String,
    pub(super) selector: Selector,
    /// The resource version after which events are wanted; 0 for all present objects first.
    pub(super) since: u64,
    /// Present objects first, ended by a marked bookmark.
    pub(super) initial_events: bool,
    pub(super) bookmarks: bool,
    pub(super) timeout_seconds: Option<u64>,
}

/// The longest a watch lasts when the client states no time-out.
const LONGEST: Duration = Duration::from_mins(30);

/// Sends lines until the client leaves, the time-out passes, the history is lost, or the stand-in
/// stops.
pub(super) async fn run(world: Arc<World>, plan: WatchPlan, lines: mpsc::Sender<Bytes>) {
    let ends = Instant::now() + plan.timeout_seconds.map_or(LONGEST, Duration::from_secs);
    let mut changed = lock(&world.store).subscribe();
    let mut stopping = world.stopping.subscribe();
    let mut bookmark_due = Instant::now() + world.bookmark_every;
    let mut cursor = plan.since;
    if plan.since == 0 || plan.initial_events {
        let (revision, first) = plan.opening(&lock(&world.store));
        cursor = revision;
        if !send(&lines, &first).await {
            return;
        }
    }
    loop {
        changed.mark_unchanged();
        let hanging = lock(&world.saboteur).hanging();
        if !hanging {
            let (revision, batch, lost) = plan.news(&lock(&world.store), cursor);
            cursor = revision;
            if !send(&lines, &batch).await || lost {
                return;
            }
            if plan.bookmarks && Instant::now() >= bookmark_due {
                bookmark_due = Instant::now() + world.bookmark_every;
                if !send(&lines, &[plan.bookmark(cursor, false)]).await {
                    return;
                }
            }
        }
        let next = if plan.bookmarks && !hanging {
            bookmark_due.min(ends)
        } else {
            ends
        };
        tokio::select! {
            _ = changed.changed() => {}
            () = sleep_until(next) => {}
            () = lines.closed() => return,
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        if Instant::now() >= ends {
            return;
        }
    }
}

async fn send(lines: &mpsc::Sender<Bytes>, batch: &[Value]) -> bool {
    for line in batch {
        if lines.send(Bytes::from(format!("{line}\n"))).await.is_err() {
            return false;
        }
    }
    true
}

impl WatchPlan {
    fn namespace(&self) -> Option<&str> {
        (!self.namespace.is_empty()).then_some(self.namespace.as_str())
    }

    /// Every present object as an `ADDED` event, and the resource version they stand for.
    fn opening(&self, store: &Store) -> (u64, Vec<Value>) {
        let mut lines: Vec<Value> = store
            .list(&self.resource.qualified(), self.namespace())
            .iter()
            .filter(|(_, object)| self.selector.matches(object))
            .map(|(_, object)| json!({"type": "ADDED", "object": **object}))
            .collect();
        if self.initial_events && self.bookmarks {
            lines.push(self.bookmark(store.revision(), true));
        }
        (store.revision(), lines)
    }

    /// The events after `cursor`, the new cursor, and whether the history was lost.
    fn news(&self, store: &Store, cursor: u64) -> (u64, Vec<Value>, bool) {
        match store.events_after(cursor) {
            Ok(events) => {
                let lines = events.iter().filter_map(|event| self.line(event)).collect();
                (store.revision(), lines, false)
            }
            Err(compacted) => {
                let gone = Refusal::gone(cursor, compacted.0);
                (
                    cursor,
                    vec![json!({"type": "ERROR", "object": gone.body()})],
                    true,
                )
            }
        }
    }

    fn line(&self, event: &Event) -> Option<Value> {
        let here = event.key.resource == self.resource.qualified()
            && self
                .namespace()
                .is_none_or(|wanted| wanted == event.key.namespace);
        if !here {
            return None;
        }
        let matched = event
            .before
            .as_ref()
            .is_some_and(|before| self.selector.matches(before));
        let matches = !event.deleted && self.selector.matches(&event.object);
        let change = match (matched, matches) {
            (false, false) => return None,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        Some(json!({"type": change, "object": *event.object}))
    }

    fn bookmark(&self, revision: u64, ends_initial: bool) -> Value {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if ends_initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        json!({"type": "BOOKMARK", "object": {
            "kind": self.resource.kind,
            "apiVersion": self.resource.api_version(),
            "metadata": metadata,
        }})
    }
}
