//! Decides whether a command may be carried out. Pure: it reads no clock, no disk and no bus.
//!
//! The order of the checks is part of the contract: identity first (target, digest, known command), then
//! age of the order (epoch, term, anchor), then permission (approval, grant, module), then whether the agent
//! is free. It must never admit a command twice: what the ledger knows is answered from there.

use std::collections::{BTreeMap, BTreeSet};

use shared::clock::{Millis, Mono};
use shared::epoch::{Epoch, Term};
use shared::id::{CommandId, DatabaseName, HookName, NodeName, ProcessId, SiteName, StackName};
use shared::refusal::Refusal;
use shared::wire::{Action, CheckExpectation, Command, ProbeRequest, ReportState};

use crate::automatic::Stance;

/// Heartbeats whose time of sending is remembered: a command answers to one of them.
const SENT_KEPT: usize = 150;

/// Who this agent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its stack.
    pub stack: StackName,
    /// Its site.
    pub site: SiteName,
    /// Its name.
    pub node: NodeName,
    /// This process.
    pub process: ProcessId,
}

/// What the agent's file switches on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Modules {
    /// The database beside it.
    pub database: Option<DatabaseName>,
    /// Whether its data directory is known, without which it cannot be fenced.
    pub pgdata: bool,
    /// Whether it acts on a Kubernetes cluster.
    pub kubernetes: bool,
    /// The programs it may run.
    pub hooks: BTreeSet<HookName>,
}

/// When this process sent which heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SentHeartbeats {
    times: BTreeMap<u64, Mono>,
}

/// What the ledger knows of the command's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The command as it was first admitted.
    pub digest: shared::digest::ContentDigest,
    /// How it ended; nothing while it is not finished.
    pub outcome: Option<ReportState>,
}

/// The command that runs now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningCommand {
    /// Its identity.
    pub id: CommandId,
    /// What a report would say now.
    pub state: ReportState,
}

/// Everything that the gate looks at besides the command.
#[derive(Debug, Clone, Copy)]
pub struct GateState<'a> {
    /// Who this agent is.
    pub identity: &'a Identity,
    /// What it can do.
    pub modules: &'a Modules,
    /// When it sent which heartbeat.
    pub sent: &'a SentHeartbeats,
    /// The highest epoch obeyed.
    pub epoch: Epoch,
    /// The highest term obeyed in that epoch.
    pub term: Term,
    /// What the ledger knows of this command.
    pub known: Option<&'a Known>,
    /// The command that runs now.
    pub running: Option<&'a RunningCommand>,
    /// Bound on a command's validity.
    pub command_age_max: Millis,
    /// In what the store shows less than was seen of it: then nothing that comes by it is believed.
    pub regressed: Option<&'a str>,
    /// To the holder of which epoch this agent vowed that its site is not made live, and for how long still.
    pub promised: Option<(Epoch, Millis)>,
    /// How it takes orders that nobody approved but automatic mode.
    pub automatic: Stance,
}

/// What to do with a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Carry it out.
    Start {
        /// True when it was begun before, so that its effect may be there already.
        resumed: bool,
    },
    /// Answer with what is known of it; do nothing.
    Replay(ReportState),
    /// Do not carry it out, for this reason.
    Refuse(Refusal),
}

/// Decides about one command.
pub fn admit(state: &GateState<'_>, command: &Command, now: Mono) -> Verdict {
    match admitted(state, command, now) {
        Ok(verdict) => verdict,
        Err(refusal) => Verdict::Refuse(refusal),
    }
}

fn admitted(state: &GateState<'_>, command: &Command, now: Mono) -> Result<Verdict, Refusal> {
    check_target(state.identity, command)?;
    if command.digest != command.content_digest() {
        return Err(Refusal::WrongDigest);
    }
    let resumed = match state.known {
        Some(known) if known.digest != command.digest => {
            return Err(Refusal::OtherContent {
                command: command.id,
            });
        }
        Some(known) => match answer(state, known, command.id) {
            Some(answer) => return Ok(Verdict::Replay(answer)),
            None => true,
        },
        None => false,
    };
    check_age(state, command, now)?;
    check_permission(state, command)?;
    match state.running {
        Some(running) => Err(Refusal::Busy {
            running: running.id,
        }),
        None => Ok(Verdict::Start { resumed }),
    }
}

/// What is answered for a command that the ledger knows; nothing when it may be carried out again.
fn answer(state: &GateState<'_>, known: &Known, id: CommandId) -> Option<ReportState> {
    if let Some(running) = state.running.filter(|running| running.id == id) {
        return Some(running.state.clone());
    }
    match &known.outcome {
        None => Some(ReportState::Running {
            for_ms: Millis(0),
            progress: "waiting to be looked at after a restart of the agent".to_owned(),
        }),
        Some(outcome) => (!is_repeatable(outcome)).then(|| outcome.clone()),
    }
}

/// Whether the same command may be carried out again after this outcome.
pub const fn is_repeatable(outcome: &ReportState) -> bool {
    matches!(
        outcome,
        ReportState::Interrupted {
            repeatable: true,
            ..
        } | ReportState::Failed { pending: true, .. }
    )
}

fn check_target(identity: &Identity, command: &Command) -> Result<(), Refusal> {
    let own = command.stack == identity.stack
        && command.site == identity.site
        && command.node == identity.node;
    if own {
        Ok(())
    } else {
        Err(Refusal::OtherTarget {
            site: command.site.clone(),
            node: command.node.clone(),
        })
    }
}

fn check_age(state: &GateState<'_>, command: &Command, now: Mono) -> Result<(), Refusal> {
    if command.epoch < state.epoch {
        return Err(Refusal::OldEpoch {
            found: command.epoch,
            highest: state.epoch,
        });
    }
    if command.epoch == state.epoch && command.term < state.term {
        return Err(Refusal::OldTerm {
            found: command.term,
            highest: state.term,
        });
    }
    if command.anchor.process != state.identity.process {
        return Err(Refusal::OtherProcess);
    }
    let valid_for_ms = command.valid_for_ms.min(state.command_age_max);
    match state.sent.age(command.anchor.sequence, now) {
        Age::Known(age_ms) if age_ms <= valid_for_ms => Ok(()),
        Age::Known(age_ms) | Age::AtLeast(age_ms) => Err(Refusal::PastDeadline {
            age_ms,
            valid_for_ms,
        }),
        Age::NeverSent => Err(Refusal::OtherProcess),
    }
}

fn check_permission(state: &GateState<'_>, command: &Command) -> Result<(), Refusal> {
    if command.action.changes() {
        match &command.approval {
            None => return Err(Refusal::NoApproval),
            Some(approval) if approval.plan != command.plan => return Err(Refusal::OtherApproval),
            Some(approval) => state.automatic.check(approval)?,
        }
    }
    if command.action.needs_grant()
        && command
            .grant
            .is_none_or(|grant| grant.epoch != command.epoch)
    {
        return Err(Refusal::NoGrant);
    }
    if let Some(reason) = state.regressed.filter(|_| command.action.changes()) {
        return Err(Refusal::StoreRegressed {
            reason: reason.to_owned(),
        });
    }
    if let Some((epoch, left_ms)) = state.promised.filter(|_| command.action.needs_grant()) {
        return Err(Refusal::Promised { epoch, left_ms });
    }
    match state.modules.missing(&command.action) {
        Some(module) => Err(Refusal::NoModule { module }),
        None => Ok(()),
    }
}

impl Modules {
    /// The module that an action needs and the agent's file does not have.
    pub fn missing(&self, action: &Action) -> Option<String> {
        match action {
            Action::Check {
                expect: CheckExpectation::Promotable { database, .. },
            }
            | Action::Promote { database, .. }
            | Action::Follow { database, .. } => self.missing_database(database),
            Action::Fence { database, .. } => {
                let pgdata = || (!self.pgdata).then(|| "postgres.pgdata".to_owned());
                self.missing_database(database).or_else(pgdata)
            }
            Action::Check {
                expect: CheckExpectation::WorkloadsPresent { .. },
            }
            | Action::Scale { .. } => (!self.kubernetes).then(|| "kubernetes".to_owned()),
            Action::Hook { hook, .. } => {
                (!self.hooks.contains(hook)).then(|| format!("hook {hook}"))
            }
            Action::Verify {
                probe: ProbeRequest::Sql { .. },
                ..
            } => self.database.is_none().then(|| "postgres".to_owned()),
            Action::Verify {
                probe: ProbeRequest::Http { .. },
                ..
            } => None,
        }
    }

    fn missing_database(&self, wanted: &DatabaseName) -> Option<String> {
        (self.database.as_ref() != Some(wanted)).then(|| format!("postgres with database {wanted}"))
    }
}

/// How old a heartbeat is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    /// Exactly so old.
    Known(Millis),
    /// Too old to be remembered.
    AtLeast(Millis),
    /// This process has not sent it.
    NeverSent,
}

impl SentHeartbeats {
    /// Remembers a heartbeat.
    pub fn note(&mut self, sequence: u64, at: Mono) {
        self.times.insert(sequence, at);
        while self.times.len() > SENT_KEPT {
            self.times.pop_first();
        }
    }

    fn age(&self, sequence: u64, now: Mono) -> Age {
        match (self.times.get(&sequence), self.times.first_key_value()) {
            (Some(at), _) => Age::Known(now.since(*at)),
            (None, Some((oldest, at))) if sequence < *oldest && sequence > 0 => {
                Age::AtLeast(now.since(*at))
            }
            (None, _) => Age::NeverSent,
        }
    }
}

#[cfg(test)]
mod tests;
