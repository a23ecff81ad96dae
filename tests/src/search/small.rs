//! The small world as a model that can be searched: what may happen in a state, and what follows from it.

use std::collections::HashMap;

use decision::{Durable, Run, StepOutcome};
use shared::id::Nonce;
use shared::stack::{Policy, StoreLoss};
use shared::wire::Ticket;
use uuid::Uuid;

use super::coordinator::{Coordinators, Opening, Order, Told, is_halted};
use super::engine::Model;
use super::ground::{self, Tables, node, site, span};
use super::host::{Effect, Event, Find, Host, Life, Renewal, Rules, Stage, View, view};
use super::setup::{Faults, Flaw, Kind, Setup};
use super::table::Id;
use super::world::{Action, INVARIANTS, Invariant, Seat, Store, World, Write};

/// What a host's event came to.
#[derive(Debug, Clone, Copy)]
struct Came {
    host: Id,
    report: Option<Id>,
    begun: Option<Id>,
    promoted: Option<Id>,
    confirmed: bool,
    repeated: bool,
}

/// The model of one setup.
pub(super) struct Small {
    setup: Setup,
    policy: Policy,
    tables: Tables,
    coordinators: Coordinators,
    rules: Rules,
    lived: HashMap<(Id, u8, Event), Came>,
    until: u8,
    approve_until: u8,
    /// The state before the approval, for a leader that reads what is old.
    old_durable: Id,
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

    fn host(&self, world: &World, number: u8) -> std::rc::Rc<Host> {
        self.tables.hosts.get(world.hosts[usize::from(number)])
    }

    fn ticket(&self, world: &World) -> std::rc::Rc<Ticket> {
        self.tables.tickets.get(world.store.ticket)
    }

    /// A host lives through something.
    fn live(&mut self, world: &mut World, number: u8, event: Event) -> Came {
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

    fn views(&self, world: &World) -> [Option<View>; 2] {
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

    fn tell(&mut self, world: &mut World, seat: u8, told: Told) {
        let index = usize::from(seat);
        if let Some(core) = world.seats[index].core {
            let tables = &mut self.tables;
            let after = self
                .coordinators
                .tell(tables, (core, seat), world.time, told);
            world.seats[index].core = Some(after);
        }
    }

    /// A coordinator does its core's next order. False when there was none.
    fn perform(&mut self, world: &mut World, number: u8) -> bool {
        let index = usize::from(number);
        let seat = world.seats[index];
        let Some(core) = seat.core.filter(|_| seat.write == Write::None) else {
            return false;
        };
        let (mut after, mut order) = self.coordinators.next(&mut self.tables, core);
        if self.setup.has(Flaw::SendBeforePersist) && matches!(order, Order::State(_)) {
            let (later, second) = self.coordinators.next(&mut self.tables, after);
            if matches!(second, Order::Send { .. }) {
                (after, order) = (later, second);
            }
        }
        world.seats[index].core = Some(after);
        match order {
            Order::Nothing => return after != core,
            Order::State(durable) => self.write_state(world, index, durable),
            Order::Ticket { from, to } => {
                world.seats[index].write = Write::Asked { from, to };
                if self.setup.has(Flaw::WaitFromRequest) {
                    world.seats[index].write = Write::None;
                    self.tell(world, number, Told::Written(to));
                    world.seats[index].write = Write::Asked { from, to };
                }
            }
            Order::Send { host, command } => self.send(world, index, host, command),
        }
        true
    }

    /// The state is written by compare-and-set on what this coordinator knows; one that lost it leads no more.
    fn write_state(&mut self, world: &mut World, index: usize, durable: Id) {
        let seat = &mut world.seats[index];
        let blind = self.setup.has(Flaw::ReplayedApproval);
        if world.store.durable != seat.known && !blind {
            *seat = Seat {
                write: seat.write,
                ..Seat::default()
            };
            return;
        }
        seat.known = durable;
        world.store.durable = durable;
        let written = self.tables.durables.get(durable);
        for run in runs(&written) {
            let first = *world
                .run
                .get_or_insert_with(|| self.tables.runs.keep((run.id, run.proposal)));
            let first = self.tables.runs.get(first);
            if first.1 == run.proposal && first.0 != run.id {
                world.violate(Invariant::ApprovalOnce);
            }
        }
    }

    fn send(&self, world: &mut World, index: usize, host: u8, id: Id) {
        let seat = world.seats[index];
        if seat.term < world.store.term {
            world.violate(Invariant::Lead);
        }
        let command = self.tables.commands.get(id);
        let known = self.tables.durables.get(seat.known);
        let intended = known.run.as_ref().is_some_and(|run| {
            let record = run.steps.get(&command.step);
            run.id == command.run && record.and_then(|record| record.command) == Some(command.id)
        });
        if !intended {
            world.violate(Invariant::Intent);
        }
        let lane = &mut world.orders[usize::from(host)];
        let old = (self.setup.faults.old_orders > 0)
            .then_some(lane[0])
            .flatten();
        *lane = [Some(id), old];
    }

    /// A coordinator's write of the ticket reaches the store, which compares it with what it holds.
    fn arrive(&mut self, world: &mut World, number: u8) {
        let index = usize::from(number);
        let Write::Asked { from, to } = world.seats[index].write else {
            return;
        };
        let have = self.ticket(world);
        let expected = self.tables.tickets.get(from);
        let wanted = self.tables.tickets.get(to);
        let blind = self.setup.has(Flaw::TicketOverwritten);
        let done = have.same_right(&wanted);
        if !have.same_right(&expected) && !blind && !done {
            world.seats[index].write = Write::Refused(world.store.ticket);
            return;
        }
        world.seats[index].write = Write::Accepted(to);
        if done && !blind {
            world.seats[index].write = Write::Accepted(world.store.ticket);
            return;
        }
        world.store.ticket = to;
        let fell =
            wanted.epoch < have.epoch || wanted.epoch == have.epoch && wanted.holder != have.holder;
        if fell {
            world.violate(Invariant::Epoch);
        }
        if wanted.epoch > have.epoch {
            world.revoked = world.time;
        } else if wanted.grant.is_some() {
            self.judge_wait(world, number);
        }
    }

    /// I6: a grant comes after the wait, or after a proof, by the granting coordinator's clock.
    fn judge_wait(&self, world: &mut World, number: u8) {
        let ticks = world.time.saturating_sub(world.revoked);
        let rate = self.setup.rates[usize::from(number) + 1];
        let durable = self.tables.durables.get(world.store.durable);
        let fenced = durable.run.as_ref().is_some_and(is_fenced);
        if !fenced && span(ticks, rate) < self.policy.epoch_wait_ms {
            world.violate(Invariant::Wait);
        }
    }

    fn acknowledge(&mut self, world: &mut World, number: u8) {
        let index = usize::from(number);
        let write = std::mem::take(&mut world.seats[index].write);
        match write {
            Write::Accepted(ticket) => self.tell(world, number, Told::Written(ticket)),
            Write::Refused(found) => self.tell(world, number, Told::Conflict(found)),
            Write::None | Write::Asked { .. } => {}
        }
    }

    /// A renewal reaches the store: accepted while its site holds the right.
    fn renew(&mut self, world: &mut World, number: u8) {
        let ticket = self.ticket(world);
        let holds = ticket.holder == site(number.into()) && ticket.grant.is_some();
        let stale = self.setup.has(Flaw::RenewedByRead);
        if holds {
            let mut renewed = (*ticket).clone();
            renewed.leases.insert(
                node(number.into()),
                shared::wire::Lease {
                    renewals: u64::from(world.time) + 1,
                    promise: Some(shared::wire::LeasePromise {
                        stop_bound_ms: self.policy.lease.stop_bound_ms(),
                        deadman: true,
                        stack_version: ground::VERSION,
                    }),
                },
            );
            world.store.ticket = self.tables.tickets.keep(renewed);
        }
        self.live(world, number, Event::Renewed(holds || stale));
    }

    fn take_over(&mut self, world: &mut World, number: u8) {
        world.store.term += 1;
        let term = world.store.term;
        let other = 1 - usize::from(number);
        if !self.setup.has(Flaw::LeadLostUnnoticed) {
            world.seats[other] = Seat {
                write: orphan(world.seats[other].write),
                ..Seat::default()
            };
        }
        let durable = if self.setup.has(Flaw::ReplayedApproval) {
            self.old_durable
        } else {
            world.store.durable
        };
        let kept = (durable, world.store.ticket);
        let views = self.views(world);
        let core =
            self.coordinators
                .lead(&mut self.tables, (number, world.time, term), kept, views);
        world.seats[usize::from(number)] = Seat {
            core: Some(core),
            known: durable,
            term,
            write: orphan(world.seats[usize::from(number)].write),
        };
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

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the few actions that matter here stand out; any other is no such one"
    )]
    fn is_possible(&self, world: &World, may: Faults, action: Action) -> bool {
        let spent = world.spent;
        let host = |number: u8| self.host(world, number);
        let runs = |number: u8| {
            let host = host(number);
            host.life == Life::Up && !host.paused
        };
        match action {
            Action::Hang(0) => spent.hangs < may.hangs && runs(0),
            Action::Resume(0) => host(0).life == Life::Hung && !host(0).paused,
            Action::Kill(0) => spent.kills < may.kills && runs(0),
            Action::Kill(_) => spent.target_kills < may.target_kills && runs(1),
            Action::Start(number) => host(number).life == Life::Killed && !host(number).paused,
            Action::PowerOff => spent.power < may.power && host(0).life != Life::Off,
            Action::Pause => spent.pauses < may.pauses && !host(0).paused,
            Action::Continue => host(0).paused,
            Action::Return => spent.returns < may.returns && !world.heard,
            _ => false,
        }
    }

    fn faults(&self, world: &World, into: &mut Vec<Action>) {
        let may = self.setup.faults;
        let all = [
            Action::Hang(0),
            Action::Resume(0),
            Action::Kill(0),
            Action::Kill(1),
            Action::Start(0),
            Action::Start(1),
            Action::PowerOff,
            Action::Pause,
            Action::Continue,
            Action::Return,
        ];
        into.extend(
            all.into_iter()
                .filter(|action| self.is_possible(world, may, *action)),
        );
        self.of_coordinators(world, into);
    }

    /// A coordinator dies, and another takes the lead.
    fn of_coordinators(&self, world: &World, into: &mut Vec<Action>) {
        let may = self.setup.faults;
        for seat in 0..2 {
            let leads = world.seats[usize::from(seat)].core.is_some();
            let crashes_left = world.spent.crashes < may.crashes;
            if leads && crashes_left {
                into.push(Action::Crash(seat));
            }
            let nobody = world.seats.iter().all(|seat| seat.core.is_none());
            if nobody && world.store.term <= may.crashes.max(1) {
                into.push(Action::TakeOver(seat));
            }
        }
        let over = self.setup.has(Flaw::LeadLostUnnoticed) && world.store.term == 1;
        if over && world.seats[0].core.is_some() {
            into.push(Action::TakeOver(1));
        }
    }

    fn of_hosts(&self, world: &World, into: &mut Vec<Action>) {
        for number in 0..2_u8 {
            let host = self.host(world, number);
            if host.paused {
                continue;
            }
            let works = host.life == Life::Up;
            match host.renewal {
                Renewal::Sent(..) => into.push(Action::Renew(number)),
                Renewal::Answered(..) if works => into.push(Action::Renewed(number)),
                Renewal::Answered(..) | Renewal::None => {}
            }
            if !works {
                continue;
            }
            match host.errand.map(|errand| errand.stage) {
                Some(Stage::Asking(_)) => into.push(Action::Confirm(number)),
                Some(Stage::Begun | Stage::Confirmed(_)) => into.push(Action::Work(number)),
                None => {}
            }
            for slot in 0..2_u8 {
                if world.orders[usize::from(number)][usize::from(slot)].is_some() {
                    into.push(Action::Deliver(number, slot));
                }
            }
        }
        self.of_peers(world, into);
    }

    /// The old primary asks its peers directly.
    fn of_peers(&self, world: &World, into: &mut Vec<Action>) {
        if self.policy.lease.store_loss != StoreLoss::Failsafe {
            return;
        }
        let old = self.host(world, 0);
        let Some((_, words)) = old.asked.filter(|_| !old.paused) else {
            return;
        };
        let target = self.host(world, 1);
        let knows_more = target.record.epoch() > self.ticket_epoch_of_opening();
        if !words[0] && target.life == Life::Up && !knows_more {
            into.push(Action::Vouch(0));
        }
        if !words[1] {
            into.push(Action::Vouch(1));
        }
        if old.life == Life::Up && self.rules.may_extend(&old) {
            into.push(Action::Extend);
        }
    }

    fn ticket_epoch_of_opening(&self) -> shared::epoch::Epoch {
        self.tables.durables.get(self.old_durable).epoch_max
    }

    fn of_seats(&mut self, world: &World, into: &mut Vec<Action>) -> bool {
        let mut busy = false;
        for number in 0..2_u8 {
            let seat = world.seats[usize::from(number)];
            match seat.write {
                Write::Asked { .. } => into.push(Action::Arrive(number)),
                Write::Accepted(_) | Write::Refused(_) if seat.core.is_some() => {
                    into.push(Action::Acknowledge(number));
                }
                Write::Accepted(_) | Write::Refused(_) | Write::None => {}
            }
            let Some(core) = seat.core else { continue };
            if seat.write == Write::None {
                let (_, order) = self.coordinators.next(&mut self.tables, core);
                if order != Order::Nothing {
                    into.push(Action::Perform(number));
                    busy = true;
                    continue;
                }
            }
            for host in 0..2_u8 {
                if world.words[usize::from(host)].is_some() && (host == 1 || world.heard) {
                    into.push(Action::Hear(number, host));
                }
            }
            self.of_operator(world, number, core, into);
        }
        busy
    }

    fn of_operator(&self, world: &World, seat: u8, core: Id, into: &mut Vec<Action>) {
        let again = self.setup.has(Flaw::ReplayedApproval);
        let core = self.tables.cores.get(core);
        let open = core.durable().is_some_and(|d| d.open_proposal().is_some());
        let knows = self.setup.kind == Kind::Attested && !self.setup.has(Flaw::BlindOperator);
        let stopped = || !self.rules.writes(&self.host(world, 0), world.time);
        let early = world.time <= self.approve_until;
        if open && early && world.approvals < 1 + u8::from(again) && (!knows || stopped()) {
            into.push(Action::Approve(seat));
        }
        if world.spent.decisions < self.setup.faults.decisions && is_halted(&core) {
            into.push(Action::Decide(seat, false));
            if !knows || stopped() {
                into.push(Action::Decide(seat, true));
            }
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
fn runs(durable: &Durable) -> impl Iterator<Item = &Run> {
    durable.run.iter().chain(&durable.past_runs)
}

/// Whether a run has the old agent's proof that its database is stopped.
fn is_fenced(run: &Run) -> bool {
    let mut fences = run
        .plan
        .steps
        .iter()
        .filter(|step| step.work.kind() == "fence")
        .peekable();
    fences.peek().is_some()
        && fences.all(|step| matches!(run.outcome(step.number), Some(StepOutcome::Done { .. })))
}

/// What is left of a write when its coordinator is gone: what was not at the store may still get there.
const fn orphan(write: Write) -> Write {
    match write {
        Write::Asked { from, to } => Write::Asked { from, to },
        Write::None | Write::Accepted(_) | Write::Refused(_) => Write::None,
    }
}
