//! Sites that lose their power and get it back, and what starts there by itself.

use shared::id::{NodeName, SiteName};

use super::breakage::Mend;
use super::database::Port;
use super::fault_kind::FaultKind;
use super::world::{Event, World};

impl World {
    /// A whole site loses its power.
    pub(super) fn darken(&mut self, kind: FaultKind, site: &SiteName, span: u64) {
        if self.network.dark.contains(site) {
            return;
        }
        let stays = self.lost_for_good && *site == *self.stack.first_primary();
        let span = if stays { u64::MAX / 4 } else { span };
        self.befall(kind, site, span);
        self.cut_power(site);
        if !stays {
            self.plan(span, Event::Mend(Mend::Power(site.clone())));
        }
    }

    fn cut_power(&mut self, site: &SiteName) {
        self.network.dark.insert(site.clone());
        if let Some(seat) = self.seats.get_mut(site) {
            seat.crash();
        }
        for worker in self
            .workers
            .values_mut()
            .filter(|worker| worker.site == *site)
        {
            worker.lose_power();
        }
    }

    /// A person, or a fence, switches a site off, and it stays so until somebody says otherwise.
    pub(super) fn switch_off(&mut self, site: &SiteName) {
        self.operator.off.insert(site.clone());
        if self.network.dark.contains(site) {
            return;
        }
        self.say(format_args!("{site} is switched off"));
        self.cut_power(site);
    }

    pub(super) fn lighten(&mut self, site: &SiteName) {
        if self.operator.off.contains(site) {
            self.say(format_args!("{site} is kept off"));
            return;
        }
        self.network.dark.remove(site);
        self.lit_at = self.time;
        self.plan(500, Event::SeatRestart { site: site.clone() });
        let here = self.workers.values().filter(|worker| worker.site == *site);
        for node in here.map(|worker| worker.node.clone()).collect::<Vec<_>>() {
            if let Some(worker) = self.workers.get_mut(&node) {
                let closed = worker.keeper.guards();
                if let Some(database) = &mut worker.database {
                    database.port = if closed { Port::Closed } else { Port::Open };
                }
            }
            let after = self.dice.between(100, 2_000);
            self.plan(after, Event::WorkerRestart { node: node.clone() });
            let later = self.dice.between(100, 4_000);
            self.plan(later, Event::DatabaseStart { node });
        }
    }

    /// The host's own way of starting its database: past the gate where there is one, else at once.
    pub(super) fn database_start(&mut self, node: &NodeName) {
        let live = self.live_site();
        let Some(worker) = self.workers.get_mut(node) else {
            return;
        };
        if self.network.dark.contains(&worker.site) {
            return;
        }
        let fenced = worker.record.fenced().is_some();
        let gate = worker.keeper.has_gate && !worker.serves_by_word();
        let ordered_down = worker
            .record
            .entries()
            .last()
            .is_some_and(|entry| entry.command.action.kind() == "fence");
        let unguarded = worker.is_unguarded(&live);
        let Some(database) = &mut worker.database else {
            return;
        };
        if database.hangs || ordered_down {
            return;
        }
        self.ungated |= !gate && unguarded;
        if gate && database.primary {
            worker.keeper.wants_start = !fenced;
        } else {
            database.up = true;
        }
    }

    pub(super) fn worker_restart(&mut self, node: &NodeName) {
        let (time, process) = (self.time, self.dice.uuid());
        let Some(worker) = self.workers.get_mut(node) else {
            return;
        };
        if worker.up || self.network.dark.contains(&worker.site) {
            return;
        }
        worker.restart(time, process);
        let life = worker.life;
        let has_database = worker.database.is_some();
        self.plan(
            1,
            Event::WorkerBeat {
                node: node.clone(),
                life,
            },
        );
        if has_database {
            let node = node.clone();
            self.plan(2, Event::Look { node, life });
        }
    }

    /// An agent's process ends, and is started again a little later.
    pub(super) fn end_worker(&mut self, node: &NodeName) {
        if let Some(worker) = self.workers.get_mut(node).filter(|worker| worker.up) {
            worker.crash();
        }
        let after = self.dice.between(300, 6_000);
        self.plan(after, Event::WorkerRestart { node: node.clone() });
    }
}
