//! An operator's approval: judged against what is true now, and turned into a run.
//!
//! Must never: start a run from anything but the one open proposal whose digest was approved.

use std::collections::BTreeMap;

use shared::id::{Actor, RunId};
use shared::wire::{ApprovalProof, AuditEvent, Severity};

use crate::approval::{Accepted, Ground, judge, judge_facts, refused};
use crate::assessment::{assess, blocking};
use crate::core::{Core, ProposalClocks, oldest};
use crate::durable::{Attestation, Run, RunState};
use crate::input::{ApprovalRequest, Now};
use crate::journal::About;
use crate::output::Answer;
use crate::phase::Phase;
use crate::plan::Plan;
use crate::proof::FenceProof;
use crate::proposal::{Proposal, ProposalState};
use crate::requests::accepted_answer;
use crate::sighting::ObserverVote;
use crate::synchrony::{proved, shown};

impl Core {
    /// Judges an approval and, when it is accepted, begins the run.
    pub(crate) fn approve(
        &mut self,
        now: Now,
        actor: &Actor,
        request: &ApprovalRequest,
    ) -> Result<Answer, Answer> {
        let votes = self.live_votes(now.mono);
        self.step_detector(now.mono, &votes);
        self.keep_proposal(now);
        self.trusts_store(now)?;
        let (accepted, proposal) = self.judged(now, &votes, request)?;
        self.begin_run(now, actor, request, accepted, &proposal)
    }

    /// Automatic mode approves: judged like an operator's approval, and by every rule of its own. Nobody vouches and
    /// nothing is overridden.
    pub(crate) fn approve_automatically(
        &mut self,
        now: Now,
        actor: &Actor,
        request: &ApprovalRequest,
    ) -> Result<Answer, Answer> {
        if let Some(block) = self.automatic_blocks(now.mono).first() {
            return Err(refused(block.rule().name, block.sentence(), true));
        }
        let votes = self.live_votes(now.mono);
        let ground = self.ground(now, &votes)?;
        let proposal = self.durable.proposal(request.proposal);
        let proposal = judge_facts(proposal, request, &ground)?.clone();
        let accepted = Accepted {
            attested: None,
            automatic: true,
        };
        self.begin_run(now, actor, request, accepted, &proposal)
    }

    fn begin_run(
        &mut self,
        now: Now,
        actor: &Actor,
        request: &ApprovalRequest,
        accepted: Accepted,
        proposal: &Proposal,
    ) -> Result<Answer, Answer> {
        if let Some(run) = &self.durable.run {
            return Err(refused(
                "run",
                format!("run {} goes on already", run.id.short()),
                true,
            ));
        }
        self.settle_phase(now);
        let run = self.run_of(now, actor, request, accepted, proposal);
        let id = run.id;
        let summary = format!(
            "{actor} approved proposal {}: move from {} to {}",
            proposal.id.short(),
            proposal.plan.from,
            proposal.plan.to
        );
        let event = self.approval_event(now, actor, request, &run, &summary);
        self.proposal = ProposalClocks::default();
        for kept in self
            .durable
            .proposals
            .iter_mut()
            .filter(|p| p.id == proposal.id)
        {
            kept.state = ProposalState::Approved {
                by: actor.clone(),
                at: now.wall,
            };
        }
        self.durable.run = Some(run);
        self.touch();
        self.record(event);
        self.go(now, Phase::Running);
        self.advance_run(now);
        Ok(accepted_answer(format!(
            "{summary}; run {} goes on",
            id.short()
        )))
    }

    fn judged(
        &self,
        now: Now,
        votes: &[ObserverVote],
        request: &ApprovalRequest,
    ) -> Result<(Accepted, Proposal), Answer> {
        let ground = self.ground(now, votes)?;
        let proposal = self.durable.proposal(request.proposal);
        let accepted = judge(proposal, request, &ground)?;
        match proposal {
            Some(proposal) => Ok((accepted, proposal.clone())),
            None => Err(refused(
                "unknown-proposal",
                "the proposal is not known here",
                false,
            )),
        }
    }

    /// What an approval is judged by, now.
    fn ground(&self, now: Now, votes: &[ObserverVote]) -> Result<Ground<'_>, Answer> {
        let Some(view) = self.view(now.mono) else {
            return Err(refused("no-stack", "no stack is in force", false));
        };
        let policy = &view.stack.policy;
        Ok(Ground {
            confirmed: self.detector.confirmed(now.mono, policy),
            evidence_age: oldest(votes),
            evidence_age_max: policy.evidence_age_max_ms,
            hold: self.durable.hold.as_ref().map(|hold| hold.reason.as_str()),
            blocked: blocking(&assess(&view)).into_iter().next(),
        })
    }

    fn run_of(
        &mut self,
        now: Now,
        actor: &Actor,
        request: &ApprovalRequest,
        accepted: Accepted,
        proposal: &Proposal,
    ) -> Run {
        let attestation = accepted.attested.map(|site| Attestation {
            site,
            by: actor.clone(),
            reason: request.reason.clone(),
        });
        Run {
            id: RunId::new(self.draw("run")),
            proposal: proposal.id,
            plan: proposal.plan.clone(),
            approval: ApprovalProof {
                proposal: proposal.id,
                plan: proposal.digest.clone(),
                operator: actor.clone(),
                approved_at: now.wall,
                automatic: accepted.automatic,
                stack_version: self
                    .stack
                    .as_ref()
                    .filter(|_| accepted.automatic)
                    .map(|(version, _)| *version),
            },
            proofs: attestation
                .iter()
                .map(|word| word.proof(now.wall, proposal.plan.base_epoch))
                .chain(self.bound(now, &proposal.plan))
                .collect(),
            attestation,
            overrides: request.overrides.clone(),
            started_at: now.wall,
            ended_at: None,
            state: RunState::Running,
            epoch: None,
            grant: None,
            resumed: false,
            steps: BTreeMap::new(),
        }
    }

    /// What synchronous replication proves of the old site, at the moment of the approval: a later leader may never
    /// have heard its primary.
    fn bound(&self, now: Now, plan: &Plan) -> Option<FenceProof> {
        let view = self.view(now.mono)?;
        let bound = proved(view.inventory, view.stack, &plan.from, &plan.to, view.now).ok()?;
        Some(FenceProof {
            epoch: plan.base_epoch,
            at: now.wall,
            shown: shown(&bound),
        })
    }

    fn approval_event(
        &self,
        now: Now,
        actor: &Actor,
        request: &ApprovalRequest,
        run: &Run,
        summary: &str,
    ) -> AuditEvent {
        let mut event = self
            .scene(now)
            .event("proposal-approved", Severity::Warning, summary)
            .by(actor)
            .of_proposal(run.proposal)
            .of_run(run.id)
            .because(&request.reason)
            .with("digest", &run.approval.plan);
        if let Some(attestation) = &run.attestation {
            event = event.with("attested off", &attestation.site);
        }
        for (rule, reason) in &request.overrides {
            event = event.with(&format!("override {rule}"), reason);
        }
        if run.approval.automatic {
            event = self.automatic_evidence(now, event);
        }
        event
    }
}
