//! Automatic mode: when an open proposal is approved by nobody but Pointsman, and everything that forbids it.
//!
//! It acts on nothing but *site lost*, held for the automatic window without one interruption, with every rule of
//! the table met for as long. Must never: act on a doubt, override a rule, or stand in an operator's way.

mod block;
mod gate;
mod rule;
mod switch;

use serde::{Deserialize, Serialize};
use shared::clock::{Millis, Mono, UnixMillis};
use shared::id::{Actor, RunId};
use shared::stack::Mode;
use shared::wire::{AuditEvent, Severity};

pub use self::block::AutomaticBlock;
pub use self::rule::{AUTOMATIC_RULES, AutomaticRule};
use crate::core::Core;
use crate::detector::Tally;
use crate::input::{ApprovalRequest, Now};
use crate::journal::About;
use crate::proposal::Proposal;
use crate::view::{AutomaticView, BlockView};

/// Who approves when nobody does.
pub(crate) const AUTOMATIC: &str = "automatic";

/// A run that no person has acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoolDown {
    /// Which.
    pub run: RunId,
    /// When it was over, for display: the time left counts on the leader's own clock.
    pub since: UnixMillis,
}

/// Times of automatic mode on this leader's own clock: another leader counts anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub(crate) struct AutomaticClocks {
    /// Since when no rule stands in the way.
    pub(crate) clear_since: Option<Mono>,
    /// Since when this coordinator leads.
    pub(crate) led_since: Option<Mono>,
    /// Since when it cools down.
    pub(crate) cool_since: Option<Mono>,
    /// The switch is being written into the ticket: no other ticket is ordered meanwhile.
    pub(crate) switch_pending: bool,
    /// That it does not act was said for this silence.
    told: bool,
}

impl AutomaticClocks {
    /// Those of a leader that begins.
    pub(crate) fn led(now: Mono) -> Self {
        Self {
            led_since: Some(now),
            ..Self::default()
        }
    }
}

impl Core {
    /// Looks at every rule; approves the open proposal when all have held for the whole window.
    pub(crate) fn act_if_due(&mut self, now: Now) {
        self.end_cool_down(now);
        self.keep_switch();
        let Some((_, stack)) = &self.stack else {
            return;
        };
        let (mode, window) = (stack.policy.mode, stack.policy.automatic.confirm_ms);
        if !matches!(mode, Mode::Automatic | Mode::Shadow) {
            self.automatic.clear_since = None;
            return;
        }
        let blocks = self.blocks_of_mode(now.mono);
        self.automatic.clear_since = if blocks.is_empty() {
            self.automatic.clear_since.or(Some(now.mono))
        } else {
            None
        };
        if self.detector.tally != Tally::AllSilent {
            self.automatic.told = false;
        }
        let Some(open) = self.durable.open_proposal().cloned() else {
            return;
        };
        if self.is_due(now.mono) {
            self.act(now, &open, window);
        } else if !blocks.is_empty() {
            self.tell_blocked(now, &open, &blocks);
        }
    }

    /// What stands in the way; in shadow mode, what would in automatic mode.
    pub(crate) fn blocks_of_mode(&self, now: Mono) -> Vec<AutomaticBlock> {
        let mut blocks = self.automatic_blocks(now);
        blocks.retain(|block| *block != AutomaticBlock::Mode(Mode::Shadow));
        blocks
    }

    /// True when the loss and every rule have held for the whole window.
    pub(crate) fn is_due(&self, now: Mono) -> bool {
        self.automatic_due().is_some_and(|due| due <= now)
    }

    /// When the window is over, if nothing interrupts it; nothing while a rule stands in the way or the site is
    /// sighted. A sighting that was told late begins it later than the silence was noticed.
    pub(crate) fn automatic_due(&self) -> Option<Mono> {
        let (_, stack) = self.stack.as_ref()?;
        let policy = &stack.policy;
        let told_late = self.clocks.newest.map(|at| at.after(policy.silence_ms));
        let since = self
            .automatic
            .clear_since?
            .max(self.automatic.led_since?)
            .max(self.silent_since()?)
            .max(told_late.unwrap_or_default());
        Some(since.after(policy.automatic.confirm_ms))
    }

    /// The audit of an automatic approval: every rule of the table, and what each observer sees now.
    pub(crate) fn automatic_evidence(&self, now: Now, mut event: AuditEvent) -> AuditEvent {
        for rule in &AUTOMATIC_RULES {
            event = event.with(&format!("rule {:02} {}", rule.row, rule.name), rule.means);
        }
        for vote in self.live_votes(now.mono) {
            let saw = vote.sighting.as_ref().map_or_else(
                || "never sighted it".to_owned(),
                |s| {
                    format!(
                        "last sighted it {} ago by {}",
                        now.mono.since(s.at).human(),
                        s.channel.words()
                    )
                },
            );
            event = event.with(&format!("observer {}", vote.observer), saw);
        }
        event
    }

    /// True when the silence alone has lasted for the whole window.
    pub(crate) fn is_silence_over(&self, now: Mono) -> bool {
        let window = self
            .stack
            .as_ref()
            .map(|(_, stack)| stack.policy.automatic.confirm_ms);
        let since = self.silent_since().zip(window);
        since.is_some_and(|(since, window)| since.after(window) <= now)
    }

    fn silent_since(&self) -> Option<Mono> {
        self.detector
            .quiet_since
            .filter(|_| self.detector.tally == Tally::AllSilent)
    }

    fn act(&mut self, now: Now, open: &Proposal, window: Millis) {
        let request = ApprovalRequest {
            proposal: open.id,
            digest: open.digest.to_string(),
            attest_site_off: None,
            overrides: std::collections::BTreeMap::new(),
            reason: format!(
                "{} is lost, and that has held for {} without one interruption",
                open.plan.from,
                window.human()
            ),
        };
        // A refusal is one more reason to wait; the next look asks again.
        let _answer = self.approve_automatically(now, &Actor::new(AUTOMATIC), &request);
    }

    /// Says once for each silence that an operator has to act.
    fn tell_blocked(&mut self, now: Now, open: &Proposal, blocks: &[AutomaticBlock]) {
        if !self.is_silence_over(now.mono) || std::mem::replace(&mut self.automatic.told, true) {
            return;
        }
        let reasons: Vec<String> = blocks.iter().map(AutomaticBlock::sentence).collect();
        let summary = format!(
            "automatic mode does not act, an operator has to: {}",
            reasons.join("; ")
        );
        let mut event = self
            .scene(now)
            .event("automatic-blocked", Severity::Critical, summary)
            .of_proposal(open.id);
        for block in blocks {
            let rule = block.rule();
            event = event.with(
                &format!("rule {:02} {}", rule.row, rule.name),
                block.sentence(),
            );
        }
        self.record(event);
    }

    /// Automatic mode as operators see it; in shadow mode, what it would do.
    pub(crate) fn automatic_view(&self, now: Mono) -> Option<AutomaticView> {
        let (_, stack) = self.stack.as_ref()?;
        let policy = &stack.policy;
        let who = match policy.mode {
            Mode::Automatic => "automatic",
            Mode::Shadow => "shadow: automatic mode",
            Mode::Approval | Mode::Observe => return None,
        };
        let blocks = self.blocks_of_mode(now);
        let acts_in_ms = self
            .automatic_due()
            .filter(|_| blocks.is_empty() && self.durable.run.is_none())
            .map(|due| due.since(now));
        let window = policy.automatic.confirm_ms.human();
        let summary = match (blocks.first(), acts_in_ms) {
            (Some(first), _) => {
                let more = match blocks.len() {
                    1 => String::new(),
                    n => format!(" (and {} more)", n - 1),
                };
                format!("{who}: blocked: {}{more}", first.sentence())
            }
            (None, Some(Millis(0))) if policy.mode == Mode::Shadow => {
                format!("{who} would have acted by now")
            }
            (None, Some(left)) => {
                format!("{who}: would act in {} if nothing is sighted", left.human())
            }
            (None, None) => {
                format!("{who}: armed: a loss that holds for {window} would be acted on")
            }
        };
        Some(AutomaticView {
            armed: blocks.is_empty(),
            blocked: blocks.iter().map(shown).collect(),
            acts_in_ms,
            summary,
        })
    }
}

/// A block as operators see it.
fn shown(block: &AutomaticBlock) -> BlockView {
    BlockView {
        rule: block.rule().name.to_owned(),
        row: block.rule().row,
        sentence: block.sentence(),
    }
}
