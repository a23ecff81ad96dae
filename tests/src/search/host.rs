//! A database host: the real gate, ledger record and lease; around them a database that writes or does not, a
//! kernel's timer on its port, and an agent that can hang, be killed and be started again.

use agent::gate::Identity;
use agent::lease::{Attempt, Lease, Reading, Terms};
use agent::ledger::Record;
use shared::clock::{Millis, Mono, UnixMillis};
use shared::id::{CommandId, ProcessId, StackName};
use shared::stack::LeasePolicy;
use shared::wire::{Command, Report, Ticket};
use uuid::Uuid;

use super::ground::{clock, node, site};
use super::setup::{Flaw, Setup};
use super::table::Id;

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
    pub(super) setup: Setup,
    pub(super) policy: LeasePolicy,
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

    pub(super) fn reading(&self, host: &Host, time: u8) -> Reading {
        let rate = self.setup.rates[usize::from(host.site)];
        let mono = clock(time.saturating_sub(host.lost), rate);
        Reading {
            mono,
            wall: UnixMillis(mono.0),
        }
    }

    pub(super) const fn has_deadman(&self) -> bool {
        !matches!(
            self.setup.flaw,
            Some(Flaw::HungWithoutDeadman | Flaw::KilledWithoutDeadman)
        )
    }

    pub(super) const fn terms(&self) -> Terms {
        Terms::of(&self.policy, Millis(1_000), self.has_deadman())
    }
}

/// Where values are looked up.
#[derive(Clone, Copy)]
pub(super) struct Find<'a>(pub(super) &'a super::ground::Tables);

impl Find<'_> {
    pub(super) fn command(self, id: Id) -> Command {
        (*self.0.commands.get(id)).clone()
    }

    pub(super) fn ticket(self, id: Id) -> Ticket {
        (*self.0.tickets.get(id)).clone()
    }
}

pub(super) fn identity(number: u8, process_number: u8) -> Identity {
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
