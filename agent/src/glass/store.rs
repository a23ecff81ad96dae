//! Whether the store can still decide: asked by writing the ticket back as it is.
//!
//! A read proves nothing: a deposed leader answers reads. The rewrite changes nothing but the revision.

use std::time::Duration;

use bus::{Bucket, BucketError, Connection};
use shared::id::StackName;
use shared::subject::{self, key};
use shared::wire::Ticket;

/// Longest wait for the whole of it.
const PATIENCE: Duration = Duration::from_secs(8);
/// Writes of others that show a majority.
const OTHERS: usize = 3;
/// Pause before the ticket is written again while an earlier write of it is not decided.
const PAUSE: Duration = Duration::from_millis(200);

/// What the store said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAnswer {
    /// No server is connected.
    Silent {
        /// In words.
        why: String,
    },
    /// A server answers, and no majority stands behind it.
    NoQuorum {
        /// In words.
        why: String,
    },
    /// A majority accepted the write, or says that there is nothing to write to.
    Quorum {
        /// What it holds.
        ticket: Option<Ticket>,
    },
}

impl StoreAnswer {
    /// For people.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Silent { why } => format!("does not answer: {why}"),
            Self::NoQuorum { why } => format!("cannot decide: {why}"),
            Self::Quorum { ticket: None } => "answers with a quorum, and has no ticket".to_owned(),
            Self::Quorum {
                ticket: Some(ticket),
            } => format!(
                "answers with a quorum: epoch {} of {}",
                ticket.epoch, ticket.holder
            ),
        }
    }
}

/// Asks the store.
pub(crate) async fn ask(connection: &Connection, stack: &StackName) -> StoreAnswer {
    if !connection.is_connected() {
        return StoreAnswer::Silent {
            why: "no NATS server is connected".to_owned(),
        };
    }
    let asking = Box::pin(rewrite(connection, stack));
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answer) => answer,
        Err(_elapsed) => StoreAnswer::NoQuorum {
            why: format!("no decision within {} s", PATIENCE.as_secs()),
        },
    }
}

async fn rewrite(connection: &Connection, stack: &StackName) -> StoreAnswer {
    let bucket = match Bucket::open(connection, &subject::bucket(stack)).await {
        Ok(bucket) => bucket,
        Err(error) => return answer(&error),
    };
    let mut others = 0;
    loop {
        let entry = match bucket.entry(key::TICKET).await {
            Ok(Some(entry)) => entry,
            Ok(None) => return StoreAnswer::Quorum { ticket: None },
            Err(error) => return answer(&error),
        };
        let ticket = serde_json::from_slice(&entry.value).ok();
        match bucket
            .update(key::TICKET, entry.value, entry.revision)
            .await
        {
            Ok(_) => return StoreAnswer::Quorum { ticket },
            // A majority accepts the writes of others.
            Err(BucketError::WrongRevision { .. }) => {
                others += 1;
                if others == OTHERS {
                    return StoreAnswer::Quorum { ticket };
                }
            }
            // A leader that has lost its majority says the same of a write that will never be decided.
            Err(BucketError::Underway { .. }) => tokio::time::sleep(PAUSE).await,
            Err(error) => return answer(&error),
        }
    }
}

fn answer(error: &BucketError) -> StoreAnswer {
    match error {
        BucketError::Missing { .. } | BucketError::Misconfigured { .. } => {
            StoreAnswer::Quorum { ticket: None }
        }
        BucketError::NotConnected => StoreAnswer::Silent {
            why: error.to_string(),
        },
        BucketError::NoQuorum { .. }
        | BucketError::WrongRevision { .. }
        | BucketError::Underway { .. }
        | BucketError::TimedOut { .. }
        | BucketError::BadName { .. }
        | BucketError::Other { .. } => StoreAnswer::NoQuorum {
            why: error.to_string(),
        },
    }
}
