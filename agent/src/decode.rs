//! Turns one wire message into one line of JSON, for people who listen with `nats sub --translate`.

use serde::Serialize;
use shared::codec::{DecodeError, Kind, Message, decode, peek};
use shared::wire::{Command, Heartbeat, Observation, Report};

/// The message as JSON without control characters, so that no sender can steer a terminal.
///
/// # Errors
/// [`DecodeError`] for anything but exactly one message of a known kind and version.
pub fn line(bytes: &[u8]) -> Result<String, DecodeError> {
    let (_, kind) = peek(bytes)?;
    match kind {
        Kind::Heartbeat => json::<Heartbeat>(bytes),
        Kind::Observation => json::<Observation>(bytes),
        Kind::Command => json::<Command>(bytes),
        Kind::Report => json::<Report>(bytes),
        Kind::Unknown => Err(DecodeError::OtherKind {
            found: kind,
            expected: Kind::Heartbeat,
        }),
    }
}

fn json<M: Message + Serialize>(bytes: &[u8]) -> Result<String, DecodeError> {
    let message: M = decode(bytes)?;
    match serde_json::to_string(&message) {
        Ok(text) => Ok(escaped(&text)),
        Err(error) => unreachable!("a wire message that cannot be written as JSON: {error}"),
    }
}

/// JSON escapes the first 32 control characters itself; this escapes the rest.
fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            // Writing to a String never fails.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use shared::clock::{Millis, UnixMillis};
    use shared::codec::encode;
    use shared::epoch::Epoch;
    use shared::id::{CommandId, ProcessId, RunId};
    use shared::wire::ReportState;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_message_becomes_one_harmless_line() {
        let id = Uuid::from_u128(1);
        let report = Report {
            command: CommandId::new(id),
            run: RunId::new(id),
            step: 1,
            process: ProcessId::new(id),
            epoch: Epoch(2),
            sent_at: UnixMillis(3),
            state: ReportState::Running {
                for_ms: Millis(4),
                progress: "a\u{1b}[2J\u{9b}\nb".to_owned(),
            },
        };
        let line = line(&encode(&report).unwrap()).unwrap();
        assert!(!line.chars().any(char::is_control), "{line}");
        assert!(
            line.contains("\\u001b") && line.contains("\\u009b"),
            "{line}"
        );
    }

    #[test]
    fn garbage_is_an_error() {
        for bytes in [
            &b""[..],
            b"\xc1",
            b"{}",
            b"\x83\xa1v\x01\xa1k\xa1x\xa1b\x80",
        ] {
            assert!(line(bytes).is_err(), "{bytes:?}");
        }
    }
}
