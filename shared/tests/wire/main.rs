//! The wire format as later builds must read it: kept bytes, refusals, garbage, and what may be added.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what these tests stand on must work, or the test has failed"
)]

mod addition;
mod garbage;
mod golden;
mod json;
mod refusal;
mod specimen;
mod tree;

use shared::codec::{self, DecodeError, Kind, Message};
use shared::wire::{Command, Heartbeat, Observation, Report};

/// The bytes of a message that fits.
fn written<M: Message>(message: &M) -> Vec<u8> {
    codec::encode(message).unwrap()
}

/// Decodes bytes as the kind they claim to be of, and writes what was read again.
fn reread(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let (_, kind) = codec::peek(bytes)?;
    Ok(match kind {
        Kind::Heartbeat => written(&codec::decode::<Heartbeat>(bytes)?),
        Kind::Observation => written(&codec::decode::<Observation>(bytes)?),
        Kind::Command => written(&codec::decode::<Command>(bytes)?),
        Kind::Report => written(&codec::decode::<Report>(bytes)?),
        Kind::Unknown => {
            return Err(DecodeError::OtherKind {
                found: kind,
                expected: Kind::Heartbeat,
            });
        }
    })
}
