//! Shadow mode: what would have been proposed, and done automatically, is recorded with its cause; nothing is raised
//! and nothing is done.
//!
//! It drafts the very proposal that another mode would raise, so that what is recorded is what would have been.

use serde::{Deserialize, Serialize};
use shared::clock::UnixMillis;
use shared::grade::FenceGrade;
use shared::id::SiteName;
use shared::stack::Mode;
use shared::wire::{PlanDigest, Severity};

use crate::automatic::AutomaticBlock;
use crate::core::Core;
use crate::detector::Tally;
use crate::input::Now;
use crate::journal::About;
use crate::proposal::{EvidenceLine, Proposal, RuleToOverride};
use crate::proposing::{sighted_words, without_vote_words};
use crate::sighting::{ObserverVote, Vote};

/// Would-have proposals that are kept; older ones stand in the audit stream.
pub const SHADOW_KEPT_MAX: usize = 32;

/// One proposal that was not raised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowProposal {
    /// When it would have been raised.
    pub at: UnixMillis,
    /// The site that would have been left.
    pub from: SiteName,
    /// The site that would have become live.
    pub to: SiteName,
    /// The verdict as a sentence.
    pub verdict: String,
    /// What each observer saw.
    pub evidence: Vec<EvidenceLine>,
    /// What would have been lost, as a sentence.
    pub loss: String,
    /// The digest of the plan.
    pub digest: PlanDigest,
    /// How many steps it had.
    pub steps: usize,
    /// The fence grade that an approval would have needed.
    pub fence_grade: FenceGrade,
    /// Rules that an operator would have had to override.
    pub overrides: Vec<RuleToOverride>,
    /// What automatic mode would have done.
    pub automatic: ShadowAct,
    /// How it ended; nothing while the silence goes on.
    pub ended: Option<ShadowEnd>,
}

/// What automatic mode would have done with a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShadowAct {
    /// Nothing: the silence did not last for the whole window so far.
    WindowNotOver,
    /// It would have approved it.
    Acted {
        /// When.
        at: UnixMillis,
    },
    /// Nothing: rules stood in the way when the window was over.
    Blocked {
        /// When.
        at: UnixMillis,
        /// Each as a sentence.
        because: Vec<String>,
    },
}

/// How a would-have proposal ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowEnd {
    /// When.
    pub at: UnixMillis,
    /// Why, as a sentence.
    pub reason: String,
}

impl Core {
    /// Keeps what would have been proposed, once for each silence.
    pub(crate) fn shadow(&mut self, now: Now, proposal: Proposal) {
        if self.open_shadow().is_some() {
            return;
        }
        let record = ShadowProposal {
            at: now.wall,
            from: proposal.plan.from.clone(),
            to: proposal.plan.to.clone(),
            verdict: proposal.verdict,
            evidence: proposal.evidence,
            loss: proposal.loss.summary,
            digest: proposal.digest,
            steps: proposal.plan.steps.len(),
            fence_grade: proposal.needs.fence_grade,
            overrides: proposal.needs.overrides,
            automatic: ShadowAct::WindowNotOver,
            ended: None,
        };
        let summary = format!(
            "shadow: a move from {} to {} would have been proposed: {}; loss: {}",
            record.from, record.to, record.verdict, record.loss
        );
        let mut event = self
            .scene(now)
            .event("shadow-proposal", Severity::Warning, summary);
        for line in &record.evidence {
            event = event.with(&format!("observer {}", line.observer), &line.saw);
        }
        self.record(event.with("digest", &record.digest));
        self.durable.shadow.push(record);
        let spare = self.durable.shadow.len().saturating_sub(SHADOW_KEPT_MAX);
        self.durable.shadow.drain(..spare);
    }

    /// Follows the open record: what automatic mode would do with it, and when it would have been withdrawn.
    pub(crate) fn keep_shadow(&mut self, now: Now, votes: &[ObserverVote]) {
        if self.open_shadow().is_none() {
            return;
        }
        let Some((_, stack)) = &self.stack else {
            return;
        };
        let (mode, patience) = (stack.policy.mode, stack.policy.evidence_age_max_ms);
        if mode != Mode::Shadow {
            self.end_shadow(now, "the stack's mode is another now");
            return;
        }
        if let Some(sighted) = votes.iter().find(|vote| vote.vote == Vote::Sighted) {
            let reason = sighted_words(sighted, now.mono, self.live_site().as_ref());
            self.end_shadow(now, &reason);
        } else if self.detector.tally == Tally::AllSilent {
            self.proposal.doubt_since = None;
            self.follow_act(now);
        } else {
            let since = *self.proposal.doubt_since.get_or_insert(now.mono);
            if since.after(patience) <= now.mono {
                self.end_shadow(now, &without_vote_words(votes));
            }
        }
    }

    /// The silence is over, or something else would have ended the proposal.
    pub(crate) fn end_shadow(&mut self, now: Now, reason: &str) {
        let Some(open) = self.open_shadow() else {
            return;
        };
        open.ended = Some(ShadowEnd {
            at: now.wall,
            reason: reason.to_owned(),
        });
        let to = open.to.clone();
        self.proposal.doubt_since = None;
        let summary =
            format!("shadow: the proposal to move to {to} would have been withdrawn: {reason}");
        let event = self
            .scene(now)
            .event("shadow-withdrawn", Severity::Info, summary);
        self.record(event.because(reason));
    }

    fn open_shadow(&mut self) -> Option<&mut ShadowProposal> {
        let last = self.durable.shadow.last_mut();
        last.filter(|shadow| shadow.ended.is_none())
    }

    /// Says once what automatic mode would have done when the window was over.
    fn follow_act(&mut self, now: Now) {
        let open = self.open_shadow();
        let acted = open.is_some_and(|open| matches!(open.automatic, ShadowAct::Acted { .. }));
        if acted {
            return;
        }
        if self.is_due(now.mono) {
            let summary = "shadow: automatic mode would have acted now".to_owned();
            self.set_act(now, ShadowAct::Acted { at: now.wall }, summary);
            return;
        }
        let open = self.open_shadow();
        let waits = open.is_some_and(|open| open.automatic == ShadowAct::WindowNotOver);
        if !waits || !self.is_silence_over(now.mono) {
            return;
        }
        let blocks = self.blocks_of_mode(now.mono);
        let because: Vec<String> = blocks.iter().map(AutomaticBlock::sentence).collect();
        if because.is_empty() {
            return;
        }
        let summary = format!(
            "shadow: automatic mode would not have acted: {}",
            because.join("; ")
        );
        let at = now.wall;
        self.set_act(now, ShadowAct::Blocked { at, because }, summary);
    }

    fn set_act(&mut self, now: Now, act: ShadowAct, summary: String) {
        if let Some(open) = self.open_shadow() {
            open.automatic = act;
        }
        let event = self
            .scene(now)
            .event("shadow-automatic", Severity::Warning, summary);
        self.record(event);
    }
}
