//! What may happen in a state of the small world.

use shared::stack::StoreLoss;

use super::coordinator::{Order, is_halted};
use super::host::{Life, Renewal, Stage};
use super::setup::{Faults, Flaw, Kind};
use super::table::Id;
use super::world::{Action, World, Write};

use super::small::Small;

impl Small {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the few actions that matter here stand out; any other is no such one"
    )]
    pub(super) fn is_possible(&self, world: &World, may: Faults, action: Action) -> bool {
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

    pub(super) fn faults(&self, world: &World, into: &mut Vec<Action>) {
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
    pub(super) fn of_coordinators(&self, world: &World, into: &mut Vec<Action>) {
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

    pub(super) fn of_hosts(&self, world: &World, into: &mut Vec<Action>) {
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
    pub(super) fn of_peers(&self, world: &World, into: &mut Vec<Action>) {
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

    pub(super) fn ticket_epoch_of_opening(&self) -> shared::epoch::Epoch {
        self.tables.durables.get(self.old_durable).epoch_max
    }

    pub(super) fn of_seats(&mut self, world: &World, into: &mut Vec<Action>) -> bool {
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

    pub(super) fn of_operator(&self, world: &World, seat: u8, core: Id, into: &mut Vec<Action>) {
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
