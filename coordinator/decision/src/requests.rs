//! Operators' requests that change something: each is accepted whole or refused with a rule's name.

use shared::id::{Actor, ProposalId};
use shared::wire::Severity;

use crate::approval::refused;
use crate::core::Core;
use crate::durable::Hold;
use crate::input::{Alarm, Ask, Now, RequestId};
use crate::journal::About;
use crate::output::{Announcement, Answer, Output};
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
            Ask::ResumePast(past) => self.resume_past(now, actor, &past),
            Ask::Abandon { run, reason } => self.abandon(now, actor, run, &reason),
            Ask::AcceptStore { live, reason } => self.accept_store(now, actor, &live, &reason),
            Ask::Hold { reason } => self.hold(now, actor, &reason),
            Ask::Release { reason } => self.release(now, actor, &reason),
            Ask::Acknowledge { alarm, reason } => match alarm {
                Alarm::BreakGlass => self.acknowledge_glass(now, actor, &reason),
                Alarm::CoolDown => self.acknowledge_run(now, actor, &reason),
            },
            Ask::Automatic { on, reason } => self.switch_automatic(now, actor, on, &reason),
            Ask::ApplyStack { stack, replaces } => self.apply(now, actor, *stack, replaces),
        }
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
        self.durable.rejection = Some(format!(
            "{actor} rejected the last proposal ({said}); another one is raised after the site was sighted again, or after `pointsman release`"
        ));
        Ok(accepted_answer(format!(
            "proposal {} is rejected",
            proposal.short()
        )))
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
        let rejected = self.durable.rejection.take().is_some();
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
}

pub(crate) fn accepted_answer(summary: String) -> Answer {
    Answer::Accepted {
        summary,
        differences: Vec::new(),
    }
}
