//! A database host: the real gate, ledger record and lease; around them a database that writes or does not, a
//! kernel's timer on its port, and an agent that can hang, be killed and be started again.

use agent::gate::{GateState, Identity, Modules, RunningCommand, SentHeartbeats, Verdict, admit};
use agent::lease::{Attempt, Lease, Reading, Terms, Verdict as LeaseVerdict};
use agent::ledger::{Fenced, Record};
use shared::clock::{Millis, Mono, UnixMillis};
use shared::id::{CommandId, DatabaseName, ProcessId, StackName};
use shared::refusal::Refusal;
use shared::stack::{LeasePolicy, StoreLoss};
use shared::wire::{Action, Command, PROGRESS_BEGUN, Report, ReportState, Ticket};
use uuid::Uuid;

use super::ground::{WALL, clock, node, site};
use super::setup::{Flaw, Setup};
use super::table::Id;

/// Heartbeats that are remembered: older ones are too old for any command.
const BEATS: usize = 8;
/// Commands that a ledger keeps.
const LEDGER_COMMANDS: usize = 64;
/// A command may be so old.
const COMMAND_AGE_MAX: Millis = Millis::seconds(10);
/// What a confirmed grant allows must have begun by then (`agent/src/grant.rs`).
const FRESH: Millis = Millis::seconds(1);

/// A database's role as a heartbeat shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Role {
    Primary,
    Standby,
    Down,
}

/// What a heartbeat shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct View {
    pub(super) process: u8,
    pub(super) epoch: u8,
    pub(super) timeline: u8,
    pub(super) role: Role,
}

/// An agent's process and the machine under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// The agent runs.
    Up,
    /// The agent is stopped where it stands; the database runs.
    Hung,
    /// The agent is gone; the database runs.
    Killed,
    /// The machine has no power.
    Off,
}

/// The database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Database {
    pub(super) up: bool,
    pub(super) primary: bool,
    pub(super) timeline: u8,
    /// An immediate stop was ordered; it is over by the next second.
    pub(super) stopping: bool,
    /// When the kernel closes the port; nothing where no timer guards it.
    pub(super) closes: Option<Mono>,
}

/// A renewal under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renewal {
    None,
    /// It has not reached the store.
    Sent(Attempt, Mono),
    /// The store has answered, and the answer has not come back.
    Answered(Attempt, Mono, bool),
}

/// A command that is being carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Errand {
    pub(super) command: Id,
    pub(super) stage: Stage,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It stands in the ledger.
    Begun,
    /// The store is asked to confirm its grant, since then.
    Asking(Mono),
    /// The grant is confirmed; counted from the asking.
    Confirmed(Mono),
}

/// A database host and its agent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Host {
    pub(super) site: u8,
    pub(super) process: u8,
    pub(super) life: Life,
    /// The whole machine stands still.
    pub(super) paused: bool,
    /// Seconds for which it did, which no clock of it has counted.
    pub(super) lost: u8,
    pub(super) beats: Vec<u8>,
    pub(super) record: Record,
    pub(super) lease: Option<Lease>,
    pub(super) renewal: Renewal,
    /// The peers are asked to vouch; which of them did.
    pub(super) asked: Option<(Attempt, [bool; 2])>,
    /// This agent has promised not to promote before.
    pub(super) promised: Option<Mono>,
    pub(super) errand: Option<Errand>,
    pub(super) database: Database,
    /// What the model saw finished: the agent cannot see this.
    pub(super) finished: Vec<CommandId>,
}

/// What a host lives through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Event {
    /// A second has passed.
    Second,
    /// Its renewal has reached the store, which accepted it or did not.
    Renewed(bool),
    /// The store's answer has come.
    Answered,
    /// A command arrives.
    Delivered(Id),
    /// The running command goes on.
    Work,
    /// The store, which holds this ticket, is asked to confirm the grant.
    Confirm(Id),
    /// A peer has promised: the other database's agent, or the witness's.
    Vouched(u8),
    /// All answers of peers are there.
    Extended,
    /// It is asked for its promise.
    Promise,
    /// The agent hangs.
    Hang,
    /// It goes on.
    Resume,
    /// The agent is killed.
    Kill,
    /// It is started again.
    Start,
    /// The machine loses power.
    PowerOff,
    /// The virtual machine is paused.
    Pause,
    /// It goes on.
    Continue,
}

/// What a host does to the world.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Effect {
    /// It says this to the coordinators.
    pub(super) report: Option<Report>,
    /// It begins to carry out this command.
    pub(super) begun: Option<Id>,
    /// It has promoted its database by this command.
    pub(super) promoted: Option<Id>,
    /// The store has confirmed its grant.
    pub(super) confirmed: bool,
    /// A finished command was begun anew.
    pub(super) repeated: bool,
}

/// An agent's process by its number.
pub(super) fn process(number: u8) -> ProcessId {
    ProcessId::new(Uuid::from_u128(0xA0_0000 + u128::from(number)))
}

/// Under which rules hosts live.
pub(super) struct Rules {
    setup: Setup,
    policy: LeasePolicy,
    wait: Millis,
}

impl Rules {
    pub(super) fn of(setup: &Setup) -> Self {
        let policy = setup.policy();
        Self {
            setup: setup.clone(),
            wait: policy.epoch_wait_ms,
            policy: policy.lease,
        }
    }

    /// The host of a site as the search finds it: the old primary writes, the target follows it.
    pub(super) fn host(&self, number: u8, time: u8) -> Host {
        let primary = number == 0;
        let identity = identity(number, 1);
        let mut host = Host {
            site: number,
            process: 1,
            life: Life::Up,
            paused: false,
            lost: 0,
            beats: Vec::new(),
            record: Record::empty(&identity),
            lease: None,
            renewal: Renewal::None,
            asked: None,
            promised: None,
            errand: None,
            database: Database {
                up: true,
                primary,
                timeline: 1,
                stopping: false,
                closes: None,
            },
            finished: Vec::new(),
        };
        host.beats = (time.saturating_sub(3)..=time).collect();
        if primary && self.policy.enforces() {
            let now = self.reading(&host, time);
            host.lease = Some(Lease::anchored(self.terms(), now, now));
            self.guard(&mut host, now);
        }
        host
    }

    /// What it lives through, and what it does to the world.
    pub(super) fn live(&self, host: &mut Host, time: u8, event: Event, find: Find<'_>) -> Effect {
        let now = self.reading(host, time);
        match event {
            Event::Second => self.second(host, time),
            Event::Renewed(accepted) => {
                if let Renewal::Sent(attempt, at) = host.renewal {
                    host.renewal = Renewal::Answered(attempt, at, accepted);
                }
            }
            Event::Answered => self.answered(host, now),
            Event::Delivered(command) => return self.deliver(host, now.mono, command, find),
            Event::Work => return self.work(host, now, find),
            Event::Confirm(ticket) => return Self::confirm(host, now, ticket, find),
            Event::Vouched(peer) => {
                if let Some((_, words)) = &mut host.asked {
                    words[usize::from(peer)] = true;
                }
            }
            Event::Extended => {
                if let (Some((attempt, _)), Some(lease)) = (host.asked.take(), &mut host.lease) {
                    lease.look(now);
                    lease.extend(attempt, now);
                    self.heed(host, now);
                }
            }
            Event::Promise => {
                let short = self.setup.has(Flaw::PromiseTooShort);
                let span = if short {
                    Millis(self.wait.0 / 3)
                } else {
                    self.wait
                };
                host.promised = host.promised.max(Some(now.mono.after(span)));
            }
            Event::Hang => host.life = Life::Hung,
            Event::Resume => host.life = Life::Up,
            Event::Kill => kill(host),
            Event::Start => self.start(host, now),
            Event::PowerOff => {
                host.life = Life::Off;
                host.database.up = false;
            }
            Event::Pause => host.paused = true,
            Event::Continue => host.paused = false,
        }
        Effect::default()
    }

    /// Whether its database takes writes now.
    pub(super) fn writes(&self, host: &Host, time: u8) -> bool {
        let now = self.reading(host, time).mono;
        let open = host.database.closes.is_none_or(|closes| now < closes);
        host.life != Life::Off && !host.paused && host.database.up && host.database.primary && open
    }

    /// Whether all whom a primary must ask have vouched.
    pub(super) fn may_extend(&self, host: &Host) -> bool {
        let one = self.setup.has(Flaw::FailsafeByOne);
        host.asked.is_some_and(|(_, words)| {
            if one {
                words.contains(&true)
            } else {
                words == [true, true]
            }
        })
    }

    fn reading(&self, host: &Host, time: u8) -> Reading {
        let rate = self.setup.rates[usize::from(host.site)];
        let mono = clock(time.saturating_sub(host.lost), rate);
        Reading {
            mono,
            wall: UnixMillis(mono.0),
        }
    }

    const fn has_deadman(&self) -> bool {
        !matches!(
            self.setup.flaw,
            Some(Flaw::HungWithoutDeadman | Flaw::KilledWithoutDeadman)
        )
    }

    const fn terms(&self) -> Terms {
        Terms::of(&self.policy, Millis(1_000), self.has_deadman())
    }

    /// Sets the kernel's timer to what is left of the lease; it may be late by what the policy says.
    fn guard(&self, host: &mut Host, now: Reading) {
        let Some(lease) = &host.lease else { return };
        if !self.has_deadman() {
            return;
        }
        let left = if self.setup.has(Flaw::DeadmanRestarted) {
            self.policy.deadman_after_ms
        } else {
            lease.deadman_ms(now)
        };
        let late = self.policy.deadman_within_ms;
        host.database.closes = Some(now.mono.after(left).after(late));
    }

    fn second(&self, host: &mut Host, time: u8) {
        if host.paused {
            host.lost += 1;
            return;
        }
        if host.database.stopping {
            host.database.stopping = false;
            host.database.up = false;
        }
        if host.life != Life::Up {
            return;
        }
        host.beats.push(time);
        if host.beats.len() > BEATS {
            host.beats.remove(0);
        }
        let now = self.reading(host, time);
        self.look(host, now);
    }

    /// The agent's turn over its lease.
    fn look(&self, host: &mut Host, now: Reading) {
        if let Some(lease) = &mut host.lease {
            lease.look(now);
        }
        self.heed(host, now);
        self.renew(host, now);
    }

    /// What the lease says of the database is done.
    fn heed(&self, host: &mut Host, now: Reading) {
        let Some(lease) = &host.lease else { return };
        match lease.verdict(now) {
            LeaseVerdict::Serve { .. } => self.guard(host, now),
            LeaseVerdict::Close => host.database.closes = Some(now.mono),
            LeaseVerdict::Stop(_) => {
                host.database.stopping = host.database.up;
                let fenced = Fenced {
                    epoch: host.record.epoch(),
                    at: WALL,
                    reason: "the lease is lost".to_owned(),
                };
                host.record.keep_fenced(Some(fenced));
                host.lease = None;
                host.renewal = Renewal::None;
                host.asked = None;
            }
        }
    }

    fn renew(&self, host: &mut Host, now: Reading) {
        let Some(lease) = &mut host.lease else { return };
        if let Renewal::Sent(_, at) | Renewal::Answered(_, at, _) = host.renewal
            && now.mono.since(at) >= self.policy.attempt_ms
        {
            host.renewal = Renewal::None;
            if self.policy.store_loss == StoreLoss::Failsafe {
                host.asked = Some((lease.send(now), [false, false]));
                return;
            }
        }
        if host.renewal == Renewal::None && lease.renewal_due(now) {
            host.renewal = Renewal::Sent(lease.send(now), now.mono);
        }
    }

    fn answered(&self, host: &mut Host, now: Reading) {
        let Renewal::Answered(sent, _, accepted) = host.renewal else {
            return;
        };
        host.renewal = Renewal::None;
        let Some(lease) = &mut host.lease else { return };
        // Before anything else: an answer that waited while the process hung is as old as the hang.
        let unlooked = self.setup.has(Flaw::AnswerBeforeLook);
        if !unlooked {
            lease.look(now);
        }
        if !accepted {
            lease.depose();
            return;
        }
        let from_reply = self.setup.has(Flaw::LeaseFromReply);
        let attempt = if from_reply { lease.send(now) } else { sent };
        lease.accept(attempt, now);
        host.asked = None;
        if unlooked {
            self.guard(host, now);
        } else {
            self.heed(host, now);
        }
    }

    fn deliver(&self, host: &mut Host, now: Mono, id: Id, find: Find<'_>) -> Effect {
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
            promised: None,
            regressed: None,
            command_age_max: COMMAND_AGE_MAX,
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
    fn work(&self, host: &mut Host, now: Reading, find: Find<'_>) -> Effect {
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

    const fn confirms(&self) -> bool {
        !matches!(
            self.setup.flaw,
            Some(Flaw::GrantNotConfirmed | Flaw::ReplayedPromote)
        )
    }

    fn promote(&self, host: &mut Host, now: Reading, errand: Errand, find: Find<'_>) -> Effect {
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
    fn confirm(host: &mut Host, now: Reading, ticket: Id, find: Find<'_>) -> Effect {
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
    fn start(&self, host: &mut Host, now: Reading) {
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

/// Where values are looked up.
#[derive(Clone, Copy)]
pub(super) struct Find<'a>(pub(super) &'a super::ground::Tables);

impl Find<'_> {
    fn command(self, id: Id) -> Command {
        (*self.0.commands.get(id)).clone()
    }

    fn ticket(self, id: Id) -> Ticket {
        (*self.0.tickets.get(id)).clone()
    }
}

fn identity(number: u8, process_number: u8) -> Identity {
    Identity {
        stack: StackName::new("small").expect("a name"),
        site: site(number.into()),
        node: node(number.into()),
        process: process(process_number),
    }
}

fn kill(host: &mut Host) {
    host.life = Life::Killed;
    host.errand = None;
    host.lease = None;
    host.renewal = Renewal::None;
    host.asked = None;
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

/// What its heartbeat shows; nothing when none is sent.
pub(super) fn view(host: &Host) -> Option<View> {
    let speaks = host.life == Life::Up && !host.paused;
    speaks.then(|| View {
        process: host.process,
        epoch: u8::try_from(host.record.epoch().0).unwrap_or(u8::MAX),
        timeline: host.database.timeline,
        role: match (host.database.up, host.database.primary) {
            (false, _) => Role::Down,
            (true, true) => Role::Primary,
            (true, false) => Role::Standby,
        },
    })
}
