//! Coordinators: the real core, each of its answers to an input worked out once and looked up from then on.
//!
//! The shell around it is the model's: one write at a time, each finished before the next output is polled.

use std::collections::HashMap;
use std::rc::Rc;

use decision::{Ask, Core, Fresh, Identity, Input, Now, Output, Persist, RequestId, RunState};
use shared::clock::{Millis, Mono};
use shared::epoch::Term;
use shared::id::{Actor, ProcessId};
use shared::stack::Stack;
use shared::wire::{Fitness, Observation, SightingChannel, SiteSighting};
use uuid::Uuid;

use super::ground::{Tables, VERSION, WALL, clock, node, site};
use super::host::{Role, View};
use super::message::{approval, done, fresh, heartbeat};
use super::setup::Setup;
use super::table::Id;

/// What the clock showed when the senders' processes began.
const UPTIME_START_MS: u64 = 500_000;
/// Seconds of which a new leader remembers what it heard.
const REMEMBERED: u8 = 4;
/// Seconds in which a leader is told of a healthy world before the loss begins.
const HEALTHY: u8 = 5;
/// A loss is proposed within so many seconds.
const OPENING_MAX: u8 = 20;

/// What a core is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Told {
    /// A second has passed: what is heard of both database agents, and time.
    Beat([Option<View>; 2]),
    /// Its ticket is written.
    Written(Id),
    /// The store holds this ticket instead.
    Conflict(Id),
    /// An agent's word.
    Report {
        /// The agent's site.
        host: u8,
        /// What it says.
        report: Id,
    },
    /// An operator approves what was proposed, vouching for whatever is asked.
    Approve,
    /// An operator lets a halted run go on.
    Resume,
    /// An operator ends a halted run.
    Abandon,
}

/// What a core wants done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Order {
    /// Nothing.
    Nothing,
    /// Write the state.
    State(Id),
    /// Write the ticket.
    Ticket {
        /// What it believes to be there.
        from: Id,
        /// What is to be there.
        to: Id,
    },
    /// Send a command to a database agent.
    Send {
        /// The agent's site.
        host: u8,
        /// The command.
        command: Id,
    },
}

/// A core that has an open proposal, and what it has written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening {
    pub(super) time: u8,
    pub(super) core: Id,
    pub(super) durable: Id,
    pub(super) ticket: Id,
}

/// A promotion that was ordered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ordered {
    pub(super) time: u8,
    pub(super) command: Id,
    pub(super) durable: Id,
    pub(super) ticket: Id,
}

/// Who takes the lead when and in which term, with what state and ticket, and what it has heard.
type Lead = (u8, u8, u8, Id, Id, [Option<View>; 2]);

/// Both coordinators that may lead: the target site's is number 0, the witness site's number 1.
pub(super) struct Coordinators {
    stack: Stack,
    rates: [u64; 2],
    /// What the agents' heartbeats showed before the loss.
    healthy: [Option<View>; 2],
    told: HashMap<(Id, u8, u8, Told), Id>,
    orders: HashMap<Id, (Id, Order)>,
    leads: HashMap<Lead, Id>,
}

impl Coordinators {
    pub(super) fn new(setup: &Setup, stack: Stack) -> Self {
        Self {
            stack,
            rates: [setup.rates[1], setup.rates[2]],
            healthy: [None; 2],
            told: HashMap::new(),
            orders: HashMap::new(),
            leads: HashMap::new(),
        }
    }

    /// A seat's own clock.
    pub(super) fn clock(&self, seat: u8, time: u8) -> Mono {
        clock(time, self.rates[usize::from(seat)])
    }

    /// Tells a core something.
    pub(super) fn tell(&mut self, tables: &mut Tables, who: (Id, u8), time: u8, told: Told) -> Id {
        let (core, seat) = who;
        let key = (core, seat, time, told);
        if let Some(after) = self.told.get(&key) {
            return *after;
        }
        let mut changed = (*tables.cores.get(core)).clone();
        self.feed(tables, &mut changed, seat, time, told);
        let after = tables.cores.keep(changed);
        self.told.insert(key, after);
        after
    }

    /// Takes a core's next order; what only speaks to people is passed over.
    pub(super) fn next(&mut self, tables: &mut Tables, core: Id) -> (Id, Order) {
        if let Some(found) = self.orders.get(&core) {
            return *found;
        }
        let mut changed = (*tables.cores.get(core)).clone();
        let order = next_order(tables, &mut changed);
        let after = tables.cores.keep(changed);
        self.orders.insert(core, (after, order));
        (after, order)
    }

    /// The core of a coordinator that takes the lead now, having heard the last seconds.
    pub(super) fn lead(
        &mut self,
        tables: &mut Tables,
        (seat, time, term): (u8, u8, u8),
        (durable, ticket): (Id, Id),
        heard: [Option<View>; 2],
    ) -> Id {
        let key = (seat, time, term, durable, ticket, heard);
        if let Some(core) = self.leads.get(&key) {
            return *core;
        }
        let mut core = self.fresh(seat, 0, term);
        let in_force = Input::StackInForce {
            version: VERSION,
            stack: Box::new(self.stack.clone()),
        };
        core.handle(self.now(seat, 0), in_force);
        self.feed(
            tables,
            &mut core,
            seat,
            HEALTHY - 1,
            Told::Beat(self.healthy),
        );
        for past in time.saturating_sub(REMEMBERED)..=time {
            self.feed(tables, &mut core, seat, past, Told::Beat(heard));
        }
        let input = Input::Led {
            term: Term(term.into()),
            durable: Some(Box::new((*tables.durables.get(durable)).clone())),
            ticket: Some((*tables.tickets.get(ticket)).clone()),
            revision: 0,
            fresh: Fresh(Uuid::from_u128(u128::from(term) << 64)),
        };
        core.handle(self.now(seat, time), input);
        let id = tables.cores.keep(core);
        self.leads.insert(key, id);
        id
    }

    /// The story before the search: a stack comes in force, a few seconds pass, the old site falls silent, and a
    /// proposal is raised.
    ///
    /// # Panics
    /// When no proposal is raised: the model does not know any more what a core needs for one.
    pub(super) fn open(&mut self, tables: &mut Tables, views: [View; 2]) -> Opening {
        self.healthy = views.map(Some);
        let mut core = self.fresh(0, 0, 1);
        core.handle(
            self.now(0, 0),
            Input::Led {
                term: Term(1),
                durable: None,
                ticket: None,
                revision: 0,
                fresh: Fresh(Uuid::from_u128(1)),
            },
        );
        let ask = Ask::ApplyStack {
            stack: Box::new(self.stack.clone()),
            replaces: None,
        };
        self.ask(&mut core, 0, 0, ask);
        let version = core.stack().map(|(version, _)| version);
        assert_eq!(version, Some(VERSION), "the first stack is in force");
        let mut opening = Opening {
            time: 0,
            core: 0,
            durable: 0,
            ticket: 0,
        };
        for time in 0..OPENING_MAX {
            let dc1 = (time < HEALTHY).then_some(views[0]);
            self.feed(
                tables,
                &mut core,
                0,
                time,
                Told::Beat([dc1, Some(views[1])]),
            );
            self.do_at_once(tables, &mut core, time, &mut opening);
            let is_open = core.durable().is_some_and(|d| d.open_proposal().is_some());
            if is_open {
                opening.time = time;
                opening.core = tables.cores.keep(core);
                return opening;
            }
        }
        let status = core.status(self.now(0, OPENING_MAX));
        unreachable!("no proposal was raised: {}", status.summary)
    }

    /// How the story goes on without any fault, up to the order of the promotion.
    ///
    /// # Panics
    /// When no promotion is ordered.
    pub(super) fn order_promotion(&mut self, tables: &mut Tables, opening: Opening) -> Ordered {
        let mut ordered = Ordered {
            time: opening.time,
            command: 0,
            durable: opening.durable,
            ticket: opening.ticket,
        };
        let standby = View {
            process: 1,
            epoch: 0,
            timeline: 1,
            role: Role::Standby,
        };
        let mut core = (*tables.cores.get(opening.core)).clone();
        self.feed(tables, &mut core, 0, opening.time, Told::Approve);
        for time in opening.time..=opening.time + OPENING_MAX {
            if time > opening.time {
                let heard = Told::Beat([None, Some(standby)]);
                self.feed(tables, &mut core, 0, time, heard);
            }
            ordered.time = time;
            loop {
                match next_order(tables, &mut core) {
                    Order::Nothing => break,
                    Order::State(durable) => ordered.durable = durable,
                    Order::Ticket { to, .. } => {
                        ordered.ticket = to;
                        self.feed(tables, &mut core, 0, time, Told::Written(to));
                    }
                    Order::Send { command, .. } => {
                        ordered.command = command;
                        let command = tables.commands.get(command);
                        if command.action.kind() == "promote" {
                            return ordered;
                        }
                        if command.action.kind() == "check" {
                            let input = done(&command);
                            core.handle(self.now(0, time), input);
                        }
                    }
                }
            }
        }
        let status = core.status(self.now(0, ordered.time));
        unreachable!("no promotion was ordered: {}", status.summary)
    }

    fn do_at_once(&self, tables: &mut Tables, core: &mut Core, time: u8, opening: &mut Opening) {
        while let Some(output) = core.poll_output() {
            match output {
                Output::Persist(Persist::State(durable)) => {
                    opening.durable = tables.durables.keep(*durable);
                }
                Output::Persist(Persist::Ticket { to, .. }) => {
                    opening.ticket = tables.tickets.keep(to.clone());
                    let written = Input::TicketWritten {
                        ticket: to,
                        revision: 0,
                    };
                    core.handle(self.now(0, time), written);
                }
                Output::Persist(Persist::Stack { .. })
                | Output::Record(_)
                | Output::Send(_)
                | Output::Announce(_) => {}
            }
        }
    }

    fn now(&self, seat: u8, time: u8) -> Now {
        Now {
            mono: self.clock(seat, time),
            wall: WALL,
        }
    }

    fn fresh(&self, seat: u8, time: u8, term: u8) -> Core {
        let identity = Identity {
            site: site(usize::from(seat) + 1),
            process: ProcessId::new(Uuid::from_u128(0xC0 + u128::from(term))),
        };
        let now = self.now(seat, time);
        let started = Now {
            mono: now.mono.before(Millis::seconds(60)),
            ..now
        };
        let mut core = Core::new(identity, started);
        core.handle(started, Input::SelfFitness(Fitness::Fit));
        core
    }

    fn feed(&self, tables: &Tables, core: &mut Core, seat: u8, time: u8, told: Told) {
        let now = self.now(seat, time);
        match told {
            Told::Beat(heard) => self.beat(core, seat, time, heard),
            Told::Written(ticket) => {
                let ticket = (*tables.tickets.get(ticket)).clone();
                core.handle(
                    now,
                    Input::TicketWritten {
                        ticket,
                        revision: 0,
                    },
                );
            }
            Told::Conflict(ticket) => {
                let found = Some((*tables.tickets.get(ticket)).clone());
                core.handle(now, Input::TicketConflict { found });
            }
            Told::Report { host, report } => {
                let report = (*tables.reports.get(report)).clone();
                let (site, node) = (site(host.into()), node(host.into()));
                core.handle(now, Input::Reported { site, node, report });
            }
            Told::Approve => {
                if let Some(request) = approval(core) {
                    self.ask(core, seat, time, Ask::Approve(request));
                }
            }
            Told::Resume | Told::Abandon => {
                let Some(run) = core
                    .durable()
                    .and_then(|d| d.run.as_ref())
                    .map(|run| run.id)
                else {
                    return;
                };
                let reason = "as the operator decides".to_owned();
                let ask = if told == Told::Resume {
                    Ask::Resume {
                        run,
                        waive: None,
                        reason,
                    }
                } else {
                    Ask::Abandon { run, reason }
                };
                self.ask(core, seat, time, ask);
            }
        }
    }

    fn ask(&self, core: &mut Core, seat: u8, time: u8, ask: Ask) {
        let input = Input::Asked {
            request: RequestId(1),
            actor: Actor::new("operator"),
            ask,
            fresh: fresh(core, 1),
        };
        core.handle(self.now(seat, time), input);
    }

    /// A second of a coordinator's life: what it hears, then the tick.
    fn beat(&self, core: &mut Core, seat: u8, time: u8, heard: [Option<View>; 2]) {
        let now = self.now(seat, time);
        // Senders' uptimes are shown on the hearer's clock: an exaggerated drift must not look like a slow network.
        let uptime_ms = Millis(now.mono.0.saturating_sub(UPTIME_START_MS));
        for (number, view) in heard.into_iter().enumerate() {
            let Some(view) = view else { continue };
            let input = Input::Heard {
                site: site(number),
                node: node(number),
                heartbeat: Box::new(heartbeat(view, time, uptime_ms)),
            };
            core.handle(now, input);
        }
        let other = 1 - seat;
        let sees = |number: usize| SiteSighting {
            site: site(number),
            age_ms: heard.get(number).copied().flatten().map(|_| Millis(0)),
            by: heard
                .get(number)
                .copied()
                .flatten()
                .map(|_| (node(number), SightingChannel::Heartbeat)),
        };
        let observation = Observation {
            process: ProcessId::new(Uuid::from_u128(0xB0 + u128::from(other))),
            sequence: u64::from(time) + 1,
            sent_at: WALL,
            uptime_ms: Some(uptime_ms),
            term: Term(0),
            leads: false,
            stack_version: Some(VERSION),
            fitness: Fitness::Fit,
            sites: vec![sees(0)],
            store: None,
        };
        let input = Input::Observed {
            site: site(usize::from(other) + 1),
            observation,
        };
        core.handle(now, input);
        core.handle(now, Input::Tick(fresh(core, 0)));
    }
}

/// The first order that does something.
fn next_order(tables: &mut Tables, core: &mut Core) -> Order {
    while let Some(output) = core.poll_output() {
        match output {
            Output::Persist(Persist::State(durable)) => {
                return Order::State(tables.durables.keep(*durable));
            }
            Output::Persist(Persist::Ticket { from, to }) => {
                let from = from.expect("a ticket stands since the opening");
                return Order::Ticket {
                    from: tables.tickets.keep(from),
                    to: tables.tickets.keep(to),
                };
            }
            Output::Send(command) => {
                let host = u8::from(command.site != site(0));
                let command = tables.commands.keep(*command);
                return Order::Send { host, command };
            }
            Output::Persist(Persist::Stack { .. }) | Output::Record(_) | Output::Announce(_) => {}
        }
    }
    Order::Nothing
}

/// Whether a core's run is halted.
pub(super) fn is_halted(core: &Rc<Core>) -> bool {
    let run = core.durable().and_then(|durable| durable.run.as_ref());
    run.is_some_and(|run| matches!(run.state, RunState::Halted { .. }))
}
