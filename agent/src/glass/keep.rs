//! Keeps the plan fresh while there is a store, and learns that its ticket has taken a broken glass over.

use std::time::Duration;

use bus::{Bucket, Connection};
use shared::subject::{self, key};
use shared::telemetry::Chain;
use tokio::time::MissedTickBehavior;

use super::cache::{self, Cache, Kept};
use super::store::{self, StoreAnswer};
use super::trust;
use crate::clock;
use crate::gate::Identity;
use crate::ledger::Ledger;

/// Between two looks at the store.
const EVERY: Duration = Duration::from_secs(5);

/// What the keeping needs.
pub(crate) struct Keeper {
    pub(crate) connection: Connection,
    pub(crate) identity: Identity,
    pub(crate) ledger: Ledger,
    pub(crate) cache: Cache,
    pub(crate) trusted: Vec<String>,
    /// What was complained of last, so that it is said once.
    pub(crate) said: Option<String>,
}

impl Keeper {
    /// Keeps for ever.
    pub(crate) async fn run(mut self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.connection.is_connected() {
                Box::pin(self.refresh()).await;
                Box::pin(self.learn_reconciliation()).await;
            }
        }
    }

    async fn refresh(&mut self) {
        let found = match self.found().await {
            Ok(Some(bytes)) => bytes,
            // No plan is made while the stack is unprotected; the one that is kept grows old.
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(error = %Chain(&error), "the plan for break glass cannot be read");
                return;
            }
        };
        let kept = self.cache.kept();
        match self.judged(kept.as_ref(), &found) {
            Ok(None) => self.said = None,
            Ok(Some(new)) => {
                self.said = None;
                let first = kept.is_none();
                if let Err(error) = self.cache.keep(new) {
                    tracing::error!(%error, "the plan for break glass cannot be written");
                } else if first {
                    tracing::info!("a plan for break glass is kept");
                }
            }
            Err(why) => {
                if self.said.as_ref() != Some(&why) {
                    tracing::warn!(why, "a plan for break glass is not taken");
                    self.said = Some(why);
                }
            }
        }
    }

    async fn found(&self) -> Result<Option<bytes::Bytes>, bus::BucketError> {
        let bucket = Bucket::open(&self.connection, &subject::bucket(&self.identity.stack)).await?;
        let entry = bucket.entry(&key::contingency(&self.identity.site)).await?;
        Ok(entry.map(|entry| entry.value))
    }

    /// What is to be kept from now on; nothing when it is kept already.
    fn judged(&self, kept: Option<&Kept>, found: &[u8]) -> Result<Option<Kept>, String> {
        let (signed, plan) =
            trust::read(found, &self.trusted).map_err(|error| Chain(&error).to_string())?;
        if kept.is_some_and(|kept| kept.signed == signed) {
            return Ok(None);
        }
        let kept = kept.map(|kept| &kept.plan);
        cache::accepts(&self.identity, &self.ledger, kept, &plan)?;
        Ok(Some(Kept {
            received_at: clock::wall(),
            signed,
            plan,
        }))
    }

    /// The store's ticket, confirmed by a write, has taken the broken glass's epoch over.
    async fn learn_reconciliation(&self) {
        let Some(broken) = self.ledger.glass().filter(|broken| !broken.reconciled) else {
            return;
        };
        let answer = store::ask(&self.connection, &self.identity.stack).await;
        let StoreAnswer::Quorum {
            ticket: Some(ticket),
        } = answer
        else {
            return;
        };
        // A store that was made anew knows nothing of the break, whatever epoch it shows, until an operator has
        // accepted it and this agent believes it.
        let seen = self.ledger.seen().map(|seen| seen.incarnation);
        let believed = [Some(broken.plan.incarnation), seen].contains(&Some(ticket.incarnation));
        if !believed || ticket.holder != broken.plan.to || ticket.epoch < broken.epoch {
            return;
        }
        match self.ledger.reconcile_glass().await {
            Ok(()) => tracing::info!(
                epoch = broken.epoch.0,
                "the broken glass is reconciled: the store's ticket has taken its epoch over"
            ),
            Err(error) => {
                tracing::error!(error = %Chain(&error), "that the broken glass is reconciled cannot be written");
            }
        }
    }
}
