//! What was shown of an old holder: that it cannot acknowledge a commit in its epoch any more.
//!
//! A proof is recorded in the run before anything is granted. Must never: count one of another epoch, or take a
//! promise for a proof before the whole wait is over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::clock::{Millis, UnixMillis};
use shared::epoch::Epoch;
use shared::grade::FenceGrade;
use shared::id::{Actor, FenceName, NodeName, SiteName};
use shared::wire::{LeasePromise, ProofLine};

/// One proof, for one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceProof {
    /// The epoch in which the old holder held the right.
    pub epoch: Epoch,
    /// When it was recorded, for display.
    pub at: UnixMillis,
    /// What was shown.
    pub shown: Shown,
}

/// What was shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// A person vouches, by the site's typed name and a reason.
    Attested {
        /// Who.
        by: Actor,
        /// The site.
        site: SiteName,
        /// How they know.
        reason: String,
    },
    /// Every database of the old holder had promised, with a deadman, to stop; and the leader has waited longer.
    LeaseExpired {
        /// What was promised, as the revoked ticket carries it.
        promises: BTreeMap<NodeName, LeasePromise>,
        /// How long the leader itself waited after the revocation was acknowledged.
        waited_ms: Millis,
    },
    /// Every database of the old holder acknowledges a commit only with the standby that is promoted: once that is, it
    /// acknowledges none.
    Synchronous {
        /// Each database's standby, with the primary's `synchronous_standby_names`.
        standbys: BTreeMap<NodeName, String>,
        /// How old that knowledge was when the plan was approved.
        age_ms: Millis,
    },
    /// The agents of every database of the old holder stopped it and proved that.
    AgentConfirmed {
        /// The agents.
        nodes: Vec<NodeName>,
    },
    /// A program cut the old site off.
    CutOff {
        /// Which fence.
        fence: FenceName,
        /// The agent that ran it.
        node: NodeName,
        /// What it said.
        receipt: Vec<ProofLine>,
    },
    /// A program powered the old site off.
    PoweredOff {
        /// Which fence.
        fence: FenceName,
        /// The agent that ran it.
        node: NodeName,
        /// What it said.
        receipt: Vec<ProofLine>,
    },
}

/// The highest grade that proofs of an epoch reach.
pub fn attained(proofs: &[FenceProof], epoch: Epoch) -> FenceGrade {
    let of_epoch = proofs.iter().filter(|proof| proof.epoch == epoch);
    let grades = of_epoch.map(|proof| proof.shown.grade());
    grades.max().unwrap_or(FenceGrade::None)
}

impl Shown {
    /// How sure it makes.
    pub const fn grade(&self) -> FenceGrade {
        match self {
            Self::Attested { .. } => FenceGrade::Attested,
            // It keeps commits from being acknowledged, as surely as an expired lease, and reads not at all.
            Self::LeaseExpired { .. } | Self::Synchronous { .. } => FenceGrade::LeaseExpired,
            Self::AgentConfirmed { .. } => FenceGrade::AgentConfirmed,
            Self::CutOff { .. } => FenceGrade::CutOff,
            Self::PoweredOff { .. } => FenceGrade::PoweredOff,
        }
    }

    /// One sentence.
    pub fn words(&self) -> String {
        match self {
            Self::Attested { by, site, reason } => {
                format!("{by} vouches that {site} is off: {reason}")
            }
            Self::LeaseExpired {
                promises,
                waited_ms,
            } => {
                let longest = promises.values().map(|promise| promise.stop_bound_ms).max();
                format!(
                    "{} promised to stop within {}, and {} were waited",
                    names(promises.keys()),
                    longest.unwrap_or_default().human(),
                    waited_ms.human()
                )
            }
            Self::Synchronous { standbys, age_ms } => {
                let names = standbys.iter().map(|(standby, names)| {
                    format!("{standby} (synchronous_standby_names {names:?})")
                });
                let names: Vec<String> = names.collect();
                format!(
                    "it acknowledges a commit only with {}, by its settings of {} before the approval: none once that is \
                     promoted",
                    names.join(", "),
                    age_ms.human()
                )
            }
            Self::AgentConfirmed { nodes } => {
                format!("{} stopped the database and proved it", names(nodes.iter()))
            }
            Self::CutOff { fence, node, .. } => format!("fence {fence}, run by {node}, cut it off"),
            Self::PoweredOff { fence, node, .. } => {
                format!("fence {fence}, run by {node}, powered it off")
            }
        }
    }
}

fn names<'a>(nodes: impl Iterator<Item = &'a NodeName>) -> String {
    let names: Vec<&str> = nodes.map(NodeName::as_str).collect();
    names.join(", ")
}
