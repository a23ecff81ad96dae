//! The controller loop: Deployment and StatefulSet controllers, kubelet, garbage collection, and
//! the reverter.
//!
//! It is level-triggered: each pass compares what is with what shall be and writes the difference;
//! a pass over a settled store writes nothing. It must never write except through `write`.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use super::agenda::Agenda;
use super::field::{list, number, text, timestamp};
use super::generation::Part;
use super::ownership::Author;
use super::pod;
use super::resource::{Resource, ResourceTable};
use super::rollout::{self, PodView};
use super::saboteur::Reverter;
use super::script::{Script, Scripts, Timings, WorkloadName};
use super::store::{Key, Store};
use super::workload_status::{self, Known};
use super::world::{WORKLOADS, World, lock};
use super::write::{self, Mode, random_suffix};

/// Between two passes, so that a burst of writes costs one pass.
const BREATH: Duration = Duration::from_millis(2);

/// Runs passes until the stand-in stops.
pub(super) async fn run(world: Arc<World>) {
    let mut changed = lock(&world.store).subscribe();
    let mut stopping = world.stopping.subscribe();
    let mut memory = Memory::default();
    loop {
        changed.mark_unchanged();
        let next = memory.pass(&world, Instant::now());
        let next = next.unwrap_or_else(|| Instant::now() + Duration::from_hours(1));
        tokio::select! {
            _ = changed.changed() => {}
            () = sleep_until(next) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        sleep(BREATH).await;
    }
}

/// What the controllers remember between passes, by the uid of the object.
#[derive(Debug, Default)]
struct Memory {
    workloads: BTreeMap<String, Watched>,
    pods: BTreeMap<String, PodTimes>,
}

/// A workload as its controller knows it.
#[derive(Debug)]
struct Watched {
    /// The generation last noticed, and when.
    noticed: (i64, Instant),
    /// The object acted upon.
    observed: Option<Arc<Value>>,
    /// Pod counts and revision at the last progress, and when that was.
    progress: (String, Instant),
}

#[derive(Debug, Clone, Copy)]
struct PodTimes {
    born: Instant,
    leaving: Option<Instant>,
}

/// One pass: the parts of the world it works on.
struct Pass<'a> {
    table: &'a ResourceTable,
    timings: &'a Timings,
    store: &'a mut Store,
    scripts: &'a Scripts,
    agenda: Agenda,
}

impl Memory {
    fn pass(&mut self, world: &World, now: Instant) -> Option<Instant> {
        let mut store = lock(&world.store);
        let scripts = lock(&world.scripts).clone();
        let mut saboteur = lock(&world.saboteur);
        let mut pass = Pass {
            table: &world.table,
            timings: &world.timings,
            store: &mut store,
            scripts: &scripts,
            agenda: Agenda::at(now),
        };
        for reverter in &mut saboteur.reverters {
            pass.revert(reverter);
        }
        if !saboteur.controller_paused {
            self.run_pods(&mut pass);
            for (kind, resource) in WORKLOADS {
                for (key, object) in pass.store.list(resource, None) {
                    self.reconcile(&mut pass, kind, &key, &object);
                }
            }
        }
        pass.agenda.next()
    }

    /// The kubelet: pods start, fail and end; pods without a workload are collected.
    fn run_pods(&mut self, pass: &mut Pass<'_>) {
        let Some(pods) = pass.table.by_plural("", "v1", "pods") else {
            return;
        };
        let present = pass.store.list("pods", None);
        self.pods.retain(|uid, _| {
            present
                .iter()
                .any(|(_, pod)| text(pod, "/metadata/uid") == uid)
        });
        for (key, object) in present {
            let uid = text(&object, "/metadata/uid").to_owned();
            let now = pass.agenda.now();
            let times = self.pods.entry(uid).or_insert(PodTimes {
                born: now,
                leaving: None,
            });
            let owner = owner_of(&object);
            let (script, since) = owner
                .as_ref()
                .map_or((Script::Normal, None), |owner| pass.scripts.of(owner));
            if !text(&object, "/metadata/deletionTimestamp").is_empty() {
                let leaving = *times.leaving.get_or_insert(now);
                let ends = script != Script::StuckTerminating;
                if ends && pass.agenda.passed(leaving, pass.timings.terminate_after) {
                    pass.store.remove(&key);
                }
                continue;
            }
            if owner.is_some_and(|owner| !pass.owns(&owner, &object)) {
                pass.delete(pods, &key);
                continue;
            }
            let since = since.map_or(times.born, |since| since.max(times.born));
            pass.report_pod(pods, &key, &object, (script, since));
        }
    }

    /// The workload's controller: notice, act on pods, report.
    fn reconcile(&mut self, pass: &mut Pass<'_>, kind: &str, key: &Key, object: &Arc<Value>) {
        let now = pass.agenda.now();
        let generation = number(object, "/metadata/generation").unwrap_or(0);
        let uid = text(object, "/metadata/uid").to_owned();
        let watched = self.workloads.entry(uid).or_insert_with(|| Watched {
            noticed: (generation, now),
            observed: None,
            progress: (String::new(), now),
        });
        if watched.noticed.0 != generation {
            watched.noticed = (generation, now);
        }
        if pass
            .agenda
            .passed(watched.noticed.1, pass.timings.observe_lag)
        {
            watched.observed = Some(Arc::clone(object));
        }
        let Some(observed) = watched.observed.clone() else {
            return;
        };
        let name = WorkloadName::new(kind, &key.namespace, &key.name);
        let (script, _) = pass.scripts.of(&name);
        let revision = revision_of(&observed);
        pass.move_pods(&name, &observed, &revision, script);
        let pods = pass.pods_of(&name, &observed);
        let ready = pods.iter().filter(|pod| pod.ready).count();
        let progress = format!("{generation} {revision} {} {ready}", pods.len());
        if watched.progress.0 != progress {
            watched.progress = (progress, now);
        }
        let known = Known {
            observed: &observed,
            before: object.get("status").unwrap_or(&Value::Null),
            revision: &revision,
            pods: &pods,
            create_failed: script == Script::FailedCreate,
            stalled_since: watched.progress.1,
        };
        let status = if kind == "StatefulSet" {
            let mut known = known;
            let named = format!("{}-{revision}", key.name);
            known.revision = &named;
            workload_status::stateful_set(&known)
        } else {
            let mut status = workload_status::deployment(&known, &mut pass.agenda);
            pod::carry_times(known.before, &mut status);
            status
        };
        pass.report(key, object, status);
    }
}

impl Pass<'_> {
    fn resource_of(&self, key: &Key) -> Option<Resource> {
        self.table
            .rows()
            .iter()
            .find(|row| row.qualified() == key.resource)
            .cloned()
    }

    /// Puts replicas back where they were.
    fn revert(&mut self, reverter: &mut Reverter) {
        for (name, wanted) in &reverter.wanted {
            let Some(key) = key_of(name) else { continue };
            let Some(object) = self.store.get(&key) else {
                continue;
            };
            if number(&object, "/spec/replicas") == Some(*wanted) {
                reverter.drifted.remove(name);
                continue;
            }
            let now = self.agenda.now();
            let since = *reverter.drifted.entry(name.clone()).or_insert(now);
            if !self.agenda.passed(since, reverter.after) {
                continue;
            }
            let mut after = Value::clone(&object);
            after["spec"]["replicas"] = json!(wanted);
            if let Some(resource) = self.resource_of(&key) {
                let author = Author::of(&reverter.field_manager);
                self.write(&resource, &key, after, Part::Desired, &author);
            }
            reverter.drifted.remove(name);
        }
    }

    fn write(&mut self, resource: &Resource, key: &Key, after: Value, part: Part, by: &Author) {
        let written = write::update(self.store, resource, key, after, part, by, Mode::Real);
        if let Err(error) = written {
            tracing::warn!(%error, ?key, "the controller loop could not write");
        }
    }

    fn delete(&mut self, resource: &Resource, key: &Key) {
        let deleted = write::delete(self.store, resource, key, &json!({}), Mode::Real);
        if let Err(error) = deleted {
            tracing::warn!(%error, ?key, "the controller loop could not delete");
        }
    }

    /// Stores a status unless it says what the stored one says.
    fn report(&mut self, key: &Key, object: &Value, status: Value) {
        if pod::says_the_same(object.get("status").unwrap_or(&Value::Null), &status) {
            return;
        }
        let mut after = object.clone();
        after["status"] = status;
        if let Some(resource) = self.resource_of(key) {
            let author = Author::of("kube-controller-manager");
            self.write(&resource, key, after, Part::Status, &author);
        }
    }

    fn report_pod(
        &mut self,
        pods: &Resource,
        key: &Key,
        object: &Value,
        (script, since): (Script, Instant),
    ) {
        let status = pod::status(object, script, self.timings, since, &mut self.agenda);
        let waiting = text(&status, "/containerStatuses/0/state/waiting/reason").to_owned();
        self.report(key, object, status);
        let reason = match (script, waiting.as_str()) {
            (Script::Unschedulable, _) => "FailedScheduling",
            (_, "ImagePullBackOff" | "CrashLoopBackOff") => "BackOff",
            (_, "ErrImagePull") => "Failed",
            _ => return,
        };
        self.emit(pods, object, reason, "see the status of the pod");
    }

    /// Writes an Event once per object and reason.
    fn emit(&mut self, about: &Resource, object: &Value, reason: &str, message: &str) {
        let namespace = text(object, "/metadata/namespace");
        let name = format!(
            "{}.{}",
            text(object, "/metadata/name"),
            reason.to_lowercase()
        );
        let Some(events) = self.table.by_plural("", "v1", "events").cloned() else {
            return;
        };
        if self
            .store
            .get(&Key::new("events", namespace, &name))
            .is_some()
        {
            return;
        }
        let event = json!({
            "metadata": {"name": name},
            "involvedObject": {
                "apiVersion": about.api_version(),
                "kind": about.kind,
                "namespace": namespace,
                "name": text(object, "/metadata/name"),
                "uid": text(object, "/metadata/uid"),
            },
            "reason": reason,
            "message": message,
            "type": "Warning",
            "count": 1,
            "firstTimestamp": timestamp(),
            "lastTimestamp": timestamp(),
            "source": {"component": "standin"},
        });
        self.create(&events, namespace, event);
    }

    fn create(&mut self, resource: &Resource, namespace: &str, object: Value) {
        let author = Author::of("kube-controller-manager");
        let how = (Mode::Real, true);
        if let Err(error) = write::create(self.store, resource, namespace, object, &author, how) {
            tracing::warn!(%error, namespace, "the controller loop could not create");
        }
    }

    /// Creates and deletes pods of one workload.
    fn move_pods(&mut self, name: &WorkloadName, object: &Value, revision: &str, script: Script) {
        let Some(pods) = self.table.by_plural("", "v1", "pods").cloned() else {
            return;
        };
        let views = self.pods_of(name, object);
        let spec = object.get("spec").unwrap_or(&Value::Null);
        let stateful = name.kind == "StatefulSet";
        let moves = if stateful {
            let labelled = format!("{}-{revision}", name.name);
            rollout::stateful_set(&name.name, spec, &labelled, &views)
        } else {
            rollout::deployment(spec, revision, &views)
        };
        for gone in &moves.delete {
            self.delete(&pods, &Key::new("pods", &name.namespace, gone));
        }
        let labelled = if stateful {
            format!("{}-{revision}", name.name)
        } else {
            revision.to_owned()
        };
        let mut names: Vec<String> = moves
            .ordinals
            .iter()
            .map(|ordinal| format!("{}-{ordinal}", name.name))
            .collect();
        for _ in 0..moves.create {
            names.push(format!("{}-{revision}-{}", name.name, random_suffix()));
        }
        if script == Script::FailedCreate && !names.is_empty() {
            if let Some(about) = self.table.by_kind("apps/v1", &name.kind).cloned() {
                self.emit(
                    &about,
                    object,
                    "FailedCreate",
                    "pods are forbidden: exceeded quota",
                );
            }
            return;
        }
        for pod_name in names {
            let built = pod::build(object, &pod_name, &labelled);
            self.create(&pods, &name.namespace, built);
        }
    }

    /// The pods which `name` owns, terminating ones included.
    fn pods_of(&self, name: &WorkloadName, object: &Value) -> Vec<PodView> {
        let uid = text(object, "/metadata/uid");
        let revision = format!("/metadata/labels/{}", pod::revision_label(&name.kind));
        self.store
            .list("pods", Some(&name.namespace))
            .iter()
            .filter(|(_, pod)| text(pod, "/metadata/ownerReferences/0/uid") == uid)
            .map(|(key, pod)| PodView {
                name: key.name.clone(),
                revision: text(pod, &revision).to_owned(),
                terminating: !text(pod, "/metadata/deletionTimestamp").is_empty(),
                ready: pod::is_ready(pod),
            })
            .collect()
    }

    /// Whether the workload named as owner of `pod` still exists.
    fn owns(&self, owner: &WorkloadName, pod: &Value) -> bool {
        key_of(owner)
            .and_then(|key| self.store.get(&key))
            .is_some_and(|object| {
                text(&object, "/metadata/uid") == text(pod, "/metadata/ownerReferences/0/uid")
            })
    }
}

fn key_of(name: &WorkloadName) -> Option<Key> {
    WORKLOADS
        .iter()
        .find(|(kind, _)| *kind == name.kind)
        .map(|(_, resource)| Key::new(resource, &name.namespace, &name.name))
}

/// The workload that a pod's first owner reference leads to.
fn owner_of(pod: &Value) -> Option<WorkloadName> {
    let owner = list(pod, "/metadata/ownerReferences").first()?;
    let namespace = text(pod, "/metadata/namespace");
    let name = text(owner, "/name");
    match text(owner, "/kind") {
        "StatefulSet" => Some(WorkloadName::new("StatefulSet", namespace, name)),
        "ReplicaSet" => {
            let hash = text(pod, "/metadata/labels/pod-template-hash");
            let deployment = name.strip_suffix(hash)?.strip_suffix('-')?;
            Some(WorkloadName::new("Deployment", namespace, deployment))
        }
        _ => None,
    }
}

/// A short name for the present template, equal for equal templates.
fn revision_of(workload: &Value) -> String {
    let mut hasher = DefaultHasher::new();
    let template = workload.pointer("/spec/template").unwrap_or(&Value::Null);
    template.to_string().hash(&mut hasher);
    let hash: String = format!("{:016x}", hasher.finish());
    hash.chars().take(10).collect()
}
