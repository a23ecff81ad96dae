//! The core of Pointsman: pure, total, deterministic.
//!
//! It decides and orders; it does no IO, reads no clock, makes no randomness and knows no bus. The same
//! inputs give the same outputs, so a seed replays every decision.
//!
//! ```text
//!   Shell (coordinator)                      Core (this package)
//!   heartbeat, observation, report  ──────▶  handle(now, input)
//!   operator's request, store's answer         inventory ─ assessment ─ detector ─ phase
//!                                              proposal ─ approval ─ execution
//!   store, audit stream, bus, operator ◀──────  poll_output(): Persist | Record | Send | Announce
//!   sleep until                        ◀──────  poll_timeout(): when, and why
//! ```
//!
//! Contract: `handle` never fails; outputs are done strictly in the order of `poll_output`, each
//! [`Output::Persist`] finished before the next is polled; ids and randomness arrive inside inputs; all state
//! is `Clone + PartialEq + Serialize`. Assertions stay on in release builds: a core that doubts itself stops.

mod accepting;
mod applying;
mod approval;
mod approving;
mod assessment;
mod automatic;
mod candidate;
mod contingency;
mod core;
mod detector;
mod durable;
mod execution;
mod explanation;
mod finding;
mod glass;
mod input;
mod inventory;
mod journal;
mod leading;
mod leasing;
mod loss;
mod memory;
mod needs;
mod observing;
mod outbox;
mod output;
mod phase;
mod plan;
mod plan_check;
mod planner;
mod proof;
mod proposal;
mod proposing;
mod readiness;
mod requests;
mod resuming;
mod shadow;
mod sighting;
mod status;
mod synchrony;
mod trusting;
mod view;
mod waking;

pub use self::automatic::{AUTOMATIC_RULES, AutomaticBlock, AutomaticRule, CoolDown};
pub use self::candidate::CandidateRefusal;
pub use self::core::Core;
pub use self::durable::{
    Attestation, DURABLE_SCHEMA, Durable, Hold, PROPOSALS_KEPT_MAX, RUNS_KEPT_MAX, Run, RunState,
    StepOutcome, StepRecord,
};
pub use self::finding::{FINDINGS, Finding, FindingCode, FindingRow, gravity, row_of};
pub use self::input::{
    Alarm, ApprovalRequest, Ask, Fresh, Identity, Input, Now, Past, RequestId, Unanswered,
};
pub use self::memory::{Acceptance, Halt, Less, Memory, Seen};
pub use self::output::{Announcement, Answer, Output, Persist, WakeReason};
pub use self::phase::{MOVES, Move, Phase, find};
pub use self::plan::{OnFailure, OutsideFence, Plan, Step, Work};
pub use self::plan_check::{PlanNote, check as check_plan};
pub use self::proof::{FenceProof, Shown, attained};
pub use self::proposal::{
    ApprovalNeeds, CandidateChoice, ChosenCandidate, EvidenceLine, LossBound, Proposal,
    ProposalState, RefusedCandidate, RuleToOverride, RuledOut,
};
pub use self::shadow::{SHADOW_KEPT_MAX, ShadowAct, ShadowEnd, ShadowProposal};
pub use self::view::{
    AgentView, AutomaticView, BlockView, DatabaseView, ExplainView, FindingView, HypothesisView,
    LeaseView, ReadinessView, SeenByView, SiteView, StatusView, StoreView, WorkloadsView,
};
