//! Who leads: one key in the store, changed by compare-and-set only.
//!
//! A lead is free when its revision has not changed for a whole lease *on this process's own clock*; another
//! host's clock is never looked at. A read only ever delays a candidate: what wins, keeps and proves the lead is
//! a write that was accepted. A write without an answer is unknown, so the key is read again and its nonce compared.

mod record;
mod tenure;

use std::time::Duration;

use bus::{Bucket, BucketError};
use shared::clock::{Millis, Mono};
use shared::epoch::Term;
use shared::id::{Nonce, ProcessId, SiteName};
use shared::subject::key;
use shared::telemetry::Chain;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

pub use self::record::LeadRecord;
use self::tenure::Tenure;
use crate::clock;
use crate::config::LeadConfig;
use crate::event::Event;

/// Pause before a failed attempt is made again.
const RETRY: Duration = Duration::from_millis(300);
/// Longest pause between two looks at the key.
const LOOK_MAX: Duration = Duration::from_millis(500);

/// What a coordinator knows of the lead.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeadView {
    /// Who leads, by the newest record seen.
    pub leader: Option<(SiteName, Term)>,
    /// When that record was last seen to change, on the own clock.
    pub changed_at: Mono,
    /// When the key was last read or written at all.
    pub looked_at: Mono,
    /// True when it is this process.
    pub own: bool,
}

/// What the runtime tells the campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Go on.
    Campaign,
    /// Give up the term, if it is the one that is led now; others may have it, this process waits.
    Resign(Term),
    /// Give up the lead and end.
    Stop,
}

/// The campaign of one process for the lead.
#[derive(Debug)]
pub struct Campaign {
    /// The bucket that holds the key.
    pub bucket: Bucket,
    /// The own site.
    pub site: SiteName,
    /// The own process.
    pub process: ProcessId,
    /// How the lead is won, kept and lost.
    pub config: LeadConfig,
    /// Where wins and losses are told.
    pub events: mpsc::Sender<Event>,
    /// Where the newest knowledge is shown.
    pub view: watch::Sender<LeadView>,
    /// What to do.
    pub orders: watch::Receiver<Order>,
}

/// What was seen of the key, and since when without a change.
#[derive(Debug, Default)]
struct Seen {
    looked: bool,
    /// Nothing while there is no record.
    revision: Option<u64>,
    since: Mono,
    vacant: bool,
    term_max: Term,
    complained: bool,
}

impl LeadView {
    /// The leader, if its record has changed within a lease.
    pub fn live_leader(&self, now: Mono, lease: Millis) -> Option<&SiteName> {
        let (site, _) = self.leader.as_ref()?;
        (self.own || now.since(self.changed_at) < lease).then_some(site)
    }
}

impl Campaign {
    /// Runs until told to stop, or until nobody listens any more.
    pub async fn run(mut self) {
        let mut seen = Seen::default();
        let mut not_before = Mono(0);
        loop {
            if *self.orders.borrow() == Order::Stop || self.events.is_closed() {
                return;
            }
            self.look(&mut seen).await;
            let now = clock::mono();
            let free = now >= not_before && self.is_free(&seen, now);
            let won = if free {
                self.compete(&mut seen).await
            } else {
                None
            };
            let Some(tenure) = won else {
                self.pause().await;
                continue;
            };
            let resigned = tenure.serve(&mut self).await;
            seen = Seen {
                term_max: seen.term_max,
                ..Seen::default()
            };
            if resigned {
                // Whatever made this process resign needs time, and another one may do better.
                not_before = clock::mono().after(self.config.lease);
            }
        }
    }

    fn is_free(&self, seen: &Seen, now: Mono) -> bool {
        if !seen.looked {
            return false;
        }
        let needed = if seen.vacant {
            Millis(0)
        } else {
            self.config.lease
        };
        now.since(seen.since) >= Millis(needed.0 + self.config.candidate_delay.0)
    }

    async fn look(&self, seen: &mut Seen) {
        let entry = match self.bucket.entry(key::LEAD).await {
            Ok(entry) => entry,
            Err(error) => return seen.complain(&error),
        };
        if std::mem::take(&mut seen.complained) {
            tracing::info!("the lead's key can be read again");
        }
        let now = clock::mono();
        let revision = entry.as_ref().map(|entry| entry.revision);
        let record = entry
            .as_ref()
            .and_then(|entry| LeadRecord::read(&entry.value));
        let changed = !seen.looked || seen.revision != revision;
        if entry.is_some() && record.is_none() && changed {
            tracing::error!(
                "the lead's key cannot be read; it counts as held until its lease is over"
            );
        }
        if changed {
            (seen.looked, seen.revision, seen.since) = (true, revision, now);
        }
        seen.vacant = entry.is_none()
            || record
                .as_ref()
                .is_some_and(|record| record.holder.is_none());
        seen.term_max = seen
            .term_max
            .max(record.as_ref().map_or(Term(0), |record| record.term));
        let leader = record.and_then(|record| record.holder.map(|site| (site, record.term)));
        self.view.send_replace(LeadView {
            leader,
            changed_at: seen.since,
            looked_at: now,
            own: false,
        });
    }

    async fn compete(&self, seen: &mut Seen) -> Option<Tenure> {
        let term = Term(seen.term_max.0.saturating_add(1));
        let record = LeadRecord {
            schema: record::LEAD_SCHEMA,
            summary: record::summary(Some(&self.site), term),
            holder: Some(self.site.clone()),
            process: self.process,
            term,
            nonce: Nonce::new(Uuid::new_v4()),
            renewed_count: 0,
            changed_at: clock::wall(),
        };
        let sent = clock::mono();
        let written = match seen.revision {
            None => self.bucket.create(key::LEAD, record.bytes()).await,
            Some(revision) => {
                self.bucket
                    .update(key::LEAD, record.bytes(), revision)
                    .await
            }
        };
        let revision = match written {
            Ok(revision) => revision,
            Err(BucketError::WrongRevision { .. } | BucketError::Underway { .. }) => {
                tracing::debug!("another coordinator was faster");
                return None;
            }
            Err(error) if error.outcome_unknown() => self.find_own(&record).await?,
            Err(error) => {
                seen.complain(&error);
                return None;
            }
        };
        seen.term_max = term;
        let tenure = Tenure::new(record, revision, sent, &self.config);
        tenure.still_holds(clock::mono()).then_some(tenure)
    }

    /// After a write without an answer: the revision, if it was accepted after all.
    async fn find_own(&self, record: &LeadRecord) -> Option<u64> {
        for _attempt in 0..3 {
            if let Ok(entry) = self.bucket.entry(key::LEAD).await {
                let entry = entry?;
                let found = LeadRecord::read(&entry.value)?;
                return (found.nonce == record.nonce).then_some(entry.revision);
            }
            tokio::time::sleep(RETRY).await;
        }
        None
    }

    async fn pause(&mut self) {
        let pause = LOOK_MAX.min(self.config.renew.duration());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            changed = self.orders.changed() => if changed.is_err() {
                // The runtime is gone; the closed event channel ends the campaign.
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

impl Seen {
    fn complain(&mut self, error: &BucketError) {
        if self.complained {
            tracing::debug!(error = %Chain(error), "the lead's key is out of reach");
        } else {
            tracing::warn!(error = %Chain(error), "the lead's key is out of reach; going on trying");
        }
        self.complained = true;
    }
}
