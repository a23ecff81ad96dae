//! The numbers that make old orders harmless.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The fencing number of a stack: it grows with every change of the live site and never falls.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// The number of a coordinator's lead: a new leader has a higher one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Term(pub u64);

/// The version of an applied stack file; it grows by one with every apply.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct StackVersion(pub u64);

impl Epoch {
    /// The next epoch.
    ///
    /// # Panics
    /// When the number is used up: 2^64 failovers.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

macro_rules! shown_as_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

shown_as_number!(Epoch, Term, StackVersion);
