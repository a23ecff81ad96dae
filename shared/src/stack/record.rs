//! The stack in force, as the store keeps it under its key.

use serde::{Deserialize, Serialize};

use super::Stack;
use crate::epoch::StackVersion;

/// Version of the JSON under the key of the stack.
pub const STACK_SCHEMA: u32 = 1;

/// The value of the key of the stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackRecord {
    /// [`STACK_SCHEMA`].
    pub schema: u32,
    /// One sentence for people who look with `nats kv get`.
    pub summary: String,
    /// The version.
    pub version: StackVersion,
    /// The stack.
    pub stack: Box<Stack>,
}
