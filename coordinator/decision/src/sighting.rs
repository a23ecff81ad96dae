//! Sightings: fresh proofs of a site's life, and what each observing site makes of them.
//!
//! An observer says *silent* only out of a fit source whose knowledge is fresh; any sighting, even from an
//! unfit source, makes it say *sighted*. Silence of an observer is not silence of the site it looks at.

use serde::{Deserialize, Serialize};
use shared::clock::{Millis, Mono};
use shared::id::{NodeName, SiteName};
use shared::stack::{Policy, Stack};
use shared::wire::{
    Fitness, Heartbeat, PeerChannel, PeerOutcome, ReceiverStatus, SightingChannel, Unfit,
};

use crate::inventory::{AgentRecord, Inventory};

/// A proof of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sighting {
    /// When, on this coordinator's clock.
    pub(crate) at: Mono,
    /// Which node of the sighted site, or which node looked.
    pub(crate) node: NodeName,
    /// By what.
    pub(crate) channel: SightingChannel,
}

/// What an observing site says of a target site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObserverVote {
    /// The observing site.
    pub(crate) observer: SiteName,
    /// Its vote.
    pub(crate) vote: Vote,
    /// Its newest sighting.
    pub(crate) sighting: Option<Sighting>,
    /// Age of the freshest knowledge behind the vote.
    pub(crate) knowledge_age: Millis,
}

/// A vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Vote {
    /// It has none.
    None(NoVote),
    /// It sights the target.
    Sighted,
    /// It does not, and would if it could.
    Silent,
}

/// Why an observing site has no vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoVote {
    /// Nothing is heard from it.
    Missing,
    /// Its newest word is too old.
    Stale(Millis),
    /// Its sources judge themselves unfit.
    Unfit(Vec<Unfit>),
}

/// The own ears of this coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnEars {
    /// Its site.
    pub(crate) site: SiteName,
    /// Its start.
    pub(crate) started: Mono,
    /// Its fitness as the shell judges it.
    pub(crate) fitness: Fitness,
}

struct Source {
    unfit: Vec<Unfit>,
    age: Millis,
}

/// What `observer` says of `target`.
pub(crate) fn observe(
    inventory: &Inventory,
    ears: &OwnEars,
    stack: &Stack,
    observer: &SiteName,
    target: &SiteName,
    now: Mono,
) -> ObserverVote {
    let policy = &stack.policy;
    let mut sightings: Vec<Sighting> = Vec::new();
    let mut sources: Vec<Source> = Vec::new();
    if *observer == ears.site {
        sources.push(Source {
            unfit: ears.unfit(inventory, policy, now),
            age: Millis(0),
        });
        sightings.extend(inventory.heard_of(target).cloned());
    } else if let Some(record) = inventory.coordinator(observer) {
        sources.push(Source {
            unfit: unfit_of(&record.observation.fitness),
            age: now.since(record.said_at),
        });
        sightings.extend(record.sighting_of(target));
    }
    for (node, agent) in inventory.agents_of(observer) {
        let seen = looks_of(agent, node, stack, observer, target);
        if let Some(seen) = seen {
            let mut unfit = unfit_of(&agent.heartbeat.fitness);
            if agent.heartbeat.uptime_ms < policy.silence_ms {
                unfit.push(Unfit::JustStarted);
            }
            sources.push(Source {
                unfit,
                age: now.since(agent.alive_at),
            });
            sightings.extend(seen);
        }
    }
    let sighting = sightings.into_iter().max_by_key(|s| s.at);
    let (vote, knowledge_age) = vote(&sources, sighting.as_ref(), policy, now);
    ObserverVote {
        observer: observer.clone(),
        vote,
        sighting,
        knowledge_age,
    }
}

fn vote(
    sources: &[Source],
    sighting: Option<&Sighting>,
    policy: &Policy,
    now: Mono,
) -> (Vote, Millis) {
    let freshest = sources.iter().map(|source| source.age).min();
    if let Some(sighting) = sighting
        && sighting.at.after(policy.silence_ms) > now
    {
        return (Vote::Sighted, now.since(sighting.at));
    }
    let Some(freshest) = freshest else {
        return (Vote::None(NoVote::Missing), Millis(0));
    };
    let fresh: Vec<&Source> = sources
        .iter()
        .filter(|s| s.age <= policy.observation_age_max_ms)
        .collect();
    if fresh.is_empty() {
        return (Vote::None(NoVote::Stale(freshest)), freshest);
    }
    let fit = fresh.iter().filter(|source| source.unfit.is_empty());
    if let Some(age) = fit.map(|source| source.age).min() {
        return (Vote::Silent, age);
    }
    let mut reasons: Vec<Unfit> = fresh.iter().flat_map(|s| s.unfit.iter().copied()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    (Vote::None(NoVote::Unfit(reasons)), freshest)
}

/// What an agent's looks at a target gave; `None` when it does not look at it at all.
fn looks_of(
    agent: &AgentRecord,
    node: &NodeName,
    stack: &Stack,
    observer: &SiteName,
    target: &SiteName,
) -> Option<Vec<Sighting>> {
    let mut looks = false;
    let mut seen = Vec::new();
    for peer in agent
        .heartbeat
        .peers
        .iter()
        .filter(|peer| peer.site == *target)
    {
        looks |= peer.outcome != PeerOutcome::Unknown;
        if let Some(age) = peer.answered_ms {
            let channel = match peer.channel {
                PeerChannel::Postgres => SightingChannel::PeerPostgres,
                PeerChannel::Http => SightingChannel::PeerHttp,
                PeerChannel::Agent => SightingChannel::PeerAgent,
                PeerChannel::Unknown => SightingChannel::Unknown,
            };
            seen.push(Sighting {
                at: agent.alive_at.before(age),
                node: node.clone(),
                channel,
            });
        }
    }
    if let Some(age) = wal_age(&agent.heartbeat, stack, observer, target) {
        looks = true;
        seen.push(Sighting {
            at: agent.alive_at.before(age),
            node: node.clone(),
            channel: SightingChannel::WalReceiver,
        });
    }
    looks.then_some(seen)
}

/// Age of the newest WAL message that a standby got from `target`.
///
/// A sender that is no known member's address is taken for the target: in doubt, it lives.
fn wal_age(
    heartbeat: &Heartbeat,
    stack: &Stack,
    observer: &SiteName,
    target: &SiteName,
) -> Option<Millis> {
    let receiver = heartbeat.database.as_ref()?.receiver.as_ref()?;
    if receiver.status != ReceiverStatus::Streaming {
        return None;
    }
    let sender = receiver.sender.as_deref().unwrap_or_default();
    let members = stack
        .databases
        .iter()
        .flat_map(shared::stack::Database::members);
    let from = members
        .filter(|member| member.address_for(observer).to_string() == sender)
        .map(|member| &member.site)
        .next();
    if from.is_some_and(|site| site != target) {
        return None;
    }
    let sample_age = heartbeat
        .database
        .as_ref()
        .map(|d| d.age_ms)
        .unwrap_or_default();
    receiver
        .message_age_ms
        .map(|age| Millis(age.0.saturating_add(sample_age.0)))
}

fn unfit_of(fitness: &Fitness) -> Vec<Unfit> {
    match fitness {
        Fitness::Fit => Vec::new(),
        Fitness::Unfit(reasons) if reasons.is_empty() => vec![Unfit::Unknown],
        Fitness::Unfit(reasons) => reasons.clone(),
    }
}

impl OwnEars {
    /// Why this coordinator does not count itself; nothing when it does.
    pub(crate) fn unfit(&self, inventory: &Inventory, policy: &Policy, now: Mono) -> Vec<Unfit> {
        let mut reasons = unfit_of(&self.fitness);
        if now.since(self.started) < policy.silence_ms {
            reasons.push(Unfit::JustStarted);
        }
        let hears_another = inventory.heard_sites().any(|(site, sighting)| {
            *site != self.site && sighting.at.after(policy.silence_ms) > now
        });
        if !hears_another {
            reasons.push(Unfit::Isolated);
        }
        reasons
    }
}

impl NoVote {
    /// For people.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Missing => "nothing is heard from it".to_owned(),
            Self::Stale(age) => format!("its newest word is {} old", age.human()),
            Self::Unfit(reasons) => {
                let words: Vec<&str> = reasons.iter().map(|reason| unfit_words(*reason)).collect();
                format!("it judges itself unfit: {}", words.join(", "))
            }
        }
    }
}

/// A reason of unfitness, for people.
pub(crate) const fn unfit_words(reason: Unfit) -> &'static str {
    match reason {
        Unfit::LoopLag => "its own loop was late, it may have been paused",
        Unfit::JustStarted => "it started too short a time ago",
        Unfit::NoCanary => "it does not hear its own canary",
        Unfit::NotConnected => "it is not connected to NATS",
        Unfit::Isolated => "it hears no other site",
        Unfit::SlowConsumer => "messages to it were dropped",
        Unfit::Unknown => "for a reason that this version does not know",
    }
}
