//! What people have a say in: the switch, which agents read too, and the cool-down after a run.

use shared::id::Actor;
use shared::stack::Mode;
use shared::wire::{AutomaticOff, Severity, Ticket};

use super::CoolDown;
use crate::approval::refused;
use crate::core::Core;
use crate::durable::{Hold, Run};
use crate::input::Now;
use crate::journal::About;
use crate::output::{Answer, Output, Persist};
use crate::requests::accepted_answer;

impl Core {
    /// Switches automatic mode off, at once and for agents too, or on again.
    pub(crate) fn switch_automatic(
        &mut self,
        now: Now,
        actor: &Actor,
        on: bool,
        reason: &str,
    ) -> Result<Answer, Answer> {
        if reason.trim().is_empty() {
            let why = "switching automatic mode needs a reason";
            return Err(refused("reason", why, false));
        }
        if on && self.durable.automatic_off.is_none() {
            let why = "automatic mode is not switched off";
            return Err(refused("not-off", why, false));
        }
        self.durable.automatic_off = (!on).then(|| Hold {
            by: actor.clone(),
            at: now.wall,
            reason: reason.to_owned(),
        });
        self.automatic.clear_since = None;
        self.touch();
        let mode = self.stack.as_ref().map(|(_, stack)| stack.policy.mode);
        let note = match mode {
            Some(Mode::Automatic) => "",
            Some(Mode::Approval | Mode::Observe | Mode::Shadow) | None => {
                " (the stack's mode is another, so it acts in no case)"
            }
        };
        let word = if on { "on" } else { "off" };
        let summary = format!("{actor} switched automatic mode {word}: {reason}{note}");
        let event = self
            .scene(now)
            .event("automatic-switched", Severity::Warning, summary.clone());
        self.record(event.by(actor).because(reason));
        if !on {
            self.halt_automatic(now, actor);
        }
        // The answer comes after this write, so whoever reads *off* knows that no agent can miss it.
        self.keep_switch();
        Ok(accepted_answer(summary))
    }

    /// The switch as the ticket carries it.
    pub(crate) fn automatic_off(&self) -> Option<AutomaticOff> {
        let off = self.durable.automatic_off.as_ref()?;
        Some(AutomaticOff {
            by: off.by.clone(),
            at: off.at,
        })
    }

    /// Writes the switch into the ticket where it is not there: after an operator moved it, or when an agent that
    /// does not know of it has written the ticket without.
    pub(crate) fn keep_switch(&mut self) {
        let wanted = self.automatic_off();
        let Some(have) = self.ticket.clone() else {
            return;
        };
        let busy = self.clocks.ticket_pending || self.automatic.switch_pending;
        let believed = self.store_fault.is_none() && self.stopping_halt().is_none();
        let free = self.leads() && !busy && believed;
        if !free || have.automatic_off == wanted {
            return;
        }
        self.automatic.switch_pending = true;
        let to = Ticket {
            automatic_off: wanted,
            ..have.clone()
        };
        let from = Some(have);
        self.push(Output::Persist(Persist::Ticket { from, to }));
    }

    /// What a read of the ticket shows of the switch: one that was lost on the way is written again.
    pub(crate) fn switch_seen(&mut self, ticket: &Ticket) {
        if let Some(own) = self.ticket.as_mut().filter(|own| own.same_right(ticket)) {
            own.automatic_off.clone_from(&ticket.automatic_off);
        }
    }

    /// A run that nobody approved stops where it is; an operator who resumes it makes it their own.
    fn halt_automatic(&mut self, now: Now, actor: &Actor) {
        let going = self.going_run().filter(|run| run.approval.automatic);
        let Some(step) = going.and_then(Run::current_step) else {
            return;
        };
        let reason = format!("{actor} switched automatic mode off");
        self.halt_run(now, step, &reason);
    }

    /// An operator goes on with a run that nobody approved: from now on it is theirs.
    pub(crate) fn adopt_automatic(&mut self, now: Now, actor: &Actor) {
        let run = self.durable.run.as_mut();
        let Some(run) = run.filter(|run| run.approval.automatic) else {
            return;
        };
        run.approval.automatic = false;
        run.approval.stack_version = None;
        run.approval.operator = actor.clone();
        run.approval.approved_at = now.wall;
        let id = run.id;
        let summary = format!("{actor} takes run {} over from automatic mode", id.short());
        let event = self
            .scene(now)
            .event("run-taken-over", Severity::Warning, summary);
        self.record(event.by(actor).of_run(id));
    }

    /// A run is over: nothing is done automatically for a while.
    pub(crate) fn begin_cool_down(&mut self, now: Now, run: &Run) {
        self.durable.cool_down = Some(CoolDown {
            run: run.id,
            since: now.wall,
        });
        self.automatic.cool_since = Some(now.mono);
    }

    /// The cool-down ends by itself. A new leader counts the whole of it again.
    pub(super) fn end_cool_down(&mut self, now: Now) {
        let Some(cool_down) = &self.durable.cool_down else {
            return;
        };
        let Some((_, stack)) = &self.stack else {
            return;
        };
        let since = *self.automatic.cool_since.get_or_insert(now.mono);
        if since.after(stack.policy.automatic.cool_down_ms) > now.mono {
            return;
        }
        let run = cool_down.run;
        self.durable.cool_down = None;
        let summary = format!("the cool-down after run {} is over", run.short());
        let event = self
            .scene(now)
            .event("cool-down-over", Severity::Info, summary);
        self.record(event.of_run(run));
    }

    /// A person has looked at the last run: automatic mode may act again.
    pub(crate) fn acknowledge_run(
        &mut self,
        now: Now,
        actor: &Actor,
        reason: &str,
    ) -> Result<Answer, Answer> {
        if reason.trim().is_empty() {
            return Err(refused("reason", "acknowledging needs a reason", false));
        }
        let Some(cool_down) = self.durable.cool_down.take() else {
            let why = "no run waits to be acknowledged";
            return Err(refused("no-cool-down", why, false));
        };
        self.automatic.cool_since = None;
        self.automatic.clear_since = None;
        let run = cool_down.run;
        let summary = format!(
            "{actor} acknowledged run {}: the cool-down is over",
            run.short()
        );
        let event = self
            .scene(now)
            .event("acknowledged", Severity::Warning, summary.clone());
        self.record(event.by(actor).of_run(run).because(reason));
        Ok(accepted_answer(summary))
    }
}
