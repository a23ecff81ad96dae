//! Faults: what is broken, for how long, and how it is mended.

use shared::id::{NodeName, SiteName};

use super::world::{Event, FAULTY, World};

/// One fault that will be mended.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    SiteDark(SiteName),
    SiteCutOff(SiteName),
    LinkCut(SiteName, SiteName),
    WayCut(SiteName, SiteName),
    BusDown(SiteName),
    Weather,
}

impl World {
    pub(super) fn make_fault(&mut self) {
        let next = self.dice.between(500, 9_000);
        if self.time + next < FAULTY {
            self.plan(next, Event::Fault);
        }
        let sites = self.sites.clone();
        let (Some(a), Some(b)) = (
            self.dice.pick(&sites).cloned(),
            self.dice.pick(&sites).cloned(),
        ) else {
            return;
        };
        let live = self.stack.first_primary().clone();
        let nodes: Vec<NodeName> = self.workers.keys().cloned().collect();
        let Some(node) = self.dice.pick(&nodes).cloned() else {
            return;
        };
        let span = self.dice.between(300, 25_000);
        match self.dice.between(0, 15) {
            0..=2 => self.darken(&live, span),
            3 => self.darken(&a, span),
            4 => self.break_for(span, "site cut off", Fault::SiteCutOff(live)),
            5 if a != b => self.break_for(span, "link cut", Fault::LinkCut(a, b)),
            6 if a != b => self.break_for(span, "way cut", Fault::WayCut(a, b)),
            7 => self.break_for(span, "bus down", Fault::BusDown(a)),
            8 => self.break_for(span, "weather", Fault::Weather),
            9 => self.fault("coordinator crash", &a, |world, site| {
                world.crash_seat(site);
            }),
            10 | 11 => {
                let sent = self.dice.permille(500);
                self.fault("crash at a write", &a, |world, site| {
                    if let Some(seat) = world.seats.get_mut(site) {
                        seat.dies_at_write = Some(sent);
                    }
                });
            }
            12 => self.fault("coordinator pause", &a, |world, site| {
                let until = world.time + world.dice.between(1_000, 12_000);
                if let Some(seat) = world.seats.get_mut(site) {
                    seat.paused_until = until;
                }
            }),
            13 => self.crash_worker(&node),
            14 => self.stop_database(&node),
            _ => self.fault("wall clock jump", &a, |world, site| {
                let jump = world.dice.between(0, 7_200_000);
                if let Some(seat) = world.seats.get_mut(site) {
                    seat.clock.wall_jump = jump;
                }
                for worker in world
                    .workers
                    .values_mut()
                    .filter(|worker| worker.site == *site)
                {
                    worker.clock.wall_jump = jump / 2;
                }
            }),
        }
    }

    fn fault(
        &mut self,
        kind: &'static str,
        site: &SiteName,
        act: impl FnOnce(&mut Self, &SiteName),
    ) {
        *self.faults.entry(kind).or_insert(0) += 1;
        self.say(format_args!("fault: {kind} {site}"));
        act(self, site);
    }

    fn break_for(&mut self, span: u64, kind: &'static str, fault: Fault) {
        *self.faults.entry(kind).or_insert(0) += 1;
        self.say(format_args!("fault: {fault:?} for {span} ms"));
        for (from, to) in self.ways(&fault) {
            self.network.cut(&from, &to);
        }
        match &fault {
            Fault::BusDown(site) => {
                self.network.off_bus.insert(site.clone());
            }
            Fault::Weather => {
                self.network.loss = self.dice.between(0, 300);
                self.network.delay = self.dice.between(0, 4_000);
                self.network.doubled = self.dice.between(0, 300);
            }
            Fault::SiteDark(_) | Fault::SiteCutOff(_) | Fault::LinkCut(..) | Fault::WayCut(..) => {}
        }
        self.plan(span, Event::Mend(fault));
    }

    fn ways(&self, fault: &Fault) -> Vec<(SiteName, SiteName)> {
        let both = |a: &SiteName, b: &SiteName| [(a.clone(), b.clone()), (b.clone(), a.clone())];
        match fault {
            Fault::SiteCutOff(site) => self
                .sites
                .iter()
                .filter(|other| *other != site)
                .flat_map(|other| both(site, other))
                .collect(),
            Fault::LinkCut(a, b) => both(a, b).to_vec(),
            Fault::WayCut(a, b) => vec![(a.clone(), b.clone())],
            Fault::SiteDark(_) | Fault::BusDown(_) | Fault::Weather => Vec::new(),
        }
    }

    pub(super) fn mend(&mut self, fault: &Fault) {
        self.say(format_args!("mended: {fault:?}"));
        for (from, to) in self.ways(fault) {
            self.network.mend(&from, &to);
        }
        match fault {
            Fault::BusDown(site) => {
                self.network.off_bus.remove(site);
            }
            Fault::Weather => {
                (self.network.loss, self.network.delay, self.network.doubled) = (0, 0, 0);
            }
            Fault::SiteDark(site) => self.lighten(site),
            Fault::SiteCutOff(_) | Fault::LinkCut(..) | Fault::WayCut(..) => {}
        }
    }

    /// A whole site loses its power.
    fn darken(&mut self, site: &SiteName, span: u64) {
        if self.network.dark.contains(site) {
            return;
        }
        *self.faults.entry("site dark").or_insert(0) += 1;
        self.say(format_args!("fault: {site} is dark for {span} ms"));
        self.network.dark.insert(site.clone());
        if let Some(seat) = self.seats.get_mut(site) {
            seat.crash();
        }
        for worker in self
            .workers
            .values_mut()
            .filter(|worker| worker.site == *site)
        {
            worker.crash();
            if let Some(database) = &mut worker.database {
                database.up = false;
            }
        }
        let stays = self.lost_for_good && *site == *self.stack.first_primary();
        if !stays {
            self.plan(span, Event::Mend(Fault::SiteDark(site.clone())));
        }
    }

    fn lighten(&mut self, site: &SiteName) {
        if self.operator.holds_off(site) {
            self.say(format_args!(
                "{site} is kept off: an operator vouched for it"
            ));
            return;
        }
        self.network.dark.remove(site);
        self.plan(500, Event::SeatRestart { site: site.clone() });
        let here = self.workers.values().filter(|worker| worker.site == *site);
        for node in here.map(|worker| worker.node.clone()).collect::<Vec<_>>() {
            self.queue_start(&node);
        }
    }

    fn crash_worker(&mut self, node: &NodeName) {
        *self.faults.entry("agent crash").or_insert(0) += 1;
        self.say(format_args!("fault: agent {node} crashes"));
        if let Some(worker) = self.workers.get_mut(node).filter(|worker| worker.up) {
            worker.crash();
        }
        let after = self.dice.between(300, 6_000);
        self.plan(after, Event::WorkerRestart { node: node.clone() });
    }

    fn stop_database(&mut self, node: &NodeName) {
        let is_up = self
            .workers
            .get(node)
            .and_then(|w| w.database.as_ref())
            .is_some_and(|d| d.up);
        if !is_up {
            return;
        }
        *self.faults.entry("database stop").or_insert(0) += 1;
        self.say(format_args!("fault: database beside {node} stops"));
        if let Some(database) = self
            .workers
            .get_mut(node)
            .and_then(|worker| worker.database.as_mut())
        {
            database.up = false;
        }
        let after = self.dice.between(500, 8_000);
        self.plan(after, Event::DatabaseStart { node: node.clone() });
    }

    /// Starts again, unless the site is off or its database was fenced for good.
    pub(super) fn database_start(&mut self, node: &NodeName) {
        let Some(worker) = self.workers.get(node) else {
            return;
        };
        let site = worker.site.clone();
        let fenced = worker
            .entries
            .values()
            .any(|entry| entry.command.action.kind() == "fence");
        if self.network.dark.contains(&site) || self.operator.holds_off(&site) || fenced {
            return;
        }
        if let Some(database) = self
            .workers
            .get_mut(node)
            .and_then(|worker| worker.database.as_mut())
        {
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
        self.plan(
            1,
            Event::WorkerBeat {
                node: node.clone(),
                life,
            },
        );
    }

    /// The agents of a site that has power again, and their databases.
    fn queue_start(&mut self, node: &NodeName) {
        let after = self.dice.between(100, 2_000);
        self.plan(after, Event::WorkerRestart { node: node.clone() });
        let later = self.dice.between(100, 4_000);
        self.plan(later, Event::DatabaseStart { node: node.clone() });
    }

    /// No further faults; what is broken is mended, but for a site that is lost for good.
    pub(super) fn heal(&mut self) {
        self.say("healed");
        self.network.cuts.clear();
        self.network.off_bus.clear();
        (self.network.loss, self.network.delay, self.network.doubled) = (0, 0, 0);
        self.moved_at = self.time;
        for seat in self.seats.values_mut() {
            seat.dies_at_write = None;
        }
    }
}
