//! What was heard, newest per sender: potentially incomplete and outdated, and it says how old it is.
//!
//! A drained backlog is not life. Each heartbeat carries its sender's uptime; the smallest difference between
//! arrival and uptime ever seen is the transit of an undelayed one, so a delayed one shows its true age
//! without comparing wall clocks. That smallest difference may grow slowly, because two clocks' rates differ.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::clock::{Millis, Mono};
use shared::id::{NodeName, ProcessId, SiteName};
use shared::lsn::{Lsn, SystemIdentifier, Timeline};
use shared::wire::{Heartbeat, Observation, SightingChannel, SyncSample};

use crate::sighting::Sighting;

/// Rate by which two hosts' clocks may differ: 1000 ppm, ten times a bad crystal.
const CLOCK_RATE_DIVISOR: u64 = 1_000;

/// A message that comes this much later than an undelayed one is late.
const LATE_MS: i64 = 500;

/// A sender all of whose messages are late for so long has lost time itself: longer than any backlog drains.
const LATE_SETTLES: Millis = Millis::seconds(30);

/// Ended processes of a sender that are remembered, so that their late words are known as such.
const ENDED_KEPT_MAX: usize = 8;

/// A wall clock that moves this much against uptime between two heartbeats has jumped.
const CLOCK_JUMP_MS: u64 = 2_000;

/// Everything heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub(crate) struct Inventory {
    agents: BTreeMap<SiteName, BTreeMap<NodeName, AgentRecord>>,
    coordinators: BTreeMap<SiteName, CoordinatorRecord>,
    heard: BTreeMap<SiteName, Sighting>,
}

/// What is known of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AgentRecord {
    /// Its newest heartbeat.
    pub(crate) heartbeat: Heartbeat,
    /// When that was sent, on this coordinator's clock.
    pub(crate) alive_at: Mono,
    /// When it arrived.
    pub(crate) heard_at: Mono,
    /// Its newest sample as a primary.
    pub(crate) primary: Option<PrimaryRecord>,
    /// The application name under which its standby last streamed.
    pub(crate) application: Option<String>,
    /// When its database position last moved.
    pub(crate) moved_at: Option<Mono>,
    /// When its wall clock last jumped.
    pub(crate) clock_jump_at: Option<Mono>,
    transit: Transit,
    ended: Vec<ProcessId>,
}

/// The newest sample of a database that was a primary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PrimaryRecord {
    /// Its flushed position.
    pub(crate) lsn: Lsn,
    /// Its timeline.
    pub(crate) timeline: Option<Timeline>,
    /// Its cluster.
    pub(crate) system_identifier: Option<SystemIdentifier>,
    /// When it was sampled, on this coordinator's clock.
    pub(crate) at: Mono,
    /// Its recent write rate, in bytes a second.
    pub(crate) bytes_per_s: u64,
    /// Whom its commits wait for; nothing when its agent does not say.
    pub(crate) sync: Option<SyncSample>,
    /// Its position when its commits were first seen to wait for those.
    pub(crate) bound_from: Lsn,
    /// The application names of the standbys that it sends to.
    pub(crate) senders: Vec<String>,
}

/// What is known of a coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CoordinatorRecord {
    /// Its newest observation.
    pub(crate) observation: Observation,
    /// When it was sent, on this coordinator's clock.
    pub(crate) said_at: Mono,
    transit: Option<Transit>,
    ended: Vec<ProcessId>,
}

/// Arrival less uptime of an undelayed message; `at` is when that was last known to hold.
///
/// It is below zero when the sender's process is older than this host's boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Transit {
    offset: i64,
    at: Mono,
    /// Since when every message was late, and the least difference among them.
    #[serde(default)]
    late: Option<(Mono, i64)>,
}

impl Inventory {
    /// Folds a heartbeat in. Returns false for one that is not newer than what is known.
    pub(crate) fn hear(
        &mut self,
        now: Mono,
        site: SiteName,
        node: NodeName,
        heartbeat: Heartbeat,
    ) -> bool {
        let nodes = self.agents.entry(site.clone()).or_default();
        let alive_at = if let Some(record) = nodes.get_mut(&node) {
            if !record.is_news(&heartbeat) {
                return false;
            }
            record.renew(now, heartbeat);
            record.alive_at
        } else {
            let record = AgentRecord::first(now, heartbeat);
            let alive_at = record.alive_at;
            nodes.insert(node.clone(), record);
            alive_at
        };
        self.sight(
            site,
            Sighting {
                at: alive_at,
                node,
                channel: SightingChannel::Heartbeat,
            },
        );
        true
    }

    /// Folds a coordinator's observation in. Returns false for one that is not newer than what is known.
    pub(crate) fn observe(&mut self, now: Mono, site: SiteName, observation: Observation) -> bool {
        let said_at = if let Some(known) = self.coordinators.get_mut(&site) {
            if !known.is_news(&observation) {
                return false;
            }
            known.renew(now, observation);
            known.said_at
        } else {
            let first = CoordinatorRecord::first(now, observation);
            self.coordinators.insert(site.clone(), first);
            now
        };
        if let Ok(node) = NodeName::new(format!("coordinator-{site}")) {
            self.sight(
                site,
                Sighting {
                    at: said_at,
                    node,
                    channel: SightingChannel::Coordinator,
                },
            );
        }
        true
    }

    /// The newest sighting of a site by own ears.
    pub(crate) fn heard_of(&self, site: &SiteName) -> Option<&Sighting> {
        self.heard.get(site)
    }

    /// The newest sighting of every site by own ears.
    pub(crate) fn heard_sites(&self) -> impl Iterator<Item = (&SiteName, &Sighting)> {
        self.heard.iter()
    }

    /// A site's coordinator.
    pub(crate) fn coordinator(&self, site: &SiteName) -> Option<&CoordinatorRecord> {
        self.coordinators.get(site)
    }

    /// All coordinators heard.
    pub(crate) fn coordinators(&self) -> impl Iterator<Item = (&SiteName, &CoordinatorRecord)> {
        self.coordinators.iter()
    }

    /// A site's agents.
    pub(crate) fn agents_of(
        &self,
        site: &SiteName,
    ) -> impl Iterator<Item = (&NodeName, &AgentRecord)> {
        self.agents.get(site).into_iter().flatten()
    }

    /// All agents.
    pub(crate) fn agents(&self) -> impl Iterator<Item = (&SiteName, &NodeName, &AgentRecord)> {
        self.agents
            .iter()
            .flat_map(|(site, nodes)| nodes.iter().map(move |(node, record)| (site, node, record)))
    }

    /// How many agents were heard.
    pub(crate) fn len(&self) -> usize {
        self.agents.values().map(BTreeMap::len).sum()
    }

    /// One agent.
    pub(crate) fn agent(&self, site: &SiteName, node: &NodeName) -> Option<&AgentRecord> {
        self.agents.get(site).and_then(|nodes| nodes.get(node))
    }

    /// A proof of life by own ears; an older one than what is known changes nothing.
    pub(crate) fn sight(&mut self, site: SiteName, sighting: Sighting) {
        match self.heard.get_mut(&site) {
            Some(known) if known.at >= sighting.at => {}
            Some(known) => *known = sighting,
            None => {
                self.heard.insert(site, sighting);
            }
        }
    }
}

impl AgentRecord {
    fn first(now: Mono, heartbeat: Heartbeat) -> Self {
        let transit = Transit::new(now, heartbeat.uptime_ms);
        let mut record = Self {
            heartbeat,
            alive_at: now,
            heard_at: now,
            primary: None,
            application: None,
            moved_at: None,
            clock_jump_at: None,
            transit,
            ended: Vec::new(),
        };
        record.sample_primary(now, None);
        record
    }

    /// A heartbeat is news when its process is a new one, or its sequence is higher.
    fn is_news(&self, heartbeat: &Heartbeat) -> bool {
        if self.heartbeat.process == heartbeat.process {
            return self.heartbeat.sequence < heartbeat.sequence;
        }
        !self.ended.contains(&heartbeat.process)
    }

    fn renew(&mut self, now: Mono, heartbeat: Heartbeat) {
        let before = self.heartbeat.clone();
        if before.process == heartbeat.process {
            self.transit.learn(now, heartbeat.uptime_ms);
            let uptime = heartbeat.uptime_ms.0.saturating_sub(before.uptime_ms.0);
            let wall = heartbeat
                .sent_at
                .0
                .abs_diff(before.sent_at.0.saturating_add(uptime));
            if wall > CLOCK_JUMP_MS {
                self.clock_jump_at = Some(now);
            }
        } else {
            self.transit = Transit::new(now, heartbeat.uptime_ms);
            keep_ended(&mut self.ended, before.process);
        }
        let sent = self.transit.sent(now, heartbeat.uptime_ms);
        self.alive_at = sent.max(self.alive_at);
        self.heard_at = now;
        self.heartbeat = heartbeat;
        let position = |h: &Heartbeat| h.database.as_ref().and_then(|d| d.received_lsn);
        if position(&before) != position(&self.heartbeat) {
            self.moved_at = Some(self.alive_at);
        }
        self.sample_primary(self.alive_at, self.primary.clone());
    }

    fn sample_primary(&mut self, at: Mono, before: Option<PrimaryRecord>) {
        let Some(database) = &self.heartbeat.database else {
            return;
        };
        if let Some(application) = &database.application {
            self.application = Some(application.clone());
        }
        let Some(lsn) = database.received_lsn.filter(|_| database.writes()) else {
            return;
        };
        let at = at.before(database.age_ms);
        let sync = database.sync.clone();
        let rule = |sync: &Option<SyncSample>| {
            sync.as_ref()
                .map(|sync| (sync.names.clone(), sync.commit, sync.exception.clone()))
        };
        // Another timeline begins anew, and so does any change of the settings.
        let same = before
            .as_ref()
            .filter(|before| before.timeline == database.timeline)
            .filter(|before| rule(&before.sync) == rule(&sync));
        let bound_from = same.map_or(lsn, |before| before.bound_from);
        let bytes_per_s = before.map_or(0, |before| {
            let span = at.since(before.at).0;
            let Some(rate) = lsn
                .ahead_of(before.lsn)
                .0
                .saturating_mul(1_000)
                .checked_div(span)
            else {
                return before.bytes_per_s;
            };
            // Half old, half new: a burst shows at once and fades in a few samples.
            before.bytes_per_s / 2 + rate / 2
        });
        self.primary = Some(PrimaryRecord {
            lsn,
            timeline: database.timeline,
            system_identifier: database.system_identifier.clone(),
            at,
            bytes_per_s,
            sync,
            bound_from,
            senders: database
                .senders
                .iter()
                .map(|sender| sender.application.clone())
                .collect(),
        });
    }

    /// Age of its newest heartbeat.
    pub(crate) fn age(&self, now: Mono) -> Millis {
        now.since(self.alive_at)
    }

    /// Age of its database sample.
    pub(crate) fn database_age(&self, now: Mono) -> Option<Millis> {
        let database = self.heartbeat.database.as_ref()?;
        Some(Millis(self.age(now).0.saturating_add(database.age_ms.0)))
    }
}

impl Transit {
    /// Of the first message of a process: it is taken for an undelayed one.
    fn new(now: Mono, uptime: Millis) -> Self {
        Self {
            offset: difference(now.0, uptime.0),
            at: now,
            late: None,
        }
    }

    /// The smallest difference counts; it may grow with the time in which the clocks drift apart.
    fn learn(&mut self, now: Mono, uptime: Millis) {
        let drift = now.since(self.at).0 / CLOCK_RATE_DIVISOR;
        let grown = self
            .offset
            .saturating_add(i64::try_from(drift).unwrap_or(i64::MAX));
        let found = difference(now.0, uptime.0);
        self.offset = found.min(grown);
        self.settle(now, found);
        // What is below the divisor would never count if it were forgotten each time.
        if drift > 0 {
            self.at = now;
        }
    }

    /// A host that was paused, or whose clock ran slow, has lost time that it never makes up for: when every
    /// message is late for long enough, the lateness is the host's, and the least of it is the new measure.
    fn settle(&mut self, now: Mono, found: i64) {
        if found.saturating_sub(self.offset) < LATE_MS {
            self.late = None;
            return;
        }
        let (since, least) = self.late.unwrap_or((now, found));
        let least = least.min(found);
        self.late = Some((since, least));
        if since.after(LATE_SETTLES) <= now {
            (self.offset, self.late) = (least, None);
        }
    }

    /// When a message of this uptime was sent, on this coordinator's clock; never later than now.
    fn sent(&self, now: Mono, uptime: Millis) -> Mono {
        Mono(uptime.0.saturating_add_signed(self.offset)).min(now)
    }
}

fn difference(a: u64, b: u64) -> i64 {
    let bound = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    bound(a).saturating_sub(bound(b))
}

fn keep_ended(ended: &mut Vec<ProcessId>, process: ProcessId) {
    if ended.len() >= ENDED_KEPT_MAX {
        ended.remove(0);
    }
    ended.push(process);
}

impl CoordinatorRecord {
    fn first(now: Mono, observation: Observation) -> Self {
        let transit = observation.uptime_ms.map(|up| Transit::new(now, up));
        Self {
            observation,
            said_at: now,
            transit,
            ended: Vec::new(),
        }
    }

    fn is_news(&self, observation: &Observation) -> bool {
        if self.observation.process == observation.process {
            return self.observation.sequence < observation.sequence;
        }
        !self.ended.contains(&observation.process)
    }

    fn renew(&mut self, now: Mono, observation: Observation) {
        if self.observation.process != observation.process {
            keep_ended(&mut self.ended, self.observation.process);
            self.transit = observation.uptime_ms.map(|up| Transit::new(now, up));
        } else if let (Some(transit), Some(uptime)) = (&mut self.transit, observation.uptime_ms) {
            transit.learn(now, uptime);
        }
        self.said_at = match (&self.transit, observation.uptime_ms) {
            (Some(transit), Some(uptime)) => transit.sent(now, uptime).max(self.said_at),
            _ => now,
        };
        self.observation = observation;
    }

    /// Its newest sighting of a site.
    pub(crate) fn sighting_of(&self, target: &SiteName) -> Option<Sighting> {
        let entry = self
            .observation
            .sites
            .iter()
            .find(|entry| entry.site == *target)?;
        let (node, channel) = entry.by.clone()?;
        Some(Sighting {
            at: self.said_at.before(entry.age_ms?),
            node,
            channel,
        })
    }
}

#[cfg(test)]
mod tests;
