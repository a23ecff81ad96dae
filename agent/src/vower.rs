//! Answers those who ask for a vow, and tells the gate what is outstanding.
//!
//! The one place where giving a vow and beginning a promotion meet: both happen under one lock. A vow is told only
//! when it is on the disk.

use std::sync::{Mutex, MutexGuard, PoisonError};

use shared::clock::{Millis, Mono};
use shared::epoch::Epoch;
use shared::telemetry::Chain;
use shared::wire::{DatabaseRole, DatabaseState};

use crate::clock;
use crate::gate::Identity;
use crate::ledger::Ledger;
use crate::probe::{DatabaseReading, Reader};
use crate::rules::Known;
use crate::standing::Writability;
use crate::vow::line::{Given, Question, Reply, Seal};
use crate::vow::{Facts, Vows};

/// An older sample of the database says nothing of now.
const SAMPLE_AGE_MAX: Millis = Millis::seconds(3);

/// Gives vows.
#[derive(Debug)]
pub(crate) struct Vower {
    identity: Identity,
    ledger: Ledger,
    database: Option<Reader<DatabaseReading>>,
    rules: Known,
    seal: Seal,
    vows: Mutex<Vows>,
}

impl Vower {
    pub(crate) fn new(
        identity: Identity,
        ledger: Ledger,
        database: Option<Reader<DatabaseReading>>,
        rules: Known,
        seal: Seal,
    ) -> Self {
        let vows = Mutex::new(Vows::resume(ledger.promised(), clock::mono()));
        Self {
            identity,
            ledger,
            database,
            rules,
            seal,
            vows,
        }
    }

    /// The answer to a line.
    pub(crate) async fn answer(&self, line: &str) -> String {
        let reply = match Question::parse(line, &self.seal) {
            Some(question) => match self.give(&question).await {
                Ok(given) => Reply::Given(given),
                Err(why) => {
                    tracing::warn!(site = %question.site, epoch = question.epoch.0, why, "no vow was given");
                    Reply::Denied(why)
                }
            },
            None => Reply::Denied("the question cannot be read, or has another key".to_owned()),
        };
        reply.line(&self.seal)
    }

    /// What is outstanding, for the gate.
    pub(crate) fn left(&self, now: Mono) -> Option<(Epoch, Millis)> {
        self.vows().left(now)
    }

    /// An epoch was seen, in the store or in an order.
    pub(crate) fn note_epoch(&self, epoch: Epoch) {
        self.vows().note_epoch(epoch);
    }

    /// A step that makes this site live begins, or has ended.
    pub(crate) fn promoting(&self, promoting: bool) {
        self.vows().promoting(promoting);
    }

    /// Takes what has run out off the disk.
    pub(crate) async fn clear_spent(&self) {
        let spent = {
            let mut vows = self.vows();
            let spent = vows.is_spent(clock::mono());
            vows.forget_spent(clock::mono());
            spent
        };
        if spent && let Err(error) = self.ledger.keep_promise(None).await {
            tracing::error!(error = %Chain(&error), "a vow that has run out is still on the disk");
        }
    }

    async fn give(&self, question: &Question) -> Result<Given, String> {
        let stack_version = self.rules.borrow().as_ref().map(|record| record.version);
        let seen = self.ledger.seen();
        let facts = Facts {
            identity: &self.identity,
            epoch: self.ledger.epoch_known(),
            incarnation: seen.map(|seen| seen.incarnation),
            stack_version,
            writability: self.writability(),
        };
        let promised = self
            .vows()
            .give(question, &facts, clock::mono())
            .map_err(|unwilling| unwilling.to_string())?;
        if let Err(error) = self.ledger.keep_promise(Some(promised)).await {
            tracing::error!(error = %Chain(&error), "a vow cannot be written, so it is not told");
            return Err("the ledger cannot be written".to_owned());
        }
        tracing::debug!(site = %question.site, epoch = promised.epoch.0, ms = question.span_ms.0, "a vow is given");
        Ok(Given {
            stack: self.identity.stack.clone(),
            site: self.identity.site.clone(),
            node: self.identity.node.clone(),
            process: self.identity.process,
            epoch: promised.epoch,
            span_ms: question.span_ms,
            nonce: question.nonce,
        })
    }

    fn writability(&self) -> Writability {
        let now = clock::mono();
        self.database
            .as_ref()
            .map_or(Writability::Possible, |reader| {
                writability(reader, now, SAMPLE_AGE_MAX)
            })
    }

    fn vows(&self) -> MutexGuard<'_, Vows> {
        self.vows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the newest sample says that a database writes; an old one says nothing.
pub(crate) fn is_primary(reader: &Reader<DatabaseReading>, now: Mono, age_max: Millis) -> bool {
    let reading = reader.borrow();
    let fresh = reading.as_ref().filter(|r| now.since(r.at) <= age_max);
    fresh.and_then(|reading| reading.value.sample.role) == Some(DatabaseRole::Primary)
}

/// What the newest sample of a database says; an old one says nothing.
pub(crate) fn writability(
    reader: &Reader<DatabaseReading>,
    now: Mono,
    age_max: Millis,
) -> Writability {
    let reading = reader.borrow();
    let Some(reading) = reading.as_ref().filter(|r| now.since(r.at) <= age_max) else {
        return Writability::Possible;
    };
    let sample = &reading.value.sample;
    match (sample.state, sample.role) {
        (DatabaseState::Up, Some(DatabaseRole::Standby)) => Writability::Standby,
        (DatabaseState::Down, _) => Writability::Down,
        _ => Writability::Possible,
    }
}
