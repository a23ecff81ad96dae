//! Proposals: raised when a loss is confirmed, kept only while every fact behind them holds.
//!
//! Must never: raise one on a silence that was interrupted, or leave one open that the facts no longer bear.

use shared::clock::{Millis, Mono, UnixMillis};
use shared::id::{ProposalId, SiteName};
use shared::stack::Mode;
use shared::wire::Severity;

use crate::assessment::{assess, blocking};
use crate::candidate::{choose, targets};
use crate::core::Core;
use crate::detector::Tally;
use crate::durable::PROPOSALS_KEPT_MAX;
use crate::explanation::ruled_out;
use crate::input::Now;
use crate::journal::About;
use crate::leasing::wait_for;
use crate::loss::bound;
use crate::needs::needs;
use crate::output::WakeReason;
use crate::phase::Phase;
use crate::plan_check;
use crate::planner::{Ground, plan};
use crate::proposal::{EvidenceLine, Proposal, ProposalState};
use crate::sighting::{ObserverVote, Vote};

impl Core {
    /// The phase that fits what is known now.
    pub(crate) fn settle_phase(&mut self, now: Now) {
        self.clocks.looked = Some(now.mono);
        if self.leads() && self.durable.run.is_some() {
            return;
        }
        let Some((_, stack)) = &self.stack else {
            return;
        };
        let clear = self.detector.clear(now.mono, &stack.policy);
        let confirmed = self.detector.confirmed(now.mono, &stack.policy);
        let to = match (self.detector.tally, self.phase) {
            (Tally::Unknown, Phase::Completed) => Phase::Completed,
            (Tally::Unknown, _) => Phase::Unknown,
            (Tally::Sighted, Phase::Unknown | Phase::Watching) => Phase::Watching,
            (Tally::Sighted, Phase::Completed) if !clear => Phase::Completed,
            (Tally::Sighted, _) if clear => Phase::Watching,
            (Tally::Sighted | Tally::SomeSilent, _) => Phase::Suspecting,
            (Tally::AllSilent, _) if !confirmed || !self.leads() => Phase::Confirming,
            (Tally::AllSilent, _) if self.durable.open_proposal().is_some() => Phase::Proposed,
            (Tally::AllSilent, _) => Phase::Blocked,
        };
        // A proposal outlives a short doubt about an observer; it is approved only when that is over.
        let kept =
            self.leads() && self.durable.open_proposal().is_some() && self.phase == Phase::Proposed;
        if !kept || to == Phase::Suspecting && self.detector.tally == Tally::Sighted {
            self.go(now, to);
        }
    }

    /// Ends the open proposal when a fact behind it does not hold any more.
    pub(crate) fn keep_proposal(&mut self, now: Now) {
        let Some((_, stack)) = &self.stack else {
            return;
        };
        let policy = stack.policy.clone();
        let votes = self.live_votes(now.mono);
        let is_sighted = votes.iter().any(|vote| vote.vote == Vote::Sighted);
        if is_sighted && self.durable.rejection.take().is_some() {
            self.touch();
        }
        if self.durable.open_proposal().is_none() {
            return;
        }
        if let Some(why) = self.distrust(now) {
            self.withdraw(now, &why);
            return;
        }
        if self.lives_here() {
            let reason = format!(
                "the leading coordinator itself is in {} and lives",
                self.ears.site
            );
            self.withdraw(now, &reason);
            return;
        }
        if let Some(sighted) = votes.iter().find(|vote| vote.vote == Vote::Sighted) {
            let reason = sighted_words(sighted, now.mono, self.live_site().as_ref());
            self.withdraw(now, &reason);
        } else if self.detector.tally == Tally::AllSilent {
            self.proposal.doubt_since = None;
            self.supersede_if_changed(now, self.detector.confirmed(now.mono, &policy));
        } else {
            let since = *self.proposal.doubt_since.get_or_insert(now.mono);
            if since.after(policy.evidence_age_max_ms) <= now.mono {
                self.withdraw(now, &without_vote_words(&votes));
            }
        }
        if self.proposal.expires.is_some_and(|at| at <= now.mono) {
            let at = now.wall;
            self.end_proposal(
                now,
                ProposalState::Expired { at },
                "proposal-expired",
                "nobody answered in time",
            );
        }
    }

    /// Raises a proposal when a loss is confirmed and nothing stands in the way.
    pub(crate) fn raise_if_due(&mut self, now: Now) {
        let Some((_, stack)) = &self.stack else {
            return;
        };
        let confirmed = self.detector.confirmed(now.mono, &stack.policy);
        if !confirmed || self.durable.run.is_some() || self.durable.open_proposal().is_some() {
            return;
        }
        let shadows = stack.policy.mode == Mode::Shadow;
        match self.draft(now) {
            Ok(proposal) if shadows => {
                self.shadow(now, proposal);
                let reason = "the stack's mode is shadow: what would be proposed is recorded (`pointsman shadow`)";
                self.block(now, vec![reason.to_owned()]);
            }
            Ok(proposal) => self.raise(now, proposal),
            Err(reasons) => {
                if shadows {
                    self.end_shadow(now, &reasons.join("; "));
                }
                self.block(now, reasons);
            }
        }
    }

    /// A new leader's clocks for a proposal that it found: what is left of its time, by the wall clock, bounded.
    pub(crate) fn adopt_proposal(&mut self, now: Now) {
        let Some(open) = self.durable.open_proposal() else {
            return;
        };
        let left = open.expires_at.0.saturating_sub(now.wall.0);
        let whole = open.expires_at.0.saturating_sub(open.raised_at.0);
        self.proposal.expires = Some(now.mono.after(Millis(left.min(whole))));
    }

    /// When a proposal needs to be looked at.
    pub(crate) fn proposal_wake(&self) -> Option<(Mono, WakeReason)> {
        self.durable.open_proposal()?;
        self.proposal
            .expires
            .map(|at| (at, WakeReason::ProposalExpiry))
    }

    /// Withdraws the open proposal.
    pub(crate) fn withdraw(&mut self, now: Now, reason: &str) {
        let state = ProposalState::Withdrawn {
            at: now.wall,
            reason: reason.to_owned(),
        };
        self.end_proposal(now, state, "proposal-withdrawn", reason);
    }

    /// Ends the open proposal in a state.
    pub(crate) fn end_proposal(
        &mut self,
        now: Now,
        state: ProposalState,
        kind: &str,
        reason: &str,
    ) {
        let Some(open) = self
            .durable
            .proposals
            .iter_mut()
            .find(|p| p.state == ProposalState::Raised)
        else {
            return;
        };
        open.state = state;
        let (id, to, word) = (open.id, open.plan.to.clone(), open.state.word());
        self.proposal.expires = None;
        self.proposal.doubt_since = None;
        self.touch();
        let summary = format!(
            "proposal {} to move to {to} is {word}: {reason}",
            id.short()
        );
        let event = self.scene(now).event(kind, Severity::Warning, summary);
        self.record(event.of_proposal(id).because(reason));
    }

    fn raise(&mut self, now: Now, proposal: Proposal) {
        let Some((_, stack)) = &self.stack else {
            return;
        };
        self.proposal.expires = Some(now.mono.after(stack.policy.proposal_expiry_ms));
        self.proposal.doubt_since = None;
        self.blocked.clear();
        let whom = match stack.policy.mode {
            Mode::Automatic => "an operator, or automatic mode",
            Mode::Approval | Mode::Observe | Mode::Shadow => "an operator",
        };
        let summary = format!(
            "{} -- proposal {} to move to {} waits for {whom}; loss: {}",
            proposal.verdict,
            proposal.id.short(),
            proposal.plan.to,
            proposal.loss.summary
        );
        let mut event = self
            .scene(now)
            .event("proposal-raised", Severity::Critical, summary)
            .of_proposal(proposal.id);
        for line in &proposal.evidence {
            event = event.with(&format!("observer {}", line.observer), &line.saw);
        }
        self.record(event.with("digest", &proposal.digest));
        self.durable.proposals.push(proposal);
        let spare = self
            .durable
            .proposals
            .len()
            .saturating_sub(PROPOSALS_KEPT_MAX);
        self.durable.proposals.drain(..spare);
        self.touch();
    }

    fn block(&mut self, now: Now, reasons: Vec<String>) {
        // Ages in the sentences grow each second; only another reason is news.
        let without_numbers =
            |reasons: &[String]| reasons.join("\n").replace(|c: char| c.is_ascii_digit(), "");
        if without_numbers(&self.blocked) == without_numbers(&reasons) {
            self.blocked = reasons;
            return;
        }
        let summary = format!("no failover can be proposed: {}", reasons.join("; "));
        let event = self
            .scene(now)
            .event("proposal-blocked", Severity::Critical, summary);
        self.record(event);
        self.blocked = reasons;
    }

    /// When the same facts would now make another plan, the open proposal gives way. What a new leader found may
    /// rest on a silence that it has not `confirmed` itself, and another proposal needs the whole of that.
    fn supersede_if_changed(&mut self, now: Now, confirmed: bool) {
        let Some(open) = self.durable.open_proposal() else {
            return;
        };
        let (id, digest) = (open.id, open.digest.clone());
        match self.draft(now) {
            Ok(draft) if draft.digest == digest => {}
            Ok(_) if !confirmed => self.withdraw(now, "what the plan was made from has changed"),
            Ok(draft) => {
                let reason = "what the plan was made from has changed".to_owned();
                let state = ProposalState::Superseded {
                    at: now.wall,
                    by: draft.id,
                    reason: reason.clone(),
                };
                self.end_proposal(now, state, "proposal-superseded", &reason);
                self.raise(now, draft);
            }
            Err(reasons) => self.withdraw(now, &reasons.join("; ")),
        }
        debug_assert!(
            self.durable.proposal(id).is_some(),
            "a proposal of this moment is kept"
        );
    }

    /// A proposal from what is known now, or everything that stands in the way.
    fn draft(&mut self, now: Now) -> Result<Proposal, Vec<String>> {
        let id = ProposalId::new(self.draw("proposal"));
        let Some(view) = self.view(now.mono) else {
            return Err(vec!["no stack is in force".to_owned()]);
        };
        let policy = &view.stack.policy;
        if policy.mode == Mode::Observe {
            return Err(vec![
                "the stack's mode is observe: nothing is proposed".to_owned(),
            ]);
        }
        let findings = assess(&view);
        let mut reasons = blocking(&findings);
        reasons.extend(self.durable.rejection.clone());
        if self.ticket.is_none() || self.clocks.ticket_pending {
            reasons.push("the store has no ticket, or it is being written".to_owned());
        }
        if !reasons.is_empty() {
            return Err(reasons);
        }
        let from = view.live().clone();
        let Some(to) = targets(view.inventory, view.stack, &from, now.mono)
            .into_iter()
            .next()
        else {
            return Err(vec!["no other site may become live".to_owned()]);
        };
        let candidates = choose(view.inventory, view.stack, &from, &to, now.mono);
        let ground = Ground {
            inventory: view.inventory,
            stack: view.stack,
            version: view.version,
            epoch: self.epoch(),
            from: &from,
            to: &to,
            grade: policy.asked_grade(),
            promised: self
                .ticket
                .as_ref()
                .and_then(|ticket| wait_for(ticket, view.stack)),
        };
        let plan = plan(&ground, &candidates)?;
        let notes = plan_check::check(&plan, view.stack);
        if !notes.is_empty() {
            return Err(notes
                .into_iter()
                .map(|n| format!("the plan is not sound: {}", n.sentence))
                .collect());
        }
        let votes = view.votes(&from);
        let loss = bound(view.inventory, view.stack, &from, &candidates, now.mono);
        let needs = needs(&view, &plan, &loss);
        Ok(Proposal {
            id,
            digest: plan.digest(),
            state: ProposalState::Raised,
            raised_at: now.wall,
            expires_at: UnixMillis(now.wall.0.saturating_add(policy.proposal_expiry_ms.0)),
            verdict: verdict(&from, &votes, now.mono),
            evidence: evidence(&votes, &from, now.mono),
            ruled_out: ruled_out(&view, &findings),
            candidates,
            loss,
            needs,
            plan,
        })
    }
}

fn verdict(from: &SiteName, votes: &[ObserverVote], now: Mono) -> String {
    let newest = votes
        .iter()
        .filter_map(|vote| vote.sighting.as_ref().map(|s| s.at))
        .max();
    let age = newest.map_or_else(
        || "since this coordinator started".to_owned(),
        |at| format!("for {}", now.since(at).human()),
    );
    format!(
        "{from} is lost or cut off from everybody: none of {} observers has sighted it {age}",
        votes.len()
    )
}

fn evidence(votes: &[ObserverVote], from: &SiteName, now: Mono) -> Vec<EvidenceLine> {
    votes
        .iter()
        .map(|vote| {
            let silent_for_ms = vote.sighting.as_ref().map(|s| now.since(s.at));
            let saw = vote.sighting.as_ref().map_or_else(
                || format!("never sighted {from}"),
                |s| {
                    format!(
                        "last sighted {from} {} ago by {}",
                        now.since(s.at).human(),
                        s.channel.words()
                    )
                },
            );
            EvidenceLine {
                observer: vote.observer.clone(),
                saw,
                silent_for_ms,
                age_ms: vote.knowledge_age,
            }
        })
        .collect()
}

/// A sighting, for people.
pub(crate) fn sighted_words(vote: &ObserverVote, now: Mono, site: Option<&SiteName>) -> String {
    let site = site.map_or("the site", SiteName::as_str);
    match &vote.sighting {
        Some(s) => {
            format!(
                "{site} was sighted by {} {} ago ({})",
                vote.observer,
                now.since(s.at).human(),
                s.channel.words()
            )
        }
        None => format!("{site} was sighted by {}", vote.observer),
    }
}

/// Who does not confirm a loss any more, for people.
pub(crate) fn without_vote_words(votes: &[ObserverVote]) -> String {
    let silent = votes.iter().find_map(|vote| match &vote.vote {
        Vote::None(why) => Some(format!(
            "observer {} has no vote any more: {}",
            vote.observer,
            why.words()
        )),
        Vote::Sighted | Vote::Silent => None,
    });
    silent.unwrap_or_else(|| "the observers do not agree any more".to_owned())
}
