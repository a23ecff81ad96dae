//! The planner: from a target site and its candidates to a complete plan.
//!
//! Order: look at everything that must be there, revoke the old epoch, wait while the old database is stopped
//! if anybody reaches it, grant, promote, re-point the other replicas beside the first wave, start the waves,
//! switch the routes, prove the service. Databases before workloads: a workload on a read-only database fails
//! in ways that outlast the promotion.

mod handover;

use std::collections::BTreeMap;

use shared::clock::Millis;
use shared::epoch::{Epoch, StackVersion};
use shared::grade::FenceGrade;
use shared::id::SiteName;
use shared::lsn::{Lsn, SystemIdentifier, Timeline};
use shared::stack::{Check, CheckProbe, Database, Member, Stack};
use shared::wire::{Action, CheckExpectation, ProbeRequest, ScaleTarget, SlotName};

use self::handover::hand_over;
use crate::inventory::Inventory;
use crate::plan::{OnFailure, Plan, Step, Work};
use crate::proposal::CandidateChoice;

const HTTP_ATTEMPT: Millis = Millis::seconds(3);

/// What a plan is made from.
pub(crate) struct Ground<'a> {
    /// What is known.
    pub(crate) inventory: &'a Inventory,
    /// The stack.
    pub(crate) stack: &'a Stack,
    /// Its version.
    pub(crate) version: StackVersion,
    /// The epoch in force.
    pub(crate) epoch: Epoch,
    /// The site that is left.
    pub(crate) from: &'a SiteName,
    /// The site that becomes live.
    pub(crate) to: &'a SiteName,
    /// How surely the old site must be stopped.
    pub(crate) grade: FenceGrade,
    /// The longest wait that a promise in the ticket asks for, if there is one.
    pub(crate) promised: Option<Millis>,
}

/// A candidate with all that its promotion needs.
struct Promotion<'a> {
    database: &'a Database,
    member: &'a Member,
    system_identifier: SystemIdentifier,
    timeline: Timeline,
    min_lsn: Lsn,
}

/// Makes the plan, or says what stands in the way.
pub(crate) fn plan(ground: &Ground<'_>, choices: &[CandidateChoice]) -> Result<Plan, Vec<String>> {
    let mut promotions = Vec::new();
    let mut obstacles = Vec::new();
    for choice in choices {
        match promotion(ground, choice) {
            Ok(promotion) => promotions.push(promotion),
            Err(obstacle) => obstacles.push(obstacle),
        }
    }
    if !ground.stack.workloads.is_empty() && !ground.stack.clusters.contains_key(ground.to) {
        obstacles.push(format!(
            "the stack names no Kubernetes agent in {}",
            ground.to
        ));
    }
    if !obstacles.is_empty() {
        return Err(obstacles);
    }
    let mut draft = Draft {
        steps: Vec::new(),
        group: 0,
    };
    checks(&mut draft, ground, &promotions);
    hand_over(&mut draft, ground, &promotions);
    promote(&mut draft, ground, &promotions);
    activate(&mut draft, ground, &promotions);
    routes(&mut draft, ground);
    verify(&mut draft, ground);
    Ok(Plan {
        stack: ground.stack.name.clone(),
        stack_version: ground.version,
        base_epoch: ground.epoch,
        from: ground.from.clone(),
        to: ground.to.clone(),
        steps: draft.steps,
    })
}

fn promotion<'a>(ground: &Ground<'a>, choice: &CandidateChoice) -> Result<Promotion<'a>, String> {
    let name = &choice.database;
    let database = ground
        .stack
        .databases
        .iter()
        .find(|database| database.name == *name);
    let Some(chosen) = &choice.chosen else {
        let reasons: Vec<String> = choice
            .refused
            .iter()
            .map(|r| format!("{}: {}", r.node, r.because))
            .collect();
        return Err(format!(
            "no member of database {name} can be promoted ({})",
            reasons.join("; ")
        ));
    };
    let member = database.and_then(|d| {
        d.members
            .iter()
            .find(|m| m.node == chosen.node)
            .map(|m| (d, m))
    });
    let sample = ground
        .inventory
        .agent(&chosen.site, &chosen.node)
        .and_then(|a| a.heartbeat.database.as_ref());
    let lineage = sample.and_then(|s| s.system_identifier.clone().zip(s.timeline));
    match (member, lineage) {
        (Some((database, member)), Some((system_identifier, timeline))) => Ok(Promotion {
            database,
            member,
            system_identifier,
            timeline,
            min_lsn: chosen.lsn,
        }),
        _ => Err(format!("the lineage of {} is not known", chosen.node)),
    }
}

/// Steps being gathered.
struct Draft {
    steps: Vec<Step>,
    group: u32,
}

impl Draft {
    fn next_group(&mut self) {
        self.group += 1;
    }

    fn add(
        &mut self,
        title: String,
        work: Work,
        deadline_ms: Millis,
        on_failure: OnFailure,
    ) -> &mut Step {
        let number = u32::try_from(self.steps.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        self.steps.push(Step {
            number,
            group: self.group,
            title,
            work,
            deadline_ms,
            point_of_no_return: false,
            on_failure,
            fence: None,
        });
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }
}

fn targets_of(ground: &Ground<'_>, wave: Option<u32>) -> Vec<ScaleTarget> {
    let of_wave = |w: &&shared::stack::Workload| wave.is_none_or(|wave| w.wave == wave);
    ground
        .stack
        .workloads
        .iter()
        .filter(of_wave)
        .map(|w| ScaleTarget {
            kind: w.kind,
            namespace: w.namespace.clone(),
            object: w.object.clone(),
            replicas: w.replicas,
        })
        .collect()
}

fn checks(draft: &mut Draft, ground: &Ground<'_>, promotions: &[Promotion<'_>]) {
    let deadline = ground.stack.policy.deadlines.check_ms;
    draft.next_group();
    for p in promotions {
        let expect = CheckExpectation::Promotable {
            database: p.database.name.clone(),
            system_identifier: p.system_identifier.clone(),
            timeline: p.timeline,
            min_lsn: p.min_lsn,
        };
        let title = format!("check that {} can be promoted", p.member.node);
        draft.add(
            title,
            on(p.member, Action::Check { expect }),
            deadline,
            OnFailure::Halt,
        );
    }
    let targets = targets_of(ground, None);
    if let Some(node) = ground.stack.clusters.get(ground.to)
        && !targets.is_empty()
    {
        let title = format!("check that the workloads exist in {}", ground.to);
        let action = Action::Check {
            expect: CheckExpectation::WorkloadsPresent { targets },
        };
        let work = Work::Agent {
            site: ground.to.clone(),
            node: node.clone(),
            action,
        };
        draft.add(title, work, deadline, OnFailure::Halt);
    }
}

fn promote(draft: &mut Draft, ground: &Ground<'_>, promotions: &[Promotion<'_>]) {
    let deadline = ground.stack.policy.deadlines.promote_ms;
    for (index, p) in promotions.iter().enumerate() {
        draft.next_group();
        let action = Action::Promote {
            database: p.database.name.clone(),
            system_identifier: p.system_identifier.clone(),
            timeline: p.timeline,
            min_lsn: p.min_lsn,
            slots: followers(ground, p).map(slot).collect(),
        };
        let title = format!("promote {} and prove that it writes", p.member.node);
        let step = draft.add(title, on(p.member, action), deadline, OnFailure::Halt);
        step.point_of_no_return = index == 0;
    }
}

/// The members that will follow the promoted one.
fn followers<'a>(ground: &'a Ground<'_>, p: &'a Promotion<'_>) -> impl Iterator<Item = &'a Member> {
    p.database
        .members
        .iter()
        .filter(|member| member.site != *ground.from && member.site != *ground.to)
}

fn activate(draft: &mut Draft, ground: &Ground<'_>, promotions: &[Promotion<'_>]) {
    let deadlines = &ground.stack.policy.deadlines;
    draft.next_group();
    for p in promotions {
        for member in followers(ground, p) {
            let action = Action::Follow {
                database: p.database.name.clone(),
                system_identifier: p.system_identifier.clone(),
                primary: p.member.address_for(&member.site).clone(),
                above_timeline: p.timeline,
                slot: slot(member),
            };
            let because = format!(
                "{} does not need this replica to serve; it stays unprotected by it",
                ground.to
            );
            let title = format!("point {} at {}", member.node, p.member.node);
            draft.add(
                title,
                on(member, action),
                deadlines.follow_ms,
                OnFailure::Continue { because },
            );
        }
    }
    let Some(node) = ground.stack.clusters.get(ground.to) else {
        return;
    };
    for (index, wave) in ground.stack.waves().into_iter().enumerate() {
        if index > 0 {
            draft.next_group();
        }
        let names: Vec<String> = ground
            .stack
            .workloads
            .iter()
            .filter(|w| w.wave == wave)
            .map(|w| format!("{} to {}", w.name, w.replicas))
            .collect();
        let title = format!("wave {wave} in {}: scale {}", ground.to, names.join(", "));
        let action = Action::Scale {
            targets: targets_of(ground, Some(wave)),
        };
        let work = Work::Agent {
            site: ground.to.clone(),
            node: node.clone(),
            action,
        };
        draft.add(title, work, deadlines.scale_ms, OnFailure::Halt);
    }
}

fn routes(draft: &mut Draft, ground: &Ground<'_>) {
    for route in &ground.stack.routes {
        let Some(node) = route.nodes.get(ground.to) else {
            continue;
        };
        draft.next_group();
        let environment = BTreeMap::from([
            ("ROUTE".to_owned(), route.name.to_string()),
            ("FROM_SITE".to_owned(), ground.from.to_string()),
            ("TO_SITE".to_owned(), ground.to.to_string()),
        ]);
        let action = Action::Hook {
            hook: route.hook.clone(),
            environment,
        };
        let work = Work::Agent {
            site: ground.to.clone(),
            node: node.clone(),
            action,
        };
        let title = format!("switch route {} to {}", route.name, ground.to);
        draft.add(
            title,
            work,
            ground.stack.policy.deadlines.hook_ms,
            OnFailure::Halt,
        );
    }
}

fn verify(draft: &mut Draft, ground: &Ground<'_>) {
    for check in &ground.stack.checks {
        let (Some(node), Some(probe)) = (check.nodes.get(ground.to), probe_of(check, ground.to))
        else {
            continue;
        };
        draft.next_group();
        let action = Action::Verify {
            probe,
            site: ground.to.clone(),
        };
        let work = Work::Agent {
            site: ground.to.clone(),
            node: node.clone(),
            action,
        };
        let title = format!("verify {} in {}", check.name, ground.to);
        draft.add(
            title,
            work,
            ground.stack.policy.deadlines.verify_ms,
            OnFailure::Halt,
        );
    }
}

fn probe_of(check: &Check, site: &SiteName) -> Option<ProbeRequest> {
    match &check.probe {
        CheckProbe::Http {
            url,
            status,
            contains,
        } => Some(ProbeRequest::Http {
            url: url.get(site)?.clone(),
            status: *status,
            contains: contains.clone(),
            attempt_ms: HTTP_ATTEMPT,
        }),
        CheckProbe::Sql { statement, equals } => Some(ProbeRequest::Sql {
            statement: statement.clone(),
            equals: equals.clone(),
        }),
    }
}

fn on(member: &Member, action: Action) -> Work {
    Work::Agent {
        site: member.site.clone(),
        node: member.node.clone(),
        action,
    }
}

/// The slot that a member uses on its primary: slot names have no `-`.
fn slot(member: &Member) -> SlotName {
    SlotName(format!(
        "pointsman_{}",
        member.node.as_str().replace('-', "_")
    ))
}
