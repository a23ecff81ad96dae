//! What a follower shows of the store: read once a second, for display, never for a decision.

use std::time::Duration;

use bus::Bucket;
use shared::telemetry::Chain;
use tokio::sync::{mpsc, watch};

use crate::event::Event;
use crate::leadership::LeadView;
use crate::store;

/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Looks until nobody listens any more; a leader knows better and is not told.
pub async fn run(bucket: Bucket, lead: watch::Receiver<LeadView>, events: mpsc::Sender<Event>) {
    let mut shown = None;
    let mut complained = false;
    while !events.is_closed() {
        let own = lead.borrow().own;
        let leader = lead.borrow().leader.clone();
        if own {
            shown = None;
        } else {
            match store::look(&bucket).await {
                Ok(found) => {
                    complained = false;
                    let newest = Some((found, leader));
                    if newest != shown {
                        shown.clone_from(&newest);
                        let told = newest.map(|(found, _)| Event::Mirrored(Box::new(found)));
                        if let Some(event) = told
                            && events.send(event).await.is_err()
                        {
                            return;
                        }
                    }
                }
                Err(error) if complained => {
                    tracing::debug!(error = %Chain(&error), "the store is still out of reach");
                }
                Err(error) => {
                    complained = true;
                    tracing::warn!(error = %Chain(&error), "the store cannot be mirrored; what is shown gets old");
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}
