//! Sending without waiting for anybody: handed to the socket now, or dropped now.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use shared::codec::{EncodeError, Message, encode};
use shared::subject::Subject;

use crate::connection::Connection;
use crate::message::Headers;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Publication {
    /// Handed to a live connection. Not a proof of receipt.
    Published,
    /// Not sent, and never will be.
    Dropped(DropReason),
}

/// Why a message was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// No server is connected.
    NotConnected,
    /// The socket takes nothing more: the server is frozen, or the link too slow.
    Congested,
}

/// Why a message could not even be tried: a fault of the caller.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It could not be encoded.
    #[error("message for {subject} cannot be encoded")]
    Encode {
        /// Where it was to go.
        subject: String,
        /// Why not.
        #[source]
        source: EncodeError,
    },
    /// It could not be written as JSON.
    #[error("message for {subject} cannot be written as JSON")]
    Json {
        /// Where it was to go.
        subject: String,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// The subject or size is not allowed.
    #[error("message for {subject} is refused by the client")]
    Refused {
        /// Where it was to go.
        subject: String,
        /// Why.
        #[source]
        source: async_nats::PublishError,
    },
}

impl Connection {
    /// Sends a typed message.
    ///
    /// # Errors
    /// [`PublishError`] if it cannot be encoded or is not allowed; not for a lost connection.
    pub async fn publish<M: Message>(
        &self,
        subject: &Subject,
        message: &M,
    ) -> Result<Publication, PublishError> {
        let payload = encode(message).map_err(|source| PublishError::Encode {
            subject: subject.as_str().to_owned(),
            source,
        })?;
        self.send(subject.as_str(), payload.into(), &Headers::new())
            .await
    }

    /// Sends JSON, for subjects that an operator can subscribe to.
    ///
    /// # Errors
    /// As [`Connection::publish`].
    pub async fn publish_json(
        &self,
        subject: &Subject,
        body: &impl Serialize,
        headers: &Headers,
    ) -> Result<Publication, PublishError> {
        let payload = serde_json::to_vec(body).map_err(|source| PublishError::Json {
            subject: subject.as_str().to_owned(),
            source,
        })?;
        self.send(subject.as_str(), payload.into(), headers).await
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// As [`Connection::publish`].
    pub async fn publish_raw(
        &self,
        subject: &Subject,
        payload: impl Into<Bytes>,
        headers: &Headers,
    ) -> Result<Publication, PublishError> {
        self.send(subject.as_str(), payload.into(), headers).await
    }

    /// Answers a request with a typed message.
    ///
    /// # Errors
    /// As [`Connection::publish`].
    pub async fn respond<M: Message>(
        &self,
        reply: &Subject,
        message: &M,
    ) -> Result<Publication, PublishError> {
        self.publish(reply, message).await
    }

    async fn send(
        &self,
        subject: &str,
        payload: Bytes,
        headers: &Headers,
    ) -> Result<Publication, PublishError> {
        let Some(link) = self.link() else {
            self.tally().dropped();
            return Ok(Publication::Dropped(DropReason::NotConnected));
        };
        let sending = async {
            let subject = async_nats::Subject::from(subject);
            match headers.to_library() {
                None => link.client.publish(subject, payload).await,
                Some(headers) => {
                    link.client
                        .publish_with_headers(subject, headers, payload)
                        .await
                }
            }
        };
        let tally = Arc::clone(self.tally());
        match tokio::time::timeout(self.manner().publish_patience(), sending).await {
            Ok(Ok(())) => {
                tally.published();
                Ok(Publication::Published)
            }
            Ok(Err(gone)) if gone.kind() == async_nats::client::PublishErrorKind::Send => {
                tally.dropped();
                Ok(Publication::Dropped(DropReason::NotConnected))
            }
            Ok(Err(source)) => Err(PublishError::Refused {
                subject: subject.to_owned(),
                source,
            }),
            Err(_elapsed) => {
                tally.dropped();
                Ok(Publication::Dropped(DropReason::Congested))
            }
        }
    }
}
