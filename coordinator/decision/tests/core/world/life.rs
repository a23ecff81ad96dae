//! Life goes on each second: databases replicate, agents speak, coordinators listen, look and tell each other.

use decision::Input;
use shared::clock::{Millis, Mono};
use shared::epoch::Term;
use shared::id::{NodeName, SiteName};
use shared::wire::{DatabaseState, Fitness, Lease, LeasePromise, Observation, Unfit};

use super::labour::Due;
use super::{Agent, Renews, World, site};

impl World {
    /// True when something sent in `from` arrives in `to`, apart from the bus.
    pub(crate) fn reaches(&self, from: &SiteName, to: &SiteName) -> bool {
        !self.gone.contains(from)
            && !self.gone.contains(to)
            && !self.cuts.contains(&(from.clone(), to.clone()))
    }

    /// True when something published in `from` is heard in `to`.
    pub(crate) fn carries(&self, from: &SiteName, to: &SiteName) -> bool {
        self.reaches(from, to) && !self.off_bus.contains(from) && !self.off_bus.contains(to)
    }

    /// dc1 is gone for as long as it takes to propose, and an operator approves.
    pub(crate) fn lose_and_approve(&mut self) {
        self.gone.insert(site("dc1"));
        self.pass(Millis::seconds(25));
        self.approve();
    }

    /// How often an event of a kind was recorded.
    pub(crate) fn told(&self, kind: &str) -> usize {
        self.events().filter(|event| event.kind == kind).count()
    }

    /// Passes in small pieces until something is so.
    ///
    /// # Panics
    /// When it is not so within five minutes.
    pub(crate) fn pass_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let end = self.now.after(Millis::seconds(300));
        while !is_so(self) {
            assert!(self.now < end, "not within five minutes: {what}");
            self.pass(Millis(10));
        }
    }

    /// Lets time pass; life goes on each second.
    pub(crate) fn pass(&mut self, span: Millis) {
        let end = self.now.after(span);
        while self.now < end {
            let beat = Mono((self.now.0 / 1_000 + 1) * 1_000).min(end);
            let mut stop = beat;
            if let Some(due) = self.due.iter().map(Due::at).min() {
                stop = stop.min(due);
            }
            let running = self.cores.iter().filter(|(name, _)| self.runs(name));
            if let Some(wake) = running
                .filter_map(|(_, core)| core.poll_timeout())
                .map(|(at, _)| at)
                .min()
            {
                stop = stop.min(wake);
            }
            self.now = stop.max(Mono(self.now.0 + 1));
            self.labour();
            if self.now == beat && self.now.0.is_multiple_of(1_000) {
                self.beat();
            } else {
                self.tick();
            }
        }
    }

    fn beat(&mut self) {
        self.replicate();
        let names: Vec<NodeName> = self.agents.keys().cloned().collect();
        for name in names {
            self.heartbeat(&name);
        }
        self.renew();
        for name in self.running() {
            self.mirror(&name);
            let fitness = if self.off_bus.contains(&name) {
                Fitness::Unfit(vec![Unfit::NotConnected])
            } else {
                Fitness::Fit
            };
            self.tell(&name, Input::SelfFitness(fitness));
        }
        self.tick();
        self.sequence += 1;
        for from in self.running() {
            let observation: Observation =
                self.cores[&from].observation(self.instant(), self.sequence);
            for to in self.running() {
                if from != to && self.carries(&from, &to) {
                    let observation = observation.clone();
                    self.tell(
                        &to,
                        Input::Observed {
                            site: from.clone(),
                            observation,
                        },
                    );
                }
            }
        }
    }

    /// Every third second the holder's database agents that reach the store renew their lease in it.
    fn renew(&mut self) {
        let Some(mut ticket) = self.store.ticket.clone() else {
            return;
        };
        let due = self.now.0.is_multiple_of(3_000) && ticket.grant.is_some();
        let holder = ticket.holder.clone();
        let stands = |site: &SiteName| self.carries(&holder, site) && self.carries(site, &holder);
        let quorum = self.stack.sites.keys().filter(|site| stands(site)).count() >= 2;
        for (name, agent) in self.agents.iter().filter(|_| due && quorum) {
            let renews = agent.renews != Renews::Never;
            if renews && agent.alive && agent.site == holder {
                let deadman = agent.renews == Renews::WithDeadman;
                let lease = ticket.leases.entry(name.clone()).or_insert(Lease {
                    renewals: 0,
                    promise: None,
                });
                lease.renewals += 1;
                lease.promise = Some(LeasePromise {
                    stop_bound_ms: self.stack.policy.lease.stop_bound_ms(),
                    deadman,
                    stack_version: agent.rules,
                });
            }
        }
        self.store.ticket = Some(ticket);
        self.store.revision += 1;
    }

    fn mirror(&mut self, name: &SiteName) {
        if self.off_bus.contains(name) {
            return;
        }
        if self.leader.as_ref() == Some(name) {
            let (ticket, revision) = (self.store.ticket.clone(), self.store.revision);
            self.tell(name, Input::TicketSeen { ticket, revision });
            return;
        }
        if let Some((version, stack)) = self.store.stack.clone()
            && !self.keeps_stack.contains(name)
            && self.cores[name]
                .stack()
                .is_none_or(|(own, _)| own != version)
        {
            self.tell(
                name,
                Input::StackInForce {
                    version,
                    stack: Box::new(stack),
                },
            );
        }
        let input = Input::Mirrored {
            durable: self.store.durable.clone().map(Box::new),
            ticket: self.store.ticket.clone(),
            revision: self.store.revision,
            leader: self.leader.clone().map(|leader| (leader, Term(self.term))),
        };
        self.tell(name, input);
    }

    fn tick(&mut self) {
        for name in self.running() {
            let fresh = self.fresh();
            self.tell(&name, Input::Tick(fresh));
        }
    }

    fn heartbeat(&mut self, name: &NodeName) {
        let home = self.agents[name].site.clone();
        let instant = self.instant();
        let others = self.stack.sites.keys().filter(|other| **other != home);
        let sees: Vec<(SiteName, bool)> = others
            .map(|other| (other.clone(), self.looks_at(&home, other)))
            .collect();
        let Some(agent) = self.agents.get_mut(name) else {
            return;
        };
        if !agent.alive || self.gone.contains(&home) {
            return;
        }
        if let Some((version, _)) = &self.store.stack
            && !agent.keeps_rules
        {
            agent.rules = *version;
        }
        let heartbeat = agent.speak(instant.mono, instant.wall, &sees);
        for to in self.running() {
            if !self.carries(&home, &to) {
                continue;
            }
            let said = (home.clone(), name.clone(), heartbeat.clone());
            match self.kept_back.get_mut(&home) {
                Some(kept) if to != home => kept.push((to, name.clone(), heartbeat.clone())),
                _ => self.tell(
                    &to,
                    Input::Heard {
                        site: said.0,
                        node: said.1,
                        heartbeat: Box::new(said.2),
                    },
                ),
            }
        }
    }

    /// Everything that was kept back of a site arrives now.
    pub(crate) fn drain(&mut self, from: &SiteName) {
        for (to, name, heartbeat) in self.kept_back.remove(from).unwrap_or_default() {
            self.tell(
                &to,
                Input::Heard {
                    site: from.clone(),
                    node: name,
                    heartbeat: Box::new(heartbeat),
                },
            );
        }
    }

    /// A look is a connection: it needs both directions, and something that answers.
    fn looks_at(&self, from: &SiteName, other: &SiteName) -> bool {
        let up = |agent: &Agent| {
            agent
                .database
                .as_ref()
                .is_some_and(|d| d.state != DatabaseState::Down)
        };
        self.reaches(from, other)
            && self.reaches(other, from)
            && !self.walls.contains(&(from.clone(), other.clone()))
            && self
                .agents
                .values()
                .any(|agent| agent.site == *other && up(agent))
    }
}
