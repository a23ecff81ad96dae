//! The small world as a model that can be searched: what may happen in a state, and what follows from it.

use std::collections::HashMap;

use decision::{Durable, Run, StepOutcome};
use shared::id::Nonce;
use shared::stack::Policy;
use shared::wire::Ticket;
use uuid::Uuid;

use super::coordinator::{Coordinators, Opening, Told};
use super::deed::orphan;
use super::engine::Model;
use super::ground::{self, Tables, node, site};
use super::host::{Effect, Event, Find, Host, Rules, View, view};
use super::setup::{Faults, Flaw, Kind, Setup};
use super::table::Id;
use super::world::{Action, INVARIANTS, Invariant, Seat, Store, World, Write};

/// What a host's event came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Came {
    pub(super) host: Id,
    pub(super) report: Option<Id>,
    pub(super) begun: Option<Id>,
    pub(super) promoted: Option<Id>,
    pub(super) confirmed: bool,
    pub(super) repeated: bool,
}

/// The model of one setup.
pub(super) struct Small {
    pub(super) setup: Setup,
    pub(super) policy: Policy,
    pub(super) tables: Tables,
    pub(super) coordinators: Coordinators,
    pub(super) rules: Rules,
    pub(super) lived: HashMap<(Id, u8, Event), Came>,
    pub(super) until: u8,
    pub(super) approve_until: u8,
    /// The state before the approval, for a leader that reads what is old.
    pub(super) old_durable: Id,
}

impl Small {
    pub(super) fn new(setup: &Setup) -> Self {
        let stack = ground::stack(setup);
        Self {
            policy: stack.policy.clone(),
            coordinators: Coordinators::new(setup, stack),
            rules: Rules::of(setup),
            tables: Tables::default(),
            lived: HashMap::new(),
            until: 0,
            approve_until: 0,
            old_durable: 0,
            setup: setup.clone(),
        }
    }

    /// How many values there are: cores, hosts, and answers that were worked out.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.tables.cores.len(), self.tables.hosts.len())
    }

    pub(super) fn host(&self, world: &World, number: u8) -> std::rc::Rc<Host> {
        self.tables.hosts.get(world.hosts[usize::from(number)])
    }

    pub(super) fn ticket(&self, world: &World) -> std::rc::Rc<Ticket> {
        self.tables.tickets.get(world.store.ticket)
    }

    /// A host lives through something.
    pub(super) fn live(&mut self, world: &mut World, number: u8, event: Event) -> Came {
        let index = usize::from(number);
        let key = (world.hosts[index], world.time, event);
        let came = if let Some(came) = self.lived.get(&key) {
            *came
        } else {
            let mut host = (*self.tables.hosts.get(world.hosts[index])).clone();
            let find = Find(&self.tables);
            let effect = self.rules.live(&mut host, world.time, event, find);
            let came = self.came(host, effect);
            self.lived.insert(key, came);
            came
        };
        world.hosts[index] = came.host;
        if came.report.is_some() {
            world.words[index] = came.report;
        }
        self.judge(world, came);
        came
    }

    fn came(&mut self, host: Host, effect: Effect) -> Came {
        Came {
            host: self.tables.hosts.keep(host),
            report: effect.report.map(|report| self.tables.reports.keep(report)),
            begun: effect.begun,
            promoted: effect.promoted,
            confirmed: effect.confirmed,
            repeated: effect.repeated,
        }
    }

    /// I3, I4, I7: what an agent begins and promotes.
    fn judge(&self, world: &mut World, came: Came) {
        if came.repeated {
            world.violate(Invariant::Once);
        }
        let durable = self.tables.durables.get(world.store.durable);
        if let Some(id) = came.begun {
            let command = self.tables.commands.get(id);
            let approved = command.approval.as_ref().is_some_and(|approval| {
                approval.plan == command.plan
                    && runs(&durable).any(|run| run.id == command.run && run.approval == *approval)
            });
            if !approved || world.approvals == 0 {
                world.violate(Invariant::Approval);
            }
        }
        let Some(id) = came.promoted else { return };
        let command = self.tables.commands.get(id);
        let ticket = self.ticket(world);
        let right = ticket.epoch == command.epoch
            && ticket.holder == command.site
            && ticket.grant.is_some();
        if !right {
            world.violate(Invariant::Right);
        }
        let proved = runs(&durable)
            .any(|run| run.id == command.run && (run.attestation.is_some() || is_fenced(run)));
        if !self.setup.fences() && !proved {
            world.violate(Invariant::Proof);
        }
    }

    /// A promotion of epoch 2 was ordered and has not arrived; epoch 3 belongs to the old site. Nobody leads.
    fn bring_back(&mut self, world: &mut World, opening: Opening) {
        let ordered = self.coordinators.order_promotion(&mut self.tables, opening);
        world.time = ordered.time;
        self.until = ordered.time + self.setup.horizon;
        world.hosts = [0, 1].map(|number| {
            let host = self.rules.host(number, ordered.time);
            self.tables.hosts.keep(host)
        });
        world.orders[1] = [Some(ordered.command), None];
        world.approvals = 1;
        world.store.durable = ordered.durable;
        let granted = self.tables.tickets.get(ordered.ticket);
        let back = Ticket {
            epoch: granted.epoch.next(),
            holder: site(0),
            grant: Some(Nonce::new(Uuid::from_u128(3))),
            ..(*granted).clone()
        };
        world.store.ticket = self.tables.tickets.keep(back);
        world.seats = [Seat::default(); 2];
        // No coordinator may take the lead: what is searched is what agents do without one.
        world.spent = self.setup.faults;
        world.spent.kills = 0;
        world.spent.target_kills = 0;
        world.spent.hangs = 0;
        world.store.term = u8::MAX;
    }

    pub(super) fn views(&self, world: &World) -> [Option<View>; 2] {
        let dc1 = world.heard.then(|| view(&self.host(world, 0))).flatten();
        [dc1, view(&self.host(world, 1))]
    }

    fn second(&mut self, world: &mut World) {
        world.time += 1;
        for number in 0..2 {
            self.live(world, number, Event::Second);
        }
        let views = self.views(world);
        for seat in 0..2 {
            self.tell(world, seat, Told::Beat(views));
        }
    }

    pub(super) fn tell(&mut self, world: &mut World, seat: u8, told: Told) {
        let index = usize::from(seat);
        if let Some(core) = world.seats[index].core {
            let tables = &mut self.tables;
            let after = self
                .coordinators
                .tell(tables, (core, seat), world.time, told);
            world.seats[index].core = Some(after);
        }
    }

    /// What a world comes to by an action.
    #[expect(clippy::too_many_lines, reason = "one arm an action reads as a table")]
    fn after(&mut self, before: &World, action: Action) -> World {
        let mut world = *before;
        match action {
            Action::Second => self.second(&mut world),
            Action::Perform(seat) => {
                self.perform(&mut world, seat);
            }
            Action::Arrive(seat) => self.arrive(&mut world, seat),
            Action::Acknowledge(seat) => self.acknowledge(&mut world, seat),
            Action::Deliver(host, slot) => {
                let order = world.orders[usize::from(host)][usize::from(slot)];
                if let Some(order) = order {
                    // Where orders take no time none arrives twice; elsewhere each may, as often as it likes.
                    if self.setup.prompt {
                        world.orders[usize::from(host)][usize::from(slot)] = None;
                    }
                    self.live(&mut world, host, Event::Delivered(order));
                }
            }
            Action::Hear(seat, host) => {
                if let Some(report) = world.words[usize::from(host)].take() {
                    self.tell(&mut world, seat, Told::Report { host, report });
                }
            }
            Action::Work(host) => {
                self.live(&mut world, host, Event::Work);
            }
            Action::Confirm(host) => self.confirm(&mut world, host),
            Action::Renew(host) => self.renew(&mut world, host),
            Action::Renewed(host) => {
                self.live(&mut world, host, Event::Answered);
            }
            Action::Vouch(peer) => {
                if peer == 0 {
                    self.live(&mut world, 1, Event::Promise);
                }
                self.live(&mut world, 0, Event::Vouched(peer));
            }
            Action::Extend => {
                self.live(&mut world, 0, Event::Extended);
            }
            Action::Approve(seat) => {
                world.approvals += 1;
                self.tell(&mut world, seat, Told::Approve);
            }
            Action::Decide(seat, resume) => {
                world.spent.decisions += 1;
                let told = if resume { Told::Resume } else { Told::Abandon };
                self.tell(&mut world, seat, told);
            }
            Action::Crash(seat) => {
                world.spent.crashes += 1;
                let seat = &mut world.seats[usize::from(seat)];
                *seat = Seat {
                    write: orphan(seat.write),
                    ..Seat::default()
                };
            }
            Action::TakeOver(seat) => self.take_over(&mut world, seat),
            Action::Return => {
                world.heard = true;
                world.spent.returns += 1;
            }
            Action::Hang(_)
            | Action::Resume(_)
            | Action::Kill(_)
            | Action::Start(_)
            | Action::PowerOff
            | Action::Pause
            | Action::Continue => self.befall(&mut world, action),
        }
        self.judge_databases(&mut world);
        world
    }

    fn confirm(&mut self, world: &mut World, host: u8) {
        let ticket = world.store.ticket;
        let came = self.live(world, host, Event::Confirm(ticket));
        if came.confirmed {
            let mut confirmed = (*self.tables.tickets.get(ticket)).clone();
            confirmed.confirmed_by = Some(node(host.into()));
            confirmed.confirmations = 1;
            world.store.ticket = self.tables.tickets.keep(confirmed);
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the few actions that matter here stand out; any other is no such one"
    )]
    fn befall(&mut self, world: &mut World, action: Action) {
        let (host, event) = match action {
            Action::Hang(host) => {
                world.spent.hangs += 1;
                (host, Event::Hang)
            }
            Action::Resume(host) => (host, Event::Resume),
            Action::Kill(host) => {
                if host == 0 {
                    world.spent.kills += 1;
                } else {
                    world.spent.target_kills += 1;
                }
                (host, Event::Kill)
            }
            Action::Start(host) => (host, Event::Start),
            Action::PowerOff => {
                world.spent.power += 1;
                (0, Event::PowerOff)
            }
            Action::Pause => {
                world.spent.pauses += 1;
                (0, Event::Pause)
            }
            _ => (0, Event::Continue),
        };
        self.live(world, host, event);
    }

    /// I1 and I2.
    fn judge_databases(&self, world: &mut World) {
        let old = self.host(world, 0);
        let new = self.host(world, 1);
        let (old_writes, new_writes) = (
            self.rules.writes(&old, world.time),
            self.rules.writes(&new, world.time),
        );
        if !old_writes || !new_writes {
            return;
        }
        if self.setup.kind != Kind::Synchronous {
            world.violate(Invariant::OneWriter);
        } else if self.setup.has(Flaw::SynchronousWithWitness) || !new.database.primary {
            // The old primary's commits wait for the target's standby, which is none any more.
            world.violate(Invariant::OneAcknowledger);
        }
    }
}

impl Small {
    /// Where orders are carried out without delay, the first of them that changes anything is all that happens.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the few actions that matter here stand out; any other is no such one"
    )]
    fn follow_prompt(
        &mut self,
        state: &World,
        actions: &[Action],
        into: &mut Vec<(Action, World)>,
    ) -> bool {
        for action in actions {
            let prompt = match action {
                // What a dead coordinator has under way may come at any time.
                Action::Arrive(seat) => state.seats[usize::from(*seat)].core.is_some(),
                Action::Perform(_)
                | Action::Acknowledge(_)
                | Action::Hear(..)
                | Action::Deliver(1, 0)
                | Action::Work(_)
                | Action::Confirm(_) => true,
                _ => false,
            };
            if !prompt {
                continue;
            }
            let after = self.after(state, *action);
            if after != *state {
                into.push((*action, after));
                // A coordinator may die between any two of its orders.
                let mut deaths = Vec::new();
                self.of_coordinators(state, &mut deaths);
                for death in deaths {
                    into.push((death, self.after(state, death)));
                }
                return true;
            }
        }
        false
    }
}

impl Model for Small {
    type State = World;
    type Action = Action;

    fn initial(&mut self) -> World {
        let views = [0, 1].map(|number| {
            let host = self.rules.host(number, 0);
            view(&host).expect("a host that runs speaks")
        });
        let opening = self.coordinators.open(&mut self.tables, views);
        self.until = opening.time + self.setup.horizon;
        self.approve_until = opening.time + self.setup.approve_within;
        self.old_durable = opening.durable;
        let hosts = [0, 1].map(|number| {
            self.tables
                .hosts
                .keep(self.rules.host(number, opening.time))
        });
        let mut world = World {
            time: opening.time,
            violated: 0,
            heard: false,
            approvals: 0,
            spent: Faults::default(),
            seats: [
                Seat {
                    core: Some(opening.core),
                    known: opening.durable,
                    term: 1,
                    write: Write::None,
                },
                Seat::default(),
            ],
            store: Store {
                durable: opening.durable,
                ticket: opening.ticket,
                term: 1,
            },
            hosts,
            orders: [[None; 2]; 2],
            words: [None; 2],
            run: None,
            revoked: 0,
        };
        if self.setup.kind == Kind::Returned {
            self.bring_back(&mut world, opening);
        }
        world
    }

    fn follow(&mut self, state: &World, into: &mut Vec<(Action, World)>) {
        let mut actions = Vec::new();
        let busy = self.of_seats(state, &mut actions);
        self.of_hosts(state, &mut actions);
        if self.setup.prompt && self.follow_prompt(state, &actions, into) {
            return;
        }
        self.faults(state, &mut actions);
        if state.time < self.until && !busy {
            actions.push(Action::Second);
        }
        for action in actions {
            let after = self.after(state, action);
            if after != *state {
                into.push((action, after));
            }
        }
    }

    fn violated(&self, state: &World) -> Option<&'static str> {
        let place = usize::from(state.violated).checked_sub(1)?;
        INVARIANTS.get(place).copied()
    }

    fn tell(&self, before: &World, action: Action, after: &World) -> String {
        super::story::line(&self.tables, before, action, after)
    }
}

/// Every run of a state.
pub(super) fn runs(durable: &Durable) -> impl Iterator<Item = &Run> {
    durable.run.iter().chain(&durable.past_runs)
}

/// Whether a run has the old agent's proof that its database is stopped.
pub(super) fn is_fenced(run: &Run) -> bool {
    let mut fences = run
        .plan
        .steps
        .iter()
        .filter(|step| step.work.kind() == "fence")
        .peekable();
    fences.peek().is_some()
        && fences.all(|step| matches!(run.outcome(step.number), Some(StepOutcome::Done { .. })))
}
