//! How the spans of a policy must stand to each other, and how long a failover takes by them.
//!
//! It refuses numbers by which one site may take over before the other has surely stopped, and a mode whose
//! conditions can never be met. What only costs availability is a warning. It must never guess: every limit that
//! it names is a sum of the file's own spans.

use serde::{Deserialize, Serialize};

use super::{LeasePolicy, Mode, Policy, Replication, Stack};
use crate::clock::Millis;
use crate::config::Section;
use crate::grade::FenceGrade;
use crate::id::SiteName;

/// Longest election of the store's leader that was measured; two may follow each other.
const ELECTION: Millis = Millis::seconds(9);

/// Between two heartbeats: so much later than the silence itself may be noticed.
const HEARTBEAT: Millis = Millis::seconds(1);

/// The wait is at least this share of the time after which a holder stops, in tenths (client-go's ratio).
const WAIT_TENTHS: u64 = 15;

/// What a policy's numbers come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// The phases of a failover, in their order.
    pub phases: Vec<PhaseSpan>,
    /// From the loss until the service is proved, without the time in which an operator decides.
    pub approval: Span,
    /// The same in automatic mode; nothing when the mode is another.
    pub automatic: Option<Span>,
    /// What is allowed and may be regretted, each as a sentence.
    pub warnings: Vec<String>,
}

/// How long one phase takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseSpan {
    /// Its name.
    pub phase: String,
    /// Its span.
    pub span: Span,
    /// Where the numbers come from.
    pub from: String,
}

/// A best and a worst case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// What has to be waited for in any case.
    pub best_ms: Millis,
    /// What it may take at most; after that a run halts.
    pub worst_ms: Millis,
}

/// Says which numbers do not fit together.
pub(super) fn check(stack: &Stack, top: &Section<'_>) {
    if stack.policy.lease.renews() {
        agent(&stack.policy.lease, top);
    }
    if stack.policy.lease.enforces() {
        wait(&stack.policy, top);
    }
    grades(stack, top);
    if stack.policy.mode == Mode::Automatic {
        automatic(&stack.policy, top);
    }
}

impl Stack {
    /// How long a failover takes by the numbers of the policy.
    pub fn forecast(&self) -> Forecast {
        let phases = phases(self);
        let sum = |skipped: &str| {
            let mut sum = Span::default();
            for phase in phases.iter().filter(|phase| phase.phase != skipped) {
                sum = sum.then(phase.span);
            }
            sum
        };
        let is_automatic = self.policy.mode == Mode::Automatic;
        Forecast {
            approval: sum("window"),
            automatic: is_automatic.then(|| sum("confirm")),
            warnings: warnings(self),
            phases,
        }
    }
}

impl Forecast {
    /// One sentence for people.
    pub fn summary(&self) -> String {
        let words = |span: Span| {
            format!(
                "{} at best, {} at worst",
                span.best_ms.human(),
                span.worst_ms.human()
            )
        };
        let approval = format!(
            "recovery time by approval: {}, and the time until somebody approves",
            words(self.approval)
        );
        self.automatic.map_or_else(
            || approval.clone(),
            |span| format!("{approval}; without an approval: {}", words(span)),
        )
    }
}

impl Span {
    const fn exact(span: Millis) -> Self {
        Self {
            best_ms: span,
            worst_ms: span,
        }
    }

    const fn up_to(span: Millis) -> Self {
        Self {
            best_ms: Millis(0),
            worst_ms: span,
        }
    }

    const fn then(self, next: Self) -> Self {
        Self {
            best_ms: plus(self.best_ms, next.best_ms),
            worst_ms: plus(self.worst_ms, next.worst_ms),
        }
    }
}

impl Default for Span {
    fn default() -> Self {
        Self::exact(Millis(0))
    }
}

/// The relations that an agent's own spans keep, whether or not it acts.
fn agent(lease: &LeasePolicy, top: &Section<'_>) {
    let stopped = plus(lease.demote_after_ms, lease.stop_within_ms);
    if stopped >= lease.deadman_after_ms {
        let found = format!(
            "{} with demote_after {} and stop_within {}",
            lease.deadman_after_ms, lease.demote_after_ms, lease.stop_within_ms
        );
        let allowed = format!(
            "more than {stopped}: the agent stops the database before the kernel closes its port"
        );
        top.problem("policy.lease.deadman_after", found, allowed);
    }
    let renewed = plus(lease.renew_every_ms, lease.attempt_ms);
    if renewed >= lease.demote_after_ms {
        let found = format!(
            "{} with renew_every {} and attempt {}",
            lease.demote_after_ms, lease.renew_every_ms, lease.attempt_ms
        );
        let allowed =
            format!("more than {renewed}: one renewal that fails must not stop the database");
        top.problem("policy.lease.demote_after", found, allowed);
    }
}

/// The wait between revoke and grant outlasts everything that the old holder may still do.
fn wait(policy: &Policy, top: &Section<'_>) {
    let lease = &policy.lease;
    let surely = [
        (
            lease.wait_min_ms(),
            "the old site stops by deadman_after and deadman_within, on clocks that are off by clock_drift_ppm, and a second",
        ),
        (
            Millis(
                lease
                    .demote_after_ms
                    .0
                    .saturating_mul(WAIT_TENTHS)
                    .div_ceil(10),
            ),
            "one and a half times demote_after",
        ),
        (
            cooperative(lease),
            "demote_after on a slow clock and stop_within, counted on a fast clock",
        ),
    ];
    let least = surely.iter().max_by_key(|(span, _)| *span);
    if let Some((least, why)) = least.filter(|(least, _)| policy.epoch_wait_ms < *least) {
        let found = format!(
            "{} with deadman_after {}, deadman_within {} and demote_after {}",
            policy.epoch_wait_ms,
            lease.deadman_after_ms,
            lease.deadman_within_ms,
            lease.demote_after_ms
        );
        top.problem(
            "policy.epoch_wait",
            found,
            format!("at least {}: {why}", least.0.div_ceil(100) * 100),
        );
    }
}

/// `(T_dem·(1+ρ) + D) / (1−ρ)`, rounded up.
fn cooperative(lease: &LeasePolicy) -> Millis {
    let million = 1_000_000_u64;
    let slow = lease
        .demote_after_ms
        .0
        .saturating_mul(million.saturating_add(lease.clock_drift_ppm))
        .div_ceil(million)
        .saturating_add(lease.stop_within_ms.0);
    let fast = million.saturating_sub(lease.clock_drift_ppm).max(1);
    Millis(slow.saturating_mul(million).div_ceil(fast))
}

/// A grade that nothing in the file can reach would halt every run.
fn grades(stack: &Stack, top: &Section<'_>) {
    let policy = &stack.policy;
    let asked = [
        ("policy.fence_grade", policy.fence_grade, true),
        (
            "policy.automatic.fence_grade",
            policy.automatic.fence_grade,
            policy.mode == Mode::Automatic,
        ),
    ];
    for (key, grade, used) in asked {
        if key == "policy.automatic.fence_grade" && grade <= FenceGrade::Attested {
            let allowed =
                "lease_expired | agent_confirmed | cut_off | powered_off: nobody is there to vouch";
            top.problem(key, format!("{:?}", grade.word()), allowed);
        } else if used {
            reachable(stack, key, grade, top);
        }
    }
}

fn reachable(stack: &Stack, key: &str, grade: FenceGrade, top: &Section<'_>) {
    match grade {
        FenceGrade::None | FenceGrade::Attested | FenceGrade::AgentConfirmed => {}
        FenceGrade::LeaseExpired => {
            if !stack.policy.lease.enforces() && !fenced_everywhere(stack, grade) {
                let allowed = "another grade, or [policy.lease] self_fence = demote | stop with rollout = enforce: \
                     without a promise no lease proves anything";
                top.problem(
                    key,
                    "\"lease_expired\" with self-fencing not enforced",
                    allowed,
                );
            }
        }
        FenceGrade::CutOff | FenceGrade::PoweredOff => {
            for site in stack.eligible().filter(|site| !fenced(stack, site, grade)) {
                let found = format!("{:?} and no such [[fence]] for site {site}", grade.word());
                top.problem(
                    key,
                    found,
                    "a [[fence]] of at least this grade for each site that may be live",
                );
            }
        }
    }
}

fn automatic(policy: &Policy, top: &Section<'_>) {
    if !policy.lease.enforces() && policy.replication != Replication::Synchronous {
        let allowed = "another mode, or [policy.lease] self_fence = demote | stop with rollout = enforce, or \
             replication = \"synchronous\": from outside a dead site and one that is cut off are the same";
        top.problem(
            "policy.mode",
            "\"automatic\" with self-fencing not enforced and asynchronous replication",
            allowed,
        );
    }
    if policy.automatic.confirm_ms < policy.confirm_ms {
        let found = format!(
            "{} with confirm {}",
            policy.automatic.confirm_ms, policy.confirm_ms
        );
        top.problem("policy.automatic.confirm", found, "at least confirm");
    }
    if policy.proposal_expiry_ms <= policy.automatic.confirm_ms {
        let found = format!(
            "{} with automatic.confirm {}",
            policy.proposal_expiry_ms, policy.automatic.confirm_ms
        );
        let allowed = "more than automatic.confirm: the proposal must live until it is acted on";
        top.problem("policy.proposal_expiry", found, allowed);
    }
    if policy.lease.enforces() {
        let least = elections(&policy.lease);
        if policy.lease.demote_after_ms < least {
            let found = format!(
                "{} with attempt {}",
                policy.lease.demote_after_ms, policy.lease.attempt_ms
            );
            let allowed = format!(
                "at least {least} in automatic mode: two elections of the store's leader and an attempt"
            );
            top.problem("policy.lease.demote_after", found, allowed);
        }
    }
}

/// Two elections of the store's leader, and the attempt that succeeds after them.
const fn elections(lease: &LeasePolicy) -> Millis {
    plus(plus(ELECTION, ELECTION), lease.attempt_ms)
}

fn warnings(stack: &Stack) -> Vec<String> {
    let policy = &stack.policy;
    let lease = &policy.lease;
    let mut warnings = Vec::new();
    let least = elections(lease);
    if lease.renews() && lease.demote_after_ms < least {
        warnings.push(format!(
            "policy.lease.demote_after {} is shorter than {least}: two elections of the store's leader in a row ({} \
             each) stop a healthy primary",
            lease.demote_after_ms, ELECTION
        ));
    }
    if lease.renews() && !lease.enforces() {
        warnings.push(
            "policy.lease.rollout is log-only: nothing stops an old primary by itself".to_owned(),
        );
    }
    if policy.fence_grade == FenceGrade::AgentConfirmed {
        warnings.push(
            "policy.fence_grade agent_confirmed: a site that is dead cannot confirm; every failover needs the rule \
             fence-grade overridden, unless a [[fence]] proves more"
                .to_owned(),
        );
    }
    if policy.replication == Replication::Synchronous {
        warnings.push(
            "policy.replication is synchronous: the databases' own synchronous_standby_names must say so too; \
             `pointsman status` shows whether they do"
                .to_owned(),
        );
    }
    warnings
}

fn phases(stack: &Stack) -> Vec<PhaseSpan> {
    let policy = &stack.policy;
    let times = &policy.deadlines;
    let many = |count: usize, span: Millis| {
        Span::up_to(Millis(
            span.0
                .saturating_mul(u64::try_from(count).unwrap_or(u64::MAX)),
        ))
    };
    let silence = Span {
        best_ms: policy.silence_ms,
        worst_ms: plus(policy.silence_ms, HEARTBEAT),
    };
    let waves = stack.waves().len();
    let mut phases = vec![
        phase("silence", silence, "policy.silence and one heartbeat"),
        phase("confirm", Span::exact(policy.confirm_ms), "policy.confirm"),
    ];
    if policy.mode == Mode::Automatic {
        let window = Span::exact(policy.automatic.confirm_ms);
        phases.push(phase(
            "window",
            window,
            "policy.automatic.confirm, in place of confirm and approval",
        ));
    }
    let fence = fence_span(stack);
    let fence_more = Millis(fence.0.saturating_sub(policy.epoch_wait_ms.0));
    phases.extend([
        phase("check", Span::up_to(times.check_ms), "deadlines.check"),
        phase("revoke", Span::up_to(times.check_ms), "deadlines.check"),
        phase(
            "wait",
            Span::exact(policy.epoch_wait_ms),
            "policy.epoch_wait",
        ),
        phase(
            "fence",
            Span::up_to(fence_more),
            "what a fence takes beyond the wait beside it",
        ),
        phase("grant", Span::up_to(times.check_ms), "deadlines.check"),
        phase(
            "promote",
            many(stack.databases.len(), times.promote_ms),
            "deadlines.promote, for each database",
        ),
        phase(
            "waves",
            many(waves, times.scale_ms),
            "deadlines.scale, for each wave; replicas follow beside the first",
        ),
        phase(
            "routes",
            many(stack.routes.len(), times.hook_ms),
            "deadlines.hook, for each route",
        ),
        phase(
            "verify",
            many(stack.checks.len(), times.verify_ms),
            "deadlines.verify, for each check",
        ),
    ]);
    if waves == 0 {
        phases.push(phase(
            "follow",
            Span::up_to(times.follow_ms),
            "deadlines.follow",
        ));
    }
    phases
}

fn phase(phase: &str, span: Span, from: &str) -> PhaseSpan {
    PhaseSpan {
        phase: phase.to_owned(),
        span,
        from: from.to_owned(),
    }
}

/// How long the fences beside the wait may take.
fn fence_span(stack: &Stack) -> Millis {
    let policy = &stack.policy;
    let grade = if policy.mode == Mode::Automatic {
        policy.fence_grade.max(policy.automatic.fence_grade)
    } else {
        policy.fence_grade
    };
    if policy.runs_fences(grade) {
        policy.deadlines.hook_ms.max(policy.deadlines.fence_ms)
    } else {
        Millis(0)
    }
}

fn fenced(stack: &Stack, site: &SiteName, grade: FenceGrade) -> bool {
    let fits = |fence: &super::Fence| fence.site == *site && fence.grade >= grade;
    stack.fences.iter().any(fits)
}

fn fenced_everywhere(stack: &Stack, grade: FenceGrade) -> bool {
    stack.eligible().all(|site| fenced(stack, site, grade))
}

const fn plus(a: Millis, b: Millis) -> Millis {
    Millis(a.0.saturating_add(b.0))
}

#[cfg(test)]
mod tests;
