//! The coordinators' events, as somebody with a NATS client sees them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use shared::wire::AuditEvent;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::STACK;
use super::narrative::Narrative;
use crate::nats_wire::Wire;

const CONNECT: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(100);

/// An event and when it was seen.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When it arrived.
    pub at: Instant,
    /// The event.
    pub event: AuditEvent,
}

/// Every event since the start. Dropping it ends the listening.
#[derive(Debug)]
pub struct Events {
    list: Arc<Mutex<Vec<Seen>>>,
    count: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Events {
    /// Listens at the first of some NATS servers that answers, at another one when that ends, and tells
    /// each event.
    ///
    /// # Errors
    /// When none answers.
    pub async fn follow(servers: Vec<SocketAddr>, narrative: Narrative) -> Result<Self> {
        let mut wire = listen(&servers).await?;
        let list = Arc::new(Mutex::new(Vec::new()));
        let (sender, count) = watch::channel(0);
        let kept = Arc::clone(&list);
        let task = tokio::spawn(async move {
            loop {
                let Ok(message) = wire.next_message().await else {
                    wire = listen_again(&servers).await;
                    continue;
                };
                let Ok(event) = serde_json::from_slice::<AuditEvent>(&message.payload) else {
                    narrative.say(format!("unreadable event on {}", message.subject));
                    continue;
                };
                tell(&narrative, &event);
                let at = Instant::now();
                kept.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(Seen { at, event });
                sender.send_modify(|count| *count += 1);
            }
        });
        Ok(Self { list, count, task })
    }

    /// Every event so far, in order of arrival.
    pub fn all(&self) -> Vec<Seen> {
        self.list
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many there are so far.
    pub fn count(&self) -> usize {
        self.list
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Waits for the first event after the first `skip` ones that is wanted.
    ///
    /// # Errors
    /// When none comes `within`; names the last ones that came.
    pub async fn wait(
        &self,
        what: &str,
        skip: usize,
        within: Duration,
        wanted: impl Fn(&AuditEvent) -> bool,
    ) -> Result<Seen> {
        let mut count = self.count.clone();
        let found = timeout(within, async {
            loop {
                count.borrow_and_update();
                let fitting = self.all().into_iter().skip(skip);
                if let Some(seen) = fitting.into_iter().find(|seen| wanted(&seen.event)) {
                    return Ok(seen);
                }
                count.changed().await.context("the listening has ended")?;
            }
        });
        match found.await {
            Ok(found) => found,
            Err(_elapsed) => {
                let all = self.all();
                let last: Vec<&str> = all
                    .iter()
                    .rev()
                    .take(5)
                    .map(|seen| seen.event.summary.as_str())
                    .collect();
                bail!("no {what} within {within:?}; the last events, newest first: {last:#?}")
            }
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(servers: &[SocketAddr]) -> Result<Wire> {
    let mut last = anyhow::anyhow!("no NATS server to listen at");
    for server in servers {
        let listening = async {
            let mut wire = Wire::connect(*server, CONNECT).await?;
            wire.subscribe(&format!("pointsman.{STACK}.event.>"))
                .await?;
            anyhow::Ok(wire)
        };
        match listening.await {
            Ok(wire) => return Ok(wire),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn listen_again(servers: &[SocketAddr]) -> Wire {
    loop {
        if let Ok(wire) = listen(servers).await {
            return wire;
        }
        sleep(AGAIN).await;
    }
}

fn tell(narrative: &Narrative, event: &AuditEvent) {
    let step = event.step.map_or_else(String::new, |n| format!(" {n}"));
    narrative.say(format!(
        "{:<18} {}",
        format!("{}{step}", event.kind),
        event.summary
    ));
}
