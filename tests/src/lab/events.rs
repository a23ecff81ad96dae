//! The coordinators' events, as somebody with a NATS client sees them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::join_all;
use shared::wire::AuditEvent;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::STACK;
use super::narrative::Narrative;
use crate::nats_wire::{Message, Wire};

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
    /// Listens at every one of some NATS servers, so that one that hangs hides nothing, and tells each event once.
    ///
    /// # Errors
    /// When none answers.
    pub async fn follow(servers: Vec<SocketAddr>, narrative: Narrative) -> Result<Self> {
        let (heard, arriving) = mpsc::unbounded_channel();
        let begun = join_all(servers.iter().map(|server| listen(*server))).await;
        ensure!(
            begun.iter().any(Result::is_ok),
            "no NATS server to listen at: {begun:?}"
        );
        let mut listening = JoinSet::new();
        for (server, wire) in servers.into_iter().zip(begun) {
            listening.spawn(hear(server, wire.ok(), heard.clone()));
        }
        let list = Arc::new(Mutex::new(Vec::new()));
        let (sender, count) = watch::channel(0);
        let kept = Arc::clone(&list);
        let task = tokio::spawn(async move {
            keep(arriving, &narrative, &kept, &sender).await;
            drop(listening);
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

/// An event that several servers tell, or that was written again because its first answer was lost, is the same one.
async fn keep(
    mut arriving: mpsc::UnboundedReceiver<Message>,
    narrative: &Narrative,
    list: &Mutex<Vec<Seen>>,
    count: &watch::Sender<usize>,
) {
    let mut known = BTreeSet::new();
    while let Some(message) = arriving.recv().await {
        if known.contains(&message.payload) {
            continue;
        }
        match serde_json::from_slice::<AuditEvent>(&message.payload) {
            Ok(event) => {
                tell(narrative, &event);
                let at = Instant::now();
                list.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(Seen { at, event });
                count.send_modify(|count| *count += 1);
            }
            Err(_) => narrative.say(format!("unreadable event on {}", message.subject)),
        }
        known.insert(message.payload);
    }
}

async fn hear(server: SocketAddr, mut wire: Option<Wire>, heard: mpsc::UnboundedSender<Message>) {
    loop {
        if let Some(wire) = &mut wire {
            while let Ok(message) = wire.next_message().await {
                if heard.send(message).is_err() {
                    return;
                }
            }
        }
        sleep(AGAIN).await;
        wire = listen(server).await.ok();
    }
}

async fn listen(server: SocketAddr) -> Result<Wire> {
    let mut wire = Wire::connect(server, CONNECT).await?;
    wire.subscribe(&format!("pointsman.{STACK}.event.>"))
        .await?;
    Ok(wire)
}

fn tell(narrative: &Narrative, event: &AuditEvent) {
    let step = event.step.map_or_else(String::new, |n| format!(" {n}"));
    narrative.say(format!(
        "{:<18} {}",
        format!("{}{step}", event.kind),
        event.summary
    ));
}
