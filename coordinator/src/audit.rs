//! The audit trail: every event in order, in the stream and in a file of its own.
//!
//! The stream is what operators see and read; the file is for the day on which the stream is gone. Events wait
//! in order, in bounded number, while the stream cannot be reached; each keeps its id, so that none is kept
//! twice. It must never hold up a decision.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use bus::{Connection, Journal, JournalError};
use serde_json::Value;
use shared::digest::ContentDigest;
use shared::id::StackName;
use shared::subject::{self, Subject};
use shared::telemetry::Chain;
use shared::wire::AuditEvent;
use tokio::sync::mpsc;

use crate::screen::json;

/// The file in the state directory.
pub const FILE: &str = "audit.jsonl";
/// Size at which the file is set aside and begun anew.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Events that wait for the stream; the oldest go first, and stand in the file all the same.
const BACKLOG_MAX: usize = 20_000;
/// Pause before the stream is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Where events are handed in.
#[derive(Debug, Clone)]
pub struct Audit(mpsc::UnboundedSender<AuditEvent>);

/// Ends when the last handle is gone and nothing waits any more.
pub type Running = tokio::task::JoinHandle<()>;

struct Waiting {
    subject: Subject,
    body: Value,
    id: String,
}

type Appending = Pin<Box<dyn Future<Output = Result<Journal, JournalError>> + Send>>;

struct Trail {
    connection: Connection,
    stack: StackName,
    path: PathBuf,
    file: Option<File>,
    backlog: VecDeque<Waiting>,
    journal: Option<Journal>,
    complained: bool,
    dropped: u64,
}

impl Audit {
    /// Starts the trail, which runs until the last clone of this handle is gone and nothing waits any more.
    pub fn start(connection: Connection, stack: StackName, state_dir: &Path) -> (Self, Running) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let trail = Trail {
            connection,
            stack,
            path: state_dir.join(FILE),
            file: None,
            backlog: VecDeque::new(),
            journal: None,
            complained: false,
            dropped: 0,
        };
        (Self(sender), tokio::spawn(trail.run(receiver)))
    }

    /// Hands an event in.
    pub fn record(&self, event: AuditEvent) {
        if self.0.send(event).is_err() {
            tracing::error!("the audit trail is gone");
        }
    }
}

impl Trail {
    async fn run(mut self, mut events: mpsc::UnboundedReceiver<AuditEvent>) {
        let mut appending: Option<Appending> = None;
        let mut not_before = tokio::time::Instant::now();
        let mut closed = false;
        while !closed || !self.backlog.is_empty() {
            if appending.is_none()
                && !self.backlog.is_empty()
                && tokio::time::Instant::now() >= not_before
            {
                appending = self.append();
            }
            let idle = appending.is_none();
            let paused = idle && !self.backlog.is_empty();
            tokio::select! {
                event = events.recv(), if !closed => match event {
                    Some(event) => self.take(event),
                    None => closed = true,
                },
                outcome = async { match appending.as_mut() { Some(future) => future.await, None => std::future::pending().await } } => {
                    appending = None;
                    if !self.appended(outcome) {
                        not_before = tokio::time::Instant::now() + RETRY;
                    }
                }
                () = tokio::time::sleep_until(not_before), if paused => {}
            }
        }
    }

    /// Writes the event to the file and lets it wait for the stream.
    fn take(&mut self, event: AuditEvent) {
        let body = json::cleaned(&event);
        if let Err(error) = self.write(&body) {
            tracing::error!(path = %self.path.display(), error = %Chain(&error), "the audit file cannot be written");
            self.file = None;
        }
        if self.backlog.len() == BACKLOG_MAX {
            self.backlog.pop_front();
            self.dropped += 1;
            if self.dropped == 1 {
                tracing::error!(
                    "too many events wait for the audit stream: the oldest stand in the local file only"
                );
            }
        }
        // By its content: a new leader that says a word of its predecessor again does not make it stand twice.
        let id = ContentDigest::of(&event).to_string();
        let subject = Subject::event(&self.stack, &event.kind);
        self.backlog.push_back(Waiting { subject, body, id });
    }

    fn write(&mut self, body: &Value) -> std::io::Result<()> {
        let full = self
            .file
            .as_ref()
            .is_some_and(|file| file.metadata().is_ok_and(|m| m.len() > FILE_BYTES_MAX));
        if full {
            std::fs::rename(&self.path, self.path.with_extension("jsonl.1"))?;
            self.file = None;
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None => OpenOptions::new()
                .create(true)
                .append(true)
                .open(&self.path)?,
        };
        let mut line = json::line(body);
        line.push('\n');
        file.write_all(line.as_bytes())?;
        self.file = Some(file);
        Ok(())
    }

    /// Appends the oldest event that waits.
    fn append(&self) -> Option<Appending> {
        let waiting = self.backlog.front()?;
        let (subject, body, id) = (
            waiting.subject.clone(),
            waiting.body.clone(),
            waiting.id.clone(),
        );
        let (journal, connection) = (self.journal.clone(), self.connection.clone());
        let stream = subject::audit_stream(&self.stack);
        Some(Box::pin(async move {
            let journal = match journal {
                Some(journal) => journal,
                None => Journal::open(&connection, &stream).await?,
            };
            journal.append(&subject, &body, &id).await?;
            Ok(journal)
        }))
    }

    fn appended(&mut self, outcome: Result<Journal, JournalError>) -> bool {
        match outcome {
            Ok(journal) => {
                self.journal = Some(journal);
                self.backlog.pop_front();
                if std::mem::take(&mut self.complained) {
                    tracing::info!(
                        waiting = self.backlog.len(),
                        "the audit stream takes events again"
                    );
                }
                true
            }
            Err(error) => {
                if std::mem::replace(&mut self.complained, true) {
                    tracing::debug!(error = %Chain(&error), "the audit stream still takes no events");
                } else {
                    tracing::warn!(error = %Chain(&error), "the audit stream takes no events; they wait in order");
                }
                false
            }
        }
    }
}
