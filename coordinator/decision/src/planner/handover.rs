//! The part of a plan in which the right to be live leaves the old site: revoke, wait and fence, grant.
//!
//! It says which fences are tried and how long. Whether what they prove is enough is decided before the grant, by the run.

use std::collections::BTreeMap;

use shared::clock::Millis;
use shared::grade::FenceGrade;
use shared::stack::Replication;
use shared::wire::Action;

use super::{Draft, Ground, Promotion, on};
use crate::plan::{OnFailure, OutsideFence, Work};

/// Shortest time in which the old site's agent is tried to be reached for the fence.
const FENCE_TRY_MIN: Millis = Millis::seconds(1);
/// Why a fence that fails does not halt a run by itself.
const GRADED: &str = "the grade that is reached is checked before the grant";

/// Adds the steps from the revocation to the grant.
pub(super) fn hand_over(draft: &mut Draft, ground: &Ground<'_>, promotions: &[Promotion<'_>]) {
    let policy = &ground.stack.policy;
    let next = ground.epoch.next();
    let store = policy.deadlines.check_ms;
    draft.next_group();
    draft.add(
        format!("revoke epoch {} from {}", ground.epoch, ground.from),
        Work::Revoke,
        store,
        OnFailure::Halt,
    );
    draft.next_group();
    let for_ms = policy
        .epoch_wait_ms
        .max(ground.promised.unwrap_or_default());
    let title = format!(
        "wait {} so that nobody acts on epoch {} any more",
        for_ms.human(),
        ground.epoch
    );
    draft.add(title, Work::Wait { for_ms }, for_ms, OnFailure::Halt);
    own_fences(draft, ground, promotions, for_ms);
    outside_fences(draft, ground);
    draft.next_group();
    draft.add(
        format!("grant epoch {next} to {}", ground.to),
        Work::Grant,
        store,
        OnFailure::Halt,
    );
}

/// The old site's own agents stop its databases beside the wait, if anybody reaches them.
fn own_fences(draft: &mut Draft, ground: &Ground<'_>, promotions: &[Promotion<'_>], wait: Millis) {
    let policy = &ground.stack.policy;
    let shortest = if ground.grade >= FenceGrade::AgentConfirmed {
        policy.deadlines.fence_ms
    } else {
        FENCE_TRY_MIN
    };
    let by_word =
        ground.grade <= FenceGrade::Attested && policy.replication == Replication::Asynchronous;
    let because = if by_word {
        format!("the operator vouches that {} is off", ground.from)
    } else {
        GRADED.to_owned()
    };
    for p in promotions {
        let Some(old) = p
            .database
            .members
            .iter()
            .find(|member| member.site == *ground.from)
        else {
            continue;
        };
        let title = format!(
            "fence {}: stop its database at once, if its agent can be reached",
            old.node
        );
        let action = Action::Fence {
            database: p.database.name.clone(),
            system_identifier: p.system_identifier.clone(),
        };
        let on_failure = OnFailure::Continue {
            because: because.clone(),
        };
        draft.add(title, on(old, action), wait.max(shortest), on_failure);
    }
}

/// The programs that stop the old site from outside, beside the wait; any of them that succeeds is a proof.
fn outside_fences(draft: &mut Draft, ground: &Ground<'_>) {
    let policy = &ground.stack.policy;
    if !policy.runs_fences(ground.grade) {
        return;
    }
    let useful = ground
        .stack
        .fences
        .iter()
        .filter(|fence| fence.site == *ground.from && fence.grade >= ground.grade);
    for fence in useful {
        let beside = fence.nodes.get_key_value(ground.to);
        let Some((site, node)) = beside.or_else(|| {
            let mut elsewhere = fence.nodes.iter();
            elsewhere.find(|(site, _)| *site != ground.from)
        }) else {
            continue;
        };
        let environment = BTreeMap::from([
            ("FENCE".to_owned(), fence.name.to_string()),
            ("FENCED_SITE".to_owned(), ground.from.to_string()),
            ("TO_SITE".to_owned(), ground.to.to_string()),
        ]);
        let work = Work::Agent {
            site: site.clone(),
            node: node.clone(),
            action: Action::Hook {
                hook: fence.hook.clone(),
                environment,
            },
        };
        let title = format!("fence {}: stop {} from outside", fence.name, ground.from);
        let on_failure = OnFailure::Continue {
            because: GRADED.to_owned(),
        };
        let step = draft.add(title, work, policy.deadlines.hook_ms, on_failure);
        step.fence = Some(OutsideFence {
            name: fence.name.clone(),
            grade: fence.grade,
        });
    }
}
