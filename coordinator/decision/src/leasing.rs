//! The leases in the ticket, as a coordinator sees them: whose counter grew is alive, and what was promised.
//!
//! A read may be old, so only growth counts, and a counter that was seen never falls. Must never: let a read
//! decide. What a revocation really carried over is what the store acknowledged.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::clock::{Millis, Mono};
use shared::epoch::Epoch;
use shared::id::{NodeName, Nonce, SiteName};
use shared::stack::{Database, Member, Stack};
use shared::wire::{LeasePromise, SightingChannel, Ticket};

use crate::assessment::Scene;
use crate::core::Core;
use crate::sighting::Sighting;
use crate::view::LeaseView;

/// What was seen of the leases of one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub(crate) struct LeaseWatch {
    right: Option<(Nonce, Epoch)>,
    seen: BTreeMap<NodeName, Seen>,
}

/// What was seen of one lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    renewals: u64,
    /// When its counter was last seen to have grown.
    renewed: Option<Mono>,
}

impl LeaseWatch {
    /// Takes a read of a granted ticket; gives the nodes whose counter grew.
    fn look(&mut self, now: Mono, ticket: &Ticket) -> Vec<NodeName> {
        let right = Some((ticket.incarnation, ticket.epoch));
        if self.right != right {
            *self = Self {
                right,
                seen: BTreeMap::new(),
            };
        }
        let mut grown = Vec::new();
        for (node, lease) in &ticket.leases {
            let renewals = lease.renewals;
            match self.seen.get_mut(node) {
                Some(seen) if seen.renewals < renewals => {
                    *seen = Seen {
                        renewals,
                        renewed: Some(now),
                    };
                    grown.push(node.clone());
                }
                Some(_) => {}
                // How old the first counter is that this process sees, it cannot know.
                None => {
                    let first = Seen {
                        renewals,
                        renewed: None,
                    };
                    self.seen.insert(node.clone(), first);
                }
            }
        }
        grown
    }

    /// Since a node's counter was last seen to have grown.
    pub(crate) fn renewed(&self, node: &NodeName, now: Mono) -> Option<Millis> {
        let seen = self.seen.get(node)?;
        seen.renewed.map(|at| now.since(at))
    }
}

impl Core {
    /// Takes a read of the ticket; true when a renewal in it may change the judgement at once.
    pub(crate) fn renewals_seen(&mut self, now: Mono, ticket: &Ticket) -> bool {
        let Some((_, stack)) = &self.stack else {
            return false;
        };
        let same = self
            .ticket
            .as_ref()
            .is_none_or(|own| own.same_right(ticket));
        if ticket.grant.is_none() || !same {
            return false;
        }
        let homes = stack.nodes();
        let grown = self.leases.look(now, ticket);
        let alive: Vec<NodeName> = grown
            .into_iter()
            .filter(|node| homes.get(node) == Some(&ticket.holder))
            .collect();
        if let Some(own) = &mut self.ticket {
            for (node, lease) in &ticket.leases {
                let older = own
                    .leases
                    .get(node)
                    .is_some_and(|known| known.renewals > lease.renewals);
                if !older {
                    own.leases.insert(node.clone(), *lease);
                }
            }
        }
        let news = !alive.is_empty();
        for node in alive {
            let sighting = Sighting {
                at: now,
                node,
                channel: SightingChannel::Lease,
            };
            self.inventory.sight(ticket.holder.clone(), sighting);
        }
        let watched = self.watched.as_ref() == Some(&ticket.holder);
        news && watched && self.sighted_now(now)
    }
}

/// The promises that bind a site's databases, by the ticket; nothing for a database whose agent promised nothing.
pub(crate) fn promises<'a>(
    stack: &'a Stack,
    ticket: &'a Ticket,
    site: &'a SiteName,
) -> impl Iterator<Item = (&'a NodeName, Option<LeasePromise>)> {
    let members = stack.databases.iter().flat_map(Database::members);
    let nodes = members
        .filter(move |member| member.site == *site)
        .map(|member: &Member| &member.node);
    nodes.map(|node| {
        let lease = ticket.leases.get(node);
        (node, lease.and_then(|lease| lease.promise))
    })
}

/// The wait that every promise in a ticket needs, as a fast clock counts it, and a second; nothing without one.
pub(crate) fn wait_for(ticket: &Ticket, stack: &Stack) -> Option<Millis> {
    let promises = ticket.leases.values().filter_map(|lease| lease.promise);
    let longest = promises.map(|promise| promise.stop_bound_ms).max()?;
    let ppm = stack.policy.lease.clock_drift_ppm;
    let drift = longest.0.saturating_mul(ppm).div_ceil(1_000_000);
    Some(Millis(
        longest.0.saturating_add(drift).saturating_add(1_000),
    ))
}

/// The leases of the live site as operators see them: what the store shows, and what the agents say themselves.
pub(crate) fn views(scene: &Scene<'_>) -> Vec<LeaseView> {
    let live = scene.live();
    let members = scene.stack.databases.iter().flat_map(Database::members);
    let of_live = members.filter(|member| member.site == *live);
    let views = of_live.filter_map(|member| view(scene, member));
    views.collect()
}

fn view(scene: &Scene<'_>, member: &Member) -> Option<LeaseView> {
    let lease = scene
        .ticket
        .and_then(|ticket| ticket.leases.get(&member.node));
    let agent = scene.inventory.agent(&member.site, &member.node);
    let sample = agent.and_then(|agent| agent.heartbeat.lease.as_ref());
    if lease.is_none() && sample.is_none() && !scene.stack.policy.lease.renews() {
        return None;
    }
    let promise = lease.and_then(|lease| lease.promise);
    let renewed_ms = scene.leases.renewed(&member.node, scene.now);
    let renewed = renewed_ms.map_or_else(
        || "not renewed while this coordinator watched".to_owned(),
        |age| format!("renewed {} ago", age.human()),
    );
    let promised = match promise {
        Some(promise) if promise.deadman => format!(
            "promises to stop within {} without a renewal, and the kernel keeps that too",
            promise.stop_bound_ms.human()
        ),
        Some(promise) => format!(
            "promises to stop within {} without a renewal, and nothing keeps that if its agent hangs",
            promise.stop_bound_ms.human()
        ),
        None => "promises nothing".to_owned(),
    };
    let gap = sample.and_then(|sample| sample.worst_gap_ms);
    let gap = gap.map_or_else(String::new, |gap| format!("; longest gap {}", gap.human()));
    Some(LeaseView {
        site: member.site.clone(),
        node: member.node.clone(),
        renewals: lease.map(|lease| lease.renewals),
        renewed_ms,
        promise,
        standing: sample.map(|sample| sample.standing),
        worst_gap_ms: sample.and_then(|sample| sample.worst_gap_ms),
        sentence: format!("{}: {renewed}; it {promised}{gap}", member.node),
    })
}
