//! Operators' requests that change something: each is accepted whole or refused with a rule's name.

use std::collections::BTreeMap;

use shared::epoch::{Epoch, StackVersion};
use shared::id::{Actor, Nonce, ProposalId, RunId};
use shared::stack::{Stack, difference};
use shared::wire::{ApprovalProof, Severity, Ticket};

use crate::approval::{Ground, judge, refused};
use crate::assessment::{assess, blocking};
use crate::core::{Core, oldest};
use crate::durable::{Attestation, Hold, Run, RunState, StepOutcome};
use crate::execution::waivable;
use crate::input::{ApprovalRequest, Ask, Now, RequestId};
use crate::journal::About;
use crate::output::{Announcement, Answer, Output, Persist};
use crate::phase::Phase;
use crate::plan::OnFailure;
use crate::proposal::ProposalState;

impl Core {
    /// Answers a request. Only a leader changes anything.
    pub(crate) fn asked(&mut self, now: Now, request: RequestId, actor: &Actor, ask: Ask) {
        let answer = if self.leads() {
            match self.ask(now, actor, ask) {
                Ok(answer) | Err(answer) => answer,
            }
        } else {
            refused("not-leader", "this coordinator does not lead", false)
        };
        if let Answer::Refused { rule, reason, .. } = &answer
            && self.leads()
        {
            let summary = format!("a request of {actor} was refused by rule {rule}: {reason}");
            let event = self
                .scene(now)
                .event("request-refused", Severity::Warning, summary);
            self.record(event.by(actor).because(reason));
        }
        self.push(Output::Announce(Announcement::Answer { request, answer }));
    }

    fn ask(&mut self, now: Now, actor: &Actor, ask: Ask) -> Result<Answer, Answer> {
        match ask {
            Ask::Approve(request) => self.approve(now, actor, &request),
            Ask::Reject { proposal, reason } => self.reject(now, actor, proposal, &reason),
            Ask::Resume { run, waive, reason } => self.resume(now, actor, run, waive, &reason),
            Ask::Abandon { run, reason } => self.abandon(now, actor, run, &reason),
            Ask::Hold { reason } => self.hold(now, actor, &reason),
            Ask::Release { reason } => self.release(now, actor, &reason),
            Ask::ApplyStack { stack, replaces } => self.apply(now, actor, *stack, replaces),
        }
    }

    fn approve(
        &mut self,
        now: Now,
        actor: &Actor,
        request: &ApprovalRequest,
    ) -> Result<Answer, Answer> {
        let votes = self.live_votes(now.mono);
        self.detector.step(now.mono, &votes);
        let proposal = self.durable.proposal(request.proposal).cloned();
        let (accepted, approval) = {
            let Some(view) = self.view(now.mono) else {
                return Err(refused("no-stack", "no stack is in force", false));
            };
            let policy = &view.stack.policy;
            let hold = self.durable.hold.as_ref().map(|hold| hold.reason.as_str());
            let ground = Ground {
                confirmed: self.detector.confirmed(now.mono, policy),
                evidence_age: oldest(&votes),
                evidence_age_max: policy.evidence_age_max_ms,
                hold,
                blocked: blocking(&assess(&view)).into_iter().next(),
            };
            let accepted = judge(proposal.as_ref(), request, &ground)?;
            (accepted, proposal)
        };
        let Some(proposal) = approval else {
            return Err(refused(
                "unknown-proposal",
                "the proposal is not known here",
                false,
            ));
        };
        if let Some(run) = &self.durable.run {
            return Err(refused(
                "run",
                format!("run {} goes on already", run.id.short()),
                true,
            ));
        }
        self.settle_phase(now);
        let run = RunId::new(self.draw("run"));
        let proof = ApprovalProof {
            proposal: proposal.id,
            plan: proposal.digest.clone(),
            operator: actor.clone(),
            approved_at: now.wall,
        };
        let attestation = accepted.attested.map(|site| Attestation {
            site,
            by: actor.clone(),
            reason: request.reason.clone(),
        });
        self.proposal = crate::core::ProposalClocks::default();
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
        let summary = format!(
            "{actor} approved proposal {}: move from {} to {}",
            proposal.id.short(),
            proposal.plan.from,
            proposal.plan.to
        );
        let mut event = self
            .scene(now)
            .event("proposal-approved", Severity::Warning, summary.clone())
            .by(actor);
        event = event
            .of_proposal(proposal.id)
            .of_run(run)
            .because(&request.reason)
            .with("digest", &proposal.digest);
        if let Some(attestation) = &attestation {
            event = event.with("attested off", &attestation.site);
        }
        for (rule, reason) in &request.overrides {
            event = event.with(&format!("override {rule}"), reason);
        }
        self.durable.run = Some(Run {
            id: run,
            proposal: proposal.id,
            plan: proposal.plan,
            approval: proof,
            attestation,
            overrides: request.overrides.clone(),
            started_at: now.wall,
            ended_at: None,
            state: RunState::Running,
            epoch: None,
            grant: None,
            resumed: false,
            steps: BTreeMap::new(),
        });
        self.touch();
        self.go(now, Phase::Running);
        self.advance_run(now);
        self.record(event);
        Ok(accepted_answer(format!(
            "{summary}; run {} goes on",
            run.short()
        )))
    }

    fn reject(
        &mut self,
        now: Now,
        actor: &Actor,
        proposal: ProposalId,
        reason: &str,
    ) -> Result<Answer, Answer> {
        let open = self
            .durable
            .open_proposal()
            .filter(|open| open.id == proposal);
        if open.is_none() {
            return Err(refused(
                "no-open-proposal",
                format!("proposal {proposal} is not open"),
                false,
            ));
        }
        let said = if reason.trim().is_empty() {
            "no reason given"
        } else {
            reason
        };
        let state = ProposalState::Rejected {
            by: actor.clone(),
            at: now.wall,
            reason: said.to_owned(),
        };
        self.end_proposal(now, state, "proposal-rejected", &format!("{actor}: {said}"));
        self.proposal.rejected = Some(format!(
            "{actor} rejected the last proposal ({said}); another one is raised after the site was sighted again, or after `pointsman release`"
        ));
        Ok(accepted_answer(format!(
            "proposal {} is rejected",
            proposal.short()
        )))
    }

    fn resume(
        &mut self,
        now: Now,
        actor: &Actor,
        run: RunId,
        waive: Option<u32>,
        reason: &str,
    ) -> Result<Answer, Answer> {
        let halted = self.halted(run)?;
        if reason.trim().is_empty() {
            return Err(refused(
                "reason",
                "going on with a halted run needs a reason",
                false,
            ));
        }
        let Some(run) = self.durable.run.as_mut() else {
            return Err(refused("no-halted-run", "no run is halted", false));
        };
        if let Some(number) = waive {
            let Some(step) = run
                .plan
                .step(number)
                .filter(|step| step.number == halted)
                .cloned()
            else {
                return Err(refused(
                    "waive",
                    format!("the run is halted at step {halted}, not at {number}"),
                    false,
                ));
            };
            if !waivable(&step) {
                let reason = format!(
                    "step {number} ({}) cannot be waived: what follows is unsafe without it",
                    step.work.kind()
                );
                return Err(refused("not-waivable", reason, true));
            }
            let record = run
                .steps
                .entry(number)
                .or_insert_with(|| crate::durable::StepRecord {
                    command: None,
                    started_at: now.wall,
                    outcome: StepOutcome::Started,
                });
            record.outcome = StepOutcome::Waived {
                by: actor.clone(),
                reason: reason.to_owned(),
            };
        }
        let retried: Vec<u32> = run
            .plan
            .steps
            .iter()
            .filter(|step| step.on_failure == OnFailure::Halt)
            .filter(|step| {
                matches!(
                    run.steps.get(&step.number).map(|r| &r.outcome),
                    Some(StepOutcome::Failed { .. })
                )
            })
            .map(|step| step.number)
            .collect();
        for number in retried {
            run.steps.remove(&number);
        }
        run.state = RunState::Running;
        run.resumed = true;
        let id = run.id;
        self.touch();
        self.store_fault = None;
        self.clocks.ticket_pending = false;
        self.go(now, Phase::Running);
        let what = waive.map_or_else(
            || format!("tries step {halted} again"),
            |n| format!("waives step {n}"),
        );
        let summary = format!("{actor} resumes run {} and {what}: {reason}", id.short());
        let event = self
            .scene(now)
            .event("run-resumed", Severity::Warning, summary.clone());
        self.record(event.by(actor).of_run(id).of_step(halted).because(reason));
        Ok(accepted_answer(summary))
    }

    fn abandon(
        &mut self,
        now: Now,
        actor: &Actor,
        run: RunId,
        reason: &str,
    ) -> Result<Answer, Answer> {
        self.halted(run)?;
        if reason.trim().is_empty() {
            return Err(refused("reason", "abandoning a run needs a reason", false));
        }
        let Some(mut run) = self.durable.run.take() else {
            return Err(refused("no-halted-run", "no run is halted", false));
        };
        run.state = RunState::Abandoned {
            by: actor.clone(),
            reason: reason.to_owned(),
        };
        run.ended_at = Some(now.wall);
        let left = self.give_back(now, &run);
        let summary = format!("{actor} abandoned run {}: {reason}; {left}", run.id.short());
        let event = self
            .scene(now)
            .event("run-abandoned", Severity::Critical, summary.clone());
        self.record(event.by(actor).of_run(run.id).because(reason));
        self.keep_past(run);
        self.touch();
        self.go(now, Phase::Unknown);
        Ok(accepted_answer(summary))
    }

    /// After an abandoned run: what state is left. Before a promotion was ordered the old site gets a new epoch.
    fn give_back(&mut self, now: Now, run: &Run) -> String {
        let promoted = run
            .plan
            .steps
            .iter()
            .any(|step| step.work.kind() == "promote" && run.steps.contains_key(&step.number));
        let revoked = run.epoch.is_some_and(|epoch| self.epoch() >= epoch);
        if promoted {
            return format!(
                "{} keeps epoch {}: a promotion was ordered there",
                run.plan.to,
                self.epoch()
            );
        }
        let Some(have) = self.ticket.clone().filter(|_| revoked) else {
            return format!(
                "{} keeps epoch {}: it was not revoked",
                run.plan.from,
                self.epoch()
            );
        };
        let epoch = self.epoch_max().next();
        let grant = Nonce::new(self.draw("grant"));
        let from = &run.plan.from;
        let to = Ticket {
            summary: format!(
                "{from} holds the right to be live in epoch {epoch}, after an abandoned run"
            ),
            epoch,
            holder: from.clone(),
            grant: Some(grant),
            changed_at: now.wall,
            confirmed_by: None,
            confirmations: 0,
            ..have.clone()
        };
        self.push(Output::Persist(Persist::Ticket {
            from: Some(have),
            to,
        }));
        format!("{from} is given epoch {epoch}")
    }

    fn hold(&mut self, now: Now, actor: &Actor, reason: &str) -> Result<Answer, Answer> {
        if reason.trim().is_empty() {
            return Err(refused("reason", "a hold needs a reason", false));
        }
        self.durable.hold = Some(Hold {
            by: actor.clone(),
            at: now.wall,
            reason: reason.to_owned(),
        });
        self.touch();
        self.withdraw(now, &format!("{actor} suspended proposals: {reason}"));
        let summary = format!("{actor} suspended proposals: {reason}");
        let event = self
            .scene(now)
            .event("hold", Severity::Warning, summary.clone());
        self.record(event.by(actor).because(reason));
        Ok(accepted_answer(summary))
    }

    fn release(&mut self, now: Now, actor: &Actor, reason: &str) -> Result<Answer, Answer> {
        let rejected = self.proposal.rejected.take().is_some();
        if self.durable.hold.take().is_none() && !rejected {
            return Err(refused("no-hold", "proposals are not suspended", false));
        }
        self.touch();
        let summary = format!("{actor} lets proposals be raised again");
        let event = self
            .scene(now)
            .event("release", Severity::Warning, summary.clone());
        self.record(event.by(actor).because(reason));
        Ok(accepted_answer(summary))
    }

    fn apply(
        &mut self,
        now: Now,
        actor: &Actor,
        stack: Stack,
        replaces: Option<StackVersion>,
    ) -> Result<Answer, Answer> {
        if let Some(run) = &self.durable.run {
            let reason = format!(
                "run {} goes on; a stack is changed when it is over",
                run.id.short()
            );
            return Err(refused("run", reason, true));
        }
        let have = self.stack.as_ref().map(|(version, _)| *version);
        if have != replaces {
            let text = |version: Option<StackVersion>| {
                version.map_or_else(|| "none".to_owned(), |v| v.to_string())
            };
            let reason = format!(
                "version {} is in force, the file was compared with {}",
                text(have),
                text(replaces)
            );
            return Err(refused("stack-version", reason, false));
        }
        if let Some(reason) = self.unfit_stack(&stack) {
            return Err(refused("stack", reason, true));
        }
        let differences = difference(self.stack.as_ref().map(|(_, stack)| stack), &stack);
        if differences.is_empty() {
            return Ok(accepted_answer(
                "nothing changes: the same stack is in force".to_owned(),
            ));
        }
        let version = StackVersion(have.unwrap_or_default().0 + 1);
        self.withdraw(now, "another stack version came in force");
        self.stack = Some((version, stack.clone()));
        if self.ticket.is_none() {
            self.first_ticket(now, &stack);
        }
        self.push(Output::Persist(Persist::Stack {
            version,
            stack: Box::new(stack),
        }));
        self.touch();
        let summary = format!(
            "{actor} put stack version {version} in force, {} changes",
            differences.len()
        );
        let mut event = self
            .scene(now)
            .event("stack-applied", Severity::Info, summary.clone())
            .by(actor);
        for change in differences.iter().take(50) {
            event = event.with(&change.key, change);
        }
        self.record(event);
        Ok(Answer::Accepted {
            summary,
            differences,
        })
    }

    /// The first epoch belongs to the stack's primary site.
    fn first_ticket(&mut self, now: Now, stack: &Stack) {
        let holder = stack.first_primary().clone();
        let to = Ticket {
            summary: format!("{holder} holds the right to be live in epoch 1"),
            incarnation: Nonce::new(self.draw("incarnation")),
            epoch: Epoch(1),
            holder,
            grant: Some(Nonce::new(self.draw("grant"))),
            changed_at: now.wall,
            confirmed_by: None,
            confirmations: 0,
        };
        self.durable.incarnation = Some(to.incarnation);
        self.clocks.ticket_pending = true;
        self.push(Output::Persist(Persist::Ticket { from: None, to }));
    }

    fn unfit_stack(&self, stack: &Stack) -> Option<String> {
        let (_, have) = self.stack.as_ref()?;
        if have.name != stack.name {
            return Some(format!(
                "the stack is named {}, the one in force {}",
                stack.name, have.name
            ));
        }
        let live = self.live_site()?;
        let eligible = stack
            .sites
            .get(&live)
            .is_some_and(|role| *role != shared::stack::SiteRole::Witness);
        (!eligible).then(|| {
            format!("{live} is live, and the file does not have it as a site that may be live")
        })
    }

    fn halted(&self, wanted: RunId) -> Result<u32, Answer> {
        match self.durable.run.as_ref().map(|run| (run.id, &run.state)) {
            Some((id, RunState::Halted { step, .. })) if id == wanted => Ok(*step),
            Some((id, RunState::Halted { .. })) => Err(refused(
                "no-halted-run",
                format!("the halted run is {id}, not {wanted}"),
                false,
            )),
            Some((id, _)) => Err(refused(
                "no-halted-run",
                format!("run {id} is not halted"),
                false,
            )),
            None => Err(refused("no-halted-run", "no run is halted", false)),
        }
    }
}

fn accepted_answer(summary: String) -> Answer {
    Answer::Accepted {
        summary,
        differences: Vec::new(),
    }
}
