//! What coordinators and agents do to the store, and what must hold when they do.

use super::coordinator::{Order, Told};
use super::ground::{self, node, site, span};
use super::host::Event;
use super::setup::Flaw;
use super::table::Id;
use super::world::{Invariant, Seat, World, Write};

use super::small::{Small, is_fenced, runs};

impl Small {
    /// A coordinator does its core's next order. False when there was none.
    pub(super) fn perform(&mut self, world: &mut World, number: u8) -> bool {
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
    pub(super) fn write_state(&mut self, world: &mut World, index: usize, durable: Id) {
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

    pub(super) fn send(&self, world: &mut World, index: usize, host: u8, id: Id) {
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
    pub(super) fn arrive(&mut self, world: &mut World, number: u8) {
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
    pub(super) fn judge_wait(&self, world: &mut World, number: u8) {
        let ticks = world.time.saturating_sub(world.revoked);
        let rate = self.setup.rates[usize::from(number) + 1];
        let durable = self.tables.durables.get(world.store.durable);
        let fenced = durable.run.as_ref().is_some_and(is_fenced);
        if !fenced && span(ticks, rate) < self.policy.epoch_wait_ms {
            world.violate(Invariant::Wait);
        }
    }

    pub(super) fn acknowledge(&mut self, world: &mut World, number: u8) {
        let index = usize::from(number);
        let write = std::mem::take(&mut world.seats[index].write);
        match write {
            Write::Accepted(ticket) => self.tell(world, number, Told::Written(ticket)),
            Write::Refused(found) => self.tell(world, number, Told::Conflict(found)),
            Write::None | Write::Asked { .. } => {}
        }
    }

    /// A renewal reaches the store: accepted while its site holds the right.
    pub(super) fn renew(&mut self, world: &mut World, number: u8) {
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

    pub(super) fn take_over(&mut self, world: &mut World, number: u8) {
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
}

/// What is left of a write when its coordinator is gone: what was not at the store may still get there.
pub(super) const fn orphan(write: Write) -> Write {
    match write {
        Write::Asked { from, to } => Write::Asked { from, to },
        Write::None | Write::Accepted(_) | Write::Refused(_) => Write::None,
    }
}
