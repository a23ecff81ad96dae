//! What arrives: raw or decoded, and never a panic.

use std::fmt;

use async_nats::HeaderMap;
use bytes::Bytes;
use shared::codec::{DecodeError, Message, decode};
use shared::subject::Subject;

/// First bytes of an unreadable message that are kept for the log.
const GARBAGE_KEPT: usize = 24;
/// Marks a client's message to itself; subscriptions skip it.
pub(crate) const CANARY_HEADER: &str = "Pointsman-Canary";

/// Headers of a message, in no particular order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<(String, String)>);

/// A message as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawMessage {
    /// Subject it was sent to.
    pub subject: String,
    /// Where an answer is expected, if one is.
    pub reply: Option<Subject>,
    /// Its headers.
    pub headers: Headers,
    /// Its payload.
    pub payload: Bytes,
}

/// A message of a typed subscription.
#[derive(Debug)]
pub struct Received<M> {
    /// Subject it was sent to; its tokens name the sender where permissions prove them.
    pub subject: String,
    /// Where an answer is expected, if one is.
    pub reply: Option<Subject>,
    /// The message, or why it could not be read.
    pub body: Result<M, Garbage>,
}

/// A message that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{size} bytes beginning {} cannot be read", Hex(.first))]
pub struct Garbage {
    /// Why.
    #[source]
    pub error: DecodeError,
    /// Its first bytes, at most 24.
    pub first: Vec<u8>,
    /// Its size in bytes.
    pub size: usize,
}

impl Headers {
    /// No headers.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// These headers and one more. Line breaks, which would end a header, become spaces.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let value = value.into().replace(['\r', '\n'], " ");
        self.0.push((name.into(), value));
        self
    }

    /// First value of a header; upper and lower case are the same.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All headers.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn to_library(&self) -> Option<HeaderMap> {
        (!self.0.is_empty()).then(|| {
            let mut map = HeaderMap::new();
            for (name, value) in &self.0 {
                map.append(name.as_str(), value.as_str());
            }
            map
        })
    }

    fn from_library(map: &HeaderMap) -> Self {
        let mut headers = Vec::with_capacity(map.len());
        for (name, values) in map.iter() {
            let name: &str = name.as_ref();
            headers.extend(
                values
                    .iter()
                    .map(|value| (name.to_owned(), value.as_str().to_owned())),
            );
        }
        Self(headers)
    }
}

impl RawMessage {
    pub(crate) fn from_library(message: async_nats::Message) -> Self {
        Self {
            subject: message.subject.to_string(),
            reply: message.reply.map(|reply| Subject::received(reply.as_str())),
            headers: message
                .headers
                .as_ref()
                .map_or_else(Headers::new, Headers::from_library),
            payload: message.payload,
        }
    }
}

impl<M: Message> Received<M> {
    pub(crate) fn read(message: RawMessage) -> Self {
        Self {
            body: read(&message.payload),
            subject: message.subject,
            reply: message.reply,
        }
    }
}

/// Decodes a payload, keeping what is needed to say what was wrong with it.
pub(crate) fn read<M: Message>(payload: &[u8]) -> Result<M, Garbage> {
    decode(payload).map_err(|error| Garbage {
        error,
        first: payload.iter().take(GARBAGE_KEPT).copied().collect(),
        size: payload.len(),
    })
}

/// Bytes as hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_cannot_be_split_by_their_values() {
        let headers = Headers::new().with("Reason", "a\r\nEvil: b");
        assert_eq!(headers.get("reason"), Some("a  Evil: b"));
        let back = Headers::from_library(&headers.to_library().unwrap());
        assert_eq!(back, headers);
    }
}
