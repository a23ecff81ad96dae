//! A halted run: resumed, a step waived by name, or abandoned.

use shared::id::{Actor, Nonce, RunId};
use shared::wire::{Severity, Ticket};

use crate::approval::refused;
use crate::core::Core;
use crate::durable::{Attestation, Run, RunState, StepOutcome, StepRecord};
use crate::execution::{FENCE_GRADE, RunClocks, retry, waivable};
use crate::glass::{breaks, caution};
use crate::input::{Now, Past};
use crate::journal::About;
use crate::output::{Answer, Output, Persist};
use crate::phase::Phase;
use crate::plan::OnFailure;
use crate::requests::accepted_answer;

impl Core {
    pub(crate) fn resume(
        &mut self,
        now: Now,
        actor: &Actor,
        run: RunId,
        waive: Option<u32>,
        reason: &str,
    ) -> Result<Answer, Answer> {
        let halted = self.halted(run)?;
        self.trusts_store(now)?;
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
            waive_step(run, halted, number, actor, now, reason)?;
        }
        let graded = self.ungraded().is_some();
        let sighted = self.seen_again(now.mono).is_some();
        let Some(run) = self.durable.run.as_mut() else {
            return Err(refused("no-halted-run", "no run is halted", false));
        };
        // Only a halt before one of these began was about a site that was sighted again.
        run.resumed |= match run.plan.step(halted).map(|step| step.work.kind()) {
            Some("revoke") => true,
            // A halt for want of a proof says nothing of a sighting.
            Some("grant") => !graded || sighted,
            Some("promote") => !run.steps.contains_key(&halted),
            Some(_) | None => false,
        };
        // Where a proof is missing, the right is not granted yet, and what may fail until then are fences.
        retry(run, |step| graded || step.on_failure == OnFailure::Halt);
        run.state = RunState::Running;
        let id = run.id;
        self.touch();
        self.adopt_automatic(now, actor);
        self.store_fault = None;
        // Deadlines count anew: the time in which it was halted is nobody's fault.
        self.clocks = RunClocks::default();
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

    /// Goes on with a halted run past a rule that its operator overrides by name.
    pub(crate) fn resume_past(
        &mut self,
        now: Now,
        actor: &Actor,
        past: &Past,
    ) -> Result<Answer, Answer> {
        self.halted(past.run)?;
        let known = |rule: &String| rule == FENCE_GRADE;
        if let Some(rule) = past.overrides.keys().find(|rule| !known(rule)) {
            let reason =
                format!("no rule {rule:?} can be overridden at a halted run; {FENCE_GRADE} can");
            return Err(refused("unknown-rule", reason, false));
        }
        if past
            .overrides
            .values()
            .any(|reason| reason.trim().is_empty())
        {
            return Err(refused("reason", "an override needs a reason", false));
        }
        let Some(run) = self.durable.run.as_ref() else {
            return Err(refused("no-halted-run", "no run is halted", false));
        };
        let (from, epoch) = (run.plan.from.clone(), run.plan.base_epoch);
        let attestation = match &past.attest_site_off {
            None => None,
            Some(typed) if typed == from.as_str() && !past.reason.trim().is_empty() => {
                Some(Attestation {
                    site: from,
                    by: actor.clone(),
                    reason: past.reason.clone(),
                })
            }
            Some(typed) => {
                let reason = format!(
                    "vouching needs the site's name and a reason: typed is {typed:?}, the site that must be off is {from}"
                );
                return Err(refused(FENCE_GRADE, reason, true));
            }
        };
        let before = (
            run.overrides.clone(),
            run.proofs.clone(),
            run.attestation.clone(),
        );
        if let Some(run) = self.durable.run.as_mut() {
            run.overrides.extend(past.overrides.clone());
            run.proofs
                .extend(attestation.iter().map(|word| word.proof(now.wall, epoch)));
            run.attestation = attestation.or_else(|| run.attestation.take());
        }
        let answer = self.resume(now, actor, past.run, None, &past.reason);
        if answer.is_err()
            && let Some(run) = self.durable.run.as_mut()
        {
            (run.overrides, run.proofs, run.attestation) = before;
        } else {
            let rules = past.overrides.iter();
            let rules: Vec<String> = rules
                .map(|(rule, why)| format!("rule {rule}: {why}"))
                .collect();
            let words = format!("{actor} overrides {}", rules.join(", "));
            let event = self
                .scene(now)
                .event("rule-overridden", Severity::Critical, words);
            self.record(event.by(actor).of_run(past.run).because(&past.reason));
        }
        answer
    }

    pub(crate) fn abandon(
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
        let mut left = self.give_back(now, &run);
        if let Some(caution) = caution(&self.inventory, self.ticket.as_ref()) {
            left = format!("{left}; {caution}");
        }
        let summary = format!("{actor} abandoned run {}: {reason}; {left}", run.id.short());
        let event = self
            .scene(now)
            .event("run-abandoned", Severity::Critical, summary.clone());
        self.record(event.by(actor).of_run(run.id).because(reason));
        let pending = self.clocks.ticket_pending;
        self.begin_cool_down(now, &run);
        self.keep_past(run);
        self.clocks.ticket_pending = pending;
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
        let holder = self
            .live_site()
            .map_or_else(String::new, |site| site.to_string());
        if promoted {
            return format!(
                "{holder} keeps epoch {}: a promotion was ordered there",
                self.epoch()
            );
        }
        let taken =
            |ticket: &Ticket| run.epoch == Some(ticket.epoch) && ticket.holder == run.plan.to;
        let Some(have) = self.ticket.clone().filter(taken) else {
            return format!(
                "{holder} keeps epoch {}: this run did not take it",
                self.epoch()
            );
        };
        if self.distrust(now).is_some() {
            return "nothing is given back while the store shows less than was seen".to_owned();
        }
        // Who was made live without the store is live: the ticket takes that over, and nobody else gets the right.
        if breaks(&self.inventory, self.ticket.as_ref())
            .next()
            .is_some()
        {
            return format!(
                "nothing is given back to {} while a broken glass is not taken over",
                run.plan.from
            );
        }
        let epoch = self.next_epoch();
        if epoch <= self.epoch_max() {
            return "no epoch is left to give back".to_owned();
        }
        let grant = Nonce::new(self.draw("grant"));
        let from = &run.plan.from;
        let summary =
            format!("{from} holds the right to be live in epoch {epoch}, after an abandoned run");
        let to = self.moved(now, &have, (from, epoch), Some(grant), summary);
        self.clocks.ticket_pending = true;
        self.push(Output::Persist(Persist::Ticket {
            from: Some(have),
            to,
        }));
        format!("{from} is given epoch {epoch}")
    }

    pub(crate) fn halted(&self, wanted: RunId) -> Result<u32, Answer> {
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

/// Settles the halted step by an operator's word.
fn waive_step(
    run: &mut Run,
    halted: u32,
    number: u32,
    actor: &Actor,
    now: Now,
    reason: &str,
) -> Result<(), Answer> {
    let step = run.plan.step(number).filter(|_| number == halted);
    let Some(step) = step else {
        return Err(refused(
            "waive",
            format!("the run is halted at step {halted}, not at {number}"),
            false,
        ));
    };
    if !waivable(step) {
        let reason = format!(
            "step {number} ({}) cannot be waived: what follows is unsafe without it",
            step.work.kind()
        );
        return Err(refused("not-waivable", reason, true));
    }
    let record = run.steps.entry(number).or_insert_with(|| StepRecord {
        command: None,
        started_at: now.wall,
        outcome: StepOutcome::Started,
    });
    record.outcome = StepOutcome::Waived {
        by: actor.clone(),
        reason: reason.to_owned(),
    };
    Ok(())
}
