//! How a host takes and carries out an order: the gate, the ledger, the confirmation of the grant.

use agent::automatic::Stance;
use agent::gate::{GateState, Modules, RunningCommand, SentHeartbeats, Verdict, admit};
use agent::lease::{Lease, Reading};
use agent::ledger::Record;
use shared::clock::{Millis, Mono, UnixMillis};
use shared::epoch::Epoch;
use shared::id::DatabaseName;
use shared::refusal::Refusal;
use shared::wire::{Action, Command, PROGRESS_BEGUN, Report, ReportState};

use super::ground::{WALL, clock, site};
use super::setup::Flaw;
use super::table::Id;

use super::host::{Effect, Errand, Find, Host, Life, Renewal, Rules, Stage, identity, process};

/// Commands that a ledger keeps.
const LEDGER_COMMANDS: usize = 64;
/// A command may be so old.
const COMMAND_AGE_MAX: Millis = Millis::seconds(10);
/// What a confirmed grant allows must have begun by then (`agent/src/grant.rs`).
const FRESH: Millis = Millis::seconds(1);

impl Rules {
    pub(super) fn deliver(&self, host: &mut Host, now: Mono, id: Id, find: Find<'_>) -> Effect {
        let command = find.command(id);
        let forgetful = self.setup.has(Flaw::ReplayedPromote);
        let mut sent = SentHeartbeats::default();
        for beat in &host.beats {
            let at = clock(
                beat.saturating_sub(host.lost),
                self.setup.rates[usize::from(host.site)],
            );
            sent.note(u64::from(*beat) + 1, at);
        }
        let mut identity = identity(host.site, host.process);
        if forgetful {
            sent.note(command.anchor.sequence, now);
            identity.process = command.anchor.process;
        }
        let running = host.errand.map(|errand| RunningCommand {
            id: find.command(errand.command).id,
            state: begun(),
        });
        let known = host.record.known(command.id);
        let modules = Modules {
            database: DatabaseName::new("main").ok(),
            pgdata: true,
            ..Modules::default()
        };
        let state = GateState {
            identity: &identity,
            modules: &modules,
            sent: &sent,
            epoch: host.record.epoch(),
            term: host.record.term(),
            known: known.as_ref(),
            running: running.as_ref(),
            command_age_max: COMMAND_AGE_MAX,
            regressed: None,
            promised: outstanding(host, now),
            automatic: Stance::NotAllowed(None),
        };
        match admit(&state, &command, now) {
            Verdict::Start { .. } => {
                host.record.begin(&command, WALL, LEDGER_COMMANDS);
                host.errand = Some(Errand {
                    command: id,
                    stage: Stage::Begun,
                });
                Effect {
                    report: Some(report(host, &command, begun())),
                    begun: command.action.changes().then_some(id),
                    repeated: host.finished.contains(&command.id),
                    ..Effect::default()
                }
            }
            Verdict::Replay(state) => said(host, &command, state),
            Verdict::Refuse(refusal) => said(host, &command, ReportState::Refused(refusal)),
        }
    }

    /// The running command goes on by one step.
    pub(super) fn work(&self, host: &mut Host, now: Reading, find: Find<'_>) -> Effect {
        let Some(errand) = host.errand else {
            return Effect::default();
        };
        let command = find.command(errand.command);
        match (&command.action, errand.stage) {
            (Action::Promote { .. }, Stage::Begun) if self.confirms() => {
                let stage = Stage::Asking(now.mono);
                host.errand = Some(Errand { stage, ..errand });
                Effect::default()
            }
            (Action::Promote { .. }, Stage::Begun) => self.promote(host, now, errand, find),
            (Action::Promote { .. }, Stage::Asking(_)) => Effect::default(),
            (Action::Promote { .. }, Stage::Confirmed(since)) => {
                if now.mono.since(since) > FRESH {
                    return refused(host, &command, "the confirmation is too old");
                }
                self.promote(host, now, errand, find)
            }
            (Action::Fence { .. }, _) => {
                host.database.up = false;
                host.lease = None;
                host.renewal = Renewal::None;
                finished(host, &command)
            }
            (
                Action::Check { .. }
                | Action::Follow { .. }
                | Action::Scale { .. }
                | Action::Hook { .. }
                | Action::Verify { .. },
                _,
            ) => finished(host, &command),
        }
    }

    pub(super) const fn confirms(&self) -> bool {
        !matches!(
            self.setup.flaw,
            Some(Flaw::GrantNotConfirmed | Flaw::ReplayedPromote)
        )
    }

    pub(super) fn promote(
        &self,
        host: &mut Host,
        now: Reading,
        errand: Errand,
        find: Find<'_>,
    ) -> Effect {
        let command = find.command(errand.command);
        if host.promised.is_some_and(|until| now.mono < until) {
            return refused(host, &command, "this agent has promised not to promote yet");
        }
        let standby = host.database.up && !host.database.primary;
        if !standby {
            let state = ReportState::Failed {
                took_ms: Millis(0),
                reason: "it is no standby".to_owned(),
                pending: false,
            };
            host.record.finish(command.id, state.clone());
            host.errand = None;
            return said(host, &command, state);
        }
        host.database.primary = true;
        host.database.timeline += 1;
        if self.policy.enforces() {
            let since = match errand.stage {
                Stage::Confirmed(since) | Stage::Asking(since) => since,
                Stage::Begun => now.mono,
            };
            let anchor = Reading {
                mono: since,
                wall: UnixMillis(since.0),
            };
            host.lease = Some(Lease::anchored(self.terms(), anchor, now));
            self.guard(host, now);
        }
        let mut effect = finished(host, &command);
        effect.promoted = Some(errand.command);
        effect
    }

    /// The store is asked to confirm the grant (`agent/src/grant.rs`).
    pub(super) fn confirm(host: &mut Host, now: Reading, ticket: Id, find: Find<'_>) -> Effect {
        let Some(errand) = host.errand else {
            return Effect::default();
        };
        let Stage::Asking(since) = errand.stage else {
            return Effect::default();
        };
        let command = find.command(errand.command);
        let ticket = find.ticket(ticket);
        let fits = command.grant.is_some_and(|grant| {
            ticket.epoch == grant.epoch
                && ticket.holder == site(host.site.into())
                && ticket.grant == Some(grant.nonce)
        });
        if !fits {
            return refused(host, &command, "the ticket is another");
        }
        host.record.see(&ticket, 1);
        if now.mono.since(since) > FRESH {
            return refused(host, &command, "the store has answered too late");
        }
        host.errand = Some(Errand {
            stage: Stage::Confirmed(since),
            ..errand
        });
        Effect {
            confirmed: true,
            ..Effect::default()
        }
    }

    /// A new process of the agent: it reads its ledger and knows nothing of renewals.
    pub(super) fn start(&self, host: &mut Host, now: Reading) {
        host.life = Life::Up;
        host.process += 1;
        host.beats.clear();
        if self.setup.has(Flaw::ReplayedPromote) {
            host.record = Record::empty(&identity(host.site, host.process));
        }
        if self.setup.has(Flaw::PromiseForgotten) {
            host.promised = None;
        }
        let open: Vec<Command> = host.record.unfinished().cloned().collect();
        for command in open {
            let done = match &command.action {
                Action::Promote { .. } => host.database.primary,
                Action::Fence { .. } => !host.database.up,
                Action::Check { .. }
                | Action::Follow { .. }
                | Action::Scale { .. }
                | Action::Hook { .. }
                | Action::Verify { .. } => false,
            };
            let state = if done {
                done_state()
            } else {
                ReportState::Interrupted {
                    found: "not done".to_owned(),
                    repeatable: true,
                }
            };
            if done {
                host.finished.push(command.id);
            }
            host.record.finish(command.id, state);
        }
        if host.database.up && host.database.primary && self.policy.enforces() {
            host.lease = Some(Lease::unproved(self.terms(), now));
        }
    }
}

fn begun() -> ReportState {
    ReportState::Running {
        for_ms: Millis(0),
        progress: PROGRESS_BEGUN.to_owned(),
    }
}

fn done_state() -> ReportState {
    ReportState::Done {
        took_ms: Millis(0),
        proof: Vec::new(),
    }
}

fn report(host: &Host, command: &Command, state: ReportState) -> Report {
    Report {
        command: command.id,
        run: command.run,
        step: command.step,
        process: process(host.process),
        epoch: host.record.epoch(),
        sent_at: WALL,
        state,
    }
}

fn said(host: &Host, command: &Command, state: ReportState) -> Effect {
    Effect {
        report: Some(report(host, command, state)),
        ..Effect::default()
    }
}

/// A refused command did nothing, so it is not remembered.
fn refused(host: &mut Host, command: &Command, reason: &str) -> Effect {
    host.record.forget(command.id);
    host.errand = None;
    let refusal = Refusal::GrantNotConfirmed {
        reason: reason.to_owned(),
    };
    said(host, command, ReportState::Refused(refusal))
}

fn finished(host: &mut Host, command: &Command) -> Effect {
    host.record.finish(command.id, done_state());
    host.errand = None;
    if command.action.changes() {
        host.finished.push(command.id);
    }
    said(host, command, done_state())
}

/// The promise not to be promoted that is still outstanding.
fn outstanding(host: &Host, now: Mono) -> Option<(Epoch, Millis)> {
    let until = host.promised.filter(|until| now < *until)?;
    Some((Epoch(1), until.since(now)))
}
