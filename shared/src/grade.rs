//! Fence grades: how sure it is that the old site cannot acknowledge a commit.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A ladder: a higher grade satisfies every policy that asks for a lower one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FenceGrade {
    /// Nothing is known.
    None,
    /// An operator vouches, by the site's typed name and a reason, that the old site is off.
    Attested,
    /// The old site's lease has expired past the bound in which it must have stopped itself.
    LeaseExpired,
    /// The old site's agent has stopped the database and proved it.
    AgentConfirmed,
    /// The old site is cut off by network, load balancer or storage.
    CutOff,
    /// The old site is powered off.
    PoweredOff,
}

impl FenceGrade {
    /// All grades, lowest first.
    pub const ALL: [Self; 6] = [
        Self::None,
        Self::Attested,
        Self::LeaseExpired,
        Self::AgentConfirmed,
        Self::CutOff,
        Self::PoweredOff,
    ];

    /// The word used in files and on screens.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Attested => "attested",
            Self::LeaseExpired => "lease_expired",
            Self::AgentConfirmed => "agent_confirmed",
            Self::CutOff => "cut_off",
            Self::PoweredOff => "powered_off",
        }
    }
}

impl fmt::Display for FenceGrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
