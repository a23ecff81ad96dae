//! Listening. A subscription outlives its connection: it moves to the next one by itself.
//!
//! It moves while somebody waits on `next()`; what was sent in between is lost, as always without a
//! stream. A subscription that the server denies stays silent: see [`Connection::canary`].

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subscriber;
use futures_util::StreamExt;
use shared::codec::Message;
use shared::subject::Subject;

use crate::connection::Connection;
use crate::dial::Link;
use crate::health::Tally;
use crate::message::{CANARY_HEADER, RawMessage, Received};
use crate::supervisor::Outlet;

/// Pause before subscribing again on a connection that took no subscription.
const RETRY: Duration = Duration::from_millis(200);

/// Why a subject cannot be listened to: a fault of the caller.
#[derive(Debug, thiserror::Error)]
#[error("cannot subscribe to {subject}")]
pub struct SubscribeError {
    /// The subject or pattern.
    pub subject: String,
    /// Why not.
    #[source]
    pub source: async_nats::SubscribeError,
}

/// Messages of one kind.
#[derive(Debug)]
pub struct Subscription<M> {
    raw: RawSubscription,
    tally: Arc<Tally>,
    kind: PhantomData<fn() -> M>,
}

/// Messages as they come, with headers.
#[derive(Debug)]
pub struct RawSubscription {
    outlet: Outlet,
    subject: String,
    queue_group: Option<String>,
    live: Option<Subscriber>,
    /// Generation of the link that was subscribed last.
    generation: u64,
    patience: Duration,
}

impl<M: Message> Subscription<M> {
    /// The next message, readable or not; `None` when the connection was closed. Safe to cancel.
    pub async fn next(&mut self) -> Option<Received<M>> {
        let received = Received::read(self.raw.next().await?);
        if received.body.is_err() {
            self.tally.garbage();
        }
        Some(received)
    }
}

impl RawSubscription {
    /// The next message; `None` when the connection was closed. Safe to cancel.
    pub async fn next(&mut self) -> Option<RawMessage> {
        loop {
            if let Some(live) = self.live.as_mut() {
                tokio::select! {
                    biased;
                    message = live.next() => match message {
                        Some(message) if is_canary(&message) => {}
                        Some(message) => return Some(RawMessage::from_library(message)),
                        None => self.live = None,
                    },
                    changed = self.outlet.changed() => changed.ok()?,
                }
            } else {
                self.resubscribe().await?;
            }
        }
    }

    async fn resubscribe(&mut self) -> Option<()> {
        let link = self.outlet.borrow_and_update().clone();
        match link {
            Some(link) if link.generation != self.generation => {
                match subscribe_on(
                    &link,
                    &self.subject,
                    self.queue_group.as_deref(),
                    self.patience,
                )
                .await
                {
                    Some(Ok(live)) => {
                        self.live = Some(live);
                        self.generation = link.generation;
                    }
                    // The link is dead: wait for the next one.
                    Some(Err(_)) => self.generation = link.generation,
                    None => tokio::time::sleep(RETRY).await,
                }
                Some(())
            }
            Some(_) | None => self.outlet.changed().await.ok(),
        }
    }
}

impl Connection {
    /// Listens for messages of one kind. Works without a connection too: it subscribes when there is one.
    ///
    /// # Errors
    /// [`SubscribeError`] for a subject that cannot be subscribed to.
    pub async fn subscribe<M: Message>(
        &self,
        subject: &Subject,
    ) -> Result<Subscription<M>, SubscribeError> {
        let raw = self.listen(subject.as_str(), None).await?;
        Ok(Subscription {
            raw,
            tally: Arc::clone(self.tally()),
            kind: PhantomData,
        })
    }

    /// Listens for messages as they come. With a queue group each message reaches one member of the group.
    ///
    /// # Errors
    /// As [`Connection::subscribe`].
    pub async fn subscribe_raw(
        &self,
        subject: &Subject,
        queue_group: Option<&str>,
    ) -> Result<RawSubscription, SubscribeError> {
        self.listen(subject.as_str(), queue_group).await
    }

    pub(crate) async fn listen(
        &self,
        subject: &str,
        queue_group: Option<&str>,
    ) -> Result<RawSubscription, SubscribeError> {
        let mut subscription = RawSubscription {
            outlet: self.outlet(),
            subject: subject.to_owned(),
            queue_group: queue_group.map(str::to_owned),
            live: None,
            generation: 0,
            patience: self.settings().request_timeout,
        };
        if let Some(link) = self.link() {
            match subscribe_on(&link, subject, queue_group, subscription.patience).await {
                Some(Ok(live)) => {
                    subscription.live = Some(live);
                    subscription.generation = link.generation;
                }
                Some(Err(source))
                    if source.kind() != async_nats::client::SubscribeErrorKind::Other =>
                {
                    return Err(SubscribeError {
                        subject: subject.to_owned(),
                        source,
                    });
                }
                Some(Err(_)) | None => {}
            }
        }
        Ok(subscription)
    }
}

/// `None` if the link took no subscription within `patience`.
async fn subscribe_on(
    link: &Link,
    subject: &str,
    queue_group: Option<&str>,
    patience: Duration,
) -> Option<Result<Subscriber, async_nats::SubscribeError>> {
    let subject = async_nats::Subject::from(subject);
    let subscribing = async {
        match queue_group {
            None => link.client.subscribe(subject).await,
            Some(group) => link.client.queue_subscribe(subject, group.to_owned()).await,
        }
    };
    tokio::time::timeout(patience, subscribing).await.ok()
}

fn is_canary(message: &async_nats::Message) -> bool {
    message
        .headers
        .as_ref()
        .is_some_and(|headers| headers.get(CANARY_HEADER).is_some())
}
