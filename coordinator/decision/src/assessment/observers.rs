//! Findings about observers, agents, hosts, the store, and the rules in force.

use shared::clock::Millis;

use super::{Scene, found};
use crate::candidate::{CandidateRefusal, choose};
use crate::finding::{Finding, FindingCode};
use crate::glass::alarms;
use crate::sighting::{NoVote, Vote, unfit_words};
use crate::trusting::doubts;

/// A loop later than this is worth a word.
const SLOW_LOOP: Millis = Millis::seconds(1);

/// How long a jump of a clock is shown.
const JUMP_SHOWN: Millis = Millis::seconds(300);

/// Finds.
pub(super) fn find(scene: &Scene<'_>, findings: &mut Vec<Finding>) {
    observers(scene, findings);
    named_agents(scene, findings);
    hosts(scene, findings);
    store(scene, findings);
    rules(scene, findings);
    candidates(scene, findings);
}

fn observers(scene: &Scene<'_>, findings: &mut Vec<Finding>) {
    for vote in scene.votes(scene.live()) {
        let Vote::None(why) = &vote.vote else {
            continue;
        };
        let sentence = format!("observer {} has no vote: {}", vote.observer, why.words());
        let code = match why {
            NoVote::Missing | NoVote::Stale(_) => FindingCode::ObserverMissing,
            NoVote::Unfit(_) => FindingCode::ObserverUnfit,
        };
        found(findings, code, sentence);
    }
    let own = scene
        .ears
        .unfit(scene.inventory, &scene.stack.policy, scene.now);
    if scene.now.since(scene.ears.started) < scene.silence() {
        let left = scene
            .ears
            .started
            .after(scene.silence())
            .since(scene.now)
            .human();
        let sentence = format!("this coordinator started a short time ago; it judges in {left}");
        found(findings, FindingCode::JustStarted, sentence);
    } else if let Some(reason) = own.first() {
        let sentence = format!(
            "the coordinator in {} has no vote: {}",
            scene.ears.site,
            unfit_words(*reason)
        );
        found(findings, FindingCode::ObserverUnfit, sentence);
    }
    for (site, record) in scene.inventory.coordinators() {
        let age = scene.now.since(record.said_at);
        let agents_live = scene
            .inventory
            .agents_of(site)
            .any(|(_, agent)| scene.fresh(agent.age(scene.now)));
        if age >= scene.silence() && agents_live {
            let sentence = format!(
                "the coordinator in {site} has been silent for {} and agents of {site} live: one coordinator fewer can lead",
                age.human()
            );
            found(findings, FindingCode::CoordinatorSilent, sentence);
        }
        let other = record.observation.stack_version;
        if scene.fresh(scene.now.since(record.said_at))
            && other.is_some_and(|version| version != scene.version)
        {
            let theirs = other.map_or_else(|| "none".to_owned(), |version| version.to_string());
            let sentence = format!(
                "the coordinator in {site} works with stack version {theirs}, this one with {}",
                scene.version
            );
            found(findings, FindingCode::StackDiffers, sentence);
        }
    }
}

fn named_agents(scene: &Scene<'_>, findings: &mut Vec<Finding>) {
    for (node, site) in scene.stack.nodes() {
        let Some(agent) = scene.inventory.agent(&site, &node) else {
            found(
                findings,
                FindingCode::AgentUnknown,
                format!("agent {site}/{node} was never heard"),
            );
            continue;
        };
        let age = agent.age(scene.now);
        let sighted = scene
            .votes(&site)
            .iter()
            .any(|vote| vote.vote == Vote::Sighted)
            || scene
                .inventory
                .heard_of(&site)
                .is_some_and(|s| s.at.after(scene.silence()) > scene.now);
        if age >= scene.silence() && sighted {
            let sentence = format!(
                "agent {site}/{node} has been silent for {} and {site} lives",
                age.human()
            );
            found(findings, FindingCode::AgentSilent, sentence);
        }
    }
}

fn hosts(scene: &Scene<'_>, findings: &mut Vec<Finding>) {
    for (site, node, agent) in scene.inventory.agents() {
        let lag = agent.heartbeat.loop_lag_ms;
        if lag >= SLOW_LOOP && scene.fresh(agent.age(scene.now)) {
            let sentence = format!(
                "{site}/{node} is slow or was paused: its loop was {} late",
                lag.human()
            );
            found(findings, FindingCode::SlowHost, sentence);
        }
        if agent
            .clock_jump_at
            .is_some_and(|at| at.after(JUMP_SHOWN) > scene.now)
        {
            found(
                findings,
                FindingCode::ClockJump,
                format!("the wall clock of {site}/{node} jumped; no decision uses it"),
            );
        }
    }
}

fn store(scene: &Scene<'_>, findings: &mut Vec<Finding>) {
    for alarm in alarms(scene.inventory, scene.ticket, scene.durable) {
        found(findings, FindingCode::GlassBroken, alarm.sentence());
    }
    if let Some(fault) = scene.store_fault {
        found(findings, FindingCode::StoreRegressed, fault);
    }
    if let Some(halt) = scene.store_halt {
        found(findings, FindingCode::StoreRegressed, halt.to_string());
    }
    for doubt in doubts(scene) {
        found(findings, FindingCode::StoreRegressed, doubt);
    }
}

fn rules(scene: &Scene<'_>, findings: &mut Vec<Finding>) {
    if let Some(hold) = &scene.durable.hold {
        let since = hold.at.rfc3339();
        let sentence = format!(
            "proposals are suspended by {} since {since}: {}",
            hold.by, hold.reason
        );
        found(findings, FindingCode::HoldActive, sentence);
    }
}

fn candidates(scene: &Scene<'_>, findings: &mut Vec<Finding>) {
    if scene.durable.run.is_some() {
        return;
    }
    let live = scene.live();
    let whole = crate::candidate::targets(scene.inventory, scene.stack, live, scene.now)
        .into_iter()
        .any(|site| {
            let choices = choose(scene.inventory, scene.stack, live, &site, scene.now);
            // A standby that still receives is refused as a candidate now, and is one once its primary is gone.
            choices.iter().all(|choice| {
                choice.chosen.is_some()
                    || choice
                        .refused
                        .iter()
                        .any(|r| r.site == site && r.why == Some(CandidateRefusal::StillMoves))
            })
        });
    if !whole {
        let sentence = format!(
            "no standby could be promoted if {live} were lost now: the stack is unprotected"
        );
        found(findings, FindingCode::NoCandidate, sentence);
    }
}
