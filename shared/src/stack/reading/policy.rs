//! The `[policy]` table: every key, its type and its range. How the numbers must stand to each other is
//! judged in `relations`.

use crate::clock::Millis;
use crate::config::Section;
use crate::grade::FenceGrade;
use crate::lsn::LagBytes;
use crate::stack::{
    AUTOMATIC_CONFIRM_MIN, AutomaticPolicy, DEADLINE_MAX, Deadlines, LeasePolicy, Mode, Policy,
    Replication, Rollout, SelfFence, StoreLoss,
};

const SECOND: Millis = Millis::seconds(1);
const HOUR: Millis = Millis::seconds(3_600);
/// Five per cent: a clock that is worse is broken.
const DRIFT_PPM_MAX: u64 = 50_000;

/// Reads the table.
pub(super) fn read(section: Section<'_>) -> Option<Policy> {
    let usual = Policy::default();
    let modes = [
        ("approval", Mode::Approval),
        ("observe", Mode::Observe),
        ("shadow", Mode::Shadow),
        ("automatic", Mode::Automatic),
    ];
    let replications = [
        ("asynchronous", Replication::Asynchronous),
        ("synchronous", Replication::Synchronous),
    ];
    let mode = section.word("mode", &modes, Some(usual.mode));
    let silence = Millis::seconds(2)..=Millis::seconds(300);
    let silence_ms = section.span("silence", usual.silence_ms, silence);
    let confirm_ms = section.span("confirm", usual.confirm_ms, SECOND..=HOUR);
    let age = SECOND..=Millis::seconds(30);
    let observation = section.span("observation_age_max", usual.observation_age_max_ms, age);
    let age = SECOND..=Millis::seconds(60);
    let evidence = section.span("evidence_age_max", usual.evidence_age_max_ms, age);
    let clear_ms = section.span("clear", usual.clear_ms, SECOND..=HOUR);
    let expiry = Millis::seconds(30)..=Millis::seconds(86_400);
    let expiry = section.span("proposal_expiry", usual.proposal_expiry_ms, expiry);
    let rpo = section.number("rpo_bytes", Some(usual.rpo_bytes.0), 0..=(1 << 50));
    let fence_grade = section.word("fence_grade", &grades(), Some(usual.fence_grade));
    let replication = section.word("replication", &replications, Some(usual.replication));
    let lease = lease(section.section("lease"));
    let wait = match &lease {
        Some(lease) if lease.enforces() => LeasePolicy::EPOCH_WAIT_MS,
        Some(_) | None => usual.epoch_wait_ms,
    };
    let epoch_wait_ms = section.span("epoch_wait", wait, Millis(0)..=HOUR);
    let automatic = automatic(section.section("automatic"));
    let deadlines = deadlines(section.section("deadlines"));
    section.finish();
    Some(Policy {
        mode: mode?,
        silence_ms: silence_ms?,
        confirm_ms: confirm_ms?,
        observation_age_max_ms: observation?,
        evidence_age_max_ms: evidence?,
        clear_ms: clear_ms?,
        proposal_expiry_ms: expiry?,
        rpo_bytes: LagBytes(rpo?),
        fence_grade: fence_grade?,
        epoch_wait_ms: epoch_wait_ms?,
        replication: replication?,
        lease: lease?,
        automatic: automatic?,
        deadlines: deadlines?,
    })
}

/// The grades that a policy may ask for: all but *none*, because an unfenced promotion is an override.
fn grades() -> Vec<(&'static str, FenceGrade)> {
    let asked = FenceGrade::ALL.into_iter().skip(1);
    asked.map(|grade| (grade.word(), grade)).collect()
}

fn lease(section: Section<'_>) -> Option<LeasePolicy> {
    let usual = LeasePolicy::default();
    let fences = [
        ("off", SelfFence::Off),
        ("demote", SelfFence::Demote),
        ("stop", SelfFence::Stop),
    ];
    let rollouts = [
        ("enforce", Rollout::Enforce),
        ("log-only", Rollout::LogOnly),
    ];
    let losses = [
        ("strict", StoreLoss::Strict),
        ("failsafe", StoreLoss::Failsafe),
    ];
    let self_fence = section.word("self_fence", &fences, Some(usual.self_fence));
    let rollout = section.word("rollout", &rollouts, Some(usual.rollout));
    let store_loss = section.word("store_loss", &losses, Some(usual.store_loss));
    let span = |key, default| section.span(key, default, Millis(100)..=HOUR);
    let renew_every_ms = span("renew_every", usual.renew_every_ms);
    let attempt_ms = span("attempt", usual.attempt_ms);
    let demote_after_ms = span("demote_after", usual.demote_after_ms);
    let stop_within_ms = span("stop_within", usual.stop_within_ms);
    let deadman_after_ms = span("deadman_after", usual.deadman_after_ms);
    let deadman_within_ms = span("deadman_within", usual.deadman_within_ms);
    let drift = Some(usual.clock_drift_ppm);
    let clock_drift_ppm = section.number("clock_drift_ppm", drift, 0..=DRIFT_PPM_MAX);
    section.finish();
    Some(LeasePolicy {
        self_fence: self_fence?,
        rollout: rollout?,
        store_loss: store_loss?,
        renew_every_ms: renew_every_ms?,
        attempt_ms: attempt_ms?,
        demote_after_ms: demote_after_ms?,
        stop_within_ms: stop_within_ms?,
        deadman_after_ms: deadman_after_ms?,
        deadman_within_ms: deadman_within_ms?,
        clock_drift_ppm: clock_drift_ppm?,
    })
}

fn automatic(section: Section<'_>) -> Option<AutomaticPolicy> {
    let usual = AutomaticPolicy::default();
    let window = AUTOMATIC_CONFIRM_MIN..=HOUR;
    let confirm_ms = section.span("confirm", usual.confirm_ms, window);
    let fence_grade = section.word("fence_grade", &grades(), Some(usual.fence_grade));
    let day = Millis::seconds(86_400);
    let cool_down_ms = section.span("cool_down", usual.cool_down_ms, Millis(0)..=day);
    section.finish();
    Some(AutomaticPolicy {
        confirm_ms: confirm_ms?,
        fence_grade: fence_grade?,
        cool_down_ms: cool_down_ms?,
    })
}

fn deadlines(section: Section<'_>) -> Option<Deadlines> {
    let usual = Deadlines::default();
    let span = |key, default| section.span(key, default, Millis::seconds(1)..=DEADLINE_MAX);
    let check_ms = span("check", usual.check_ms);
    let fence_ms = span("fence", usual.fence_ms);
    let promote_ms = span("promote", usual.promote_ms);
    let follow_ms = span("follow", usual.follow_ms);
    let scale_ms = span("scale", usual.scale_ms);
    let hook_ms = span("hook", usual.hook_ms);
    let verify_ms = span("verify", usual.verify_ms);
    section.finish();
    Some(Deadlines {
        check_ms: check_ms?,
        fence_ms: fence_ms?,
        promote_ms: promote_ms?,
        follow_ms: follow_ms?,
        scale_ms: scale_ms?,
        hook_ms: hook_ms?,
        verify_ms: verify_ms?,
    })
}
