//! An append-only stream: the audit trail.
//!
//! An accepted append is on a majority of servers. An append without an answer is repeated with the
//! same id; the server drops the second within its window, readers drop later ones by id.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use shared::subject::Subject;

use crate::connection::Connection;
use crate::jetstream::{self, ApiError, Meaning, Stored};
use crate::message::Headers;

/// An existing stream.
#[derive(Debug, Clone)]
pub struct Journal {
    connection: Connection,
    stream: String,
    patience: Duration,
}

/// One record of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Subject it was stored under.
    pub subject: String,
    /// Its place in the stream.
    pub sequence: u64,
    /// Id it was appended with, if any.
    pub id: Option<String>,
    /// Its payload.
    pub payload: Vec<u8>,
    /// When it was stored (RFC 3339), by the clock of the server that led then.
    pub time: String,
}

/// Why a journal did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Not sent: no server is connected.
    #[error("not connected to the bus, nothing was sent")]
    NotConnected,
    /// Not done: no majority of the stream's servers is in reach, or no stream takes that subject.
    #[error("no majority of the bus servers for stream {stream}")]
    NoQuorum {
        /// The stream.
        stream: String,
    },
    /// Outcome unknown. Append again with the same id.
    #[error("no answer for stream {stream} in time, outcome unknown")]
    TimedOut {
        /// The stream.
        stream: String,
    },
    /// A majority says that the stream does not exist.
    #[error("stream {stream} does not exist; provisioning makes it")]
    Missing {
        /// The stream.
        stream: String,
    },
    /// Anything else.
    #[error("stream {stream}: {why}")]
    Other {
        /// The stream.
        stream: String,
        /// What went wrong.
        why: String,
    },
}

impl Journal {
    /// Opens a stream that exists.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn open(connection: &Connection, stream: &str) -> Result<Self, JournalError> {
        let journal = Self {
            connection: connection.clone(),
            stream: stream.to_owned(),
            patience: connection.settings().request_timeout,
        };
        journal.bounds().await?;
        Ok(journal)
    }

    /// Appends a record as JSON, and returns its place. The same `id` again, within the stream's window,
    /// changes nothing and returns the first place.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn append(
        &self,
        subject: &Subject,
        body: &impl Serialize,
        id: &str,
    ) -> Result<u64, JournalError> {
        let payload = serde_json::to_vec(body).map_err(|why| JournalError::Other {
            stream: self.stream.clone(),
            why: why.to_string(),
        })?;
        let headers = Headers::new()
            .with("Nats-Msg-Id", id)
            .with("Nats-Expected-Stream", self.stream.as_str());
        jetstream::store(
            &self.connection,
            subject.as_str(),
            payload.into(),
            &headers,
            self.patience,
        )
        .await
        .map_err(|error| self.explain(&error))
    }

    /// The last `count` records, oldest first.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn read_last(&self, count: u64) -> Result<Vec<Record>, JournalError> {
        let (first, last) = self.bounds().await?;
        let from = last.saturating_add(1).saturating_sub(count).max(first);
        self.read_from(from, count).await
    }

    /// At most `count` records from place `sequence` on, oldest first. Asks once for each record.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn read_from(&self, sequence: u64, count: u64) -> Result<Vec<Record>, JournalError> {
        let mut records = Vec::new();
        let mut next = sequence.max(1);
        for _ in 0..count {
            let which = json!({ "seq": next, "next_by_subj": ">" });
            let stored = jetstream::read(&self.connection, &self.stream, &which, self.patience)
                .await
                .map_err(|error| self.explain(&error))?;
            let Some(stored) = stored else { break };
            next = stored.sequence.saturating_add(1);
            records.push(Record::from(stored));
        }
        Ok(records)
    }

    async fn bounds(&self) -> Result<(u64, u64), JournalError> {
        let what = format!("STREAM.INFO.{}", self.stream);
        let info = jetstream::call(
            &self.connection,
            &what,
            &serde_json::Value::Null,
            self.patience,
        )
        .await
        .map_err(|error| self.explain(&error))?;
        let number = |name: &str| info["state"][name].as_u64().unwrap_or(0);
        Ok((number("first_seq"), number("last_seq")))
    }

    fn explain(&self, error: &ApiError) -> JournalError {
        let stream = self.stream.clone();
        match error.meaning() {
            Meaning::NotConnected => JournalError::NotConnected,
            Meaning::NoQuorum => JournalError::NoQuorum { stream },
            Meaning::Unknown => JournalError::TimedOut { stream },
            Meaning::NoSuchStream => JournalError::Missing { stream },
            Meaning::WrongRevision
            | Meaning::Underway
            | Meaning::NoSuchMessage
            | Meaning::Other => JournalError::Other {
                stream,
                why: error.to_string(),
            },
        }
    }
}

impl From<Stored> for Record {
    fn from(stored: Stored) -> Self {
        let id = stored
            .headers
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("Nats-Msg-Id"))
            .map(|(_, value)| value.trim().to_owned());
        Self {
            subject: stored.subject,
            sequence: stored.sequence,
            id,
            payload: stored.payload,
            time: stored.time,
        }
    }
}
