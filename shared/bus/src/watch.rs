//! Changes of a bucket as they are pushed.
//!
//! A watch shows the latest value of each key, not every value that was. Without a majority of
//! servers it stays open and silent: it is never a sign that what was seen is still so.

use std::time::Duration;

use async_nats::jetstream::consumer::push::{Ordered, OrderedConfig};
use async_nats::jetstream::consumer::{DeliverPolicy, ReplayPolicy};
use async_nats::jetstream::context::ContextBuilder;
use bytes::Bytes;
use futures_util::StreamExt;

use crate::bucket::{Bucket, BucketError};
use crate::dial::Link;
use crate::supervisor::Outlet;

/// Pause before a watch that could not be opened is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A key has this value now.
    Put {
        /// The key.
        key: String,
        /// Its value.
        value: Bytes,
        /// Its revision.
        revision: u64,
    },
    /// A key has no value any more.
    Deleted {
        /// The key.
        key: String,
        /// Revision of the deletion.
        revision: u64,
    },
}

/// An open watch. It begins with the present values and begins again with them after a lost connection.
pub struct Watch {
    bucket: Bucket,
    pattern: String,
    outlet: Outlet,
    live: Option<(u64, Ordered)>,
}

impl Bucket {
    /// Watches the keys that match a pattern (`>` for all).
    ///
    /// # Errors
    /// [`BucketError`] if it cannot be opened now.
    pub async fn watch(&self, pattern: &str) -> Result<Watch, BucketError> {
        let link = self.connection().link().ok_or(BucketError::NotConnected)?;
        let messages = open(self, pattern, &link).await?;
        Ok(Watch {
            bucket: self.clone(),
            pattern: pattern.to_owned(),
            outlet: self.connection().outlet(),
            live: Some((link.generation, messages)),
        })
    }
}

impl Watch {
    /// The next change; `None` when the connection was closed. Safe to cancel.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            let Some((generation, live)) = self.live.as_mut() else {
                self.reopen().await?;
                continue;
            };
            let generation = *generation;
            tokio::select! {
                biased;
                message = live.next() => match message {
                    Some(Ok(message)) => {
                        if let Some(change) = read(&self.bucket.prefix(), &message) {
                            return Some(change);
                        }
                    }
                    Some(Err(why)) => {
                        tracing::debug!(bucket = self.bucket.name(), "watch interrupted: {why}");
                        self.live = None;
                    }
                    None => self.live = None,
                },
                changed = self.outlet.changed() => {
                    changed.ok()?;
                    let same = self.outlet.borrow().as_ref().is_some_and(|link| link.generation == generation);
                    if !same {
                        self.live = None;
                    }
                }
            }
        }
    }

    async fn reopen(&mut self) -> Option<()> {
        let link = self.outlet.borrow_and_update().clone();
        match link {
            None => self.outlet.changed().await.ok(),
            Some(link) => {
                match open(&self.bucket, &self.pattern, &link).await {
                    Ok(messages) => self.live = Some((link.generation, messages)),
                    Err(why) => {
                        tracing::debug!(
                            bucket = self.bucket.name(),
                            "watch cannot be opened: {why}"
                        );
                        tokio::select! {
                            () = tokio::time::sleep(RETRY) => {}
                            changed = self.outlet.changed() => changed.ok()?,
                        }
                    }
                }
                Some(())
            }
        }
    }
}

async fn open(bucket: &Bucket, pattern: &str, link: &Link) -> Result<Ordered, BucketError> {
    let patience = bucket.connection().settings().request_timeout;
    let context = ContextBuilder::new()
        .timeout(patience)
        .ack_timeout(patience)
        .max_ack_inflight(1)
        .build(link.client.clone());
    let opening = async {
        let stream = context
            .get_stream_no_info(bucket.stream())
            .await
            .map_err(|why| why.to_string())?;
        let consumer = stream
            .create_consumer(OrderedConfig {
                deliver_subject: link.client.new_inbox(),
                filter_subject: format!("{}{pattern}", bucket.prefix()),
                replay_policy: ReplayPolicy::Instant,
                deliver_policy: DeliverPolicy::LastPerSubject,
                ..OrderedConfig::default()
            })
            .await
            .map_err(|why| why.to_string())?;
        consumer.messages().await.map_err(|why| why.to_string())
    };
    match tokio::time::timeout(patience * 2, Box::pin(opening)).await {
        Ok(Ok(messages)) => Ok(messages),
        Ok(Err(why)) => Err(BucketError::Other {
            bucket: bucket.name().to_owned(),
            why,
        }),
        Err(_elapsed) => Err(BucketError::TimedOut {
            bucket: bucket.name().to_owned(),
        }),
    }
}

fn read(prefix: &str, message: &async_nats::jetstream::Message) -> Option<Change> {
    let key = message.subject.as_str().strip_prefix(prefix)?.to_owned();
    let revision = message.info().ok()?.stream_sequence;
    let gone = message.headers.as_ref().is_some_and(|headers| {
        headers.get("Nats-Marker-Reason").is_some()
            || headers
                .get("KV-Operation")
                .is_some_and(|operation| matches!(operation.as_str(), "DEL" | "PURGE"))
    });
    Some(if gone {
        Change::Deleted { key, revision }
    } else {
        Change::Put {
            key,
            value: message.payload.clone(),
            revision,
        }
    })
}
