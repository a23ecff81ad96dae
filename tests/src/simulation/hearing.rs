//! What is said once a second and heard elsewhere: heartbeats of agents, observations of coordinators.

use std::rc::Rc;

use decision::Input;
use shared::id::{NodeName, SiteName};

use super::event::Word;
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
        let word = Word::Heartbeat {
            node: node.clone(),
            heartbeat: Rc::new(worker.speak(time, &sees)),
        };
        for to in self.sites.clone() {
            self.tell(&site, &to, &word);
        }
        self.plan(1_000, event);
    }

    /// A look at another site's database port.
    pub(super) fn answers(&self, from: &SiteName, to: &SiteName) -> bool {
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

    /// A coordinator says what it hears.
    pub(super) fn publish(&mut self, site: &SiteName) {
        let time = self.time;
        let told = self.evidence.told_by(self.index_of(site));
        let Some(seat) = self.seats.get_mut(site) else {
            return;
        };
        seat.sequence += 1;
        let observation = seat.core.observation(seat.clock.now(time), seat.sequence);
        let word = Word::Observation {
            from: site.clone(),
            observation: Rc::new(observation),
            told,
        };
        if seat.core.leads() {
            self.note_status(site);
        }
        for to in self.sites.clone() {
            if to != *site {
                self.tell(site, &to, &word);
            }
        }
    }

    /// A word sets out to a coordinator: it is lost, arrives, or arrives twice.
    fn tell(&mut self, from: &SiteName, to: &SiteName, word: &Word) {
        let (life, sent) = (self.seats[to].life, self.time);
        for delay in self.network.arrivals(&mut self.dice, from, to) {
            let (to, word) = (to.clone(), word.clone());
            self.plan(
                delay,
                Event::Word {
                    to,
                    life,
                    word,
                    sent,
                },
            );
        }
    }

    /// A word arrives at a coordinator; one that is paused reads it later.
    pub(super) fn word_arrives(&mut self, to: SiteName, life: u64, word: Word, sent: u64) {
        let (time, at) = (self.time, self.index_of(&to));
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
                Event::Word {
                    to,
                    life,
                    word,
                    sent,
                },
            );
        }
        let input = match word {
            Word::Heartbeat { node, heartbeat } => {
                seat.heard.insert(node.clone(), (sent, heartbeat.epoch));
                let Some(site) = self.workers.get(&node).map(|worker| worker.site.clone()) else {
                    return;
                };
                self.evidence.hear(at, self.index_of(&site), sent);
                let heartbeat = Rc::unwrap_or_clone(heartbeat);
                Input::Heard {
                    site,
                    node,
                    heartbeat: Box::new(heartbeat),
                }
            }
            Word::Observation {
                from,
                observation,
                told,
            } => {
                let of = self.index_of(&from);
                self.evidence.learn(at, of, told, sent);
                self.evidence
                    .note_version(at, of, time, observation.stack_version);
                Input::Observed {
                    site: from,
                    observation: Rc::unwrap_or_clone(observation),
                }
            }
        };
        self.deliver(&to, life, input);
    }
}
