//! What the tasks of a tenure bring back, and what follows from it.

use super::{Chain, Port, Renewal, Tenure, Topic, Word, clock};
use crate::deadman::{Checked, DeadmanError};
use crate::lease::Attempt;
use crate::standing::Sent;
use shared::wire::ProofLine;

/// What a task brought back.
#[derive(Debug)]
pub(crate) enum Event {
    /// The store was asked.
    Exchanged {
        renewal: Box<Renewal>,
        sent: Box<Sent>,
        word: Word,
    },
    /// The peers were asked.
    Vouched {
        attempt: Attempt,
        outcome: Result<(), String>,
    },
    /// The kernel's timer was set.
    Armed(Result<Checked, DeadmanError>),
    /// The port was closed.
    Cut(Result<(), DeadmanError>),
    /// The guard was taken away.
    Removed(Result<(), DeadmanError>),
    /// The database was stopped before, and nothing of it runs.
    StillDown,
    /// The database was stopped.
    Stopped(Vec<ProofLine>),
    /// The database is not kept down any more.
    Lifted,
    /// The lease was kept for the next process.
    Kept(std::io::Result<()>),
}

impl Tenure {
    pub(crate) fn take(&mut self, event: Event) {
        match event {
            Event::Exchanged {
                renewal,
                sent,
                word,
            } => {
                self.renewal = Some(*renewal);
                self.hear(*sent, word);
            }
            Event::Vouched { attempt, outcome } => self.take_vows(attempt, outcome),
            Event::Armed(armed) => self.take_guard(armed),
            Event::Cut(Ok(())) => {}
            Event::Cut(Err(error)) => {
                // It is tried again with the next turn.
                self.port = Port::Timed;
                tracing::error!(error = %Chain(&error), "the database's port was not closed");
            }
            Event::Removed(Ok(())) => tracing::info!("the database's port is not guarded any more"),
            Event::Removed(Err(error)) => {
                tracing::error!(error = %Chain(&error), "the database's port is still guarded");
            }
            Event::StillDown => {
                self.moving = false;
                self.standing.stopped();
                if !self.standing.is_leased() {
                    self.keep_anchor();
                }
            }
            Event::Stopped(proof) => {
                self.moving = false;
                self.stopped_at = Some(clock::mono());
                let lines = proof.iter();
                let proof: Vec<String> = lines
                    .map(|line| format!("{}: {}", line.what, line.found))
                    .collect();
                tracing::warn!(proof = proof.join("; "), "the database is stopped");
                self.standing.stopped();
                self.keep_anchor();
            }
            Event::Lifted => self.moving = false,
            Event::Kept(Ok(())) => {}
            Event::Kept(Err(error)) => {
                tracing::warn!(%error, "the lease is not kept for the next process");
            }
        }
    }

    fn hear(&mut self, sent: Sent, word: Word) {
        let now = clock::reading();
        match word {
            Word::Accepted(ticket) => {
                let first = !self.standing.is_leased();
                self.standing.accepted(sent, ticket.epoch, now);
                self.parts.vower.note_epoch(ticket.epoch);
                let again = self.told.end(Topic::Unanswered);
                if again || first && self.standing.is_leased() {
                    tracing::info!(epoch = ticket.epoch.0, "the right to be live is renewed");
                }
                for over in [Topic::Regressed, Topic::Unvouched, Topic::Vouched] {
                    self.told.end(over);
                }
                self.accepted(&ticket, now);
            }
            Word::Denied(ticket) => {
                self.parts.vower.note_epoch(ticket.epoch);
                self.told.end(Topic::Regressed);
                if self.standing.denied() {
                    tracing::warn!(
                        epoch = ticket.epoch.0, holder = %ticket.holder,
                        "the right to be live is not this site's any more"
                    );
                    if !self.standing.is_leased() {
                        self.keep_anchor();
                    }
                }
            }
            Word::Less(why) => {
                self.regression = Some(why.clone());
                if !self.standing.shown_less(now) {
                    tracing::debug!(why, "the store may be stale");
                } else if self.told.begin(Topic::Regressed) {
                    tracing::error!(
                        why,
                        "the store has lost writes: nothing that comes by it is believed, and the right to be live is \
                         not renewed"
                    );
                }
                self.vouch(now);
            }
            Word::Unanswered(why) | Word::Unfit(why) => {
                self.standing.unanswered();
                if self.standing.is_leased() && self.told.begin(Topic::Unanswered) {
                    tracing::warn!(why, "the right to be live was not renewed");
                }
                self.vouch(now);
            }
        }
    }

    fn take_vows(&mut self, attempt: Attempt, outcome: Result<(), String>) {
        self.vouching = false;
        let now = clock::reading();
        match outcome {
            Ok(()) => {
                self.standing.vouched(attempt, now);
                self.told.end(Topic::Unvouched);
                if self.told.begin(Topic::Vouched) {
                    tracing::warn!(
                        "the store does not answer; the right to be live is kept by the word of all peers"
                    );
                }
                self.keep_anchor();
                self.arm(now);
            }
            Err(why) => {
                self.told.end(Topic::Vouched);
                if self.told.begin(Topic::Unvouched) {
                    tracing::warn!(
                        why,
                        "the store does not answer and not all peers vow: the lease runs out"
                    );
                }
            }
        }
    }

    fn take_guard(&mut self, armed: Result<Checked, DeadmanError>) {
        match armed {
            Ok(checked) => {
                if checked == Checked::Mended {
                    tracing::warn!(
                        "the guard of the database's port was changed by somebody and was made again"
                    );
                }
                // A later order closed it meanwhile: then it is not known which came first.
                self.standing.guard(self.port == Port::Timed);
                self.told.end(Topic::Unguarded);
            }
            Err(error) => {
                self.standing.guard(false);
                self.port = Port::Free;
                if self.told.begin(Topic::Unguarded) {
                    tracing::error!(
                        error = %Chain(&error),
                        "the database's port is not guarded: if this agent hangs, nothing stops the database"
                    );
                }
            }
        }
    }
}
