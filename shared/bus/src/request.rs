//! Asking and waiting for one answer, never longer than said.
//!
//! An answer that did not come says nothing about whether the question was acted upon. Only
//! [`RequestError::NotConnected`] and [`RequestError::NoResponder`] say that it was not.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use bytes::Bytes;
use shared::codec::{EncodeError, Message, encode};
use shared::subject::Subject;

use crate::connection::Connection;
use crate::message::{Garbage, Headers, RawMessage, read};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Not sent: no server is connected.
    #[error("not connected to the bus, nothing was sent")]
    NotConnected,
    /// Not received by anybody: nobody subscribes on this side of any partition. Not a proof that the receiver is dead.
    #[error("nobody listens on {subject} on this side of the bus")]
    NoResponder {
        /// Where it was sent.
        subject: String,
    },
    /// Outcome unknown: it may have been acted upon, or still be delivered.
    #[error("no answer from {subject} within {} ms, outcome unknown", waited.as_millis())]
    TimedOut {
        /// Where it was sent.
        subject: String,
        /// How long the answer was waited for.
        waited: Duration,
    },
    /// Outcome unknown: the connection was lost while waiting.
    #[error("the bus connection was lost while waiting for {subject}, outcome unknown")]
    Lost {
        /// Where it was sent.
        subject: String,
    },
    /// Answered, but the answer cannot be read.
    #[error("the answer from {subject} cannot be read")]
    Garbage {
        /// Where it was sent.
        subject: String,
        /// What came.
        #[source]
        source: Garbage,
    },
    /// Not sent: the question cannot be encoded.
    #[error("the question for {subject} cannot be encoded")]
    Encode {
        /// Where it was to go.
        subject: String,
        /// Why not.
        #[source]
        source: EncodeError,
    },
    /// Not sent: the subject or size is not allowed.
    #[error("the question for {subject} is refused by the client")]
    Bus {
        /// Where it was to go.
        subject: String,
        /// Why.
        #[source]
        source: async_nats::RequestError,
    },
}

impl RequestError {
    /// Whether the question may have been acted upon, or may yet be.
    pub const fn outcome_unknown(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::Lost { .. } | Self::Garbage { .. } => true,
            Self::NotConnected
            | Self::NoResponder { .. }
            | Self::Encode { .. }
            | Self::Bus { .. } => false,
        }
    }
}

impl Connection {
    /// Asks and waits for the answer, at most `patience`.
    ///
    /// # Errors
    /// [`RequestError`]; ask [`RequestError::outcome_unknown`] before asking again.
    pub async fn request<Q: Message, R: Message>(
        &self,
        subject: &Subject,
        question: &Q,
        patience: Duration,
    ) -> Result<R, RequestError> {
        let payload = encode(question).map_err(|source| RequestError::Encode {
            subject: subject.as_str().to_owned(),
            source,
        })?;
        let answer = self
            .exchange(subject.as_str(), payload.into(), &Headers::new(), patience)
            .await?;
        read(&answer.payload).map_err(|source| {
            self.tally().garbage();
            RequestError::Garbage {
                subject: subject.as_str().to_owned(),
                source,
            }
        })
    }

    /// Asks with bytes and headers, and returns the answer as it came.
    ///
    /// # Errors
    /// As [`Connection::request`].
    pub async fn request_raw(
        &self,
        subject: &Subject,
        payload: impl Into<Bytes>,
        headers: &Headers,
        patience: Duration,
    ) -> Result<RawMessage, RequestError> {
        self.exchange(subject.as_str(), payload.into(), headers, patience)
            .await
    }

    pub(crate) async fn exchange(
        &self,
        subject: &str,
        payload: Bytes,
        headers: &Headers,
        patience: Duration,
    ) -> Result<RawMessage, RequestError> {
        let Some(link) = self.link() else {
            return Err(RequestError::NotConnected);
        };
        // A reply subject of its own: the library's shared one keeps an entry for ever for each question
        // that is never answered.
        let mut request = async_nats::Request::new()
            .payload(payload)
            .inbox(link.client.new_inbox())
            .timeout(None);
        request.headers = headers.to_library();
        let asking = Box::pin(
            link.client
                .send_request(async_nats::Subject::from(subject), request),
        );
        match tokio::time::timeout(patience, asking).await {
            Ok(Ok(answer)) => Ok(RawMessage::from_library(answer)),
            Ok(Err(source)) => Err(classify(subject, source, patience)),
            Err(_elapsed) => Err(RequestError::TimedOut {
                subject: subject.to_owned(),
                waited: patience,
            }),
        }
    }
}

fn classify(subject: &str, source: async_nats::RequestError, waited: Duration) -> RequestError {
    let subject = subject.to_owned();
    match source.kind() {
        RequestErrorKind::NoResponders => RequestError::NoResponder { subject },
        RequestErrorKind::TimedOut => RequestError::TimedOut { subject, waited },
        RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
            RequestError::Bus { subject, source }
        }
        RequestErrorKind::Other => RequestError::Lost { subject },
    }
}
