//! One operator's session: look, judge, wait, write the record, then do this node's steps one after the other.
//!
//! The record is on the disk before the first step that changes anything. A step that the ledger knows is never done
//! twice; whoever comes back goes on where the last session stood.

use std::time::Duration;

use shared::clock::Millis;
use shared::id::{Actor, Nonce, RunId};
use shared::telemetry::Chain;
use shared::wire::{Action, ReportState};
use uuid::Uuid;

use super::Room;
use super::broken::{Broken, Vouched};
use super::ending::{Reached, ending};
use super::judge::{self, Objection, Request, Rule, judge};
use super::scene::Gathered;
use super::socket::Line;
use super::speech::{Act, Ask, Said};
use super::stage::{Code, own, predecessor};
use super::stepping::{ATTEMPTS_MAX, Stepped, say_step, words};
use crate::clock;
use crate::report::outcome_word;

impl Room {
    pub(super) async fn serve(&self, ask: &Ask, line: &mut Line) {
        let objections = match Box::pin(self.answer(ask, line)).await {
            Ok(()) => return,
            Err(objections) => objections,
        };
        for objection in &objections {
            tracing::warn!(
                rule = objection.rule.word(),
                says = objection.says,
                "break glass is refused"
            );
        }
        line.say(Said::Refused(objections)).await;
    }

    async fn answer(&self, ask: &Ask, line: &mut Line) -> Result<(), Vec<Objection>> {
        let request = &ask.request;
        let given = ask.plan.as_deref();
        let _working = self.at_work.try_lock().map_err(|_| {
            vec![Objection::new(
                Rule::Busy,
                "another break-glass session is at work here",
            )]
        })?;
        let mut gathered = self.gather(given).await.map_err(|o| vec![o])?;
        let picture = gathered.picture(request, |number| self.state_of(&gathered, number));
        let objections = picture.objections.clone();
        line.say(Said::Picture(Box::new(picture))).await;
        if ask.act == Act::Look {
            return Ok(());
        }
        let begun = judge::resumes(&gathered.facts());
        let draft = draft(&gathered, request);
        if !begun {
            self.preconditions(&gathered, &draft, line).await?;
        }
        if ask.act == Act::Check {
            return if objections.is_empty() {
                Ok(())
            } else {
                Err(objections)
            };
        }
        refuse(judge(&gathered.facts(), request))?;
        if !begun {
            if request.continues.is_none() {
                self.wait(&mut gathered, request, line).await?;
            }
            // Once more, with the store: what was true before the wait may be over.
            gathered = self.gather(given).await.map_err(|o| vec![o])?;
            refuse(judge(&gathered.facts(), request))?;
            self.write_down(draft, line).await?;
        }
        self.steps(request, line).await
    }

    /// This node's checks of the plan, before anything is written.
    async fn preconditions(
        &self,
        gathered: &Gathered,
        draft: &Broken,
        line: &mut Line,
    ) -> Result<(), Vec<Objection>> {
        let identity = &self.scene.identity;
        for (step, action) in own(&gathered.plan, identity) {
            if !matches!(action, Action::Check { .. }) {
                continue;
            }
            // Another identity each time: a check is asked anew, its old answer is worth nothing.
            let draft = Broken {
                run: RunId::new(Uuid::now_v7()),
                ..draft.clone()
            };
            let command = draft.command(identity, step, action, 0);
            let state = self.order(command, None, false, line).await?;
            let failed = !matches!(state, ReportState::Done { .. });
            say_step(line, step, &state).await;
            if failed && step.needed {
                let says = format!("step {} ({}): {}", step.number, step.title, words(&state));
                return Err(vec![Objection::new(Rule::Precondition, says)]);
            }
        }
        Ok(())
    }

    /// Waits, on this host's clock, until the old site has stopped by itself if it can.
    async fn wait(
        &self,
        gathered: &mut Gathered,
        request: &Request,
        line: &mut Line,
    ) -> Result<(), Vec<Objection>> {
        let wait = gathered.plan.wait_ms();
        let since = clock::mono();
        loop {
            let waited = clock::mono().since(since);
            if waited >= wait {
                return Ok(());
            }
            stop_if_gone(line)?;
            self.look_again(gathered);
            refuse(judge(&gathered.facts(), request))?;
            let left = Millis(wait.0.saturating_sub(waited.0));
            let from = &gathered.plan.from;
            line.say(Said::Progress(format!(
                "waiting {}: if {from} lives, cut off, it has lost the store too and stops by itself within this time, if it \
                 fences itself (Ctrl-C ends this, nothing is done yet)",
                left.human()
            )))
            .await;
            tokio::time::sleep(left.duration().min(Duration::from_secs(1))).await;
        }
    }

    /// From here on the glass is broken, whatever happens.
    async fn write_down(&self, broken: Broken, line: &mut Line) -> Result<(), Vec<Objection>> {
        stop_if_gone(line)?;
        let (epoch, operator, from) = (
            broken.epoch,
            broken.operator.clone(),
            broken.plan.from.clone(),
        );
        let to = broken.plan.to.clone();
        let reason = broken.reason.clone();
        self.ledger
            .break_glass(broken)
            .await
            .map_err(|error| vec![Objection::new(Rule::Ledger, Chain(&error).to_string())])?;
        if let Some(vower) = &self.vower {
            vower.note_epoch(epoch);
        }
        tracing::error!(
            epoch = epoch.0, %operator, %from, %to, reason,
            "the glass is broken: this site is made live without the store"
        );
        line.say(Said::Progress(format!(
            "the glass is broken in epoch {epoch}; it is on this host's disk"
        )))
        .await;
        Ok(())
    }

    /// This node's steps, as far as they can be done now.
    async fn steps(&self, request: &Request, line: &mut Line) -> Result<(), Vec<Objection>> {
        let identity = self.scene.identity.clone();
        let broken = self.ledger.glass();
        let Some((broken, vouched)) = broken.zip(Vouched::of(&self.ledger)) else {
            let says = "the record that was written is gone from the ledger";
            return Err(vec![Objection::new(Rule::Ledger, says)]);
        };
        let plan = &broken.plan;
        let code = request
            .continues
            .as_deref()
            .and_then(|text| text.parse::<Code>().ok());
        let had = code
            .filter(|code| code.is_for(plan))
            .map_or(0, |code| code.step);
        let mut last = 0;
        let mut halted = None;
        for (step, action) in own(plan, &identity) {
            if matches!(action, Action::Check { .. }) {
                continue;
            }
            if predecessor(plan, &identity, step).is_some_and(|before| before.number > had) {
                break;
            }
            stop_if_gone(line)?;
            match self
                .step(&broken, step, action, &vouched, request, line)
                .await?
            {
                Stepped::Done if action.changes() => last = step.number,
                Stepped::Done | Stepped::Passed => {}
                Stepped::Failed(why) => {
                    halted = Some(format!("step {} ({}): {why}", step.number, step.title));
                    break;
                }
            }
        }
        let ending = ending(&broken, &identity, Reached { last, had }, halted);
        tracing::warn!(
            summary = ending.summary,
            code = ending.code,
            "break glass at this node"
        );
        line.say(Said::Ended(ending)).await;
        Ok(())
    }

    /// What the ledger knows of a step of the break that is begun here.
    fn state_of(&self, gathered: &Gathered, number: u32) -> String {
        let identity = &self.scene.identity;
        let Some(broken) = gathered
            .broken
            .as_ref()
            .filter(|_| judge::resumes(&gathered.facts()))
        else {
            return String::new();
        };
        let known = own(&broken.plan, identity)
            .find(|(step, _)| step.number == number)
            .and_then(|(step, action)| {
                let known = |n| {
                    self.ledger
                        .known(broken.command(identity, step, action, n).id)
                };
                (0..ATTEMPTS_MAX).map_while(known).last()
            });
        known.map_or_else(String::new, |known| {
            known
                .outcome
                .as_ref()
                .map_or("begun", outcome_word)
                .to_owned()
        })
    }
}

/// The record of this request: the one that is there, or a new one.
fn draft(gathered: &Gathered, request: &Request) -> Broken {
    let facts = gathered.facts();
    if let Some(broken) = gathered.broken.as_ref().filter(|_| judge::resumes(&facts)) {
        return broken.clone();
    }
    Broken {
        epoch: judge::epoch(&facts, request),
        plan: gathered.plan.clone(),
        operator: Actor::new(request.operator.trim()),
        reason: request.reason.trim().chars().take(200).collect(),
        overrides: request.overrides.clone(),
        at: clock::wall(),
        run: RunId::new(Uuid::now_v7()),
        grant: Nonce::new(Uuid::new_v4()),
        reconciled: false,
    }
}

fn refuse(objections: Vec<Objection>) -> Result<(), Vec<Objection>> {
    if objections.is_empty() {
        Ok(())
    } else {
        Err(objections)
    }
}

fn stop_if_gone(line: &Line) -> Result<(), Vec<Objection>> {
    if line.is_gone() {
        let says = "the operator's session was closed; nothing further is done";
        return Err(vec![Objection::new(Rule::Busy, says)]);
    }
    Ok(())
}
