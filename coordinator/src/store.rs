//! The durable state: the only file that reads or writes it.
//!
//! Every write is a compare-and-set on the revision that is known, and is tried again, the very same, until it is
//! accepted, refused, or the lease is over. A write without an answer is unknown: the key is read again and
//! compared. It must never make the bucket, and never write anything that the core did not order.

use std::time::Duration;

use bus::{Bucket, BucketError, Entry};
use decision::{Durable, Persist};
use serde::de::DeserializeOwned;
pub use shared::stack::{STACK_SCHEMA, StackRecord};
use shared::subject::key;
use shared::telemetry::Chain;
use shared::wire::Ticket;

use crate::clock;
use crate::lease::Lease;
use crate::screen::json;

/// Largest value written, in bytes: what a server with the usual `max_payload` takes.
pub const VALUE_BYTES_MAX: usize = 512 * 1024;

/// Pause before a write that was not accepted is tried again.
const RETRY: Duration = Duration::from_millis(150);

/// All durable state as one look found it, each with its revision.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// Proposals and the run.
    pub durable: Option<(u64, Box<Durable>)>,
    /// The ticket.
    pub ticket: Option<(u64, Ticket)>,
    /// The stack in force.
    pub stack: Option<(u64, StackRecord)>,
}

/// Why the state could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The bucket did not answer.
    #[error("key {key} cannot be read from the store")]
    Bucket {
        /// The key.
        key: &'static str,
        /// What the bucket said.
        #[source]
        source: BucketError,
    },
    /// What is stored is not what this build understands. It must not be taken for nothing.
    #[error("the value of key {key} is not understood")]
    Unreadable {
        /// The key.
        key: &'static str,
        /// What the reader said.
        #[source]
        source: serde_json::Error,
    },
    /// The lease was over before everything was read.
    #[error("the lease was over before the state was read")]
    LeaseOver,
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq)]
pub enum Persisted {
    /// It is on a majority of servers.
    Done,
    /// The ticket is on a majority of servers.
    TicketWritten {
        /// What is there now.
        ticket: Ticket,
        /// At which revision.
        revision: u64,
    },
    /// Another ticket was found than the core believes in; nothing was written.
    TicketConflict {
        /// What was found.
        found: Option<Ticket>,
    },
    /// It cannot be done by this leader any more.
    LeadLost {
        /// Why.
        reason: String,
    },
}

/// The writing end of one term.
#[derive(Debug)]
pub struct Store {
    bucket: Bucket,
    lease: Lease,
    state: Option<u64>,
    stack: Option<u64>,
}

/// A write that will not be accepted.
struct Lost(String);

/// Reads everything.
///
/// # Errors
/// [`StoreError`] when a key cannot be read or is not understood.
pub async fn look(bucket: &Bucket) -> Result<Snapshot, StoreError> {
    Ok(Snapshot {
        durable: read(bucket, key::STATE).await?,
        ticket: read(bucket, key::TICKET).await?,
        stack: read(bucket, key::STACK).await?,
    })
}

/// Reads the ticket alone, with its revision: for display and as a sign of life, never for a decision.
///
/// # Errors
/// [`StoreError`] when it cannot be read or is not understood.
pub async fn ticket(bucket: &Bucket) -> Result<Option<(u64, Ticket)>, StoreError> {
    read(bucket, key::TICKET).await
}

impl Store {
    /// Reads everything for a new leader, until it succeeds or the lease is over.
    ///
    /// # Errors
    /// [`StoreError::LeaseOver`], or [`StoreError::Unreadable`] at once.
    pub async fn take_over(bucket: Bucket, lease: Lease) -> Result<(Self, Snapshot), StoreError> {
        let mut told = false;
        loop {
            if !lease.holds(clock::mono()) {
                return Err(StoreError::LeaseOver);
            }
            match look(&bucket).await {
                Ok(found) => {
                    let state = found.durable.as_ref().map(|(revision, _)| *revision);
                    let stack = found.stack.as_ref().map(|(revision, _)| *revision);
                    return Ok((
                        Self {
                            bucket,
                            lease,
                            state,
                            stack,
                        },
                        found,
                    ));
                }
                Err(error @ StoreError::Unreadable { .. }) => return Err(error),
                Err(error) if !told => {
                    told = true;
                    tracing::warn!(error = %Chain(&error), "the state cannot be read yet");
                }
                Err(error) => {
                    tracing::debug!(error = %Chain(&error), "the state cannot be read yet");
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Does one write of the core, to its end.
    pub async fn persist(&mut self, write: Persist) -> Persisted {
        let done = match write {
            Persist::State(durable) => {
                let value = json::line(&durable).into_bytes();
                self.replace(key::STATE, value, self.state)
                    .await
                    .map(|revision| self.state = Some(revision))
            }
            Persist::Stack { version, stack } => {
                let summary = format!("version {version} of stack {} is in force", stack.name);
                let record = StackRecord {
                    schema: STACK_SCHEMA,
                    summary,
                    version,
                    stack,
                };
                let value = json::line(&record).into_bytes();
                self.replace(key::STACK, value, self.stack)
                    .await
                    .map(|revision| self.stack = Some(revision))
            }
            Persist::Ticket { from, to } => return self.replace_ticket(from, to).await,
        };
        match done {
            Ok(()) => Persisted::Done,
            Err(Lost(reason)) => Persisted::LeadLost { reason },
        }
    }

    async fn replace(
        &self,
        key: &'static str,
        value: Vec<u8>,
        known: Option<u64>,
    ) -> Result<u64, Lost> {
        let mut unanswered = false;
        let mut told = false;
        loop {
            self.check_lease(key)?;
            let error = match self.write(key, value.clone(), known).await {
                Ok(revision) => return Ok(revision),
                Err(error) => error,
            };
            unanswered |= error.outcome_unknown();
            let refused = matches!(error, BucketError::WrongRevision { .. });
            let found = if unanswered {
                self.bucket.entry(key).await
            } else {
                Ok(None)
            };
            match found {
                Ok(Some(entry)) if entry.value == value => return Ok(entry.revision),
                // The server that leads the bucket now may not have heard of what the one before refused for.
                Ok(Some(entry)) if Some(entry.revision) == known => {}
                Ok(_) if refused => {
                    return Err(Lost(format!("another coordinator wrote key {key}")));
                }
                // Whose write stands there is not known before it can be read.
                Ok(_) | Err(_) => {}
            }
            complain(key, &error, &mut told);
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Agents confirm grants and renew leases by writing the ticket, so its revision moves without the right to be
    /// live moving. What they wrote last is what a revocation carries over.
    async fn replace_ticket(&self, from: Option<Ticket>, to: Ticket) -> Persisted {
        let mut unanswered = false;
        let mut told = false;
        loop {
            if let Err(Lost(reason)) = self.check_lease(key::TICKET) {
                return Persisted::LeadLost { reason };
            }
            let found: Option<(u64, Ticket)> = match read(&self.bucket, key::TICKET).await {
                Ok(found) => found,
                Err(StoreError::Bucket { source, .. }) => {
                    complain(key::TICKET, &source, &mut told);
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
                Err(error) => {
                    tracing::error!(error = %Chain(&error), "the ticket is not understood");
                    return Persisted::TicketConflict { found: None };
                }
            };
            let is_written = |(_, ticket): &&(u64, Ticket)| {
                ticket.same_right(&to) && ticket.automatic_off == to.automatic_off
            };
            let own = found.as_ref().filter(|_| unanswered);
            if let Some((revision, ticket)) = own.filter(is_written).cloned() {
                return Persisted::TicketWritten { ticket, revision };
            }
            let ticket = found.as_ref().map(|(_, ticket)| ticket);
            let expected = match (ticket, from.as_ref()) {
                (None, None) => true,
                (Some(ticket), Some(from)) => ticket.same_right(from),
                (Some(_), None) | (None, Some(_)) => false,
            };
            if !expected {
                return Persisted::TicketConflict {
                    found: found.map(|(_, ticket)| ticket),
                };
            }
            let written = to.clone().in_place_of(ticket);
            let value = json::line(&written).into_bytes();
            match self
                .write(key::TICKET, value, found.map(|(revision, _)| revision))
                .await
            {
                Ok(revision) => {
                    return Persisted::TicketWritten {
                        ticket: written,
                        revision,
                    };
                }
                // A confirmation came between the read and the write: look again at once.
                Err(BucketError::WrongRevision { .. }) => {}
                Err(error) => {
                    unanswered |= error.outcome_unknown();
                    complain(key::TICKET, &error, &mut told);
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    fn check_lease(&self, key: &str) -> Result<(), Lost> {
        if self.lease.holds(clock::mono()) {
            Ok(())
        } else {
            Err(Lost(format!(
                "the lease was over before key {key} was written"
            )))
        }
    }

    async fn write(
        &self,
        key: &str,
        value: Vec<u8>,
        known: Option<u64>,
    ) -> Result<u64, BucketError> {
        match known {
            None => self.bucket.create(key, value).await,
            Some(revision) => self.bucket.update(key, value, revision).await,
        }
    }
}

async fn read<T: DeserializeOwned>(
    bucket: &Bucket,
    key: &'static str,
) -> Result<Option<(u64, T)>, StoreError> {
    let entry = bucket
        .entry(key)
        .await
        .map_err(|source| StoreError::Bucket { key, source })?;
    let Some(Entry { value, revision }) = entry else {
        return Ok(None);
    };
    let value =
        serde_json::from_slice(&value).map_err(|source| StoreError::Unreadable { key, source })?;
    Ok(Some((revision, value)))
}

fn complain(key: &str, error: &BucketError, told: &mut bool) {
    if std::mem::replace(told, true) {
        tracing::debug!(key, error = %Chain(error), "still not written");
    } else {
        tracing::warn!(key, error = %Chain(error), "not written yet; the same write is tried again");
    }
}
