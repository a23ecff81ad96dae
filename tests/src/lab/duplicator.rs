//! Delivers every command a second time, as a network between two NATS servers may.
//!
//! It must never deliver a copy of a copy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use bus::{Connection, Headers, Manner, Settings};
use shared::subject::Subject;
use tokio::task::JoinHandle;

use super::STACK;

/// Marks a copy.
const COPY: &str = "Lab-Copy";
const ANSWER: Duration = Duration::from_secs(10);

/// The running duplicator. Dropping it stops it.
#[derive(Debug)]
pub struct Duplicator {
    delivered: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Duplicator {
    /// Begins to listen at one server.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn start(server: SocketAddr) -> Result<Self> {
        let settings = Settings::new(
            "lab-duplicator",
            vec![format!("nats://{server}")],
            "_INBOX.lab.duplicator",
        );
        let connection = Box::pin(Connection::connect(settings, Manner::Command))
            .await
            .context("the duplicator's connection")?;
        let subject = Subject::received(format!("pointsman.{STACK}.cmd.>"));
        let mut commands = connection.subscribe_raw(&subject, None).await?;
        let (delivered, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counts = (Arc::clone(&delivered), Arc::clone(&answered));
        let task = tokio::spawn(async move {
            while let Some(command) = commands.next().await {
                if command.headers.get(COPY).is_some() {
                    continue;
                }
                counts.0.fetch_add(1, Ordering::Relaxed);
                let (connection, answered) = (connection.clone(), Arc::clone(&counts.1));
                tokio::spawn(async move {
                    let subject = Subject::received(command.subject);
                    let headers = Headers::new().with(COPY, "1");
                    let asking =
                        connection.request_raw(&subject, command.payload, &headers, ANSWER);
                    if Box::pin(asking).await.is_ok() {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        Ok(Self {
            delivered,
            answered,
            task,
        })
    }

    /// Copies sent, and copies that an agent answered.
    pub fn counts(&self) -> (usize, usize) {
        (
            self.delivered.load(Ordering::Relaxed),
            self.answered.load(Ordering::Relaxed),
        )
    }
}

impl Drop for Duplicator {
    fn drop(&mut self) {
        self.task.abort();
    }
}
