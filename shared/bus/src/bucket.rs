//! A key-value bucket that decisions are kept in.
//!
//! Reads ask the stream's leader, which is better than any replica and still not the truth: an
//! isolated old leader goes on answering for seconds. Only an accepted `create` or `update` proves
//! what the bucket holds. Never creates a bucket; [`crate::provision()`] does.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::jetstream::{self, ApiError, Meaning, Stored};
use crate::message::Headers;

const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";

/// An existing bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    connection: Connection,
    name: String,
    patience: Duration,
}

/// A value and the revision it was stored at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// Witness for the next compare-and-set. Not a fencing number: it can repeat after a restore.
    pub revision: u64,
}

/// Why a bucket did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BucketError {
    /// Not sent: no server is connected.
    #[error("not connected to the bus, nothing was sent")]
    NotConnected,
    /// Not done: no majority of the bucket's servers is in reach. The bucket exists all the same.
    #[error("no majority of the bus servers for bucket {bucket}")]
    NoQuorum {
        /// The bucket.
        bucket: String,
    },
    /// Not done: somebody wrote since that revision, or the key exists already. After an unknown outcome that
    /// somebody may be the own earlier write: read before concluding.
    #[error("key {key} of bucket {bucket} is not at the expected revision")]
    WrongRevision {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
    /// Not done: an earlier write of the key, perhaps the caller's own, has not been decided yet. It says neither
    /// that somebody wrote nor that a majority is in reach.
    #[error("an earlier write of key {key} of bucket {bucket} is not decided yet")]
    Underway {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
    /// Outcome unknown: it may have been done, or may yet be. Read before trying again.
    #[error("no answer for bucket {bucket} in time, outcome unknown")]
    TimedOut {
        /// The bucket.
        bucket: String,
    },
    /// A majority says that the bucket does not exist.
    #[error("bucket {bucket} does not exist; provisioning makes it")]
    Missing {
        /// The bucket.
        bucket: String,
    },
    /// The bucket exists but must not be used as it is.
    #[error("bucket {bucket} is not fit for decisions: {why}")]
    Misconfigured {
        /// The bucket.
        bucket: String,
        /// What is wrong with it.
        why: String,
    },
    /// The key or bucket name holds a character that is not allowed.
    #[error("{name:?} is no name for a key or bucket: letters, digits and -_=/. are allowed")]
    BadName {
        /// The name.
        name: String,
    },
    /// Anything else.
    #[error("bucket {bucket}: {why}")]
    Other {
        /// The bucket.
        bucket: String,
        /// What JetStream said.
        why: String,
    },
}

impl BucketError {
    /// Whether a write may have been done, or may yet be.
    pub const fn outcome_unknown(&self) -> bool {
        matches!(self, Self::TimedOut { .. })
    }
}

impl Bucket {
    /// Opens a bucket that exists, and checks that it is fit for decisions (reads by the leader alone).
    ///
    /// # Errors
    /// [`BucketError`].
    pub async fn open(connection: &Connection, name: &str) -> Result<Self, BucketError> {
        if name.is_empty()
            || !name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        {
            return Err(BucketError::BadName {
                name: name.to_owned(),
            });
        }
        let bucket = Self {
            connection: connection.clone(),
            name: name.to_owned(),
            patience: connection.settings().request_timeout,
        };
        let config = bucket.info(&Value::Null).await?["config"].clone();
        let misconfigured = |why: &str| BucketError::Misconfigured {
            bucket: name.to_owned(),
            why: why.to_owned(),
        };
        if config["allow_direct"].as_bool() == Some(true) {
            return Err(misconfigured(
                "allow_direct is true, so that any replica answers reads, and stale ones too",
            ));
        }
        if config["max_msgs_per_subject"]
            .as_i64()
            .is_none_or(|history| history < 1)
        {
            return Err(misconfigured(
                "its stream keeps no history, it is no key-value bucket",
            ));
        }
        Ok(bucket)
    }

    /// The bucket's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The latest value of a key as the leader knows it; `None` if there is none or it was deleted.
    ///
    /// # Errors
    /// [`BucketError`].
    pub async fn entry(&self, key: &str) -> Result<Option<Entry>, BucketError> {
        let stored = self.latest(key).await?;
        Ok(stored
            .filter(|stored| !is_marker(&stored.headers))
            .map(|stored| Entry {
                value: stored.payload.into(),
                revision: stored.sequence,
            }))
    }

    /// Stores the first value of a key, and returns its revision.
    ///
    /// # Errors
    /// [`BucketError::WrongRevision`] if the key has a value; others as they come.
    pub async fn create(&self, key: &str, value: impl Into<Bytes>) -> Result<u64, BucketError> {
        let value = value.into();
        match self.write(key, value.clone(), Some(0)).await {
            Err(BucketError::WrongRevision { bucket, key }) => match self.latest(&key).await? {
                Some(stored) if is_marker(&stored.headers) => {
                    self.write(&key, value, Some(stored.sequence)).await
                }
                Some(_) | None => Err(BucketError::WrongRevision { bucket, key }),
            },
            outcome => outcome,
        }
    }

    /// Replaces the value that stands at exactly `revision`, and returns the new revision.
    ///
    /// # Errors
    /// [`BucketError::WrongRevision`] if it does not stand there any more; others as they come.
    pub async fn update(
        &self,
        key: &str,
        value: impl Into<Bytes>,
        revision: u64,
    ) -> Result<u64, BucketError> {
        self.write(key, value.into(), Some(revision)).await
    }

    /// Stores a value whatever stood there, and returns its revision. Not for decisions.
    ///
    /// # Errors
    /// [`BucketError`].
    pub async fn put(&self, key: &str, value: impl Into<Bytes>) -> Result<u64, BucketError> {
        self.write(key, value.into(), None).await
    }

    /// Deletes the value that stands at exactly `revision`; its history stays.
    ///
    /// # Errors
    /// As [`Bucket::update`].
    pub async fn delete(&self, key: &str, revision: u64) -> Result<u64, BucketError> {
        let headers = Headers::new()
            .with(EXPECTED, revision.to_string())
            .with("KV-Operation", "DEL");
        self.store(key, Bytes::new(), &headers).await
    }

    /// All keys that have a value, sorted. Asks once for each key: for small buckets.
    ///
    /// # Errors
    /// [`BucketError`].
    pub async fn keys(&self) -> Result<Vec<String>, BucketError> {
        let prefix = self.prefix();
        let info = self
            .info(&json!({ "subjects_filter": format!("{prefix}>") }))
            .await?;
        let mut known: Vec<String> = info["state"]["subjects"]
            .as_object()
            .into_iter()
            .flat_map(serde_json::Map::keys)
            .filter_map(|subject| subject.strip_prefix(&prefix).map(str::to_owned))
            .collect();
        known.sort();
        let mut keys = Vec::with_capacity(known.len());
        for key in known {
            if self.entry(&key).await?.is_some() {
                keys.push(key);
            }
        }
        Ok(keys)
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn stream(&self) -> String {
        format!("KV_{}", self.name)
    }

    pub(crate) fn prefix(&self) -> String {
        format!("$KV.{}.", self.name)
    }

    pub(crate) fn explain(&self, error: &ApiError, key: &str) -> BucketError {
        let bucket = self.name.clone();
        match error.meaning() {
            Meaning::NotConnected => BucketError::NotConnected,
            Meaning::NoQuorum => BucketError::NoQuorum { bucket },
            Meaning::WrongRevision => BucketError::WrongRevision {
                bucket,
                key: key.to_owned(),
            },
            Meaning::Underway => BucketError::Underway {
                bucket,
                key: key.to_owned(),
            },
            Meaning::Unknown => BucketError::TimedOut { bucket },
            Meaning::NoSuchStream => BucketError::Missing { bucket },
            Meaning::NoSuchMessage | Meaning::Other => BucketError::Other {
                bucket,
                why: error.to_string(),
            },
        }
    }

    async fn info(&self, body: &Value) -> Result<Value, BucketError> {
        jetstream::call(
            &self.connection,
            &format!("STREAM.INFO.{}", self.stream()),
            body,
            self.patience,
        )
        .await
        .map_err(|error| self.explain(&error, ""))
    }

    async fn latest(&self, key: &str) -> Result<Option<Stored>, BucketError> {
        check_key(key)?;
        let which = json!({ "last_by_subj": format!("{}{key}", self.prefix()) });
        jetstream::read(&self.connection, &self.stream(), &which, self.patience)
            .await
            .map_err(|error| self.explain(&error, key))
    }

    async fn write(
        &self,
        key: &str,
        value: Bytes,
        expected: Option<u64>,
    ) -> Result<u64, BucketError> {
        let headers = expected.map_or_else(Headers::new, |at| {
            Headers::new().with(EXPECTED, at.to_string())
        });
        self.store(key, value, &headers).await
    }

    async fn store(&self, key: &str, value: Bytes, headers: &Headers) -> Result<u64, BucketError> {
        check_key(key)?;
        let subject = format!("{}{key}", self.prefix());
        jetstream::store(&self.connection, &subject, value, headers, self.patience)
            .await
            .map_err(|error| self.explain(&error, key))
    }
}

/// Whether a stored message marks a deletion or an expiry.
pub(crate) fn is_marker(headers: &str) -> bool {
    headers
        .lines()
        .filter_map(|line| line.split_once(':'))
        .any(|(name, value)| {
            name.eq_ignore_ascii_case("Nats-Marker-Reason")
                || (name.eq_ignore_ascii_case("KV-Operation")
                    && matches!(value.trim(), "DEL" | "PURGE"))
        })
}

fn check_key(key: &str) -> Result<(), BucketError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '=' | '/' | '.');
    if key.is_empty()
        || key.starts_with('.')
        || key.ends_with('.')
        || key.contains("..")
        || !key.chars().all(allowed)
    {
        return Err(BucketError::BadName {
            name: key.to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_no_values() {
        assert!(is_marker("NATS/1.0\r\nKV-Operation: DEL\r\n\r\n"));
        assert!(is_marker("NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\n\r\n"));
        assert!(!is_marker("NATS/1.0\r\nNats-Msg-Id: KV-Operation\r\n\r\n"));
        assert!(!is_marker(""));
    }

    #[test]
    fn keys_cannot_reach_other_subjects() {
        for good in ["ticket", "stack/3", "run.7", "a=b"] {
            assert!(check_key(good).is_ok(), "{good}");
        }
        for bad in ["", ".a", "a.", "a..b", "a b", "*", ">", "a.*"] {
            assert!(check_key(bad).is_err(), "{bad}");
        }
    }
}
