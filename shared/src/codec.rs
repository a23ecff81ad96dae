//! The envelope of every MessagePack message: version and kind decide before the body is looked at.
//!
//! Bodies are named maps, so that a field added later is skipped by an old reader and defaulted by a new one.
//! Whole bytes are read: what follows a body is refused, because `rmp_serde::from_slice` would ignore it.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Version of the wire format written by this build.
pub const WIRE_VERSION: u16 = 1;

/// Largest message sent or read, in bytes; the NATS servers' `max_payload` must not be lower.
pub const MESSAGE_BYTES_MAX: usize = 48 * 1024;

/// Deepest nesting read: four times what any message has. The decoder's own limit of 1024 overflows a thread's stack.
const NESTING_MAX: usize = 32;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// [`crate::wire::Heartbeat`].
    #[serde(rename = "hb")]
    Heartbeat,
    /// [`crate::wire::Observation`].
    #[serde(rename = "obs")]
    Observation,
    /// [`crate::wire::Command`].
    #[serde(rename = "cmd")]
    Command,
    /// [`crate::wire::Report`].
    #[serde(rename = "rep")]
    Report,
    /// A kind that this build does not know.
    #[serde(other)]
    Unknown,
}

/// A message that travels in an envelope.
pub trait Message: Serialize + DeserializeOwned {
    /// Its kind, different for each message.
    const KIND: Kind;
}

/// Why a message could not be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The value does not fit MessagePack: a bug of its type.
    #[error("message of kind {kind} cannot be written")]
    Unwritable {
        /// The message's kind.
        kind: Kind,
        /// What the encoder said.
        #[source]
        source: rmp_serde::encode::Error,
    },
    /// The message is over the limit.
    #[error("message of kind {kind} has {found} bytes, allowed are {MESSAGE_BYTES_MAX}")]
    TooLarge {
        /// The message's kind.
        kind: Kind,
        /// Its size in bytes.
        found: usize,
    },
}

/// Why bytes are not a message.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are over the limit.
    #[error("message has {found} bytes, allowed are {MESSAGE_BYTES_MAX}")]
    TooLarge {
        /// Size in bytes.
        found: usize,
    },
    /// The bytes are no envelope.
    #[error("message is no envelope {{v, k, b}}")]
    NoEnvelope {
        /// What the decoder said.
        #[source]
        source: rmp_serde::decode::Error,
    },
    /// The message is of another version.
    #[error("message has version {found}, allowed is {WIRE_VERSION}")]
    OtherVersion {
        /// The version found.
        found: u16,
    },
    /// The message is of another kind than this subject carries.
    #[error("message is of kind {found}, allowed here is {expected}")]
    OtherKind {
        /// The kind found.
        found: Kind,
        /// The kind that belongs here.
        expected: Kind,
    },
    /// The body does not fit its kind.
    #[error("body does not fit kind {kind}")]
    Body {
        /// The message's kind.
        kind: Kind,
        /// What the decoder said.
        #[source]
        source: rmp_serde::decode::Error,
    },
    /// Bytes follow the message.
    #[error("{trailing} bytes follow the message of kind {kind}, allowed are none")]
    Trailing {
        /// The message's kind.
        kind: Kind,
        /// How many bytes follow.
        trailing: usize,
    },
}

#[derive(Serialize)]
struct Written<'a, M> {
    v: u16,
    k: Kind,
    b: &'a M,
}

#[derive(Deserialize)]
struct Head {
    v: u16,
    k: Kind,
}

#[derive(Deserialize)]
struct Whole<M> {
    b: M,
}

/// Writes a message in its envelope.
///
/// # Errors
/// [`EncodeError`] when it is too large or cannot be written.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, EncodeError> {
    let envelope = Written {
        v: WIRE_VERSION,
        k: M::KIND,
        b: message,
    };
    let bytes = rmp_serde::to_vec_named(&envelope).map_err(|source| EncodeError::Unwritable {
        kind: M::KIND,
        source,
    })?;
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(EncodeError::TooLarge {
            kind: M::KIND,
            found: bytes.len(),
        });
    }
    Ok(bytes)
}

/// The version and kind of a message, without its body.
///
/// # Errors
/// [`DecodeError::TooLarge`] or [`DecodeError::NoEnvelope`].
pub fn peek(bytes: &[u8]) -> Result<(u16, Kind), DecodeError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(DecodeError::TooLarge { found: bytes.len() });
    }
    let head: Head = read(&mut { bytes }).map_err(|source| DecodeError::NoEnvelope { source })?;
    Ok((head.v, head.k))
}

/// Reads a message from its envelope.
///
/// # Errors
/// [`DecodeError`] for anything but exactly one message of this kind and version.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, DecodeError> {
    let (version, kind) = peek(bytes)?;
    if version != WIRE_VERSION {
        return Err(DecodeError::OtherVersion { found: version });
    }
    if kind != M::KIND {
        return Err(DecodeError::OtherKind {
            found: kind,
            expected: M::KIND,
        });
    }
    let mut rest = bytes;
    let whole: Whole<M> = read(&mut rest).map_err(|source| DecodeError::Body { kind, source })?;
    if rest.is_empty() {
        Ok(whole.b)
    } else {
        Err(DecodeError::Trailing {
            kind,
            trailing: rest.len(),
        })
    }
}

/// Reads one value and leaves in `bytes` what follows it.
fn read<T: DeserializeOwned>(bytes: &mut &[u8]) -> Result<T, rmp_serde::decode::Error> {
    let mut deserializer = rmp_serde::Deserializer::new(bytes);
    deserializer.set_max_depth(NESTING_MAX);
    T::deserialize(&mut deserializer)
}

impl Kind {
    /// The kind's token in the envelope.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Heartbeat => "hb",
            Self::Observation => "obs",
            Self::Command => "cmd",
            Self::Report => "rep",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
