//! The rules of automatic mode, looked at one by one. It only looks; what is not sure stands in the way.

use shared::clock::Mono;
use shared::id::SiteName;
use shared::stack::{Database, Mode, Policy};

use super::AutomaticBlock;
use crate::assessment::{Scene, assess};
use crate::core::Core;
use crate::execution::FENCE_GRADE;
use crate::finding::{Finding, FindingCode, row_of};
use crate::leasing::promises;
use crate::needs::expected_grade;
use crate::proposal::Proposal;
use crate::synchrony::unproved;

impl Core {
    /// Every rule that does not hold now, but for the window.
    pub(crate) fn automatic_blocks(&self, now: Mono) -> Vec<AutomaticBlock> {
        let Some(view) = self.view(now) else {
            return Vec::new();
        };
        let policy = &view.stack.policy;
        let mut blocks = Vec::new();
        if policy.mode != Mode::Automatic {
            blocks.push(AutomaticBlock::Mode(policy.mode));
        }
        if let Some(off) = &self.durable.automatic_off {
            blocks.push(AutomaticBlock::SwitchedOff {
                by: off.by.clone(),
                at: off.at,
                reason: off.reason.clone(),
            });
        }
        blocks.extend(
            self.durable
                .run
                .as_ref()
                .map(|run| AutomaticBlock::Run(run.id)),
        );
        blocks.extend(self.cooling(now, policy));
        blocks.extend(forbidding(assess(&view)));
        blocks.extend(coordinators(&view));
        blocks.extend(other_versions(&view));
        blocks.extend(unfenced(&view));
        if let Some(open) = self.durable.open_proposal() {
            blocks.extend(overrides(open));
        }
        if !self.leads() {
            blocks.push(AutomaticBlock::NotLeading);
        }
        blocks.sort_by_key(|block| block.rule().row);
        blocks
    }

    fn cooling(&self, now: Mono, policy: &Policy) -> Option<AutomaticBlock> {
        let cool_down = self.durable.cool_down.as_ref()?;
        let over = |since: Mono| since.after(policy.automatic.cool_down_ms);
        let left_ms = self
            .automatic
            .cool_since
            .map(|since| over(since).since(now));
        Some(AutomaticBlock::CoolDown {
            run: cool_down.run,
            left_ms,
        })
    }
}

/// Findings that forbid it: all that forbid a proposal, and those of whoever has no vote or comes and goes.
fn forbidding(findings: Vec<Finding>) -> impl Iterator<Item = AutomaticBlock> {
    let forbids = |finding: &Finding| {
        row_of(finding.code).blocks
            || matches!(
                finding.code,
                FindingCode::Flapping | FindingCode::ObserverUnfit | FindingCode::ObserverMissing
            )
    };
    findings
        .into_iter()
        .filter(forbids)
        .map(|finding| AutomaticBlock::Found {
            code: finding.code,
            says: finding.sentence,
        })
}

/// Every coordinator but the live site's must be heard, and every one that is heard have the same version.
fn coordinators(scene: &Scene<'_>) -> Vec<AutomaticBlock> {
    let others = scene.stack.sites.keys();
    let others = others.filter(|site| **site != scene.ears.site);
    let block = |site: &SiteName| {
        let record = scene.inventory.coordinator(site);
        let heard = record.filter(|record| scene.fresh(scene.now.since(record.said_at)));
        match heard.map(|record| record.observation.stack_version) {
            None if site == scene.live() => None,
            None => Some(AutomaticBlock::CoordinatorUnheard(site.clone())),
            Some(has) if has == Some(scene.version) => None,
            Some(has) => Some(AutomaticBlock::CoordinatorVersion {
                site: site.clone(),
                has,
                wanted: scene.version,
            }),
        }
    };
    others.filter_map(block).collect()
}

/// Database agents say by which rules they keep their lease, and the ticket by which the old site promised.
fn other_versions(scene: &Scene<'_>) -> Vec<AutomaticBlock> {
    let mut blocks = Vec::new();
    let wanted = scene.version;
    for member in scene.stack.databases.iter().flat_map(Database::members) {
        let agent = scene.inventory.agent(&member.site, &member.node);
        let Some(agent) = agent.filter(|agent| scene.fresh(agent.age(scene.now))) else {
            continue;
        };
        let sample = agent.heartbeat.lease.as_ref();
        let has = sample.map(|sample| sample.stack_version);
        let silent = has.is_none() && scene.stack.policy.lease.renews();
        if silent || has.is_some_and(|has| has != wanted) {
            blocks.push(AutomaticBlock::AgentVersion {
                node: member.node.clone(),
                has,
                wanted,
            });
        }
    }
    let Some(ticket) = scene.ticket else {
        return blocks;
    };
    for (node, promise) in promises(scene.stack, ticket, scene.live()) {
        let other = promise.filter(|promise| promise.stack_version != wanted);
        blocks.extend(other.map(|promise| AutomaticBlock::PromiseVersion {
            node: node.clone(),
            has: promise.stack_version,
            wanted,
        }));
    }
    blocks
}

/// Nothing keeps the old site from acknowledging, or not as surely as is asked.
fn unfenced(scene: &Scene<'_>) -> Option<AutomaticBlock> {
    let policy = &scene.stack.policy;
    if let Some(replication) = unproved(scene)
        && !policy.lease.enforces()
    {
        return Some(AutomaticBlock::NotFenced { replication });
    }
    let asked = policy.automatic.fence_grade;
    let (reached, because) = expected_grade(scene, scene.live(), asked);
    (reached < asked).then_some(AutomaticBlock::Grade {
        asked,
        reached,
        because,
    })
}

/// Rules that an operator would have to override. The grade has its own for automatic mode.
fn overrides(open: &Proposal) -> impl Iterator<Item = AutomaticBlock> {
    let rules = open.needs.overrides.iter();
    let rules = rules.filter(|rule| rule.rule != FENCE_GRADE);
    rules.map(|rule| AutomaticBlock::Override {
        name: rule.rule.clone(),
        says: rule.says.clone(),
    })
}
