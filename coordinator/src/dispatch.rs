//! Commands to agents: sent at once or not at all, each answered exactly once to the core.
//!
//! It sends what the core ordered, as often as the core ordered it, and decides nothing about sending again.

use std::time::Duration;

use bus::{Connection, RequestError};
use decision::Unanswered;
use shared::id::StackName;
use shared::subject::Subject;
use shared::telemetry::Chain;
use shared::wire::{Command, Report};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::event::Event;

/// Longest wait for an agent's first report; a long step reports `running` at once.
const PATIENCE: Duration = Duration::from_secs(2);

/// The sending end of one term.
#[derive(Debug)]
pub struct Dispatch {
    connection: Connection,
    stack: StackName,
    events: mpsc::Sender<Event>,
    waiting: JoinSet<()>,
}

impl Dispatch {
    /// Sends through a connection that fails fast.
    pub fn new(connection: Connection, stack: StackName, events: mpsc::Sender<Event>) -> Self {
        Self {
            connection,
            stack,
            events,
            waiting: JoinSet::new(),
        }
    }

    /// Sends one command; several are on their way at once.
    pub fn send(&mut self, command: Command) {
        while self.waiting.try_join_next().is_some() {}
        let (connection, events) = (self.connection.clone(), self.events.clone());
        let subject = Subject::command(&self.stack, &command.site, &command.node);
        self.waiting.spawn(async move {
            let event = exchange(&connection, &subject, command).await;
            // Nobody listens only while the process ends.
            let _told = events.send(event).await;
        });
    }

    /// Waits for no answer any more. What was sent may still be delivered.
    pub fn stop(&mut self) {
        self.waiting.abort_all();
    }
}

async fn exchange(connection: &Connection, subject: &Subject, command: Command) -> Event {
    tracing::debug!(command = %command.id, target = %subject, step = command.step, "sending");
    let answer: Result<Report, RequestError> =
        Box::pin(connection.request(subject, &command, PATIENCE)).await;
    let cause = match answer {
        Ok(report) => {
            return Event::Reported {
                site: command.site,
                node: command.node,
                report: Box::new(report),
            };
        }
        Err(error) => {
            tracing::debug!(command = %command.id, error = %Chain(&error), "no answer to a command");
            cause(&error)
        }
    };
    Event::Unanswered {
        command: command.id,
        cause,
    }
}

const fn cause(error: &RequestError) -> Unanswered {
    match error {
        RequestError::NotConnected => Unanswered::NotConnected,
        RequestError::NoResponder { .. } => Unanswered::NoResponder,
        RequestError::TimedOut { .. } | RequestError::Lost { .. } => Unanswered::TimedOut,
        RequestError::Garbage { .. } | RequestError::Encode { .. } | RequestError::Bus { .. } => {
            Unanswered::Garbage
        }
    }
}
