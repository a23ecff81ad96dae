//! One term: renewed by writes, over by the own clock.

use bus::{BucketError, Entry};
use shared::clock::{Millis, Mono};
use shared::subject::key;
use shared::telemetry::Chain;
use tokio::time::{Duration, Instant};

use super::record::{self, LeadRecord};
use super::{Campaign, LeadView, Order, RETRY};
use crate::clock;
use crate::config::LeadConfig;
use crate::event::Event;
use crate::lease::Lease;

/// A lead that was won.
#[derive(Debug)]
pub(super) struct Tenure {
    record: LeadRecord,
    revision: u64,
    lease: Lease,
    validity: Millis,
    renew: Duration,
    /// The renewal that is not known to be accepted, and when it was first sent.
    pending: Option<(LeadRecord, Mono)>,
}

/// What a renewal came to.
enum Renewal {
    Accepted,
    TryAgain,
    Taken,
}

/// What the store shows once it has refused a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// The renewal, at its revision: an earlier sending of it was accepted without our hearing of it.
    Renewed(u64),
    /// An earlier record of this term, from a server that has not heard of the write that the renewal was refused
    /// for. Whether the renewal arrives in time is the lease's to say.
    Before,
    /// Another's record, or none.
    Another,
}

impl Shown {
    fn of(entry: Option<&Entry>, renewed: &LeadRecord) -> Self {
        let found = entry.and_then(|entry| Some((LeadRecord::read(&entry.value)?, entry.revision)));
        match found {
            Some((found, revision)) if found == *renewed => Self::Renewed(revision),
            Some((found, _)) if found.nonce == renewed.nonce => Self::Before,
            Some(_) | None => Self::Another,
        }
    }
}

impl Tenure {
    pub(super) fn new(record: LeadRecord, revision: u64, sent: Mono, config: &LeadConfig) -> Self {
        let validity = Millis::from_duration(config.validity());
        let lease = Lease::until(sent.after(validity));
        Self {
            record,
            revision,
            lease,
            validity,
            renew: config.renew.duration(),
            pending: None,
        }
    }

    pub(super) fn still_holds(&self, now: Mono) -> bool {
        self.lease.holds(now)
    }

    /// Serves until the lead is lost or given up; true when the runtime had this process resign.
    pub(super) async fn serve(mut self, campaign: &mut Campaign) -> bool {
        let term = self.record.term;
        tracing::info!(term = term.0, "this coordinator leads");
        if campaign
            .events
            .send(Event::Won {
                term,
                lease: self.lease.clone(),
            })
            .await
            .is_err()
        {
            return false;
        }
        self.show(campaign);
        let mut next = Instant::now() + self.renew;
        let reason = loop {
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                changed = campaign.orders.changed() => if changed.is_err() {
                    self.give_up(campaign).await;
                    return false;
                }
            }
            let order = *campaign.orders.borrow_and_update();
            if order == Order::Stop || order == Order::Resign(term) {
                self.give_up(campaign).await;
                return order != Order::Stop;
            }
            if Instant::now() < next {
                continue;
            }
            if !self.lease.holds(clock::mono()) {
                break "the lead could not be renewed in time".to_owned();
            }
            next = match self.renew(campaign).await {
                // Accepted, and too late for the own clock: the runtime has stopped already.
                Renewal::Accepted if !self.lease.holds(clock::mono()) => continue,
                Renewal::Accepted => {
                    self.show(campaign);
                    Instant::now() + self.renew
                }
                Renewal::TryAgain => Instant::now() + RETRY.min(self.renew),
                Renewal::Taken => break "another coordinator took the lead".to_owned(),
            };
        };
        self.lease.revoke();
        tracing::debug!(term = term.0, reason, "the lead is lost");
        // Nobody listens only while the process ends.
        let _told = campaign.events.send(Event::Lost { term, reason }).await;
        false
    }

    async fn renew(&mut self, campaign: &Campaign) -> Renewal {
        let (renewed, sent) = self
            .pending
            .take()
            .unwrap_or_else(|| (self.next_record(), clock::mono()));
        let outcome = campaign
            .bucket
            .update(key::LEAD, renewed.bytes(), self.revision)
            .await;
        let accepted = match outcome {
            Ok(revision) => Some(revision),
            Err(BucketError::WrongRevision { .. }) => {
                let entry = campaign.bucket.entry(key::LEAD).await;
                match entry.map(|entry| Shown::of(entry.as_ref(), &renewed)) {
                    Ok(Shown::Renewed(revision)) => Some(revision),
                    Ok(Shown::Before) | Err(_) => None,
                    Ok(Shown::Another) => return Renewal::Taken,
                }
            }
            Err(error) => {
                tracing::debug!(error = %Chain(&error), "the lead was not renewed; trying again");
                None
            }
        };
        let Some(revision) = accepted else {
            // Sent again just so: the instant that counts stays that of its first sending.
            self.pending = Some((renewed, sent));
            return Renewal::TryAgain;
        };
        self.revision = revision;
        self.record = renewed;
        self.lease.extend(clock::mono(), sent.after(self.validity));
        Renewal::Accepted
    }

    fn next_record(&self) -> LeadRecord {
        LeadRecord {
            renewed_count: self.record.renewed_count.saturating_add(1),
            changed_at: clock::wall(),
            ..self.record.clone()
        }
    }

    async fn give_up(&self, campaign: &Campaign) {
        let empty = LeadRecord {
            summary: record::summary(None, self.record.term),
            holder: None,
            ..self.next_record()
        };
        self.lease.revoke();
        match campaign
            .bucket
            .update(key::LEAD, empty.bytes(), self.revision)
            .await
        {
            Ok(_) => tracing::info!(term = self.record.term.0, "the lead was given up"),
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "the lead could not be given up; it is free after its lease");
            }
        }
    }

    fn show(&self, campaign: &Campaign) {
        let now = clock::mono();
        let leader = self
            .record
            .holder
            .clone()
            .map(|site| (site, self.record.term));
        campaign.view.send_replace(LeadView {
            leader,
            changed_at: now,
            looked_at: now,
            own: true,
        });
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::UnixMillis;
    use shared::epoch::Term;
    use shared::id::{Nonce, ProcessId, SiteName};
    use uuid::Uuid;

    use super::*;

    fn record(nonce: u128, renewed_count: u64) -> LeadRecord {
        LeadRecord {
            schema: 1,
            summary: String::new(),
            holder: Some(SiteName::new("dc2").unwrap()),
            process: ProcessId::new(Uuid::from_u128(1)),
            term: Term(3),
            nonce: Nonce::new(Uuid::from_u128(nonce)),
            renewed_count,
            changed_at: UnixMillis(0),
        }
    }

    #[test]
    fn only_anothers_record_takes_the_lead() {
        let renewed = record(7, 5);
        for (found, shown) in [
            (Some(record(7, 5)), Shown::Renewed(9)),
            (Some(record(7, 4)), Shown::Before),
            (Some(record(8, 5)), Shown::Another),
            (None, Shown::Another),
        ] {
            let entry = found.as_ref().map(|found| Entry {
                value: found.bytes().into(),
                revision: 9,
            });
            assert_eq!(Shown::of(entry.as_ref(), &renewed), shown, "{found:?}");
        }
    }
}
