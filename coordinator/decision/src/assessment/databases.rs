//! Findings about databases and workloads.

use shared::clock::Millis;
use shared::id::{NodeName, SiteName};
use shared::stack::{Database, Member, Replication};
use shared::wire::{DatabaseRole, DatabaseSample, DatabaseState, ReceiverStatus};

use super::{Scene, found};
use crate::candidate::{last_primary, state_words};
use crate::finding::{Finding, FindingCode};
use crate::glass::breaks;
use crate::synchrony::{stalled, unproved};

/// Finds.
pub(super) fn find(scene: &Scene<'_>, findings: &mut Vec<Finding>) {
    for database in &scene.stack.databases {
        writers(database, scene, findings);
        for member in &database.members {
            let Some(sample) = fresh_sample(member, scene) else {
                continue;
            };
            answering(member, sample, scene, findings);
            replication(database, member, sample, scene, findings);
        }
    }
    synchronous(scene, findings);
    for site in scene.stack.clusters.keys() {
        passive(site, scene, findings);
    }
}

/// The policy's word on replication, held against the primary's own settings.
fn synchronous(scene: &Scene<'_>, findings: &mut Vec<Finding>) {
    if scene.stack.policy.replication == Replication::Asynchronous || scene.durable.run.is_some() {
        return;
    }
    if let Some(why) = unproved(scene) {
        let sentence = format!(
            "the policy says synchronous, and it is not shown that commits wait for the standby that would become live: \
             {why}; a failover may lose what was acknowledged"
        );
        found(findings, FindingCode::NotSynchronous, sentence);
        return;
    }
    for database in &scene.stack.databases {
        let members = database.members.iter();
        let live = members.filter(|member| member.site == *scene.live());
        let writes =
            |member: &Member| fresh_sample(member, scene).is_some_and(DatabaseSample::writes);
        let primary = last_primary(scene.inventory, database, scene.live());
        if primary.is_some_and(stalled) && live.into_iter().any(writes) {
            let sentence = format!(
                "commits of database {} wait: no standby that they wait for answers; bring it back, or clear \
                 synchronous_standby_names, after which a failover may lose data",
                database.name
            );
            found(findings, FindingCode::NotSynchronous, sentence);
        }
    }
}

fn fresh_sample<'a>(member: &Member, scene: &Scene<'a>) -> Option<&'a DatabaseSample> {
    let agent = scene.inventory.agent(&member.site, &member.node)?;
    let age = agent.database_age(scene.now)?;
    // A database that does not answer is sampled less often: twice the age is still news.
    if scene.fresh(Millis(age.0 / 2)) {
        agent.heartbeat.database.as_ref()
    } else {
        None
    }
}

impl Scene<'_> {
    /// The agent of a site that freshly says that its database writes, if there is one.
    pub(crate) fn writer_in(&self, site: &SiteName) -> Option<&NodeName> {
        let members = self.stack.databases.iter().flat_map(Database::members);
        members
            .filter(|member| member.site == *site)
            .find(|member| fresh_sample(member, self).is_some_and(DatabaseSample::writes))
            .map(|member| &member.node)
    }
}

fn writers(database: &Database, scene: &Scene<'_>, findings: &mut Vec<Finding>) {
    let is_writer =
        |member: &&Member| fresh_sample(member, scene).is_some_and(DatabaseSample::writes);
    let writers: Vec<&Member> = database.members.iter().filter(is_writer).collect();
    if let [first, second, ..] = writers.as_slice() {
        let sentence = format!(
            "database {} is written in {} and in {}: stop one of them now",
            database.name, first.site, second.site
        );
        found(findings, FindingCode::TwoPrimaries, sentence);
    }
    for writer in writers {
        let vouched = breaks(scene.inventory, scene.ticket).any(|b| b.glass.to == writer.site);
        if writer.site != *scene.live() && Some(&writer.site) != scene.becoming_live() && !vouched {
            let sentence = format!(
                "{} writes database {} and {} does not hold the right to be live ({} does)",
                writer.node,
                database.name,
                writer.site,
                scene.live()
            );
            found(findings, FindingCode::OldPrimaryActive, sentence);
        }
    }
}

fn answering(
    member: &Member,
    sample: &DatabaseSample,
    scene: &Scene<'_>,
    findings: &mut Vec<Finding>,
) {
    let live = member.site == *scene.live();
    if sample.state != DatabaseState::Up && sample.state != DatabaseState::Unknown {
        let sentence = format!(
            "the database beside {} is {}",
            member.node,
            state_words(sample.state)
        );
        found(findings, FindingCode::DatabaseDown, sentence);
        if live && matches!(sample.state, DatabaseState::Down | DatabaseState::Hung) {
            let sentence = format!(
                "{} is up and its database is {}: this is no site loss; restart it, or move the stack by hand",
                member.site,
                state_words(sample.state)
            );
            found(findings, FindingCode::ServiceDown, sentence);
        }
    }
    if live && sample.role == Some(DatabaseRole::Standby) && scene.becoming_live().is_none() {
        let sentence = format!(
            "the database beside {} is in recovery: a restart or a local failover goes on",
            member.node
        );
        found(findings, FindingCode::LocalFailover, sentence);
    }
}

fn replication(
    database: &Database,
    member: &Member,
    sample: &DatabaseSample,
    scene: &Scene<'_>,
    findings: &mut Vec<Finding>,
) {
    let live = scene.live();
    let primary_up = database
        .members
        .iter()
        .filter(|m| m.site == *live)
        .any(|m| fresh_sample(m, scene).is_some_and(DatabaseSample::writes));
    if sample.role != Some(DatabaseRole::Standby) || member.site == *live {
        return;
    }
    let streams = sample.receiver.as_ref().is_some_and(|receiver| {
        receiver.status == ReceiverStatus::Streaming
            && receiver
                .message_age_ms
                .is_none_or(|age| age < scene.silence())
    });
    if primary_up && !streams {
        let sentence = format!(
            "{} does not receive WAL while the primary in {live} is up",
            member.node
        );
        found(findings, FindingCode::ReplicationBroken, sentence);
    }
    let behind = last_primary(scene.inventory, database, live)
        .zip(sample.received_lsn)
        .map(|(primary, lsn)| primary.lsn.ahead_of(lsn));
    if let Some(behind) = behind.filter(|behind| *behind > scene.stack.policy.rpo_bytes) {
        let limit = scene.stack.policy.rpo_bytes;
        found(
            findings,
            FindingCode::LagAboveRpo,
            format!("{} is {behind} behind, allowed are {limit}", member.node),
        );
    }
}

/// Workloads that run in a site that is not live.
fn passive(site: &SiteName, scene: &Scene<'_>, findings: &mut Vec<Finding>) {
    if site == scene.live() || Some(site) == scene.becoming_live() {
        return;
    }
    let node = scene.stack.clusters.get(site);
    let agent = node.and_then(|node| scene.inventory.agent(site, node));
    let Some(cluster) = agent
        .filter(|a| scene.fresh(a.age(scene.now)))
        .and_then(|a| a.heartbeat.cluster.as_ref())
    else {
        return;
    };
    let running: Vec<&str> = scene
        .stack
        .workloads
        .iter()
        .filter(|workload| {
            let object = format!("{}/{}", workload.namespace, workload.object);
            let sample = cluster
                .workloads
                .iter()
                .find(|sample| sample.object == object);
            sample.is_some_and(|sample| sample.wanted.unwrap_or(0) > 0 || sample.ready > 0)
        })
        .map(|workload| workload.name.as_str())
        .collect();
    if !running.is_empty() {
        let sentence = format!(
            "{site} is not live and runs {}: scale them to 0",
            running.join(", ")
        );
        found(findings, FindingCode::PassiveSiteActive, sentence);
    }
}
