//! What an approval must bring: whether somebody has to vouch, and which rules stand in the way.
//!
//! It says beforehand what will be proved, and by what; what was really proved is checked before the grant.

use shared::grade::FenceGrade;
use shared::id::SiteName;
use shared::wire::LeasePromise;

use crate::assessment::Scene;
use crate::execution::FENCE_GRADE;
use crate::leasing::promises;
use crate::plan::Plan;
use crate::proposal::{ApprovalNeeds, LossBound, RuleToOverride};
use crate::synchrony::{Bound, Unproved, proved, unproved};

/// The grade that would be reached against a site without anybody's word, and why not more.
pub(crate) fn expected_grade(
    scene: &Scene<'_>,
    from: &SiteName,
    asked: FenceGrade,
) -> (FenceGrade, String) {
    let (promised, why) = match (promised(scene, from), unproved(scene)) {
        (Ok(_), _) | (_, None) => (FenceGrade::LeaseExpired, None),
        (Err(why), Some(_)) => (FenceGrade::None, Some(why)),
    };
    let fences = scene.stack.fences.iter();
    let run = |fence: &&shared::stack::Fence| fence.site == *from;
    let outside = fences.filter(run).map(|fence| fence.grade).max();
    let outside = outside.filter(|_| scene.stack.policy.runs_fences(asked));
    let why = why.unwrap_or_else(|| format!("no [[fence]] of {from} reaches it"));
    (promised.max(outside.unwrap_or(FenceGrade::None)), why)
}

/// What approving this plan needs.
pub(crate) fn needs(scene: &Scene<'_>, plan: &Plan, loss: &LossBound) -> ApprovalNeeds {
    let policy = &scene.stack.policy;
    let asked = policy.fence_grade;
    let promised = promised(scene, &plan.from);
    let outside = plan.steps.iter().filter_map(|step| step.fence.as_ref());
    let outside = outside.map(|fence| fence.grade).max();
    let bound = proved(
        scene.inventory,
        scene.stack,
        &plan.from,
        &plan.to,
        scene.now,
    );
    let by_itself = (promised.is_ok() || bound.is_ok()).then_some(FenceGrade::LeaseExpired);
    let expected = by_itself.max(outside).unwrap_or(FenceGrade::None);
    let short = asked > FenceGrade::Attested && expected < asked;
    let vouches = expected < FenceGrade::Attested.max(asked) && by_itself.is_none();
    let rules = [over_rpo(loss, policy.rpo_bytes), ungraded(asked, expected)];
    ApprovalNeeds {
        fence_grade: asked,
        attest_site_off: (vouches && (short || asked <= FenceGrade::Attested))
            .then(|| plan.from.clone()),
        overrides: rules.into_iter().flatten().collect(),
        proofs: proofs(plan, promised, bound, vouches),
    }
}

fn over_rpo(loss: &LossBound, rpo: shared::lsn::LagBytes) -> Option<RuleToOverride> {
    let says = match loss.upper_bytes() {
        None => format!("the loss is not known, so it cannot be held against the allowed {rpo}"),
        Some(upper) if upper > rpo => format!("up to {upper} may be lost, allowed are {rpo}"),
        Some(_) => return None,
    };
    Some(RuleToOverride {
        rule: "rpo".to_owned(),
        says,
    })
}

fn ungraded(asked: FenceGrade, expected: FenceGrade) -> Option<RuleToOverride> {
    let short = asked > FenceGrade::Attested && expected < asked;
    short.then(|| RuleToOverride {
        rule: FENCE_GRADE.to_owned(),
        says: format!("fence grade {asked} is asked, and at most {expected} can be reached"),
    })
}

/// Every database's promise, or why time alone proves nothing.
fn promised(scene: &Scene<'_>, from: &SiteName) -> Result<Vec<(String, LeasePromise)>, String> {
    let Some(ticket) = scene.ticket else {
        return Err("the store has no ticket".to_owned());
    };
    let mut kept = Vec::new();
    for (node, promise) in promises(scene.stack, ticket, from) {
        match promise {
            Some(promise) if promise.deadman => kept.push((node.to_string(), promise)),
            Some(_) => {
                return Err(format!(
                    "{node} promised to stop, and nothing keeps that if its agent hangs"
                ));
            }
            None => return Err(format!("{node} promised nothing")),
        }
    }
    if kept.is_empty() {
        return Err(format!("{from} has no database"));
    }
    Ok(kept)
}

/// What will be attested, what will be proved, and what will not.
fn proofs(
    plan: &Plan,
    promised: Result<Vec<(String, LeasePromise)>, String>,
    bound: Result<Vec<Bound>, (Unproved, String)>,
    vouches: bool,
) -> Vec<String> {
    let from = &plan.from;
    let mut lines = Vec::new();
    match promised {
        Ok(promises) => lines.extend(promises.into_iter().map(|(node, promise)| {
            format!(
                "{node} promised to stop within {} without a renewal, and the kernel keeps that: proved by waiting \
                 longer (a paused virtual machine is not covered)",
                promise.stop_bound_ms.human()
            )
        })),
        Err(why) => lines.push(format!("time proves nothing: {why}")),
    }
    match bound {
        Ok(bound) => lines.extend(bound.into_iter().map(|one| {
            format!(
                "database {} acknowledges a commit only with {} (synchronous_standby_names {:?}, {} ago): once that is \
                 promoted, {from} acknowledges none, also after a pause of its virtual machine; it goes on answering reads",
                one.database,
                one.standby,
                one.names,
                one.age.human()
            )
        })),
        Err((Unproved::Asynchronous, _)) => {}
        Err((_, why)) => lines.push(format!("synchronous replication proves nothing: {why}")),
    }
    for step in &plan.steps {
        if let Some(fence) = &step.fence {
            lines.push(format!(
                "fence {} will prove {} if it succeeds",
                fence.name, fence.grade
            ));
        }
    }
    if vouches {
        lines.push(format!("the word of a person that {from} is off"));
    }
    lines
}
