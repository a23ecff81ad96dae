//! Confirms, by a write to the store, that this site holds the right to be live.
//!
//! A read proves nothing: a server that a majority has deposed goes on answering for seconds. So the ticket
//! is read, checked, and written back at exactly the revision that was read. What is read here never
//! authorises; only the accepted write does.

use std::time::Duration;

use bus::{Bucket, BucketError, Connection};
use shared::clock::{Millis, Mono};
use shared::refusal::Refusal;
use shared::subject::{self, key};
use shared::telemetry::Chain;
use shared::wire::{Grant, Ticket};

use crate::clock;
use crate::gate::Identity;
use crate::glass::Vouched;
use crate::ledger::Ledger;
use crate::proof::{self, Unshown};
use crate::standing::STALE_MAX;

/// Attempts when others write the ticket at the same time.
const ATTEMPTS: usize = 12;
/// Between two reads while the store shows less than was seen of it.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// A confirmation counts for so long; what it allows must have begun by then.
const FRESH: Millis = Millis::seconds(1);

/// A grant that was confirmed at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Confirmed {
    since: Mono,
    basis: Basis,
}

/// What stands behind a confirmation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Basis {
    /// A write that a majority of the store accepted.
    Store,
    /// An operator's word, because there is no store.
    Word,
}

/// By what right an action makes a site live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Authority {
    /// A coordinator's command: the grant that it carries is confirmed by a write to the store.
    Granted,
    /// A broken glass: the operator's word is on the disk. No command that comes over the bus has it.
    Vouched(Vouched),
}

impl Confirmed {
    /// Whether acting on it may still begin. Counted from before the write was sent.
    pub(crate) fn is_fresh(self) -> bool {
        clock::mono().since(self.since) <= FRESH
    }

    /// What stands behind it, for a line of proof.
    pub(crate) const fn basis(self) -> &'static str {
        match self.basis {
            Basis::Store => "confirmed by a write to the store",
            Basis::Word => "an operator vouches for it: the glass is broken, there is no store",
        }
    }

    /// The operator's word instead of the store's.
    pub(crate) fn by_word(vouched: &Vouched, grant: Grant) -> Result<Self, Refusal> {
        if grant.epoch != vouched.epoch() {
            return Err(unconfirmed("the glass was broken for another epoch"));
        }
        Ok(Self {
            since: clock::mono(),
            basis: Basis::Word,
        })
    }
}

/// Confirms a grant. The write at the revision that was read also shows that no operator has moved the switch of
/// automatic mode since.
pub(crate) async fn confirm(
    connection: &Connection,
    identity: &Identity,
    ledger: &Ledger,
    grant: Grant,
    is_automatic: bool,
) -> Result<Confirmed, Refusal> {
    let bucket = Bucket::open(connection, &subject::bucket(&identity.stack))
        .await
        .map_err(|e| refusal(&e))?;
    for _ in 0..ATTEMPTS {
        let (mut ticket, revision) = read(&bucket, ledger).await?;
        let since = clock::mono();
        check(&ticket, identity, grant)?;
        if is_automatic {
            check_switch(&ticket)?;
        }
        ticket.confirmed_by = Some(identity.node.clone());
        ticket.confirmations = ticket.confirmations.saturating_add(1);
        let value = serde_json::to_vec(&ticket)
            .map_err(|error| unconfirmed(&format!("the ticket cannot be written: {error}")))?;
        match bucket.update(key::TICKET, value, revision).await {
            Ok(revision) => {
                remember(ledger, &ticket, revision).await?;
                return Ok(Confirmed {
                    since,
                    basis: Basis::Store,
                });
            }
            Err(BucketError::WrongRevision { .. } | BucketError::Underway { .. }) => {}
            Err(error) => return Err(refusal(&error)),
        }
    }
    Err(unconfirmed("others changed the ticket at every attempt"))
}

/// The ticket and its revision. A stale answer shows less than was seen for some seconds, a store that has lost
/// writes for ever.
async fn read(bucket: &Bucket, ledger: &Ledger) -> Result<(Ticket, u64), Refusal> {
    let begun = clock::mono();
    loop {
        let entry = bucket.entry(key::TICKET).await.map_err(|e| refusal(&e))?;
        let entry = entry.ok_or_else(|| unconfirmed("the store has no ticket"))?;
        let ticket: Ticket = serde_json::from_slice(&entry.value)
            .map_err(|error| unconfirmed(&format!("the ticket cannot be read: {error}")))?;
        let Some(reason) = ledger.regression(&ticket, entry.revision) else {
            return Ok((ticket, entry.revision));
        };
        if clock::mono().since(begun) >= STALE_MAX {
            tracing::error!(
                reason,
                "the store has lost writes: no grant of it is believed"
            );
            return Err(Refusal::StoreRegressed { reason });
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// What the store has shown is on the disk before it is acted upon.
async fn remember(ledger: &Ledger, ticket: &Ticket, revision: u64) -> Result<(), Refusal> {
    let seen = ledger.see(ticket, revision).await;
    seen.map_err(|error| Refusal::LedgerUnwritable {
        reason: Chain(&error).to_string(),
    })
}

fn check(ticket: &Ticket, identity: &Identity, grant: Grant) -> Result<(), Refusal> {
    if ticket.epoch != grant.epoch {
        let why = format!(
            "the ticket is at epoch {}, the grant is for epoch {}",
            ticket.epoch, grant.epoch
        );
        return Err(unconfirmed(&why));
    }
    if ticket.holder != identity.site {
        return Err(unconfirmed(&format!(
            "the ticket's holder is {}",
            ticket.holder
        )));
    }
    match ticket.grant {
        None => Err(unconfirmed("the epoch is revoked and not yet granted")),
        Some(nonce) if nonce != grant.nonce => Err(unconfirmed("the ticket holds another grant")),
        Some(_) => Ok(()),
    }
}

/// An order that nobody approved is refused once an operator has switched automatic mode off.
fn check_switch(ticket: &Ticket) -> Result<(), Refusal> {
    match &ticket.automatic_off {
        None => Ok(()),
        Some(off) => Err(Refusal::AutomaticOff { by: off.by.clone() }),
    }
}

/// Shows by a write that automatic mode is not switched off: for orders of it that need no grant.
pub(crate) async fn confirm_switch(
    connection: &Connection,
    identity: &Identity,
    ledger: &Ledger,
) -> Result<(), Refusal> {
    let unproved = |why: Unshown| unconfirmed(&why.to_string());
    let bucket = proof::bucket(connection, &identity.stack)
        .await
        .map_err(unproved)?;
    let shown = proof::prove(&bucket).await.map_err(unproved)?;
    if let Some(reason) = ledger.regression(&shown.ticket, shown.revision) {
        return Err(Refusal::StoreRegressed { reason });
    }
    check_switch(&shown.ticket)?;
    remember(ledger, &shown.ticket, shown.revision).await
}

fn unconfirmed(reason: &str) -> Refusal {
    Refusal::GrantNotConfirmed {
        reason: reason.to_owned(),
    }
}

fn refusal(error: &BucketError) -> Refusal {
    unconfirmed(&error.to_string())
}

#[cfg(test)]
mod tests {
    use shared::clock::UnixMillis;
    use shared::epoch::Epoch;
    use shared::id::{Actor, NodeName, Nonce, ProcessId, SiteName, StackName};
    use shared::wire::AutomaticOff;
    use uuid::Uuid;

    use super::*;

    fn ticket() -> Ticket {
        Ticket {
            summary: String::new(),
            incarnation: Nonce::new(Uuid::from_u128(1)),
            epoch: Epoch(3),
            holder: SiteName::new("dc2").unwrap(),
            grant: Some(Nonce::new(Uuid::from_u128(9))),
            changed_at: UnixMillis(0),
            confirmed_by: None,
            confirmations: 0,
            accepted: 0,
            leases: std::collections::BTreeMap::new(),
            automatic_off: None,
        }
    }

    fn identity() -> Identity {
        Identity {
            stack: StackName::new("ess").unwrap(),
            site: SiteName::new("dc2").unwrap(),
            node: NodeName::new("dc2-db").unwrap(),
            process: ProcessId::new(Uuid::from_u128(5)),
        }
    }

    #[test]
    fn the_switch_refuses_in_the_name_of_who_moved_it() {
        assert_eq!(check_switch(&ticket()), Ok(()));
        let by = Actor::new("alice");
        let off = AutomaticOff {
            by: by.clone(),
            at: UnixMillis(0),
        };
        let switched = Ticket {
            automatic_off: Some(off),
            ..ticket()
        };
        assert_eq!(check_switch(&switched), Err(Refusal::AutomaticOff { by }));
    }

    #[test]
    fn only_the_same_epoch_holder_and_nonce_pass() {
        let grant = Grant {
            epoch: Epoch(3),
            nonce: Nonce::new(Uuid::from_u128(9)),
        };
        assert_eq!(check(&ticket(), &identity(), grant), Ok(()));
        let cases = [
            (
                Ticket {
                    epoch: Epoch(4),
                    ..ticket()
                },
                "epoch 4",
            ),
            (
                Ticket {
                    epoch: Epoch(2),
                    ..ticket()
                },
                "epoch 2",
            ),
            (
                Ticket {
                    holder: SiteName::new("dc1").unwrap(),
                    ..ticket()
                },
                "dc1",
            ),
            (
                Ticket {
                    grant: None,
                    ..ticket()
                },
                "not yet granted",
            ),
            (
                Ticket {
                    grant: Some(Nonce::new(Uuid::from_u128(8))),
                    ..ticket()
                },
                "another grant",
            ),
        ];
        for (ticket, word) in cases {
            let refusal = check(&ticket, &identity(), grant).unwrap_err().to_string();
            assert!(refusal.contains(word), "{refusal}");
        }
    }
}
