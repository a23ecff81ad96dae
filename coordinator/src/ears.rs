//! What is heard: heartbeats, observations, reports, and the own canary, decoded and handed on one by one.
//!
//! No task and no log line for each message. What cannot be read is counted for its sender; it is never a panic
//! and never a sighting.

use bus::{Connection, Publication, RawMessage, RawSubscription, SubscribeError};
use futures_util::FutureExt;
use shared::codec::{self, Message};
use shared::id::{NodeName, ProcessId, SiteName, StackName};
use shared::subject::{self, Subject};
use shared::telemetry::Chain;
use shared::wire::{Fitness, Heartbeat, Observation, Report};

use crate::clock;
use crate::fitness::Ledger;
use crate::garbage::Garbage;

/// Node names that begin so are coordinators' canaries, not agents.
const CANARY: &str = "canary-";

/// One thing heard.
#[derive(Debug)]
pub enum Heard {
    /// An agent's heartbeat.
    Heartbeat {
        /// Its site.
        site: SiteName,
        /// The agent.
        node: NodeName,
        /// What it said.
        heartbeat: Box<Heartbeat>,
    },
    /// Another coordinator's observation.
    Observation {
        /// Its site.
        site: SiteName,
        /// What it said.
        observation: Observation,
    },
    /// An agent's report on a command.
    Report {
        /// Its site.
        site: SiteName,
        /// The agent.
        node: NodeName,
        /// What it said.
        report: Report,
    },
}

/// The own ears.
#[derive(Debug)]
pub struct Ears {
    connection: Connection,
    stack: StackName,
    site: SiteName,
    process: ProcessId,
    heartbeats: RawSubscription,
    observations: RawSubscription,
    reports: RawSubscription,
    canary: Subject,
    ledger: Ledger,
    garbage: Garbage,
    twin_told: bool,
}

impl Ears {
    /// Subscribes; works without a server too.
    ///
    /// # Errors
    /// [`SubscribeError`] for a subject that cannot be subscribed to: a bug.
    pub async fn open(
        connection: Connection,
        stack: StackName,
        site: SiteName,
        process: ProcessId,
    ) -> Result<Self, SubscribeError> {
        Ok(Self {
            heartbeats: connection
                .subscribe_raw(&Subject::heartbeats(&stack), None)
                .await?,
            observations: connection
                .subscribe_raw(&Subject::observations(&stack), None)
                .await?,
            reports: connection
                .subscribe_raw(&Subject::reports(&stack), None)
                .await?,
            canary: Subject::canary(&stack, &site),
            ledger: Ledger::new(clock::mono()),
            garbage: Garbage::default(),
            twin_told: false,
            connection,
            stack,
            site,
            process,
        })
    }

    /// The next thing heard; nothing when the connection was closed for good. Safe to cancel.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            let message = tokio::select! {
                message = self.reports.next() => message,
                message = self.observations.next() => message,
                message = self.heartbeats.next() => message,
            };
            if let Some(heard) = self.read(&message?) {
                return Some(heard);
            }
        }
    }

    /// The next heartbeat that waits already, so that a crowd of them is folded in one turn.
    pub fn waiting(&mut self) -> Option<Heard> {
        loop {
            let message = self.heartbeats.next().now_or_never()??;
            if let Some(heard) = self.read(&message) {
                return Some(heard);
            }
        }
    }

    /// The own loop came round, so late after it should have.
    pub fn looped(&mut self, late: shared::clock::Millis) {
        self.ledger.looped(clock::mono(), late);
    }

    /// Whether this process may be counted as an observer.
    pub fn fitness(&mut self) -> Fitness {
        let drops = self.connection.health().slow_consumer_drops;
        self.ledger
            .judge(clock::mono(), self.connection.is_connected(), drops)
    }

    /// Sends a message to the own heartbeat subscription, which only a listener who really hears gets back.
    pub async fn send_canary(&mut self, observation: &Observation) {
        match self.connection.publish(&self.canary, observation).await {
            Ok(Publication::Published) => self.ledger.sent(observation.sequence, clock::mono()),
            Ok(Publication::Dropped(_)) => {}
            Err(error) => tracing::warn!(error = %Chain(&error), "the canary cannot be sent"),
        }
    }

    /// Messages that could not be read so far.
    pub fn garbage_total(&self) -> u64 {
        self.garbage.total()
    }

    fn read(&mut self, message: &RawMessage) -> Option<Heard> {
        let name = message.subject.as_str();
        if let Some(site) = subject::observer(&self.stack, name) {
            return self.read_observation(site, message);
        }
        let Some((site, node)) = subject::sender(&self.stack, name) else {
            self.garbage.note_subject(name);
            return None;
        };
        if node.as_str().starts_with(CANARY) {
            self.read_canary(message);
            return None;
        }
        tracing::trace!(%site, %node, "heard");
        if name.split('.').nth(2) == Some("report") {
            let report = self.decode(message)?;
            return Some(Heard::Report { site, node, report });
        }
        let heartbeat = Box::new(self.decode(message)?);
        Some(Heard::Heartbeat {
            site,
            node,
            heartbeat,
        })
    }

    fn read_observation(&mut self, site: SiteName, message: &RawMessage) -> Option<Heard> {
        let observation: Observation = self.decode(message)?;
        if site != self.site {
            return Some(Heard::Observation { site, observation });
        }
        if observation.process != self.process && !self.twin_told {
            self.twin_told = true;
            tracing::error!(%site, "another coordinator speaks for this site: two run under one name");
        }
        None
    }

    fn read_canary(&mut self, message: &RawMessage) {
        if message.subject == self.canary.as_str()
            && let Some(echo) = self.decode::<Observation>(message)
            && echo.process == self.process
        {
            self.ledger.heard(echo.sequence);
        }
    }

    fn decode<M: Message>(&mut self, message: &RawMessage) -> Option<M> {
        match codec::decode(&message.payload) {
            Ok(body) => Some(body),
            Err(error) => {
                self.garbage
                    .note(&message.subject, message.payload.len(), &error);
                None
            }
        }
    }
}
