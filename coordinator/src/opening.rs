//! What needs a server before it can begin: the connection for decisions, and the bucket.
//!
//! Both are asked for until they are there. Nothing is ever made here: a missing bucket is provisioned by a
//! person, beforehand.

use std::time::Duration;

use bus::{Bucket, Connection, Manner};
use shared::id::StackName;
use shared::subject;
use shared::telemetry::Chain;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::event::Event;

/// Pause before the next attempt.
const RETRY: Duration = Duration::from_secs(1);

/// Opens the connection for commands and decisions, which starts connected or not at all.
pub async fn command(config: Config, events: mpsc::Sender<Event>) {
    let mut complained = false;
    while !events.is_closed() {
        match Box::pin(Connection::connect(
            config.settings("command"),
            Manner::Command,
        ))
        .await
        {
            Ok(connection) => {
                // Nobody listens only while the process ends.
                let _told = events.send(Event::CommandUp(connection)).await;
                return;
            }
            Err(error) => complain(
                &mut complained,
                &error,
                "no bus server yet; going on trying",
            ),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Finds the bucket of the stack.
pub async fn bucket(connection: Connection, stack: StackName, events: mpsc::Sender<Event>) {
    let name = subject::bucket(&stack);
    let mut complained = false;
    while !events.is_closed() {
        match Bucket::open(&connection, &name).await {
            Ok(bucket) => {
                // Nobody listens only while the process ends.
                let _told = events.send(Event::StoreOpen(bucket)).await;
                return;
            }
            Err(error) => complain(
                &mut complained,
                &error,
                "the store cannot be opened yet; going on trying",
            ),
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn complain(complained: &mut bool, error: &dyn std::error::Error, what: &str) {
    if std::mem::replace(complained, true) {
        tracing::debug!(error = %Chain(error), "{what}");
    } else {
        tracing::warn!(error = %Chain(error), "{what}");
    }
}
