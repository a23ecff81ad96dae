//! What a step does: every parameter is decided in the plan, nothing is left to choose at run time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::digest::ContentDigest;
use crate::id::{DatabaseName, HookName, SiteName};
use crate::lsn::{Lsn, SystemIdentifier, Timeline};
use crate::stack::{Address, WorkloadKind};

/// The digest of a plan: an approval is for exactly one.
pub type PlanDigest = ContentDigest;

/// A replication slot name (PostgreSQL allows a-z, 0-9 and '_').
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotName(pub String);

/// One step's work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Looks whether a precondition holds; changes nothing.
    Check {
        /// What must hold.
        expect: CheckExpectation,
    },
    /// Stops the database at once and proves that no commit can be acknowledged.
    Fence {
        /// The database.
        database: DatabaseName,
        /// It must be this cluster.
        system_identifier: SystemIdentifier,
    },
    /// Promotes a standby and proves it.
    Promote {
        /// The database.
        database: DatabaseName,
        /// It must be this cluster.
        system_identifier: SystemIdentifier,
        /// Its timeline before the promotion.
        timeline: Timeline,
        /// It must have at least this position, which the plan was made with.
        min_lsn: Lsn,
        /// Physical slots that its followers will use, made after the promotion.
        slots: Vec<SlotName>,
    },
    /// Points a standby at the new primary and proves that it streams from there.
    Follow {
        /// The database.
        database: DatabaseName,
        /// It must be this cluster.
        system_identifier: SystemIdentifier,
        /// The new primary, as this standby reaches it.
        primary: Address,
        /// The new primary's timeline must be higher than this.
        above_timeline: Timeline,
        /// Its slot on the new primary.
        slot: SlotName,
    },
    /// Scales the workloads of one wave together and waits until each is as `kubectl rollout status` judges it.
    Scale {
        /// The workloads, at least one.
        targets: Vec<ScaleTarget>,
    },
    /// Runs a program that the agent's own file names.
    Hook {
        /// The hook.
        hook: HookName,
        /// Added to its environment, each name with the prefix `POINTSMAN_`.
        environment: BTreeMap<String, String>,
    },
    /// Asks what a user would ask, until the answer is right or the deadline is over.
    Verify {
        /// What is asked.
        probe: ProbeRequest,
        /// The site that must answer.
        site: SiteName,
    },
}

/// One workload and its wanted replicas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleTarget {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its namespace.
    pub namespace: String,
    /// Its object name.
    pub object: String,
    /// Wanted replicas; 0 means stopped: no pod left, terminating ones included.
    pub replicas: u32,
}

/// A precondition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckExpectation {
    /// The database is a standby of this cluster, on this timeline, not behind this position, without obstacle,
    /// and its position does not move: a moving one means that the primary lives.
    Promotable {
        /// The database.
        database: DatabaseName,
        /// It must be this cluster.
        system_identifier: SystemIdentifier,
        /// It must be on this timeline.
        timeline: Timeline,
        /// It must have at least this position.
        min_lsn: Lsn,
    },
    /// The workloads exist and their cluster's API answers.
    WorkloadsPresent {
        /// The workloads, with the replicas that the plan will ask for.
        targets: Vec<ScaleTarget>,
    },
}

/// A question that proves the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeRequest {
    /// HTTP GET.
    Http {
        /// The address.
        url: String,
        /// The status that must come back.
        status: u16,
        /// A text that the body must hold, if any.
        contains: Option<String>,
        /// Time for one attempt.
        attempt_ms: Millis,
    },
    /// One SQL statement on the agent's database.
    Sql {
        /// The statement.
        statement: String,
        /// Its first column of its first row, as text.
        equals: String,
    },
}

impl Action {
    /// The step kind's word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Check { .. } => "check",
            Self::Fence { .. } => "fence",
            Self::Promote { .. } => "promote",
            Self::Follow { .. } => "follow",
            Self::Scale { .. } => "scale",
            Self::Hook { .. } => "hook",
            Self::Verify { .. } => "verify",
        }
    }

    /// True when the step changes something, so that it needs an approval.
    pub const fn changes(&self) -> bool {
        !matches!(self, Self::Check { .. } | Self::Verify { .. })
    }

    /// True when the step needs the right to be live for its site: it would make a second site live otherwise.
    pub fn needs_grant(&self) -> bool {
        match self {
            Self::Promote { .. } => true,
            Self::Scale { targets } => targets.iter().any(|target| target.replicas > 0),
            Self::Check { .. }
            | Self::Fence { .. }
            | Self::Follow { .. }
            | Self::Hook { .. }
            | Self::Verify { .. } => false,
        }
    }
}
