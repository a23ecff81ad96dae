//! The consensus store: three keys and the lead, each with a revision, changed by compare-and-set through a
//! quorum. It is an existing store, not an oracle: without a leader it answers nothing, a deposed leader answers
//! reads with what was, and it may lose what it has acknowledged, or be made anew.

use decision::{Durable, Persist};
use shared::epoch::StackVersion;
use shared::id::{NodeName, SiteName};
use shared::stack::Stack;
use shared::wire::{Grant, Lease, LeasePromise, Ticket};

use super::network::Network;
use super::world::World;

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
    /// What it held some time ago, which is what it shows after it lost writes.
    pub(super) earlier: Option<Box<Content>>,
    /// Reads show what was, until then.
    pub(super) stale_until: u64,
    pub(super) stale: Option<Box<Content>>,
}

/// Everything that it holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    pub(super) state: Key<Durable>,
    pub(super) ticket: Key<Ticket>,
    pub(super) stack: Key<(StackVersion, Stack)>,
    pub(super) lead: Key<Lead>,
}

/// A key.
#[derive(Debug, Clone)]
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
    Ticket(Ticket, u64),
    Conflict(Option<Ticket>),
    Refused,
}

/// What became of a renewal.
#[derive(Debug)]
pub(super) enum Renewal {
    /// It was written.
    Accepted { ticket: Ticket, revision: u64 },
    /// Another site holds the right, or it is revoked; that this is so was confirmed by a write.
    Other { ticket: Ticket, revision: u64 },
    /// There is no ticket.
    NoTicket,
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

impl World {
    /// True when the store decides, and a site's clients reach it; one whose leader is cut off elects another.
    pub(super) fn store_answers(&mut self, site: &SiteName) -> bool {
        let (now, wait) = (self.time, self.dice.between(4_000, 9_000));
        let serves = self.store.serves(&self.network, &self.sites, now, wait);
        serves && self.store.reachable(&self.network, site)
    }
}

impl Store {
    /// Elects a leader anew when its site is cut off from the other two, and tells whether one serves.
    fn serves(&mut self, network: &Network, sites: &[SiteName], now: u64, wait: u64) -> bool {
        let stands = |site: &SiteName| !network.dark.contains(site) && !network.is_off_bus(site);
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
                let found = self.ticket.value.as_ref();
                let is_there = |found: &&Ticket| {
                    found.same_right(to) && found.automatic_off == to.automatic_off
                };
                if let Some(found) = found.filter(is_there) {
                    return Written::Ticket(found.clone(), self.ticket.revision);
                }
                let fits = match (from, found) {
                    (Some(from), Some(found)) => from.same_right(found),
                    (None, None) => true,
                    (Some(_), None) | (None, Some(_)) => false,
                };
                if !fits {
                    return Written::Conflict(found.cloned());
                }
                // Renewals are written all the time; what a revocation carries over is what stands there now.
                let written = to.clone().in_place_of(found);
                self.ticket.value = Some(written.clone());
                self.ticket.revision += 1;
                Written::Ticket(written, self.ticket.revision)
            }
        }
    }

    /// An agent confirms its grant by a write.
    pub(super) fn confirm(
        &mut self,
        site: &SiteName,
        node: &NodeName,
        grant: Grant,
    ) -> Result<(Ticket, u64), String> {
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
        Ok((ticket.clone(), self.ticket.revision))
    }

    /// An agent has shown by a write what the ticket says.
    pub(super) fn prove(&mut self) -> Result<(Ticket, u64), String> {
        let ticket = self.ticket.value.clone();
        self.ticket.revision += 1;
        let shown = ticket.map(|ticket| (ticket, self.ticket.revision));
        shown.ok_or_else(|| "there is no ticket".to_owned())
    }

    /// An agent renews its site's right by a write, or learns by one that it is another's.
    pub(super) fn renew(
        &mut self,
        site: &SiteName,
        node: &NodeName,
        promise: Option<LeasePromise>,
    ) -> Renewal {
        let Some(ticket) = &mut self.ticket.value else {
            return Renewal::NoTicket;
        };
        self.ticket.revision += 1;
        let revision = self.ticket.revision;
        if ticket.holder != *site || ticket.grant.is_none() {
            return Renewal::Other {
                ticket: ticket.clone(),
                revision,
            };
        }
        let none = Lease {
            renewals: 0,
            promise: None,
        };
        let lease = ticket.leases.entry(node.clone()).or_insert(none);
        lease.renewals += 1;
        lease.promise = promise;
        Renewal::Accepted {
            ticket: ticket.clone(),
            revision,
        }
    }

    /// What it holds now.
    pub(super) fn content(&self) -> Content {
        Content {
            state: self.state.clone(),
            ticket: self.ticket.clone(),
            stack: self.stack.clone(),
            lead: self.lead.clone(),
        }
    }

    /// It holds something else from now on.
    pub(super) fn replace(&mut self, content: Content) {
        self.state = content.state;
        self.ticket = content.ticket;
        self.stack = content.stack;
        self.lead = content.lead;
        self.stale = None;
        self.earlier = None;
    }

    /// What a read shows.
    pub(super) fn read(&self, now: u64) -> Content {
        match &self.stale {
            Some(stale) if now < self.stale_until => (**stale).clone(),
            _ => self.content(),
        }
    }

    /// The ticket that a read shows, with its revision.
    pub(super) fn shown_ticket(&self, now: u64) -> &Key<Ticket> {
        match &self.stale {
            Some(stale) if now < self.stale_until => &stale.ticket,
            _ => &self.ticket,
        }
    }

    /// The stack that a read shows.
    pub(super) fn shown_stack(&self, now: u64) -> Option<&(StackVersion, Stack)> {
        match &self.stale {
            Some(stale) if now < self.stale_until => stale.stack.value.as_ref(),
            _ => self.stack.value.as_ref(),
        }
    }
}
