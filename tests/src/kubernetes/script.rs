//! How the pods of a workload behave, and how long everything takes.
//!
//! A script belongs to a workload and may change at any time; pods follow at the next pass of the
//! controller loop.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// What becomes of a workload's pods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Script {
    /// Pods become ready after the usual time.
    #[default]
    Normal,
    /// Pods become ready after ten times the usual time.
    Slow,
    /// Pods run and never become ready.
    NeverReady,
    /// The image cannot be pulled.
    ImagePullBackoff,
    /// The container exits with 1 again and again.
    CrashLoop,
    /// No node takes the pods.
    Unschedulable,
    /// The API server refuses to create pods (quota).
    FailedCreate,
    /// Pods become ready as usual, but never finish terminating, as on a lost node.
    StuckTerminating,
}

/// How long the controllers and the kubelet take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// From a changed spec until the controller acts on it and sets `observedGeneration`.
    pub observe_lag: Duration,
    /// From a pod's creation until it is ready.
    pub ready_after: Duration,
    /// From a pod's deletion until it is gone.
    pub terminate_after: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            observe_lag: Duration::from_millis(50),
            ready_after: Duration::from_millis(300),
            terminate_after: Duration::from_millis(300),
        }
    }
}

/// Names one workload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkloadName {
    /// `Deployment` or `StatefulSet`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl WorkloadName {
    /// Names the workload `kind` `namespace`/`name`.
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// The scripts in force. Workloads that are not named follow [`Script::Normal`].
#[derive(Debug, Clone, Default)]
pub(super) struct Scripts(BTreeMap<WorkloadName, (Script, Option<Instant>)>);

impl Scripts {
    /// Puts `script` in force; pods count their time from `since` when they are older.
    pub(super) fn set(&mut self, workload: WorkloadName, script: Script, since: Option<Instant>) {
        self.0.insert(workload, (script, since));
    }

    /// The script in force and when it was set.
    pub(super) fn of(&self, workload: &WorkloadName) -> (Script, Option<Instant>) {
        self.0.get(workload).copied().unwrap_or_default()
    }
}
