//! The consensus store: three keys and the lead, each with a revision, changed by compare-and-set through a
//! quorum. It is an existing store, not an oracle: without a leader it answers nothing.

use decision::{Durable, Persist};
use shared::epoch::StackVersion;
use shared::id::{NodeName, SiteName};
use shared::stack::Stack;
use shared::wire::{Grant, Ticket};

use super::network::Network;

/// The store.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) state: Key<Durable>,
    pub(super) ticket: Key<Ticket>,
    pub(super) stack: Key<(StackVersion, Stack)>,
    pub(super) lead: Key<Lead>,
    /// Which site's server leads the store.
    pub(super) leader: Option<SiteName>,
    /// It has no leader until then.
    pub(super) electing_until: u64,
}

/// A key.
#[derive(Debug)]
pub(super) struct Key<T> {
    pub(super) value: Option<T>,
    pub(super) revision: u64,
}

/// Who leads the coordinators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lead {
    pub(super) site: SiteName,
    pub(super) term: u64,
    pub(super) beat: u64,
}

/// What became of a write.
#[derive(Debug, Clone)]
pub(super) enum Written {
    Done { revision: u64 },
    Ticket(Ticket),
    Conflict(Option<Ticket>),
    Refused,
}

impl<T> Default for Key<T> {
    fn default() -> Self {
        Self {
            value: None,
            revision: 0,
        }
    }
}

impl<T: Clone + PartialEq> Key<T> {
    /// Writes at the revision that the writer knows; one that is there already counts as written.
    pub(super) fn write(&mut self, known: u64, value: T) -> Option<u64> {
        if self.revision != known {
            return (self.value.as_ref() == Some(&value)).then_some(self.revision);
        }
        self.value = Some(value);
        self.revision += 1;
        Some(self.revision)
    }
}

impl Store {
    /// Elects a leader anew when its site is cut off from the other two, and tells whether one serves.
    pub(super) fn serves(
        &mut self,
        network: &Network,
        sites: &[SiteName],
        now: u64,
        wait: u64,
    ) -> bool {
        let stands =
            |site: &SiteName| !network.dark.contains(site) && !network.off_bus.contains(site);
        let quorum = |site: &SiteName| {
            let peers = sites
                .iter()
                .filter(|other| *other != site && stands(other) && network.connects(site, other));
            stands(site) && peers.count() >= 1
        };
        if self.leader.as_ref().is_some_and(&quorum) {
            return now >= self.electing_until;
        }
        self.leader = sites.iter().find(|site| quorum(site)).cloned();
        self.electing_until = now + wait;
        false
    }

    /// True when a client in a site reaches the store.
    pub(super) fn reachable(&self, network: &Network, site: &SiteName) -> bool {
        let Some(leader) = &self.leader else {
            return false;
        };
        network.carries(site, leader) && network.carries(leader, site)
    }

    /// A coordinator's write.
    pub(super) fn persist(&mut self, write: &Persist, known: (u64, u64)) -> Written {
        let done = |revision: Option<u64>| {
            revision.map_or(Written::Refused, |revision| Written::Done { revision })
        };
        match write {
            Persist::State(durable) => done(self.state.write(known.0, (**durable).clone())),
            Persist::Stack { version, stack } => {
                done(self.stack.write(known.1, (*version, (**stack).clone())))
            }
            Persist::Ticket { from, to } => {
                let found = self.ticket.value.clone();
                if let Some(found) = found.as_ref().filter(|found| found.same_right(to)) {
                    return Written::Ticket(found.clone());
                }
                let fits = match (from, &found) {
                    (Some(from), Some(found)) => from.same_right(found),
                    (None, None) => true,
                    (Some(_), None) | (None, Some(_)) => false,
                };
                if !fits {
                    return Written::Conflict(found);
                }
                self.ticket.value = Some(to.clone());
                self.ticket.revision += 1;
                Written::Ticket(to.clone())
            }
        }
    }

    /// An agent confirms its grant by a write.
    pub(super) fn confirm(
        &mut self,
        site: &SiteName,
        node: &NodeName,
        grant: Grant,
    ) -> Result<(), String> {
        let Some(ticket) = &mut self.ticket.value else {
            return Err("the store has no ticket".to_owned());
        };
        if ticket.epoch != grant.epoch
            || ticket.holder != *site
            || ticket.grant != Some(grant.nonce)
        {
            return Err(format!(
                "the ticket is at epoch {} for {}",
                ticket.epoch, ticket.holder
            ));
        }
        ticket.confirmed_by = Some(node.clone());
        ticket.confirmations += 1;
        self.ticket.revision += 1;
        Ok(())
    }
}
