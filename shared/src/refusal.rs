//! Why a command or request was not accepted: data, not an error.
//!
//! Every refusal is a whole sentence for the operator, with what was found and what is needed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::epoch::{Epoch, StackVersion, Term};
use crate::id::{Actor, CommandId, NodeName, SiteName};

/// Why an agent's gate did not admit a command.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Refusal {
    /// The command is for another agent.
    OtherTarget {
        /// Who it is for.
        site: SiteName,
        /// Who it is for.
        node: NodeName,
    },
    /// The command's epoch is older than one this agent has already obeyed.
    OldEpoch {
        /// The command's epoch.
        found: Epoch,
        /// The highest epoch this agent has obeyed.
        highest: Epoch,
    },
    /// The command comes from a leader that another has followed.
    OldTerm {
        /// The command's term.
        found: Term,
        /// The highest term this agent has obeyed in this epoch.
        highest: Term,
    },
    /// The command came too late.
    PastDeadline {
        /// Age of the heartbeat that the command answers to.
        age_ms: Millis,
        /// How long it was valid.
        valid_for_ms: Millis,
    },
    /// The command answers to a heartbeat that this process did not send.
    OtherProcess,
    /// The command is another than the one this identity had before.
    OtherContent {
        /// The command's identity.
        command: CommandId,
    },
    /// The content does not match the digest that the command carries.
    WrongDigest,
    /// The command changes something and carries no approval.
    NoApproval,
    /// The approval is for another plan than the command belongs to.
    OtherApproval,
    /// The step needs the right to be live and the command carries no grant for this site and epoch.
    NoGrant,
    /// The grant is no longer the one in the store, or the store could not confirm it by a write.
    GrantNotConfirmed {
        /// What the store said.
        reason: String,
    },
    /// An earlier step of the same run is still running here.
    Busy {
        /// The command that runs.
        running: CommandId,
    },
    /// The agent has no module for the step.
    NoModule {
        /// The module that is missing in the agent's file.
        module: String,
    },
    /// The database is not in the role that the step needs.
    WrongRole {
        /// What the agent found.
        found: String,
        /// What the step needs.
        needed: String,
    },
    /// The agent cannot write its ledger, so it may not act.
    LedgerUnwritable {
        /// What the disk said.
        reason: String,
    },
    /// The store shows less than this agent has seen of it before, so nothing that comes by it is believed.
    StoreRegressed {
        /// In what it shows less.
        reason: String,
    },
    /// This agent promised the live site's agent that its database is not promoted before the promise has run out.
    /// It gives no further promise for that epoch, so this ends.
    Promised {
        /// The epoch of the site that it was promised to.
        epoch: Epoch,
        /// Until it has run out.
        left_ms: Millis,
    },
    /// Nobody approved the order but automatic mode, and the agent's own file refuses such orders.
    AutomaticRefused,
    /// Nobody approved the order but automatic mode, and the stack that this agent knows does not allow that.
    AutomaticNotAllowed {
        /// The version that allowed it, by the order.
        ordered: Option<StackVersion>,
        /// The version that this agent knows; nothing when it knows none.
        known: Option<StackVersion>,
    },
    /// Nobody approved the order but automatic mode, and an operator has switched that off.
    AutomaticOff {
        /// Who.
        by: Actor,
    },
    /// A refusal that this build does not know.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherTarget { site, node } => write!(f, "the command is for {site}/{node}, not for this agent"),
            Self::OldEpoch { found, highest } => {
                write!(f, "the command's epoch {found} is older than epoch {highest}, which this agent has obeyed")
            }
            Self::OldTerm { found, highest } => {
                write!(f, "the command comes from leader term {found}, this agent has obeyed term {highest}")
            }
            Self::PastDeadline { age_ms, valid_for_ms } => write!(
                f,
                "the command came too late: it answers to a heartbeat sent {} ago and was valid for {}",
                age_ms.human(),
                valid_for_ms.human()
            ),
            Self::OtherProcess => f.write_str("the command answers to a heartbeat of an earlier process of this agent"),
            Self::OtherContent { command } => {
                write!(f, "command {command} was given before with another content")
            }
            Self::WrongDigest => f.write_str("the command's content does not match its digest"),
            Self::NoApproval => f.write_str("the command changes something and carries no approval"),
            Self::OtherApproval => f.write_str("the approval that the command carries is for another plan"),
            Self::NoGrant => f.write_str("the step needs the right to be live; the command carries no grant for this site and epoch"),
            Self::GrantNotConfirmed { reason } => write!(f, "the grant could not be confirmed by a write to the store: {reason}"),
            Self::Busy { running } => write!(f, "command {running} is still running here"),
            Self::NoModule { module } => write!(f, "the agent's file has no {module}"),
            Self::WrongRole { found, needed } => write!(f, "found {found}, the step needs {needed}"),
            Self::LedgerUnwritable { reason } => write!(f, "the ledger cannot be written: {reason}"),
            Self::StoreRegressed { reason } => {
                write!(f, "the store shows less than this agent has seen of it, so nothing is believed: {reason}")
            }
            Self::Promised { epoch, left_ms } => write!(
                f,
                "this agent promised the holder of epoch {epoch} not to be promoted for another {}",
                left_ms.human()
            ),
            Self::AutomaticRefused => {
                f.write_str("automatic mode gave the order, and this agent's file refuses such orders (automatic = \"refused\")")
            }
            Self::AutomaticNotAllowed { ordered, known } => {
                let text = |version: &Option<StackVersion>| {
                    version.map_or_else(|| "none".to_owned(), |version| version.to_string())
                };
                write!(
                    f,
                    "automatic mode gave the order by stack version {}, and the version that this agent knows, {}, does not allow it",
                    text(ordered),
                    text(known)
                )
            }
            Self::AutomaticOff { by } => {
                write!(f, "automatic mode gave the order, and {by} has switched it off")
            }
            Self::Unknown => f.write_str("a reason that this version does not know"),
        }
    }
}
