//! Questions to JetStream, and what its refusals mean.
//!
//! Asked as plain requests, so that every one has the same bounds and states as any other request.

use std::time::Duration;

use serde_json::Value;

use crate::connection::Connection;
use crate::message::Headers;
use crate::request::RequestError;

/// Why JetStream did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// There was no answer.
    #[error("JetStream did not answer")]
    Request(#[source] RequestError),
    /// JetStream refused.
    #[error("JetStream refused with {code}: {text}")]
    Refused {
        /// JetStream's own error code.
        code: u64,
        /// Its words.
        text: String,
    },
    /// The answer was not understood.
    #[error("JetStream's answer was not understood: {0}")]
    Odd(String),
}

/// What a failure means, whatever was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    NotConnected,
    /// No leader, hence no majority, hence nothing can be decided now.
    NoQuorum,
    WrongRevision,
    /// An earlier write of the same key has not been decided yet; this one was not taken.
    Underway,
    /// It may have been done.
    Unknown,
    NoSuchStream,
    NoSuchMessage,
    Other,
}

impl ApiError {
    pub(crate) fn meaning(&self) -> Meaning {
        match self {
            Self::Request(RequestError::NotConnected) => Meaning::NotConnected,
            // A stream without a leader subscribes to nothing: lost quorum looks like a missing stream.
            Self::Request(RequestError::NoResponder { .. }) => Meaning::NoQuorum,
            Self::Request(
                RequestError::TimedOut { .. }
                | RequestError::Lost { .. }
                | RequestError::Garbage { .. },
            ) => Meaning::Unknown,
            Self::Request(RequestError::Encode { .. } | RequestError::Bus { .. }) => Meaning::Other,
            Self::Refused { code, .. } => match code {
                10_071 => Meaning::WrongRevision,
                10_164 => Meaning::Underway,
                10_059 => Meaning::NoSuchStream,
                10_037 => Meaning::NoSuchMessage,
                10_006..=10_009 | 10_118 => Meaning::NoQuorum,
                _ => Meaning::Other,
            },
            Self::Odd(_) => Meaning::Unknown,
        }
    }
}

/// Calls the JetStream API. `what` is the subject after `$JS.API.`.
pub(crate) async fn call(
    connection: &Connection,
    what: &str,
    body: &Value,
    patience: Duration,
) -> Result<Value, ApiError> {
    let payload = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    exchange(
        connection,
        &format!("$JS.API.{what}"),
        payload.into(),
        &Headers::new(),
        patience,
    )
    .await
}

/// Stores a message in whichever stream takes its subject, and returns its sequence number.
pub(crate) async fn store(
    connection: &Connection,
    subject: &str,
    payload: bytes::Bytes,
    headers: &Headers,
    patience: Duration,
) -> Result<u64, ApiError> {
    let ack = exchange(connection, subject, payload, headers, patience).await?;
    ack["seq"]
        .as_u64()
        .ok_or_else(|| ApiError::Odd(ack.to_string()))
}

/// A stored message, read from the stream's leader.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) subject: String,
    pub(crate) sequence: u64,
    pub(crate) headers: String,
    pub(crate) payload: Vec<u8>,
    /// Time of storing as RFC 3339, by the clock of the leader of that moment.
    pub(crate) time: String,
}

/// Reads one message of a stream; `None` if there is none.
pub(crate) async fn read(
    connection: &Connection,
    stream: &str,
    which: &Value,
    patience: Duration,
) -> Result<Option<Stored>, ApiError> {
    let answer = match call(
        connection,
        &format!("STREAM.MSG.GET.{stream}"),
        which,
        patience,
    )
    .await
    {
        Ok(answer) => answer,
        Err(error) if error.meaning() == Meaning::NoSuchMessage => return Ok(None),
        Err(error) => return Err(error),
    };
    let message = &answer["message"];
    let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
    let sequence = message["seq"]
        .as_u64()
        .ok_or_else(|| ApiError::Odd(answer.to_string()))?;
    let headers = decode(&text("hdrs"))?;
    Ok(Some(Stored {
        subject: text("subject"),
        sequence,
        headers: String::from_utf8_lossy(&headers).into_owned(),
        payload: decode(&text("data"))?,
        time: text("time"),
    }))
}

async fn exchange(
    connection: &Connection,
    subject: &str,
    payload: bytes::Bytes,
    headers: &Headers,
    patience: Duration,
) -> Result<Value, ApiError> {
    let answer = connection
        .exchange(subject, payload, headers, patience)
        .await
        .map_err(ApiError::Request)?;
    let answer: Value =
        serde_json::from_slice(&answer.payload).map_err(|why| ApiError::Odd(why.to_string()))?;
    let error = &answer["error"];
    if error.is_null() {
        return Ok(answer);
    }
    Err(ApiError::Refused {
        code: error["err_code"].as_u64().unwrap_or(0),
        text: error["description"]
            .as_str()
            .unwrap_or("no description")
            .to_owned(),
    })
}

fn decode(text: &str) -> Result<Vec<u8>, ApiError> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(|why| ApiError::Odd(why.to_string()))
}
