//! The making of audit events: every move with actor, reason, evidence and row.

use std::collections::BTreeMap;

use shared::clock::UnixMillis;
use shared::epoch::{Epoch, Term};
use shared::id::{Actor, ProposalId, RunId, SiteName, StackName};
use shared::wire::{AuditEvent, EVENT_SCHEMA, Severity};

/// What every event of one moment has in common.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scene {
    /// The stack.
    pub(crate) stack: StackName,
    /// Wall clock.
    pub(crate) wall: UnixMillis,
    /// This coordinator's site.
    pub(crate) site: SiteName,
    /// Its term.
    pub(crate) term: Term,
    /// The stack's epoch.
    pub(crate) epoch: Epoch,
}

impl Scene {
    /// An event by this coordinator.
    pub(crate) fn event(
        &self,
        kind: &str,
        severity: Severity,
        summary: impl Into<String>,
    ) -> AuditEvent {
        AuditEvent {
            schema: EVENT_SCHEMA,
            kind: kind.to_owned(),
            summary: summary.into(),
            severity,
            stack: self.stack.clone(),
            at: self.wall,
            time: self.wall.rfc3339(),
            actor: Actor::new(&format!("coordinator@{}", self.site)),
            recorded_by: self.site.clone(),
            term: self.term,
            epoch: self.epoch,
            row: None,
            proposal: None,
            run: None,
            step: None,
            reason: None,
            evidence: BTreeMap::new(),
        }
    }
}

/// Adds to an event what it is about.
pub(crate) trait About: Sized {
    /// By an operator.
    fn by(self, actor: &Actor) -> Self;
    /// About a proposal.
    fn of_proposal(self, id: ProposalId) -> Self;
    /// About a run.
    fn of_run(self, id: RunId) -> Self;
    /// About a step.
    fn of_step(self, number: u32) -> Self;
    /// For a reason.
    fn because(self, reason: &str) -> Self;
    /// With a piece of evidence.
    fn with(self, name: &str, value: impl ToString) -> Self;
}

impl About for AuditEvent {
    fn by(mut self, actor: &Actor) -> Self {
        self.actor = actor.clone();
        self
    }

    fn of_proposal(mut self, id: ProposalId) -> Self {
        self.proposal = Some(id);
        self
    }

    fn of_run(mut self, id: RunId) -> Self {
        self.run = Some(id);
        self
    }

    fn of_step(mut self, number: u32) -> Self {
        self.step = Some(number);
        self
    }

    fn because(mut self, reason: &str) -> Self {
        if !reason.is_empty() {
            self.reason = Some(reason.to_owned());
        }
        self
    }

    fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.evidence.insert(name.to_owned(), value.to_string());
        self
    }
}
