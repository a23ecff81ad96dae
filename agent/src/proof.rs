//! What the store says of who may be live, proved by writing it back unchanged.
//!
//! A read proves nothing: a server that a majority has deposed goes on answering for seconds. A write that is
//! accepted at exactly the revision that was read shows that a majority holds it so at this moment. It must never
//! change what it writes back, unknown fields of a newer version included.

use std::time::Duration;

use bus::{Bucket, BucketError, Connection, Entry};
use shared::id::StackName;
use shared::subject::{self, key};
use shared::telemetry::Chain;
use shared::wire::Ticket;

/// Attempts when others write the ticket at the same time. With a new epoch every agent of the stack writes it.
const ATTEMPTS: u32 = 12;
/// Grows with every attempt: whoever confirms a grant or renews a lease goes first.
const PAUSE: Duration = Duration::from_millis(20);

/// A ticket, and the revision at which it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) ticket: Ticket,
    pub(crate) revision: u64,
}

/// Why there is no ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unshown {
    /// The store answers and has none.
    Absent(String),
    /// It did not answer, or did not say whether it accepted.
    Unanswered(String),
    /// What it holds cannot be used.
    Unfit(String),
}

/// The store's bucket of a stack.
pub(crate) async fn bucket(connection: &Connection, stack: &StackName) -> Result<Bucket, Unshown> {
    let opened = Bucket::open(connection, &subject::bucket(stack)).await;
    opened.map_err(|error| unshown(&error))
}

/// The ticket as the store reads it now, which may be seconds old.
pub(crate) async fn read(bucket: &Bucket) -> Result<Shown, Unshown> {
    shown(&entry(bucket).await?)
}

/// The ticket as a majority holds it now.
pub(crate) async fn prove(bucket: &Bucket) -> Result<Shown, Unshown> {
    for attempt in 1..=ATTEMPTS {
        let entry = entry(bucket).await?;
        let before = shown(&entry)?;
        let written = bucket
            .update(key::TICKET, entry.value, entry.revision)
            .await;
        match written {
            Ok(revision) => return Ok(Shown { revision, ..before }),
            Err(BucketError::WrongRevision { .. } | BucketError::Underway { .. }) => {
                tokio::time::sleep(PAUSE * attempt).await;
            }
            Err(error) => return Err(unshown(&error)),
        }
    }
    Err(Unshown::Unanswered(
        "others changed the ticket at every attempt".to_owned(),
    ))
}

async fn entry(bucket: &Bucket) -> Result<Entry, Unshown> {
    match bucket.entry(key::TICKET).await {
        Ok(Some(entry)) => Ok(entry),
        Ok(None) => Err(Unshown::Absent("the store has no ticket".to_owned())),
        Err(error) => Err(unshown(&error)),
    }
}

fn shown(entry: &Entry) -> Result<Shown, Unshown> {
    let ticket = serde_json::from_slice(&entry.value)
        .map_err(|error| Unshown::Unfit(format!("the ticket cannot be read: {error}")))?;
    Ok(Shown {
        ticket,
        revision: entry.revision,
    })
}

fn unshown(error: &BucketError) -> Unshown {
    let said = Chain(error).to_string();
    match error {
        BucketError::Missing { .. } => Unshown::Absent(said),
        BucketError::NotConnected
        | BucketError::NoQuorum { .. }
        | BucketError::TimedOut { .. }
        | BucketError::WrongRevision { .. }
        | BucketError::Underway { .. } => Unshown::Unanswered(said),
        BucketError::Misconfigured { .. }
        | BucketError::BadName { .. }
        | BucketError::Other { .. } => Unshown::Unfit(said),
    }
}

impl std::fmt::Display for Unshown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Absent(why) | Self::Unanswered(why) | Self::Unfit(why)) = self;
        f.pad(why)
    }
}
