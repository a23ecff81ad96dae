//! Faults of one host: its agent, its disk, its clocks and its database.

use shared::id::NodeName;

use super::breakage::Mend;
use super::database::Database;
use super::fault_kind::FaultKind;
use super::worker::Worker;
use super::world::{Event, World};

impl World {
    pub(super) fn break_host(&mut self, kind: FaultKind, node: &NodeName, span: u64) {
        let time = self.time;
        if kind == FaultKind::AgentCrash {
            self.befall(kind, node, 6_000);
            self.end_worker(node);
        } else if kind == FaultKind::AgentCrashAtWrite {
            let written = self.dice.permille(500);
            self.hurt(kind, node, 6_000, |worker, _| {
                worker.dies_at_write = Some(written);
            });
        } else if kind == FaultKind::AgentPause {
            self.hurt(kind, node, span, |worker, until| {
                worker.paused_until = until;
            });
        } else if kind == FaultKind::AgentDiskFull {
            self.hurt(kind, node, span, |worker, _| worker.disk_full = true);
        } else if kind == FaultKind::SlowHost {
            self.hurt(kind, node, span, |worker, until| worker.slow_until = until);
        } else if kind == FaultKind::VmPause {
            self.hurt(kind, node, span, |worker, until| {
                worker.host_paused_until = worker.host_paused_until.max(until);
                worker.clock.stop(time);
            });
        } else if kind == FaultKind::ClockRate {
            self.run_wild(node, span);
        } else if kind == FaultKind::WallJump {
            self.jump(node);
        } else if kind == FaultKind::StartedByHand {
            self.start_by_hand(node);
        } else if kind == FaultKind::WorkloadsStarted {
            self.start_workloads(node, span);
        } else {
            self.break_database(kind, node, span);
        }
    }

    /// Does something to a host, and plans that it ends.
    fn hurt(
        &mut self,
        kind: FaultKind,
        node: &NodeName,
        span: u64,
        act: impl FnOnce(&mut Worker, u64),
    ) {
        self.befall(kind, node, span);
        let until = self.time + span;
        if let Some(worker) = self.workers.get_mut(node) {
            act(worker, until);
        }
        self.plan(span, Event::Mend(Mend::Host(node.clone())));
    }

    /// A clock outside the bound of which the policy speaks.
    fn run_wild(&mut self, node: &NodeName, span: u64) {
        let time = self.time;
        let rate = i64::try_from(self.dice.between(5_000, 200_000)).unwrap_or(0);
        let rate = if self.dice.permille(500) { rate } else { -rate };
        let coordinator = self.dice.permille(300);
        self.befall(FaultKind::ClockRate, node, span);
        if let Some(worker) = self.workers.get_mut(node) {
            if coordinator && let Some(seat) = self.seats.get_mut(&worker.site) {
                seat.clock.drift_by(time, rate);
            } else {
                worker.clock.drift_by(time, rate);
            }
        }
        self.plan(span, Event::Mend(Mend::Host(node.clone())));
    }

    fn jump(&mut self, node: &NodeName) {
        let jump = i64::try_from(self.dice.between(0, 14_400_000)).unwrap_or(0) - 7_200_000;
        let coordinator = self.dice.permille(500);
        self.befall(FaultKind::WallJump, node, 0);
        if let Some(worker) = self.workers.get_mut(node) {
            worker.clock.jump(jump / 2);
            if coordinator && let Some(seat) = self.seats.get_mut(&worker.site) {
                seat.clock.jump(jump);
            }
        }
    }

    /// Somebody starts a database past the gate. Nothing guards it when its agent never learnt that it should.
    fn start_by_hand(&mut self, node: &NodeName) {
        let live = self.live_site();
        let worker = self.workers.get_mut(node);
        let lit = worker.filter(|worker| !self.network.dark.contains(&worker.site));
        let Some(worker) = lit else { return };
        let unguarded = worker.is_unguarded(&live);
        let stands = |database: &&mut Database| !database.up && !database.hangs;
        if let Some(database) = worker.database.as_mut().filter(stands) {
            database.up = true;
            self.ungated |= unguarded;
            self.befall(FaultKind::StartedByHand, node, 0);
        }
    }

    fn start_workloads(&mut self, node: &NodeName, span: u64) {
        let live = self.live_site();
        let passive = self.workers.get_mut(node).filter(|w| w.site != live);
        if let Some(workloads) = passive.and_then(|worker| worker.workloads.as_mut()) {
            for count in workloads.values_mut() {
                *count = 1;
            }
            self.befall(FaultKind::WorkloadsStarted, node, span);
            let mend = Mend::Host(node.clone());
            self.plan(span, Event::Mend(mend));
        }
    }

    fn break_database(&mut self, kind: FaultKind, node: &NodeName, span: u64) {
        let standby = kind == FaultKind::ReplicationStop;
        let Some(worker) = self.workers.get_mut(node) else {
            return;
        };
        let Some(database) = worker.database.as_mut().filter(|d| d.up) else {
            return;
        };
        if database.primary == standby {
            return;
        }
        if standby {
            database.receives = false;
        } else if kind == FaultKind::DatabaseHang {
            database.hangs = true;
        } else if kind == FaultKind::LocalFailover {
            database.recovers = true;
        } else {
            database.up = false;
        }
        self.befall(kind, node, span);
        if kind == FaultKind::DatabaseStop {
            self.plan(span, Event::DatabaseStart { node: node.clone() });
        } else {
            self.plan(span, Event::Mend(Mend::Host(node.clone())));
        }
    }

    /// A host is as it should be, but for what it decided itself.
    pub(super) fn mend_host(&mut self, node: &NodeName) {
        let time = self.time;
        let live = self.live_site();
        let calm = time >= super::world::FAULTY;
        let Some(worker) = self.workers.get_mut(node) else {
            return;
        };
        worker.disk_full = false;
        worker.clock.drift_by(time, 100);
        if let Some(seat) = self.seats.get_mut(&worker.site) {
            seat.clock.drift_by(time, -100);
        }
        if calm {
            worker.host_paused_until = worker.host_paused_until.min(time);
        }
        if time >= worker.host_paused_until {
            worker.clock.go(time);
        }
        if let Some(database) = &mut worker.database {
            database.receives = true;
            database.recovers = false;
            database.hangs = false;
            if std::mem::take(&mut database.stop_ordered) {
                database.stop();
            }
        }
        if worker.site != live
            && let Some(workloads) = &mut worker.workloads
        {
            for count in workloads.values_mut() {
                *count = 0;
            }
        }
    }
}
