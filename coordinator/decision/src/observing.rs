//! What this coordinator tells the others: whom it hears, and whether it may be counted.

use shared::clock::Mono;
use shared::id::SiteName;
use shared::wire::{Fitness, Observation, SiteSighting};

use crate::core::Core;
use crate::input::Now;

impl Core {
    /// What this coordinator hears, to be published once a second.
    pub fn observation(&self, now: Now, sequence: u64) -> Observation {
        let sites: Vec<SiteName> = match &self.stack {
            Some((_, stack)) => stack.sites.keys().cloned().collect(),
            None => self
                .inventory
                .heard_sites()
                .map(|(site, _)| site.clone())
                .collect(),
        };
        let others = sites.into_iter().filter(|site| *site != self.ears.site);
        let sites = others
            .map(|site| {
                let sighting = self.inventory.heard_of(&site);
                let age_ms = sighting.map(|s| now.mono.since(s.at));
                let by = sighting.map(|s| (s.node.clone(), s.channel));
                SiteSighting { site, age_ms, by }
            })
            .collect();
        Observation {
            process: self.identity.process,
            sequence,
            sent_at: now.wall,
            uptime_ms: Some(now.mono.since(self.ears.started)),
            term: self.term(),
            leads: self.leads(),
            stack_version: self.stack.as_ref().map(|(version, _)| *version),
            fitness: self.own_fitness(now.mono),
            sites,
            store: self.store_word(),
        }
    }

    fn own_fitness(&self, now: Mono) -> Fitness {
        let Some((_, stack)) = &self.stack else {
            return self.ears.fitness.clone();
        };
        let unfit = self.ears.unfit(&self.inventory, &stack.policy, now);
        if unfit.is_empty() {
            Fitness::Fit
        } else {
            Fitness::Unfit(unfit)
        }
    }
}
