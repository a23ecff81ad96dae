//! The vocabulary and wire format of Pointsman.
//!
//! Everything that two packages must agree on lives here: names, numbers with units, the stack file, the
//! subjects, the messages. It does no IO, reads no clock, makes no identities, and depends on none of the
//! other packages.
//!
//! ```text
//! id clock lsn epoch digest grade     words and numbers, each with a type of its own
//! sealed                              text of a file with its digest
//! config stack                        TOML files, all problems at once
//! subject codec wire refusal          what travels over NATS
//! telemetry                           log levels and the printing of error chains
//! ```

pub mod clock;
pub mod codec;
pub mod config;
pub mod digest;
pub mod epoch;
pub mod grade;
pub mod id;
pub mod lsn;
pub mod refusal;
pub mod sealed;
pub mod stack;
pub mod subject;
pub mod telemetry;
pub mod wire;
