//! The rules of a stack: when a proposal is raised and what approving needs.

use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::grade::FenceGrade;
use crate::lsn::LagBytes;

/// What Pointsman may do by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Proposals are raised; an operator approves.
    Approval,
    /// Nothing is proposed; findings are still shown.
    Observe,
    /// Everything is decided and recorded as what would have been proposed; nothing is raised and nothing is done.
    Shadow,
    /// A proposal of the verdict *site lost* that holds for the automatic window is approved by Pointsman itself.
    Automatic,
}

/// Whether commits wait for the standby that would become live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Replication {
    /// A commit is acknowledged before any standby has it: it can be lost.
    #[default]
    Asynchronous,
    /// A commit is acknowledged only with the standby in the site that may become live. Nothing acknowledged is
    /// lost, and an old primary whose standby was promoted cannot acknowledge any more.
    Synchronous,
}

/// What a database agent does when it cannot renew its site's right to be live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SelfFence {
    /// Nothing: installing Pointsman never makes a healthy site worse, and time alone proves nothing.
    Off,
    /// Stops the database and starts it again read-only, in recovery.
    Demote,
    /// Stops the database and keeps it down.
    Stop,
}

/// Whether self-fencing acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rollout {
    /// It acts.
    Enforce,
    /// It renews, and only records what it would have done and the largest renewal gap.
    LogOnly,
}

/// What a primary does when the store does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreLoss {
    /// It stops at the end of its lease.
    Strict,
    /// It stays while every peer site says directly, not through NATS, that it has not promoted and will not for
    /// a stated time.
    Failsafe,
}

/// The lease on the right to be live. Defaults and their relations: the measured election of 4–9 s of the store's
/// leader must not stop a healthy primary, and the other site must wait longer than this one needs to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeasePolicy {
    /// What an agent does that cannot renew.
    pub self_fence: SelfFence,
    /// Whether it acts or only records.
    pub rollout: Rollout,
    /// What it does when the store does not answer.
    pub store_loss: StoreLoss,
    /// Between two renewals.
    pub renew_every_ms: Millis,
    /// How long one renewal may take.
    pub attempt_ms: Millis,
    /// From the sending of the last accepted renewal until the agent begins to stop the database.
    pub demote_after_ms: Millis,
    /// How long stopping it may take.
    pub stop_within_ms: Millis,
    /// From the sending of the last accepted renewal until the kernel closes the port, whatever the agent does.
    pub deadman_after_ms: Millis,
    /// How late the kernel may be with that.
    pub deadman_within_ms: Millis,
    /// How fast or slow a clock may run, in millionths.
    pub clock_drift_ppm: u64,
}

/// What automatic mode needs before it acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutomaticPolicy {
    /// The verdict must hold so long without one interruption.
    pub confirm_ms: Millis,
    /// How surely the old site must be stopped before a promotion that nobody approved.
    pub fence_grade: FenceGrade,
    /// After a failover nothing is done automatically for so long, or until it is acknowledged.
    pub cool_down_ms: Millis,
}

/// The shortest automatic window: most real outages of a site are over within a minute.
pub const AUTOMATIC_CONFIRM_MIN: Millis = Millis::seconds(60);

/// The rules of a stack. Every default has its reason beside it in [`Policy::default`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// What Pointsman may do by itself.
    pub mode: Mode,
    /// A site without a sighting for so long is silent.
    pub silence_ms: Millis,
    /// Silence must hold so long, without one interruption, before a proposal is raised.
    pub confirm_ms: Millis,
    /// An observation older than this is no evidence.
    pub observation_age_max_ms: Millis,
    /// Evidence may be at most this old when an operator approves.
    pub evidence_age_max_ms: Millis,
    /// A site counts as back after it was sighted for so long without a new silence.
    pub clear_ms: Millis,
    /// A proposal that nobody answers ends after this time.
    pub proposal_expiry_ms: Millis,
    /// Loss above this needs the rule `rpo` to be overridden by name.
    pub rpo_bytes: LagBytes,
    /// How surely the old site must be stopped before a promotion.
    pub fence_grade: FenceGrade,
    /// Wait between revoking the old epoch and granting the new one.
    pub epoch_wait_ms: Millis,
    /// Whether commits wait for the standby that would become live.
    #[serde(default)]
    pub replication: Replication,
    /// The lease on the right to be live.
    #[serde(default)]
    pub lease: LeasePolicy,
    /// What automatic mode needs.
    #[serde(default)]
    pub automatic: AutomaticPolicy,
    /// Deadlines of steps.
    pub deadlines: Deadlines,
}

/// How long each kind of step may take before the run halts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadlines {
    /// Checks of a precondition.
    pub check_ms: Millis,
    /// Stopping the old site; it is expected to be silent, so this is short.
    pub fence_ms: Millis,
    /// Promotion with its proofs.
    pub promote_ms: Millis,
    /// Re-pointing a standby.
    pub follow_ms: Millis,
    /// One wave of workloads.
    pub scale_ms: Millis,
    /// One hook.
    pub hook_ms: Millis,
    /// One check of the service, asked again until it passes.
    pub verify_ms: Millis,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            mode: Mode::Approval,
            // Three lost heartbeats and a NATS server switch-over (2–3 s) fit well inside.
            silence_ms: Millis::seconds(7),
            // With silence: 22 s, longer than a JetStream leader election (4–9 s) and most link flaps.
            confirm_ms: Millis::seconds(15),
            // Observations come each second; three may be lost.
            observation_age_max_ms: Millis::seconds(4),
            // An approval is for what is true now.
            evidence_age_max_ms: Millis::seconds(10),
            // Hysteresis: a flapping link must not look healthy between two flaps.
            clear_ms: Millis::seconds(30),
            // Long enough for somebody to be woken, short enough not to be forgotten.
            proposal_expiry_ms: Millis::seconds(1_800),
            // Asynchronous replication under load is rarely further behind.
            rpo_bytes: LagBytes(64 << 20),
            // Without self-fencing, time proves nothing: a person must vouch.
            fence_grade: FenceGrade::Attested,
            // Longer than an agent acts on a grant that it was given just before the revocation.
            epoch_wait_ms: Millis::seconds(3),
            replication: Replication::Asynchronous,
            lease: LeasePolicy::default(),
            automatic: AutomaticPolicy::default(),
            deadlines: Deadlines::default(),
        }
    }
}

impl Policy {
    /// The highest grade that any of the modes in force asks for: what a plan is made to reach.
    pub fn asked_grade(&self) -> FenceGrade {
        match self.mode {
            Mode::Automatic => self.fence_grade.max(self.automatic.fence_grade),
            Mode::Approval | Mode::Observe | Mode::Shadow => self.fence_grade,
        }
    }

    /// True when the `[[fence]]` programs of a site are run to reach this grade: where a promise, or a person, is
    /// not enough.
    pub fn runs_fences(&self, grade: FenceGrade) -> bool {
        match grade {
            FenceGrade::None | FenceGrade::Attested => false,
            FenceGrade::LeaseExpired => !self.lease.enforces(),
            FenceGrade::AgentConfirmed | FenceGrade::CutOff | FenceGrade::PoweredOff => true,
        }
    }
}

impl LeasePolicy {
    /// The wait between revoke and grant with self-fencing on: [`Self::wait_min_ms`] of the defaults.
    pub const EPOCH_WAIT_MS: Millis = Millis::seconds(45);

    /// True when an agent that cannot renew stops its database.
    pub const fn enforces(&self) -> bool {
        !matches!(self.self_fence, SelfFence::Off) && matches!(self.rollout, Rollout::Enforce)
    }

    /// True when agents renew, whether or not anything follows from it.
    pub const fn renews(&self) -> bool {
        !matches!(self.self_fence, SelfFence::Off)
    }

    /// From the sending of the last accepted renewal until surely nothing is acknowledged any more, as an exact
    /// clock counts it while the agent's own and the kernel's may run slow.
    pub const fn stop_bound_ms(&self) -> Millis {
        let stretched = stretched(self.deadman_after_ms, self.clock_drift_ppm);
        Millis(stretched.0.saturating_add(self.deadman_within_ms.0))
    }

    /// The shortest wait between revoke and grant: the bound again as a fast clock counts it, and a second.
    pub const fn wait_min_ms(&self) -> Millis {
        let drift = self.clock_drift_ppm.saturating_mul(2);
        let stretched = stretched(self.deadman_after_ms, drift);
        Millis(
            stretched
                .0
                .saturating_add(self.deadman_within_ms.0)
                .saturating_add(1_000),
        )
    }
}

/// A span as a clock counts it that is off by so many millionths, rounded up.
const fn stretched(span: Millis, ppm: u64) -> Millis {
    let more = span.0.saturating_mul(ppm).div_ceil(1_000_000);
    Millis(span.0.saturating_add(more))
}

impl Default for LeasePolicy {
    fn default() -> Self {
        Self {
            self_fence: SelfFence::Off,
            rollout: Rollout::Enforce,
            store_loss: StoreLoss::Strict,
            renew_every_ms: Millis::seconds(3),
            attempt_ms: Millis::seconds(4),
            // Two elections of 9 s and a retry of 4 s fit well inside.
            demote_after_ms: Millis::seconds(30),
            // An immediate stop took 0.4 s.
            stop_within_ms: Millis::seconds(5),
            deadman_after_ms: Millis::seconds(38),
            deadman_within_ms: Millis::seconds(1),
            // Ten times what crystals are off.
            clock_drift_ppm: 1_000,
        }
    }
}

impl Default for AutomaticPolicy {
    fn default() -> Self {
        Self {
            // A cut of 43 s once cost a day of repair.
            confirm_ms: Millis::seconds(120),
            fence_grade: FenceGrade::LeaseExpired,
            cool_down_ms: Millis::seconds(3_600),
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            check_ms: Millis::seconds(10),
            fence_ms: Millis::seconds(5),
            promote_ms: Millis::seconds(120),
            follow_ms: Millis::seconds(60),
            scale_ms: Millis::seconds(600),
            hook_ms: Millis::seconds(60),
            verify_ms: Millis::seconds(120),
        }
    }
}
