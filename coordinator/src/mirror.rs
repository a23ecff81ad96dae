//! What a coordinator sees of the store besides its own writes: read once a second, never for a decision.
//!
//! A follower shows all of it. A leader knows better, but for what agents write: a renewal of a lease in the
//! ticket is a sign of life.

use std::time::Duration;

use bus::Bucket;
use shared::telemetry::Chain;
use tokio::sync::{mpsc, watch};

use crate::event::Event;
use crate::leadership::LeadView;
use crate::store;

/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Looks until nobody listens any more.
pub async fn run(bucket: Bucket, lead: watch::Receiver<LeadView>, events: mpsc::Sender<Event>) {
    let mut shown = None;
    let mut complained = false;
    while !events.is_closed() {
        let own = lead.borrow().own;
        let leader = lead.borrow().leader.clone();
        let news = if own {
            shown = None;
            let found = store::ticket(&bucket).await;
            found.map(Box::new).map(Event::TicketSeen)
        } else {
            store::look(&bucket).await.map(|found| {
                let newest = Some((found.clone(), leader));
                // That it still shows the same is worth a word: what a store shows for long is no old read.
                if newest == shown {
                    return Event::TicketSeen(Box::new(found.ticket));
                }
                shown = newest;
                Event::Mirrored(Box::new(found))
            })
        };
        match news {
            Ok(event) => {
                complained = false;
                if events.send(event).await.is_err() {
                    return;
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
        tokio::time::sleep(LOOK).await;
    }
}
