//! What is said once a second and heard elsewhere: heartbeats of agents, observations of coordinators.

use std::rc::Rc;

use decision::Input;
use shared::id::{NodeName, SiteName};
use shared::wire::{Heartbeat, Observation};

use super::worker::Worker;
use super::world::{Event, World};

impl World {
    pub(super) fn worker_beat(&mut self, node: &NodeName, life: u64) {
        let time = self.time;
        let Some(worker) = self.workers.get(node) else {
            return;
        };
        let is_current = worker.up && worker.life == life;
        if !is_current || self.network.dark.contains(&worker.site) {
            return;
        }
        let event = Event::WorkerBeat {
            node: node.clone(),
            life,
        };
        if time < worker.still_until() {
            let after = worker.still_until() - time;
            return self.plan(after, event);
        }
        let site = worker.site.clone();
        let sees: Vec<(SiteName, bool)> = self
            .sites
            .iter()
            .filter(|other| **other != site)
            .map(|other| (other.clone(), self.answers(&site, other)))
            .collect();
        let Some(worker) = self.workers.get_mut(node) else {
            return;
        };
        let heartbeat = Rc::new(worker.speak(time, &sees));
        for index in 0..self.sites.len() {
            let to = self.sites[index].clone();
            for delay in self.network.arrivals(&mut self.dice, &site, &to) {
                let life = self.seats[&to].life;
                self.plan(
                    delay,
                    Event::Beat {
                        to: to.clone(),
                        life,
                        node: node.clone(),
                        heartbeat: Rc::clone(&heartbeat),
                        sent: time,
                    },
                );
            }
        }
        self.plan(1_000, event);
    }

    /// A look at another site's database port.
    fn answers(&self, from: &SiteName, to: &SiteName) -> bool {
        let time = self.time;
        let answers = |worker: &Worker| {
            worker.site == *to
                && time >= worker.host_paused_until
                && worker
                    .database
                    .as_ref()
                    .is_some_and(|d| d.up && d.reachable(worker.clock.mono(time)))
        };
        self.network.connects(from, to) && self.workers.values().any(answers)
    }

    /// A heartbeat arrives at a coordinator; one that is paused reads it later.
    pub(super) fn beat_arrives(
        &mut self,
        to: SiteName,
        life: u64,
        node: NodeName,
        heartbeat: Rc<Heartbeat>,
        sent: u64,
    ) {
        let Some(site) = self.workers.get(&node).map(|worker| worker.site.clone()) else {
            return;
        };
        let (time, at, from) = (self.time, self.index_of(&to), self.index_of(&site));
        let Some(seat) = self.seats.get_mut(&to) else {
            return;
        };
        if !seat.up || seat.life != life || self.network.dark.contains(&to) {
            return;
        }
        if time < seat.paused_until {
            let after = seat.paused_until - time;
            return self.plan(
                after,
                Event::Beat {
                    to,
                    life,
                    node,
                    heartbeat,
                    sent,
                },
            );
        }
        self.evidence.hear(at, from, sent);
        seat.heard.insert(node.clone(), (sent, heartbeat.epoch));
        let heartbeat = Rc::try_unwrap(heartbeat).unwrap_or_else(|shared| (*shared).clone());
        let input = Input::Heard {
            site,
            node,
            heartbeat: Box::new(heartbeat),
        };
        self.deliver(&to, life, input);
    }

    /// A coordinator says what it hears.
    pub(super) fn publish(&mut self, site: &SiteName) {
        let time = self.time;
        let told = self.evidence.told_by(self.index_of(site));
        let Some(seat) = self.seats.get_mut(site) else {
            return;
        };
        seat.sequence += 1;
        let observation = seat.core.observation(seat.clock.now(time), seat.sequence);
        let observation = Rc::new(observation);
        if seat.core.leads() {
            self.note_status(site);
        }
        for index in 0..self.sites.len() {
            let to = self.sites[index].clone();
            if to == *site {
                continue;
            }
            for delay in self.network.arrivals(&mut self.dice, site, &to) {
                let life = self.seats[&to].life;
                self.plan(
                    delay,
                    Event::Observation {
                        to: to.clone(),
                        life,
                        from: site.clone(),
                        observation: Rc::clone(&observation),
                        told,
                        sent: time,
                    },
                );
            }
        }
    }

    pub(super) fn observation_arrives(
        &mut self,
        (to, life): (SiteName, u64),
        from: SiteName,
        observation: Rc<Observation>,
        told: [u64; 3],
        sent: u64,
    ) {
        let (time, at, of) = (self.time, self.index_of(&to), self.index_of(&from));
        let Some(seat) = self.seats.get(&to) else {
            return;
        };
        if !seat.up || seat.life != life || self.network.dark.contains(&to) {
            return;
        }
        if time < seat.paused_until {
            let after = seat.paused_until - time;
            return self.plan(
                after,
                Event::Observation {
                    to,
                    life,
                    from,
                    observation,
                    told,
                    sent,
                },
            );
        }
        self.evidence.learn(at, of, told, sent);
        let observation = Rc::try_unwrap(observation).unwrap_or_else(|shared| (*shared).clone());
        let input = Input::Observed {
            site: from,
            observation,
        };
        self.deliver(&to, life, input);
    }
}
