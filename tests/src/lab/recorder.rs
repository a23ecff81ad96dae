//! Keeps every command that is sent, and sends them all once more: what a network or a thief may do.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use bus::{Connection, Headers, Manner, Settings};
use bytes::Bytes;
use shared::subject::Subject;
use tokio::task::JoinHandle;

use super::STACK;

const ANSWER: Duration = Duration::from_secs(2);

/// One command as it went over the bus.
#[derive(Debug, Clone)]
struct Kept {
    subject: String,
    payload: Vec<u8>,
}

/// The running recorder. Dropping it stops it.
#[derive(Debug)]
pub struct Recorder {
    connection: Connection,
    kept: Arc<Mutex<Vec<Kept>>>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Begins to listen at one server.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn start(server: SocketAddr) -> Result<Self> {
        let settings = Settings::new(
            "lab-recorder",
            vec![format!("nats://{server}")],
            "_INBOX.lab.recorder",
        );
        let connection = Box::pin(Connection::connect(settings, Manner::Command))
            .await
            .context("the recorder's connection")?;
        let subject = Subject::received(format!("pointsman.{STACK}.cmd.>"));
        let mut commands = connection.subscribe_raw(&subject, None).await?;
        let kept = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&kept);
        let task = tokio::spawn(async move {
            while let Some(command) = commands.next().await {
                let kept = Kept {
                    subject: command.subject,
                    payload: command.payload.to_vec(),
                };
                list.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(kept);
            }
        });
        Ok(Self {
            connection,
            kept,
            task,
        })
    }

    /// Stops listening and sends everything again; how many there were, and how many were answered.
    ///
    /// # Errors
    /// Never yet; a command that nobody answers is only counted.
    pub async fn replay(&mut self) -> Result<(usize, usize)> {
        self.task.abort();
        let kept = self
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut answered = 0;
        for command in &kept {
            let subject = Subject::received(command.subject.clone());
            let payload = Bytes::from(command.payload.clone());
            let headers = Headers::new();
            let asking = self
                .connection
                .request_raw(&subject, payload, &headers, ANSWER);
            if Box::pin(asking).await.is_ok() {
                answered += 1;
            }
        }
        Ok((kept.len(), answered))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}
