//! One exchange with the store about the right to be live: renew it by a write, or learn that it is another's.
//!
//! A read renews nothing; only the accepted write at the revision that was read does. The revision of the own last
//! write is tried first, so that a renewal is one round trip. What it must never do: write a ticket that does not
//! say that the right is this site's, or one in a store that shows less than was seen.

use bus::{Bucket, BucketError, Connection};
use shared::subject::{self, key};
use shared::telemetry::Chain;
use shared::wire::{Lease, LeasePromise, Ticket};

use crate::gate::Identity;
use crate::ledger::Ledger;
use crate::standing::{Right, right};

/// Attempts when others write the ticket at the same time.
const ATTEMPTS: usize = 12;

/// What the store said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    /// It accepted the renewal.
    Accepted(Box<Ticket>),
    /// The right is not this site's.
    Denied(Box<Ticket>),
    /// It shows less than was seen before.
    Less(String),
    /// It did not answer, or did not say whether it accepted.
    Unanswered(String),
    /// It answers, and what it holds cannot be used.
    Unfit(String),
}

/// The store as renewals use it.
#[derive(Debug)]
pub(crate) struct Renewal {
    connection: Connection,
    identity: Identity,
    ledger: Ledger,
    bucket: Option<Bucket>,
    /// The own last write, at which the next is tried without a read.
    known: Option<(u64, Ticket)>,
}

impl Renewal {
    pub(crate) const fn new(connection: Connection, identity: Identity, ledger: Ledger) -> Self {
        Self {
            connection,
            identity,
            ledger,
            bucket: None,
            known: None,
        }
    }

    /// Renews, and states the promise in the same write.
    pub(crate) async fn exchange(&mut self, promise: Option<LeasePromise>) -> Word {
        match self.try_exchange(promise).await {
            Ok(word) => word,
            Err(error) => {
                self.known = None;
                explained(&error, self.ledger.seen().is_some())
            }
        }
    }

    /// No answer came in time, so what stands in the store is not known.
    pub(crate) fn forget(&mut self) {
        self.known = None;
    }

    async fn try_exchange(&mut self, promise: Option<LeasePromise>) -> Result<Word, BucketError> {
        for _ in 0..ATTEMPTS {
            let (revision, mut ticket) = match self.known.take() {
                Some(known) => known,
                None => match self.read().await? {
                    Ok(found) => found,
                    Err(word) => return Ok(word),
                },
            };
            let lease = ticket
                .leases
                .entry(self.identity.node.clone())
                .or_insert(Lease {
                    renewals: 0,
                    promise: None,
                });
            lease.renewals = lease.renewals.saturating_add(1);
            lease.promise = promise;
            let value = match serde_json::to_vec(&ticket) {
                Ok(value) => value,
                Err(error) => return Ok(Word::Unfit(format!("the ticket: {error}"))),
            };
            match self
                .bucket()
                .await?
                .update(key::TICKET, value, revision)
                .await
            {
                Ok(revision) => {
                    self.remember(&ticket, revision).await;
                    return Ok(Word::Accepted(Box::new(ticket)));
                }
                // Somebody else wrote, or is writing: look again at once.
                Err(BucketError::WrongRevision { .. } | BucketError::Underway { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Word::Unanswered(
            "others changed the ticket at every attempt".to_owned(),
        ))
    }

    /// The ticket that may be renewed, or what is said instead.
    async fn read(&mut self) -> Result<Result<(u64, Ticket), Word>, BucketError> {
        let Some(entry) = self.bucket().await?.entry(key::TICKET).await? else {
            return Ok(Err(if self.ledger.seen().is_some() {
                Word::Less("the store has no ticket any more".to_owned())
            } else {
                Word::Unfit("the store has no ticket yet".to_owned())
            }));
        };
        let ticket: Ticket = match serde_json::from_slice(&entry.value) {
            Ok(ticket) => ticket,
            Err(error) => return Ok(Err(Word::Unfit(format!("the ticket: {error}")))),
        };
        if let Some(less) = self.ledger.regression(&ticket, entry.revision) {
            return Ok(Err(Word::Less(less)));
        }
        Ok(match right(&ticket, &self.identity.site) {
            Right::Own => Ok((entry.revision, ticket)),
            Right::Pending | Right::Other => Err(Word::Denied(Box::new(ticket))),
        })
    }

    async fn remember(&mut self, ticket: &Ticket, revision: u64) {
        self.known = Some((revision, ticket.clone()));
        if let Err(error) = self.ledger.see(ticket, revision).await {
            tracing::error!(error = %Chain(&error), "what the store has shown is not on the disk");
        }
    }

    async fn bucket(&mut self) -> Result<&Bucket, BucketError> {
        if self.bucket.is_none() {
            let name = subject::bucket(&self.identity.stack);
            self.bucket = Some(Bucket::open(&self.connection, &name).await?);
        }
        self.bucket.as_ref().ok_or(BucketError::NotConnected)
    }
}

fn explained(error: &BucketError, seen: bool) -> Word {
    let said = Chain(error).to_string();
    match error {
        BucketError::Missing { .. } if seen => Word::Less(said),
        BucketError::NotConnected
        | BucketError::NoQuorum { .. }
        | BucketError::TimedOut { .. }
        | BucketError::WrongRevision { .. }
        | BucketError::Underway { .. } => Word::Unanswered(said),
        BucketError::Missing { .. }
        | BucketError::Misconfigured { .. }
        | BucketError::BadName { .. }
        | BucketError::Other { .. } => Word::Unfit(said),
    }
}
