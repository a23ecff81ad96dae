//! What one search is about: constants, clocks, faults that may happen, and the flaw that is built in, if any.

use shared::clock::Millis;
use shared::stack::{LeasePolicy, Policy, Rollout, SelfFence, StoreLoss};

/// A bug built into the model's shell or constants, by which it is shown that the search finds such a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// The wait between revoke and grant is two seconds too short.
    WaitTooShort,
    /// The wait is long enough for exact clocks only.
    NoDriftMargin,
    /// A renewal counts from its answer, not from its sending.
    LeaseFromReply,
    /// The kernel guards nothing, and the agent hangs.
    HungWithoutDeadman,
    /// The kernel guards nothing, and the agent is killed.
    KilledWithoutDeadman,
    /// The kernel's timer is set to its whole span at every tick, not to what is left since the last renewal.
    DeadmanRestarted,
    /// An agent that hung takes an answer from before, and opens the port, before it looks at its lease.
    AnswerBeforeLook,
    /// Self-fencing is off, and the operator vouches without knowing.
    BlindOperator,
    /// An agent promotes by the epoch that it remembers, without a grant confirmed in the store.
    GrantNotConfirmed,
    /// An agent's ledger is empty after a restart, and its commands never grow old: an old promote is obeyed anew.
    ReplayedPromote,
    /// A new leader reads a state of before the approval, and the approval is delivered once more.
    ReplayedApproval,
    /// Commands leave before the state that holds their intent is written.
    SendBeforePersist,
    /// A coordinator goes on sending after another has taken the lead.
    LeadLostUnnoticed,
    /// The ticket is written without a compare: whatever is there is overwritten.
    TicketOverwritten,
    /// A renewal only reads that the site still holds the right, from a server that is deposed.
    RenewedByRead,
    /// A primary stays by the word of one peer, not of all.
    FailsafeByOne,
    /// A peer forgets at a restart what it promised.
    PromiseForgotten,
    /// A peer promises for a shorter time than the primary makes of it.
    PromiseTooShort,
    /// The wait is counted from before the revocation was accepted.
    WaitFromRequest,
    /// Commits are acknowledged with the witness's standby alone, and the virtual machine is paused.
    SynchronousWithWitness,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::WaitTooShort,
        Self::NoDriftMargin,
        Self::LeaseFromReply,
        Self::HungWithoutDeadman,
        Self::KilledWithoutDeadman,
        Self::DeadmanRestarted,
        Self::AnswerBeforeLook,
        Self::BlindOperator,
        Self::GrantNotConfirmed,
        Self::ReplayedPromote,
        Self::ReplayedApproval,
        Self::SendBeforePersist,
        Self::LeadLostUnnoticed,
        Self::TicketOverwritten,
        Self::RenewedByRead,
        Self::FailsafeByOne,
        Self::PromiseForgotten,
        Self::PromiseTooShort,
        Self::WaitFromRequest,
        Self::SynchronousWithWitness,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WaitTooShort => "wait too short",
            Self::NoDriftMargin => "no drift margin",
            Self::LeaseFromReply => "lease from reply",
            Self::HungWithoutDeadman => "hung without deadman",
            Self::KilledWithoutDeadman => "killed without deadman",
            Self::DeadmanRestarted => "deadman restarted",
            Self::AnswerBeforeLook => "answer before look",
            Self::BlindOperator => "blind operator",
            Self::GrantNotConfirmed => "grant not confirmed",
            Self::ReplayedPromote => "replayed promote",
            Self::ReplayedApproval => "replayed approval",
            Self::SendBeforePersist => "send before persist",
            Self::LeadLostUnnoticed => "lead lost unnoticed",
            Self::TicketOverwritten => "ticket overwritten",
            Self::RenewedByRead => "renewed by read",
            Self::FailsafeByOne => "failsafe by one",
            Self::PromiseForgotten => "promise forgotten",
            Self::PromiseTooShort => "promise too short",
            Self::WaitFromRequest => "wait from request",
            Self::SynchronousWithWitness => "synchronous with witness",
        }
    }
}

/// Who moves from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Self-fencing stops the old primary; the operator knows nothing and vouches.
    Fencing(StoreLoss),
    /// Self-fencing is off; the operator vouches only for what is so.
    Attested,
    /// Commits wait for the other site; virtual machines pause.
    Synchronous,
    /// The right came back to the old site in a third epoch, and the promotion of the second is still under way.
    Returned,
}

/// One search.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Thousandths by which each site's clocks run: the old site's, the new one's, the witness's.
    pub(super) rates: [u64; 3],
    /// Seconds that are searched from the open proposal on.
    pub(super) horizon: u8,
    /// The operator approves within so many seconds, if at all.
    pub(super) approve_within: u8,
    pub(super) faults: Faults,
    /// Whether orders and what follows from them take no time: then only the old site and the faults have choices.
    pub(super) prompt: bool,
    pub(super) flaw: Option<Flaw>,
    pub(super) states_max: usize,
}

/// How often what may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Faults {
    /// An agent of the old site hangs, and may go on again.
    pub(super) hangs: u8,
    /// An agent of the old site is killed, and may be started again.
    pub(super) kills: u8,
    /// The agent of the new site is killed in the middle of its work, and started again.
    pub(super) target_kills: u8,
    /// A leading coordinator dies, or is taken for dead while it waits for the store.
    pub(super) crashes: u8,
    /// The old site is heard again.
    pub(super) returns: u8,
    /// The old site's machine loses power.
    pub(super) power: u8,
    /// The old site's virtual machine is paused, and goes on again.
    pub(super) pauses: u8,
    /// An operator resumes or abandons a halted run.
    pub(super) decisions: u8,
    /// Orders that are still under way besides the newest one, for each agent.
    pub(super) old_orders: u8,
}

/// How far clocks may be off, in millionths: exaggerated, so that it matters within a few seconds.
pub(super) const DRIFT_PPM: u64 = 150_000;

impl Setup {
    pub(super) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Whether hosts stop their databases themselves.
    pub(super) const fn fences(&self) -> bool {
        matches!(self.kind, Kind::Fencing(_) | Kind::Returned)
    }

    /// The stack's rules: as the product computes them, from small spans.
    pub(super) fn policy(&self) -> Policy {
        let fencing = self.fences();
        let store_loss = match self.kind {
            Kind::Fencing(store_loss) => store_loss,
            Kind::Attested | Kind::Synchronous | Kind::Returned => StoreLoss::Strict,
        };
        let lease = LeasePolicy {
            self_fence: if fencing {
                SelfFence::Stop
            } else {
                SelfFence::Off
            },
            rollout: Rollout::Enforce,
            store_loss,
            renew_every_ms: Millis::seconds(1),
            attempt_ms: Millis::seconds(2),
            demote_after_ms: Millis::seconds(4),
            stop_within_ms: Millis::seconds(1),
            deadman_after_ms: Millis::seconds(6),
            deadman_within_ms: Millis::seconds(1),
            clock_drift_ppm: DRIFT_PPM,
        };
        let usual = Policy::default();
        Policy {
            silence_ms: Millis::seconds(2),
            confirm_ms: Millis::seconds(1),
            // The old database's last word must be no news any more when its loss is proposed.
            observation_age_max_ms: Millis::seconds(1),
            epoch_wait_ms: self.wait(&lease),
            lease,
            ..usual
        }
    }

    fn wait(&self, lease: &LeasePolicy) -> Millis {
        let right = lease.wait_min_ms();
        match self.flaw {
            _ if !self.fences() => Policy::default().epoch_wait_ms,
            Some(Flaw::WaitTooShort) => Millis(right.0.saturating_sub(2_000)),
            Some(Flaw::NoDriftMargin) => {
                Millis(lease.deadman_after_ms.0 + lease.deadman_within_ms.0 + 1_000)
            }
            _ => right,
        }
    }
}
