//! An independent check of a finished plan: it shares no code with the planner, and no plan with a note from
//! it is ever proposed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shared::stack::Stack;
use shared::wire::Action;

use crate::plan::{Plan, Step, Work};

/// Something wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanNote {
    /// The step, if it is one step's fault.
    pub step: Option<u32>,
    /// One sentence.
    pub sentence: String,
}

/// Everything that is wrong with a plan for a stack; nothing for a good one.
pub fn check(plan: &Plan, stack: &Stack) -> Vec<PlanNote> {
    let mut notes = Vec::new();
    numbering(plan, &mut notes);
    sites(plan, stack, &mut notes);
    epoch_order(plan, &mut notes);
    promotions(plan, stack, &mut notes);
    workloads(plan, stack, &mut notes);
    closing(plan, &mut notes);
    fences(plan, stack, &mut notes);
    notes
}

fn note(notes: &mut Vec<PlanNote>, step: Option<u32>, sentence: impl Into<String>) {
    notes.push(PlanNote {
        step,
        sentence: sentence.into(),
    });
}

fn action(step: &Step) -> Option<&Action> {
    match &step.work {
        Work::Agent { action, .. } => Some(action),
        Work::Revoke | Work::Wait { .. } | Work::Grant => None,
    }
}

fn numbering(plan: &Plan, notes: &mut Vec<PlanNote>) {
    let mut group = 0;
    for (step, expected) in plan.steps.iter().zip(1_u32..) {
        if step.number != expected {
            note(
                notes,
                Some(step.number),
                format!("step {} stands where step {expected} belongs", step.number),
            );
        }
        if step.group < group {
            note(
                notes,
                Some(step.number),
                "its group comes before the group of an earlier step",
            );
        }
        group = step.group;
    }
}

fn sites(plan: &Plan, stack: &Stack, notes: &mut Vec<PlanNote>) {
    if plan.stack != stack.name {
        note(notes, None, "it is for another stack");
    }
    if plan.from == plan.to || !stack.sites.contains_key(&plan.from) {
        note(
            notes,
            None,
            "it does not move from one site of the stack to another",
        );
    }
    if !stack.is_eligible(&plan.to) {
        note(notes, None, format!("{} may not become live", plan.to));
    }
    let homes = stack.nodes();
    for step in &plan.steps {
        if let Work::Agent { site, node, .. } = &step.work
            && homes.get(node) != Some(site)
        {
            note(
                notes,
                Some(step.number),
                format!("{node} is not a node of {site}"),
            );
        }
    }
}

fn epoch_order(plan: &Plan, notes: &mut Vec<PlanNote>) {
    let groups = |wanted: fn(&Work) -> bool| -> Vec<u32> {
        plan.steps
            .iter()
            .filter(|step| wanted(&step.work))
            .map(|step| step.group)
            .collect()
    };
    let revokes = groups(|work| matches!(work, Work::Revoke));
    let waits = groups(|work| matches!(work, Work::Wait { .. }));
    let grants = groups(|work| matches!(work, Work::Grant));
    let ([revoke], [wait], [grant]) = (revokes.as_slice(), waits.as_slice(), grants.as_slice())
    else {
        note(
            notes,
            None,
            "it does not revoke, wait and grant exactly once each",
        );
        return;
    };
    if !(revoke < wait && wait < grant) {
        note(
            notes,
            None,
            "it does not revoke, wait and grant in this order",
        );
    }
    for step in &plan.steps {
        let Some(action) = action(step) else {
            continue;
        };
        if action.needs_grant() && step.group <= *grant {
            note(
                notes,
                Some(step.number),
                "it needs the right to be live and comes before the grant",
            );
        }
        if matches!(action, Action::Fence { .. }) && (step.group <= *revoke || step.group >= *grant)
        {
            note(
                notes,
                Some(step.number),
                "a fence belongs between revoke and grant",
            );
        }
        if !action.changes() {
            continue;
        }
        if step.group <= *revoke {
            note(
                notes,
                Some(step.number),
                "it changes something before the epoch is revoked",
            );
        }
    }
}

fn promotions(plan: &Plan, stack: &Stack, notes: &mut Vec<PlanNote>) {
    let mut promoted = BTreeMap::new();
    for step in &plan.steps {
        let Work::Agent {
            site,
            node,
            action: Action::Promote { database, .. },
        } = &step.work
        else {
            continue;
        };
        if *site != plan.to {
            note(
                notes,
                Some(step.number),
                format!("it promotes in {site}, not in {}", plan.to),
            );
        }
        if promoted.insert(database, (node, step.group)).is_some() {
            note(
                notes,
                Some(step.number),
                format!("database {database} is promoted a second time"),
            );
        }
    }
    for database in &stack.databases {
        let member = database
            .members
            .iter()
            .find(|member| member.site == plan.to)
            .map(|member| &member.node);
        match promoted.get(&database.name) {
            None => note(
                notes,
                None,
                format!("database {} is not promoted", database.name),
            ),
            Some((node, _)) if Some(*node) != member => {
                note(
                    notes,
                    None,
                    format!(
                        "{node} is not the member of {} in {}",
                        database.name, plan.to
                    ),
                );
            }
            Some(_) => {}
        }
    }
    let last = promoted
        .values()
        .map(|(_, group)| *group)
        .max()
        .unwrap_or(0);
    around_promotions(plan, last, notes);
}

/// The point of no return is marked, and what needs a writable database comes after the last promotion.
fn around_promotions(plan: &Plan, last: u32, notes: &mut Vec<PlanNote>) {
    let first = plan
        .steps
        .iter()
        .find(|step| matches!(action(step), Some(Action::Promote { .. })));
    if plan.point_of_no_return() != first.map(|step| step.number) {
        note(
            notes,
            None,
            "the point of no return is not the first promotion",
        );
    }
    for step in &plan.steps {
        let after = step.fence.is_none()
            && matches!(
                action(step),
                Some(Action::Scale { .. } | Action::Hook { .. } | Action::Follow { .. })
            );
        if after && step.group <= last {
            note(
                notes,
                Some(step.number),
                "it comes before the last promotion",
            );
        }
    }
}

/// A fence from outside is one of the stack's, for the old site, run elsewhere, between revoke and grant; and
/// nobody waits shorter than the policy says.
fn fences(plan: &Plan, stack: &Stack, notes: &mut Vec<PlanNote>) {
    let group = |wanted: fn(&Work) -> bool| {
        let mut steps = plan.steps.iter();
        steps.find(|step| wanted(&step.work)).map(|step| step.group)
    };
    let revoke = group(|work| matches!(work, Work::Revoke));
    let grant = group(|work| matches!(work, Work::Grant));
    for step in &plan.steps {
        if let Work::Wait { for_ms } = step.work
            && for_ms < stack.policy.epoch_wait_ms
        {
            note(
                notes,
                Some(step.number),
                "it waits shorter than the policy says",
            );
        }
        let Some(fence) = &step.fence else {
            continue;
        };
        let known = stack.fences.iter().any(|one| {
            let Work::Agent {
                site,
                node,
                action: Action::Hook { hook, .. },
            } = &step.work
            else {
                return false;
            };
            one.name == fence.name
                && one.grade == fence.grade
                && one.site == plan.from
                && one.hook == *hook
                && *site != plan.from
                && one.nodes.get(site) == Some(node)
        });
        if !known {
            let sentence = format!(
                "the stack has no such fence {} for {}",
                fence.name, plan.from
            );
            note(notes, Some(step.number), sentence);
        }
        if Some(step.group) <= revoke || Some(step.group) >= grant {
            note(
                notes,
                Some(step.number),
                "a fence belongs between revoke and grant",
            );
        }
    }
}

fn workloads(plan: &Plan, stack: &Stack, notes: &mut Vec<PlanNote>) {
    let mut scaled = BTreeMap::new();
    for step in &plan.steps {
        let Some(Action::Scale { targets }) = action(step) else {
            continue;
        };
        for target in targets {
            let key = (
                target.kind,
                target.namespace.as_str(),
                target.object.as_str(),
            );
            if scaled.insert(key, (target.replicas, step.group)).is_some() {
                note(
                    notes,
                    Some(step.number),
                    format!("{} is scaled a second time", target.object),
                );
            }
        }
    }
    let mut waves: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for workload in &stack.workloads {
        let key = (
            workload.kind,
            workload.namespace.as_str(),
            workload.object.as_str(),
        );
        match scaled.remove(&key) {
            Some((replicas, group)) if replicas == workload.replicas => {
                waves.entry(workload.wave).or_default().insert(group);
            }
            Some((replicas, _)) => {
                let declared = workload.replicas;
                note(
                    notes,
                    None,
                    format!(
                        "{} is scaled to {replicas}, declared are {declared}",
                        workload.name
                    ),
                );
            }
            None => note(notes, None, format!("{} is not scaled", workload.name)),
        }
    }
    for (_, object, name) in scaled.keys() {
        note(
            notes,
            None,
            format!("{object}/{name} is scaled and not of the stack"),
        );
    }
    let groups: Vec<&BTreeSet<u32>> = waves.values().collect();
    for pair in groups.windows(2) {
        if let [earlier, later] = pair
            && earlier.last() >= later.first()
        {
            note(notes, None, "a wave does not wait for the one before it");
        }
    }
}

fn closing(plan: &Plan, notes: &mut Vec<PlanNote>) {
    let last = |wanted: fn(&Action) -> bool| {
        plan.steps
            .iter()
            .filter(|step| action(step).is_some_and(wanted))
            .map(|step| step.group)
            .max()
    };
    let scale = last(|action| matches!(action, Action::Scale { .. }));
    for step in &plan.steps {
        let is_route = step.fence.is_none() && matches!(action(step), Some(Action::Hook { .. }));
        if is_route && Some(step.group) <= scale {
            note(
                notes,
                Some(step.number),
                "a route is switched before the workloads are up",
            );
        }
        let hook = last(|action| matches!(action, Action::Hook { .. }));
        if matches!(action(step), Some(Action::Verify { .. }))
            && Some(step.group) <= hook.max(scale)
        {
            note(
                notes,
                Some(step.number),
                "the service is verified before it is complete",
            );
        }
    }
}
