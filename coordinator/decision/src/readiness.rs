//! Readiness: whether a failover would work if the live site were lost now, and what it would lose.

use shared::id::SiteName;

use crate::assessment::Scene;
use crate::candidate::{CandidateRefusal, choose, targets};
use crate::finding::{Finding, row_of};
use crate::glass::glass_of_sites;
use crate::loss::bound;
use crate::sighting::Vote;
use crate::view::ReadinessView;

/// Judges readiness.
pub(crate) fn readiness(scene: &Scene<'_>, findings: &[Finding]) -> ReadinessView {
    let live = scene.live();
    let mut obstacles: Vec<String> = findings
        .iter()
        .filter(|f| row_of(f.code).blocks)
        .map(|f| f.sentence.clone())
        .collect();
    obstacles.extend(without_vote(scene));
    let Some(target) = targets(scene.inventory, scene.stack, live, scene.now)
        .into_iter()
        .next()
    else {
        obstacles.push("no other site may become live".to_owned());
        return ReadinessView {
            protected: false,
            target: None,
            loss: None,
            obstacles,
            break_glass: glass_of_sites(scene),
        };
    };
    let choices = choose_as_if_lost(scene, &target);
    for choice in &choices {
        if choice.chosen.is_none() {
            for refused in choice
                .refused
                .iter()
                .filter(|refused| refused.site == target)
            {
                obstacles.push(format!("{}: {}", refused.node, refused.because));
            }
        }
    }
    obstacles.extend(cluster_out_of_reach(scene, &target));
    let loss = bound(scene.inventory, scene.stack, live, &choices, scene.now);
    ReadinessView {
        protected: obstacles.is_empty(),
        target: Some(target),
        loss: Some(loss.summary),
        obstacles,
        break_glass: glass_of_sites(scene),
    }
}

/// A loss is confirmed by every observer: while one has no vote, no loss would ever be proposed.
fn without_vote(scene: &Scene<'_>) -> Vec<String> {
    let votes = scene.votes(scene.live());
    let silenced = votes.iter().filter_map(|vote| match &vote.vote {
        Vote::None(why) => Some(format!(
            "observer {} has no vote, so a loss of {} could not be confirmed: {}",
            vote.observer,
            scene.live(),
            why.words()
        )),
        Vote::Sighted | Vote::Silent => None,
    });
    silenced.collect()
}

/// Workloads are started by one agent; while it is silent a run would halt at its first check.
fn cluster_out_of_reach(scene: &Scene<'_>, target: &SiteName) -> Option<String> {
    if scene.stack.workloads.is_empty() {
        return None;
    }
    let Some(node) = scene.stack.clusters.get(target) else {
        return Some(format!("the stack names no Kubernetes agent in {target}"));
    };
    let Some(agent) = scene.inventory.agent(target, node) else {
        return Some(format!("{node}: its agent was never heard"));
    };
    let age = agent.age(scene.now);
    (!scene.fresh(age)).then(|| format!("{node}: what is known of it is {} old", age.human()))
}

/// The choice as it would be a moment after the primary is gone: a standby that still receives is no obstacle.
pub(crate) fn choose_as_if_lost(
    scene: &Scene<'_>,
    target: &SiteName,
) -> Vec<crate::proposal::CandidateChoice> {
    let mut choices = choose(
        scene.inventory,
        scene.stack,
        scene.live(),
        target,
        scene.now,
    );
    for choice in &mut choices {
        let moving = choice
            .refused
            .iter()
            .position(|r| r.site == *target && r.why == Some(CandidateRefusal::StillMoves));
        let Some(index) = moving else {
            continue;
        };
        let refused = choice.refused.remove(index);
        let agent = scene.inventory.agent(&refused.site, &refused.node);
        let lsn = agent
            .and_then(|a| a.heartbeat.database.as_ref())
            .and_then(|d| d.received_lsn);
        choice.chosen = lsn.map(|lsn| crate::proposal::ChosenCandidate {
            site: refused.site,
            node: refused.node,
            lsn,
        });
    }
    choices
}
