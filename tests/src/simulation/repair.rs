//! What people do at the hosts themselves: power, a database that is stopped, a standby made anew.
//!
//! Nothing here asks a coordinator, and nothing here is ordered by one.

use std::collections::BTreeSet;

use shared::id::SiteName;

use super::database::Database;
use super::world::World;

impl World {
    /// A site that is not live any more gets its power back.
    pub(super) fn release(&mut self) {
        let live = self.live_site();
        let settled = self
            .store
            .state
            .value
            .as_ref()
            .is_some_and(|s| s.run.is_none());
        let off = self
            .operator
            .off
            .iter()
            .find(|site| **site != live)
            .cloned();
        if let Some(site) = off.filter(|_| settled) {
            self.operator.off.remove(&site);
            if !(self.lost_for_good && site == *self.stack.first_primary()) {
                self.say(format_args!("operator switches {site} on"));
                self.lighten(&site);
            }
        }
    }

    /// What was switched off for a run that is given up gets its power back, but for a site in whose place another was
    /// made live without the store: it stays off until the ticket has taken that over.
    pub(super) fn switch_on_again(&mut self) {
        let replaced: BTreeSet<SiteName> = self
            .workers
            .values()
            .filter(|worker| worker.serves_by_word())
            .filter_map(|worker| worker.record.glass())
            .map(|broken| broken.plan.from.clone())
            .collect();
        let (stay, on) = std::mem::take(&mut self.operator.off)
            .into_iter()
            .partition(|site| replaced.contains(site));
        self.operator.off = stay;
        for site in on {
            self.lighten(&site);
        }
    }

    /// A person makes a standby of a database that lost the right to be live: a new copy of the live one.
    pub(super) fn rejoin(&mut self) {
        let live = self.live_site();
        let source = self
            .workers
            .values()
            .find(|w| w.site == live && w.serves(self.time));
        let copied = source.and_then(|w| w.database.as_ref());
        let Some((lsn, timeline)) = copied.map(|d| (d.lsn, d.timeline)) else {
            return;
        };
        let old = self.workers.values().find(|worker| {
            let stands = |d: &Database| d.primary && !d.hangs;
            worker.site != live
                && worker.up
                && self.time >= worker.still_until()
                && self.network.connects(&worker.site, &live)
                && worker.database.as_ref().is_some_and(stands)
        });
        let Some((node, site)) = old.map(|worker| (worker.node.clone(), worker.site.clone()))
        else {
            return;
        };
        let members = self
            .stack
            .databases
            .iter()
            .flat_map(shared::stack::Database::members);
        let address = members
            .filter(|member| member.site == live)
            .map(|member| member.address_for(&site).to_string())
            .next();
        let database = self
            .workers
            .get_mut(&node)
            .and_then(|w| w.database.as_mut());
        let (Some(database), Some(address)) = (database, address) else {
            return;
        };
        (database.primary, database.up, database.recovers) = (false, true, false);
        (database.lsn, database.timeline) = (lsn, timeline);
        database.follows = Some((live, address));
        database.names_cleared = true;
        self.say(format_args!("operator makes a standby of {node}"));
        self.count("old primary made a standby");
    }

    /// Two databases write, and no ticket says which may: a person stops all but the live one.
    pub(super) fn stop_others(&mut self, live: &SiteName) {
        let (time, dark) = (self.time, self.network.dark.clone());
        let others = self.workers.values_mut().filter(|worker| {
            worker.site != *live
                && !dark.contains(&worker.site)
                && time >= worker.host_paused_until
                && worker.database.as_ref().is_some_and(|d| d.up && d.primary)
        });
        let mut stopped = Vec::new();
        for worker in others {
            if let Some(database) = &mut worker.database {
                database.stop();
                stopped.push(worker.node.clone());
            }
        }
        for node in stopped {
            self.say(format_args!("operator stops the database of {node}"));
            self.count("database stopped by a person");
        }
    }
}
