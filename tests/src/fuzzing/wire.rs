//! MessagePack from the bus: read or refused, never a panic, and what was read is written back as the same value.

use std::fmt::Debug;

use agent::decode;
use shared::codec::{self, DecodeError, EncodeError, Kind, MESSAGE_BYTES_MAX, Message};
use shared::wire::{Command, Heartbeat, Observation, Report};

/// A message of at most one kind is read, and survives being written; its line for people shows no control character.
pub(super) fn holds(bytes: &[u8]) {
    let kind = codec::peek(bytes).ok().map(|(_, kind)| kind);
    let readings = [
        survives::<Heartbeat>(bytes, kind),
        survives::<Observation>(bytes, kind),
        survives::<Command>(bytes, kind),
        survives::<Report>(bytes, kind),
    ];
    let read = readings.into_iter().filter(|read| *read).count();
    assert!(read <= 1, "one message was read as {read} kinds");
    match decode::line(bytes) {
        Ok(line) => {
            assert_eq!(read, 1, "a line was made of what is no message");
            assert!(!line.contains(char::is_control), "{line:?}");
        }
        Err(error) => {
            assert_eq!(read, 0, "no line was made of a message: {error}");
            assert!(!error.to_string().is_empty());
        }
    }
    if let Ok(command) = codec::decode::<Command>(bytes) {
        let sealed = command.sealed();
        assert_eq!(sealed.digest, sealed.content_digest());
    }
}

/// True when the bytes are a message `M`.
fn survives<M: Message + PartialEq + Debug>(bytes: &[u8], kind: Option<Kind>) -> bool {
    let message = match codec::decode::<M>(bytes) {
        Ok(message) => message,
        Err(error) => {
            refused_rightly(&error, bytes, kind, M::KIND);
            return false;
        }
    };
    assert_eq!(kind, Some(M::KIND), "read as a kind that it is not");
    match codec::encode(&message) {
        Ok(written) => match codec::decode::<M>(&written) {
            Ok(again) => assert_eq!(again, message, "written and read, it is another"),
            Err(error) => unreachable!("{message:?} was written as what is refused: {error:?}"),
        },
        // Read from the short form of lists, it may be too large in the form of named maps.
        Err(EncodeError::TooLarge { found, .. }) => assert!(found > MESSAGE_BYTES_MAX),
        Err(error) => unreachable!("{message:?} cannot be written: {error:?}"),
    }
    true
}

/// The refusal is the one that the bytes' head and length ask for.
fn refused_rightly(error: &DecodeError, bytes: &[u8], kind: Option<Kind>, expected: Kind) {
    match error {
        DecodeError::TooLarge { found } => {
            assert_eq!(*found, bytes.len());
            assert!(*found > MESSAGE_BYTES_MAX);
        }
        DecodeError::NoEnvelope { .. } => assert_eq!(kind, None),
        DecodeError::OtherVersion { found } => assert_ne!(*found, codec::WIRE_VERSION),
        DecodeError::OtherKind { found, .. } => {
            assert_ne!(*found, expected);
            assert_eq!(kind, Some(*found));
        }
        DecodeError::Body { kind: found, .. } => assert_eq!(*found, expected),
        DecodeError::Trailing { trailing, .. } => {
            assert!(*trailing > 0 && *trailing < bytes.len());
        }
    }
}
