//! The bus against real NATS servers: what is dropped, refused, unknown, denied and moved.

#![expect(
    clippy::unwrap_used,
    reason = "what these tests stand on must work, or the test has failed"
)]

mod access;
mod delivery;
mod gate;
mod loss;
mod server;
mod storage;

use std::future::Future;
use std::time::{Duration, Instant};

use bus::{Connection, Manner, Settings};
use serde::{Deserialize, Serialize};
use shared::codec::{Kind, Message};
use shared::subject::Subject;

/// Longest wait for anything that must happen.
const DEADLINE: Duration = Duration::from_secs(30);

/// A message of these tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Beat {
    number: u64,
}

impl Message for Beat {
    const KIND: Kind = Kind::Heartbeat;
}

fn subject(text: &str) -> Subject {
    Subject::received(text)
}

fn settings(name: &str, servers: Vec<String>) -> Settings {
    Settings::new(name, servers, format!("_INBOX.{name}"))
}

/// A connection that stands.
async fn connected(name: &str, url: &str, manner: Manner) -> Connection {
    let connection = Connection::connect(settings(name, vec![url.to_owned()]), manner)
        .await
        .unwrap();
    assert!(
        connection.wait_connected(DEADLINE).await,
        "{name} is not connected to {url}"
    );
    connection
}

/// Waits for a condition, for at most the deadline.
async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let started = Instant::now();
    while !condition().await {
        assert!(
            started.elapsed() < DEADLINE,
            "did not happen in time: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
