//! Which faults befall a history, and when: each history has its own few kinds, so that they meet each other.

use shared::id::{NodeName, SiteName};

use super::fault_kind::FaultKind;
use super::world::{Event, FAULTY, World};

/// Faults begin then: by then everybody has heard everybody.
pub(super) const FIRST: u64 = 6_500;

/// One fault that befell the world.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instance {
    pub(super) kind: FaultKind,
    /// Until when its own effect lasts.
    pub(super) until: u64,
}

impl World {
    /// The kinds of this history.
    pub(super) fn draw_mix(&mut self) {
        let count = self.dice.between(2, 5);
        for _ in 0..count {
            if let Some(kind) = self.dice.pick(&FaultKind::ALL).copied() {
                self.mix.push(kind);
            }
        }
        if self.dice.permille(650) {
            self.mix.push(FaultKind::LiveSiteDark);
        }
    }

    pub(super) fn make_fault(&mut self) {
        let next = self.dice.between(500, 6_000);
        if self.time + next < FAULTY {
            self.plan(next, Event::Fault);
        }
        let (sites, mix) = (self.sites.clone(), std::mem::take(&mut self.mix));
        let kind = self.dice.pick(&mix).copied();
        self.mix = mix;
        let nodes: Vec<NodeName> = self.workers.keys().cloned().collect();
        let drawn = (
            kind,
            self.dice.pick(&sites).cloned(),
            self.dice.pick(&sites).cloned(),
            self.dice.pick(&nodes).cloned(),
        );
        if let (Some(kind), Some(a), Some(b), Some(node)) = drawn {
            self.inflict(kind, &a, &b, &node);
        }
    }

    fn inflict(&mut self, kind: FaultKind, a: &SiteName, b: &SiteName, node: &NodeName) {
        let span = self.dice.between(300, 16_000);
        match kind {
            FaultKind::LiveSiteDark => {
                let live = self.live_site();
                self.darken(kind, &live, span);
            }
            FaultKind::SiteDark => self.darken(kind, a, span),
            FaultKind::SiteCutOff
            | FaultKind::DeafOutside
            | FaultKind::LinkCut
            | FaultKind::WayCut
            | FaultKind::BusDown
            | FaultKind::BusGone
            | FaultKind::Loss
            | FaultKind::Delay
            | FaultKind::Doubling => self.break_network(kind, a, b, span),
            FaultKind::StoreElection
            | FaultKind::StaleReads
            | FaultKind::LostWrites
            | FaultKind::StoreRemade => self.break_store(kind, span),
            FaultKind::CoordinatorCrash => {
                self.befall(kind, a, 6_000);
                self.crash_seat(a);
            }
            FaultKind::CoordinatorCrashAtWrite => {
                let sent = self.dice.permille(500);
                self.befall(kind, a, 6_000);
                if let Some(seat) = self.seats.get_mut(a) {
                    seat.dies_at_write = Some(sent);
                }
            }
            FaultKind::CoordinatorPause => {
                self.befall(kind, a, span);
                let until = self.time + span;
                if let Some(seat) = self.seats.get_mut(a) {
                    seat.paused_until = until;
                }
            }
            FaultKind::OldCommand | FaultKind::OldApproval => self.repeat_old(kind),
            FaultKind::StackChange => self.change_stack(),
            FaultKind::GlassBroken => self.threaten(),
            FaultKind::AgentCrash
            | FaultKind::AgentCrashAtWrite
            | FaultKind::AgentPause
            | FaultKind::AgentDiskFull
            | FaultKind::VmPause
            | FaultKind::ClockRate
            | FaultKind::WallJump
            | FaultKind::SlowHost
            | FaultKind::DatabaseStop
            | FaultKind::DatabaseHang
            | FaultKind::LocalFailover
            | FaultKind::ReplicationStop
            | FaultKind::StartedByHand
            | FaultKind::WorkloadsStarted => self.break_host(kind, node, span),
        }
    }

    /// A fault is counted, with the time that its own effect lasts.
    pub(super) fn befall(&mut self, kind: FaultKind, what: &impl std::fmt::Display, span: u64) {
        self.say(format_args!("fault: {} {what} for {span} ms", kind.word()));
        self.faults[kind.index()] += 1;
        self.instances.push(Instance {
            kind,
            until: self.time + span,
        });
    }

    /// True once a fault of this kind befell the world.
    pub(super) fn has_befallen(&self, kind: FaultKind) -> bool {
        self.faults[kind.index()] > 0
    }

    /// The site that holds the right to be live, by the store's truth.
    pub(super) fn live_site(&self) -> SiteName {
        let of_ticket = self.store.ticket.value.as_ref();
        of_ticket.map_or_else(
            || self.stack.first_primary().clone(),
            |ticket| ticket.holder.clone(),
        )
    }

    fn repeat_old(&mut self, kind: FaultKind) {
        if kind == FaultKind::OldApproval {
            let approvals = std::mem::take(&mut self.operator.approvals);
            let old = self.dice.pick(&approvals).cloned();
            self.operator.approvals = approvals;
            if let Some(old) = old {
                self.befall(kind, &"again", 0);
                self.ask_leader(decision::Ask::Approve(old));
            }
            return;
        }
        let sent = std::mem::take(&mut self.sent);
        let old = self.dice.pick(&sent).cloned();
        self.sent = sent;
        if let Some((command, from, asker)) = old {
            self.befall(kind, &command.node, 0);
            let command = Box::new(command);
            self.plan(
                1,
                Event::Command {
                    command,
                    from,
                    asker,
                },
            );
        }
    }

    /// Another version of the stack is wanted: other waits, or another way of self-fencing.
    fn change_stack(&mut self) {
        let fencing = self.dice.permille(600);
        let mut stack = self
            .store
            .stack
            .value
            .as_ref()
            .map_or_else(|| self.stack.clone(), |(_, stack)| stack.clone());
        if fencing {
            self.choose_fencing(&mut stack.policy);
        } else {
            stack.policy.proposal_expiry_ms.0 += self.dice.between(1, 5_000);
            stack.policy.confirm_ms.0 += self.dice.between(0, 3_000);
        }
        if stack.policy.lease.enforces() {
            self.befall(FaultKind::StackChange, &"with self-fencing", 3_000);
        } else {
            self.befall(FaultKind::StackChange, &"without self-fencing", 3_000);
            self.always_enforced = false;
        }
        self.operator.wanted = Some(Box::new(stack));
    }

    /// No further faults; what is broken is mended, but for a site that is lost for good.
    pub(super) fn heal(&mut self) {
        self.say("healed");
        let time = self.time;
        self.network.heal();
        self.moved_at = time;
        self.store.stale = None;
        for seat in self.seats.values_mut() {
            seat.dies_at_write = None;
            seat.paused_until = seat.paused_until.min(time);
        }
        for worker in self.workers.values_mut() {
            worker.disk_full = false;
            worker.dies_at_write = None;
            worker.paused_until = worker.paused_until.min(time);
            worker.slow_until = 0;
        }
        let nodes: Vec<NodeName> = self.workers.keys().cloned().collect();
        for node in nodes {
            self.mend_host(&node);
        }
    }
}
