//! One step of a broken glass: known as done, taken up again after a restart, or done now by the loop.

use std::time::Duration;

use shared::refusal::Refusal;
use shared::wire::{Action, Command, ContingencyStep, ReportState};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::broken::{Broken, Vouched};
use super::judge::{Objection, Request, Rule};
use super::socket::Line;
use super::speech::Said;
use super::{Order, Room};
use crate::action::Progress;
use crate::report::outcome_word;

/// Between two words about what goes on.
const SAY_EVERY: Duration = Duration::from_millis(500);
/// Longest wait for the agent to have looked at a step that a restart cut off.
const EXAMINED_WITHIN: Duration = Duration::from_secs(15);
/// Attempts of one step over all sessions.
pub(super) const ATTEMPTS_MAX: u32 = 100;

/// What became of a step.
pub(super) enum Stepped {
    /// It is done, now or before.
    Done,
    /// It failed, and the site needs it.
    Failed(String),
    /// It failed, and the site serves without it.
    Passed,
}

impl Room {
    /// One step: known as done, taken up again, or done now.
    pub(super) async fn step(
        &self,
        broken: &Broken,
        step: &ContingencyStep,
        action: &Action,
        vouched: &Vouched,
        request: &Request,
        line: &mut Line,
    ) -> Result<Stepped, Vec<Objection>> {
        let (command, resumed) = match self.attempt(broken, step, action, request, line).await? {
            Attempt::Known(state) => {
                say_step(line, step, &state).await;
                return Ok(Stepped::Done);
            }
            Attempt::Now { command, resumed } => (*command, resumed),
        };
        line.say(Said::Progress(format!(
            "step {}: {}",
            step.number, step.title
        )))
        .await;
        let vouched = action.changes().then(|| vouched.clone());
        let state = self.order(command, vouched, resumed, line).await?;
        say_step(line, step, &state).await;
        Ok(match state {
            ReportState::Done { .. } => Stepped::Done,
            _ if !step.needed => Stepped::Passed,
            other @ (ReportState::Running { .. }
            | ReportState::Failed { .. }
            | ReportState::Refused(_)
            | ReportState::Interrupted { .. }) => Stepped::Failed(words(&other)),
        })
    }

    /// What the ledger knows of a step, and what follows from it.
    async fn attempt(
        &self,
        broken: &Broken,
        step: &ContingencyStep,
        action: &Action,
        request: &Request,
        line: &mut Line,
    ) -> Result<Attempt, Vec<Objection>> {
        let identity = &self.scene.identity;
        let patience = Instant::now() + EXAMINED_WITHIN;
        let mut number = 0;
        while number < ATTEMPTS_MAX {
            let command = broken.command(identity, step, action, number);
            let Some(known) = self.ledger.known(command.id) else {
                return Ok(Attempt::Now {
                    command: Box::new(command),
                    resumed: false,
                });
            };
            match known.outcome {
                Some(state @ ReportState::Done { .. }) if action.changes() => {
                    return Ok(Attempt::Known(state));
                }
                Some(
                    ReportState::Interrupted {
                        repeatable: true, ..
                    }
                    | ReportState::Failed { pending: true, .. },
                ) => {
                    return Ok(Attempt::Now {
                        command: Box::new(command),
                        resumed: true,
                    });
                }
                Some(ReportState::Interrupted { found, .. })
                    if !request.overrides.contains_key(Rule::UnknownOutcome.word()) =>
                {
                    let says = format!(
                        "step {} ({}) was cut off: {found}. Look for yourself; to do it again use --override \
                         unknown-outcome=REASON",
                        step.number, step.title
                    );
                    return Err(vec![Objection::new(Rule::UnknownOutcome, says)]);
                }
                // The agent was restarted and has not looked at it yet.
                None if Instant::now() < patience => {
                    line.say(Said::Progress(format!(
                        "looking at what step {} had done",
                        step.number
                    )))
                    .await;
                    tokio::time::sleep(SAY_EVERY).await;
                }
                None => {
                    let says = format!(
                        "step {} is still being looked at after a restart",
                        step.number
                    );
                    return Err(vec![Objection::new(Rule::Busy, says)]);
                }
                Some(_) => number += 1,
            }
        }
        let says = format!("step {} was tried {ATTEMPTS_MAX} times", step.number);
        Err(vec![Objection::new(Rule::UnknownOutcome, says)])
    }

    /// Has the loop carry a command out, and says what goes on meanwhile.
    pub(super) async fn order(
        &self,
        command: Command,
        vouched: Option<Vouched>,
        resumed: bool,
        line: &mut Line,
    ) -> Result<ReportState, Vec<Objection>> {
        let patience = Instant::now() + EXAMINED_WITHIN;
        loop {
            let state = self
                .order_once(command.clone(), vouched.clone(), resumed, line)
                .await?;
            let busy = matches!(&state, ReportState::Refused(Refusal::Busy { .. }));
            if !busy || Instant::now() >= patience {
                return Ok(state);
            }
            tokio::time::sleep(SAY_EVERY).await;
        }
    }

    async fn order_once(
        &self,
        command: Command,
        vouched: Option<Vouched>,
        resumed: bool,
        line: &mut Line,
    ) -> Result<ReportState, Vec<Objection>> {
        let (reply, mut ended) = oneshot::channel();
        let progress = Progress::default();
        let order = Order {
            command,
            vouched,
            resumed,
            progress: progress.clone(),
            reply,
        };
        let ending = || vec![Objection::new(Rule::Busy, "the agent is ending")];
        self.orders.send(order).await.map_err(|_| ending())?;
        let mut said = String::new();
        loop {
            match tokio::time::timeout(SAY_EVERY, &mut ended).await {
                Ok(state) => return state.map_err(|_| ending()),
                Err(_elapsed) => {
                    let text = progress.text();
                    if text != said {
                        said.clone_from(&text);
                        line.say(Said::Progress(text)).await;
                    }
                }
            }
        }
    }
}

/// How a step goes on.
enum Attempt {
    /// It is done.
    Known(ReportState),
    /// It is to be done.
    Now {
        command: Box<Command>,
        resumed: bool,
    },
}

pub(super) async fn say_step(line: &mut Line, step: &ContingencyStep, state: &ReportState) {
    let proof = match state {
        ReportState::Done { proof, .. } => proof.clone(),
        ReportState::Running { .. }
        | ReportState::Failed { .. }
        | ReportState::Refused(_)
        | ReportState::Interrupted { .. } => Vec::new(),
    };
    line.say(Said::Step {
        number: step.number,
        title: step.title.clone(),
        outcome: outcome_word(state).to_owned(),
        detail: words(state),
        proof,
    })
    .await;
}

pub(super) fn words(state: &ReportState) -> String {
    match state {
        ReportState::Running { progress, .. } => progress.clone(),
        ReportState::Done { took_ms, .. } => format!("in {}", took_ms.human()),
        ReportState::Failed {
            reason, pending, ..
        } => {
            let more = if *pending {
                " (its effect may still come)"
            } else {
                ""
            };
            format!("{reason}{more}")
        }
        ReportState::Refused(refusal) => refusal.to_string(),
        ReportState::Interrupted { found, .. } => found.clone(),
    }
}
