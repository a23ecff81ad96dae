//! What `pointsman-agent break-glass` and the running agent say to each other over the agent's socket: one JSON
//! value a line.

use serde::{Deserialize, Serialize};
use shared::clock::Millis;
use shared::epoch::Epoch;
use shared::id::{NodeName, SiteName};
use shared::wire::ProofLine;

use super::judge::{Objection, Request};

/// Longest line, in bytes: a plan may be in it.
pub(crate) const LINE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ask {
    pub(crate) act: Act,
    pub(crate) request: Request,
    /// The content of a plan's file; without it the kept plan is used.
    pub(crate) plan: Option<String>,
}

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Act {
    /// Show everything.
    Look,
    /// Look at the preconditions as well.
    Check,
    /// Do it.
    Break,
}

/// What the agent says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    /// What is planned and what is true here.
    Picture(Box<Picture>),
    /// What goes on.
    Progress(String),
    /// A step ended.
    Step {
        number: u32,
        title: String,
        /// `done`, `failed`, …
        outcome: String,
        detail: String,
        proof: Vec<ProofLine>,
    },
    /// Nothing was done, or nothing further is.
    Refused(Vec<Objection>),
    /// This node's part is over.
    Ended(Ending),
}

/// Everything that an operator needs to know before vouching.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Picture {
    pub(crate) site: SiteName,
    pub(crate) node: NodeName,
    pub(crate) from: SiteName,
    pub(crate) to: SiteName,
    /// The plan's identity, age and maker.
    pub(crate) plan: String,
    pub(crate) loss: String,
    pub(crate) epoch: Epoch,
    pub(crate) wait_ms: Millis,
    pub(crate) steps: Vec<StepLine>,
    /// What is true here, each as a fact and what was found.
    pub(crate) truths: Vec<ProofLine>,
    /// What only the store could say.
    pub(crate) unknown: Vec<String>,
    pub(crate) objections: Vec<Objection>,
}

/// One step as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StepLine {
    pub(crate) number: u32,
    pub(crate) title: String,
    /// Who does it.
    pub(crate) place: String,
    /// What is known of it here.
    pub(crate) state: String,
}

/// How this node's part ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ending {
    /// True when all of this node's steps that can be done now are done.
    pub(crate) done: bool,
    /// One sentence.
    pub(crate) summary: String,
    pub(crate) epoch: Epoch,
    /// What the next node needs.
    pub(crate) code: Option<String>,
    /// Where to go on: the node and its steps.
    pub(crate) next: Vec<NextNode>,
    /// What the site serves without, at other nodes; it may have been done.
    pub(crate) later: Vec<NextNode>,
}

/// A node with steps that are still to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NextNode {
    pub(crate) site: SiteName,
    pub(crate) node: NodeName,
    pub(crate) steps: Vec<String>,
}
