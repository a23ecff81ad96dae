//! Findings about sites, links between them, and the bus.

use shared::clock::{Millis, Mono};
use shared::id::SiteName;
use shared::wire::PeerOutcome;

use super::{Scene, found};
use crate::detector::Tally;
use crate::finding::{Finding, FindingCode};
use crate::sighting::{ObserverVote, Vote};

/// Finds.
pub(super) fn find(scene: &Scene<'_>, findings: &mut Vec<Finding>) {
    live_site(scene, findings);
    for target in scene.stack.sites.keys() {
        let votes = scene.votes(target);
        links(target, &votes, scene, findings);
        site_bus(target, &votes, scene, findings);
        asymmetry(target, scene, findings);
    }
    bus(scene, findings);
}

fn live_site(scene: &Scene<'_>, findings: &mut Vec<Finding>) {
    let live = scene.live();
    let policy = &scene.stack.policy;
    if scene.detector.tally == Tally::AllSilent {
        let since = scene.detector.quiet_since.unwrap_or(scene.now);
        let silent = Millis(scene.now.since(since).0.saturating_add(policy.silence_ms.0)).human();
        if scene.detector.confirmed(scene.now, policy) {
            let sentence = format!(
                "{live} is lost or cut off from everybody: no observer has sighted it for {silent} (from outside these are the same)"
            );
            found(findings, FindingCode::SiteLost, sentence);
        } else {
            let left = since.after(policy.confirm_ms).since(scene.now).human();
            let sentence = format!(
                "nobody has sighted {live} for {silent}; confirmed in {left} if nobody does"
            );
            found(findings, FindingCode::SiteSilent, sentence);
        }
    }
    if scene.detector.flapping(scene.now) {
        found(
            findings,
            FindingCode::Flapping,
            format!("{live} comes and goes: three silences or more in ten minutes"),
        );
    }
}

fn links(
    target: &SiteName,
    votes: &[ObserverVote],
    scene: &Scene<'_>,
    findings: &mut Vec<Finding>,
) {
    let Some(sighted) = votes.iter().find(|vote| vote.vote == Vote::Sighted) else {
        return;
    };
    for vote in votes.iter().filter(|vote| vote.vote == Vote::Silent) {
        let age = vote.sighting.as_ref().map_or_else(
            || "never".to_owned(),
            |s| format!("last {} ago", scene.now.since(s.at).human()),
        );
        let other = sighted.sighting.as_ref().map_or_else(String::new, |s| {
            format!(
                " {} ago by {}",
                scene.now.since(s.at).human(),
                s.channel.words()
            )
        });
        let sentence = format!(
            "the link {}-{target} is lost: {} has not sighted {target} ({age}), {} sighted it{other}; {target} lives",
            vote.observer, vote.observer, sighted.observer
        );
        found(findings, FindingCode::LinkLost, sentence);
    }
}

/// The site answers direct looks, and nothing of it is on the bus; or it is there by a foreign server.
fn site_bus(
    target: &SiteName,
    votes: &[ObserverVote],
    scene: &Scene<'_>,
    findings: &mut Vec<Finding>,
) {
    let foreign = scene.inventory.agents_of(target).find_map(|(node, agent)| {
        let server = agent.heartbeat.foreign_server.as_ref()?;
        scene
            .fresh(agent.age(scene.now))
            .then(|| format!("{node} speaks through {server}"))
    });
    if let Some(words) = foreign {
        found(
            findings,
            FindingCode::SiteBusLost,
            format!("the NATS server of {target} is gone: {words}; {target} itself lives"),
        );
        return;
    }
    let recent = |at: Mono| at.after(scene.silence()) > scene.now;
    let heard = scene
        .inventory
        .heard_of(target)
        .is_some_and(|s| recent(s.at));
    // A coordinator's observation says what it hears on the bus, whatever else its site sees.
    let heard_elsewhere = scene
        .inventory
        .coordinators()
        .filter(|(site, _)| *site != target)
        .any(|(_, record)| record.sighting_of(target).is_some_and(|s| recent(s.at)));
    let direct = votes.iter().find(|vote| vote.vote == Vote::Sighted);
    if let Some(direct) = direct
        && !heard
        && !heard_elsewhere
    {
        let channel = direct
            .sighting
            .as_ref()
            .map_or("a direct look", |s| s.channel.words());
        let sentence = format!(
            "nothing of {target} is on the bus, and {} sights it by {channel}: its NATS server or agents are gone, {target} itself lives",
            direct.observer
        );
        found(findings, FindingCode::SiteBusLost, sentence);
    }
}

/// Agents of `from` look at `target` in vain while `target`'s look back is answered.
fn asymmetry(target: &SiteName, scene: &Scene<'_>, findings: &mut Vec<Finding>) {
    for from in scene.stack.sites.keys().filter(|site| *site != target) {
        if looks(scene, from, target) == Some(false) && looks(scene, target, from) == Some(true) {
            let sentence = format!(
                "{from} does not reach {target}, and {target} reaches {from}: one direction is broken"
            );
            found(findings, FindingCode::AsymmetricReach, sentence);
        }
    }
}

/// Whether the fresh agents of a site reach another directly; nothing when none looks.
fn looks(scene: &Scene<'_>, from: &SiteName, target: &SiteName) -> Option<bool> {
    let agents = scene
        .inventory
        .agents_of(from)
        .filter(|(_, agent)| scene.fresh(agent.age(scene.now)));
    let peers = agents.flat_map(|(_, agent)| agent.heartbeat.peers.iter());
    let answered: Vec<bool> = peers
        .filter(|peer| peer.site == *target && peer.outcome != PeerOutcome::Unknown)
        .map(|peer| peer.answered_ms.is_some_and(|age| age < scene.silence()))
        .collect();
    if answered.is_empty() {
        None
    } else {
        Some(answered.contains(&true))
    }
}

fn bus(scene: &Scene<'_>, findings: &mut Vec<Finding>) {
    let own = &scene.ears.site;
    let hears = scene
        .inventory
        .heard_sites()
        .any(|(site, sighting)| site != own && sighting.at.after(scene.silence()) > scene.now);
    let old_enough = scene.now.since(scene.ears.started) >= scene.silence();
    if !hears && old_enough {
        let sentence = format!(
            "the coordinator in {own} hears no other site: the bus is at fault or {own} is isolated; judgement is suspended"
        );
        found(findings, FindingCode::BusFault, sentence);
    }
}
