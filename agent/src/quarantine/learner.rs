//! Learns who holds the right to be live, and proves what is new in it.
//!
//! It runs beside the watch, because a store that does not answer takes seconds to say so.

use std::time::Duration;

use bus::Bucket;
use shared::telemetry::Chain;
use tokio::sync::watch;

use super::Right;
use crate::action::Scene;
use crate::proof::{self, Shown};

/// Between two looks at the ticket; each is one question.
const LOOK: Duration = Duration::from_secs(1);

pub(super) struct Learner {
    scene: Scene,
    bucket: Option<Bucket>,
    /// What was proved last.
    right: Option<Right>,
    told: watch::Sender<Option<Right>>,
}

impl Learner {
    pub(super) fn new(scene: Scene) -> (Self, watch::Receiver<Option<Right>>) {
        let (told, known) = watch::channel(None);
        let learner = Self {
            scene,
            bucket: None,
            right: None,
            told,
        };
        (learner, known)
    }

    /// Learns for as long as the agent runs.
    pub(super) async fn run(mut self) {
        loop {
            self.look().await;
            self.told.send_if_modified(|told| {
                let news = *told != self.right;
                told.clone_from(&self.right);
                news
            });
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn look(&mut self) {
        let Some(shown) = self.read().await else {
            return;
        };
        let right = Right::of(&shown.ticket);
        if self.right.as_ref() == Some(&right) || !right.granted || !self.is_believed(&shown) {
            return;
        }
        let proved = match &self.bucket {
            Some(bucket) => proof::prove(bucket).await,
            None => return,
        };
        match proved {
            Ok(proved) if self.is_believed(&proved) => self.note(proved).await,
            Ok(_) => {}
            // An old read shows less than what is known, never more: a higher epoch needs no further proof.
            Err(why)
                if right.is_anothers(&self.scene.identity.site)
                    && right.epoch > self.scene.ledger.epoch_known() =>
            {
                tracing::warn!(%why, epoch = right.epoch.0, "the store shows a new epoch and confirms nothing");
                self.right = Some(right);
            }
            Err(why) => tracing::debug!(%why, "what the store shows is not confirmed"),
        }
    }

    async fn read(&mut self) -> Option<Shown> {
        if self.bucket.is_none() {
            let (connection, stack) = (&self.scene.connection, &self.scene.identity.stack);
            self.bucket = proof::bucket(connection, stack).await.ok();
        }
        proof::read(self.bucket.as_ref()?).await.ok()
    }

    async fn note(&mut self, proved: Shown) {
        let right = Right::of(&proved.ticket);
        tracing::info!(
            epoch = right.epoch.0, holder = %right.holder, granted = right.granted,
            "who holds the right to be live is confirmed"
        );
        let written = self.scene.ledger.see(&proved.ticket, proved.revision).await;
        if let Err(error) = written {
            tracing::error!(error = %Chain(&error), "what the store has shown is not on the disk");
        }
        self.right = Some(right);
    }

    /// A store that shows less than was seen or obeyed is not believed.
    fn is_believed(&self, shown: &Shown) -> bool {
        let less = self.scene.ledger.regression(&shown.ticket, shown.revision);
        let known = self.right.as_ref();
        less.is_none() && known.is_none_or(|right| right.epoch <= shown.ticket.epoch)
    }
}
