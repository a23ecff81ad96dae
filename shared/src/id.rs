//! Names and identities: every one has a type of its own, so that none can stand in for another.
//!
//! Names are subject tokens: they travel inside NATS subjects, file names and environment variables, so
//! their alphabet is small on purpose. They are copied with everything that is said, so a copy shares the
//! text. Identities are UUIDs made by the shells (never here: this package has no randomness).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Longest accepted name, in bytes (a DNS label).
pub const NAME_LEN_MAX: usize = 63;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} {found:?} is not a name: allowed are 1 to {NAME_LEN_MAX} characters of a-z, 0-9 and '-', \
     beginning with a letter or digit"
)]
pub struct NameError {
    /// What the text was meant to name, for example `site`.
    pub what: &'static str,
    /// The text that was found.
    pub found: String,
}

/// Why a text is not an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a {what}: a UUID like 0198c0de-0000-7000-8000-000000000001 is needed")]
pub struct IdentityError {
    /// What the text was meant to identify.
    pub what: &'static str,
    /// The text that was found.
    pub found: String,
}

/// True for a text made of the name alphabet.
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=NAME_LEN_MAX).contains(&bytes.len())
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        && bytes.first().is_some_and(|b| *b != b'-')
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a text that keeps to the name alphabet.
            ///
            /// # Errors
            /// [`NameError`] when it does not.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                if is_name(&text) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError { what: $what, found: text })
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID that a shell has made.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// The last eight characters: short enough to say aloud, random enough to tell two apart.
            pub fn short(self) -> String {
                let text = self.0.simple().to_string();
                text.chars().skip(24).collect()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdentityError;

            fn from_str(text: &str) -> Result<Self, IdentityError> {
                Uuid::parse_str(text)
                    .map(Self)
                    .map_err(|_| IdentityError { what: $what, found: text.to_owned() })
            }
        }
    };
}

name!(
    /// The service that Pointsman moves as one: databases, workloads and routes.
    StackName, "stack"
);
name!(
    /// A datacenter.
    SiteName, "site"
);
name!(
    /// A host, or a Kubernetes cluster's agent host, inside a site: the address of one agent.
    NodeName, "node"
);
name!(
    /// A PostgreSQL cluster (one primary and its standbys over all sites).
    DatabaseName, "database"
);
name!(
    /// A Kubernetes workload as the stack file calls it.
    WorkloadName, "workload"
);
name!(
    /// A way by which clients reach the live site.
    RouteName, "route"
);
name!(
    /// A way to cut off or power off a site.
    FenceName, "fence"
);
name!(
    /// A check that proves the service from the user's side.
    CheckName, "check"
);
name!(
    /// A command that the stack file names and a step runs on an agent's host.
    HookName, "hook"
);

identity!(
    /// A failover proposal.
    ProposalId, "proposal id"
);
identity!(
    /// One execution of a plan.
    RunId, "run id"
);
identity!(
    /// One order to one agent. Sending it again keeps the identity: that is how it takes effect once.
    CommandId, "command id"
);
identity!(
    /// One boot of a host, as its kernel names it.
    BootId, "boot id"
);
identity!(
    /// One start of an agent or coordinator process.
    ProcessId, "process id"
);
identity!(
    /// A value used once: it ties an answer to its question and a grant to its holder.
    Nonce, "nonce"
);

/// Who did something, for the audit: an operator's name or a coordinator's site.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Actor(String);

/// Longest actor name kept, in characters.
pub const ACTOR_LEN_MAX: usize = 128;

impl Actor {
    /// Takes a name as given, without control characters and cut to [`ACTOR_LEN_MAX`] characters.
    pub fn new(text: &str) -> Self {
        let clean: String = text
            .chars()
            .filter(|c| !c.is_control())
            .take(ACTOR_LEN_MAX)
            .collect();
        Self(clean)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_their_alphabet() {
        for good in ["a", "dc1", "dc-1", "0a", &"x".repeat(63)] {
            assert_eq!(SiteName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "A", "a.b", "a b", "a*", "ü", &"x".repeat(64)] {
            let error = SiteName::new(bad).unwrap_err().to_string();
            assert!(error.contains("site") && error.contains("a-z"), "{error}");
        }
    }

    #[test]
    fn identities_are_text_in_json() {
        let id = ProposalId::new(Uuid::from_u128(7));
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, "\"00000000-0000-0000-0000-000000000007\"");
        assert_eq!(serde_json::from_str::<ProposalId>(&json).unwrap(), id);
        assert!(serde_json::from_str::<ProposalId>("\"seven\"").is_err());
        assert_eq!(id.short(), "00000007");
    }

    #[test]
    fn actors_lose_control_characters() {
        assert_eq!(Actor::new("ali\u{1b}[2Jce\n").as_str(), "ali[2Jce");
    }
}
