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
}

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
            deadlines: Deadlines::default(),
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
