//! The ticket in the store: written by compare-and-set, believed only when the store acknowledged it.

use std::collections::BTreeMap;

use shared::epoch::Epoch;
use shared::id::{Nonce, SiteName};
use shared::wire::{ProofLine, Severity, Ticket};

use crate::core::Core;
use crate::durable::{Run, StepOutcome};
use crate::input::Now;
use crate::output::{Output, Persist};
use crate::plan::{Step, Work};

impl Core {
    /// The store acknowledged a ticket.
    pub(crate) fn ticket_written(&mut self, now: Now, ticket: Ticket, revision: u64) {
        self.clocks.ticket_pending = false;
        self.automatic.switch_pending = false;
        self.settle_acceptance(now, &ticket);
        self.saw_written(&ticket, revision);
        self.ticket = Some(ticket);
        self.touch();
        self.settle_ticket_steps(now);
    }

    /// The store holds another ticket than this leader believes.
    pub(crate) fn ticket_conflict(&mut self, now: Now, found: Option<Ticket>) {
        self.clocks.ticket_pending = false;
        self.automatic.switch_pending = false;
        if self.accept_found(now, found.as_ref()) {
            return;
        }
        let wanted = self.due_ticket(now).map(|(_, ticket)| ticket);
        if let Some((found, wanted)) = found.as_ref().zip(wanted)
            && found.same_right(&wanted)
        {
            // The write had arrived, only its acknowledgement was lost.
            self.ticket_written(now, found.clone(), 0);
            return;
        }
        self.saw_conflict(now, found.as_ref());
        let shown = found.as_ref().map_or_else(
            || "no ticket".to_owned(),
            |ticket| format!("epoch {} held by {}", ticket.epoch, ticket.holder),
        );
        let believed = self.ticket.as_ref().map_or_else(
            || "none".to_owned(),
            |ticket| format!("epoch {} held by {}", ticket.epoch, ticket.holder),
        );
        let fault = format!("the store shows {shown}, this leader knew of {believed}");
        let event = self
            .scene(now)
            .event("store-conflict", Severity::Critical, fault.clone());
        self.record(event);
        if let Some(step) = self.going_run().and_then(Run::current_step) {
            self.halt_run(now, step, &fault);
        }
        self.store_fault = Some(fault);
        // What is newer is the truth; what is older stays a fault.
        if let Some(found) = found
            && self.ticket.as_ref().is_none_or(|have| {
                have.incarnation == found.incarnation && have.epoch <= found.epoch
            })
        {
            self.ticket = Some(found);
        }
    }

    /// Writes the ticket of a started revoke or grant step, unless it is there already.
    pub(super) fn write_ticket(&mut self, now: Now, step: &Step) {
        let Some(to) = self.ticket_of(now, step) else {
            self.halt_run(now, step.number, "the store has no ticket");
            return;
        };
        if self
            .ticket
            .as_ref()
            .is_some_and(|have| have.same_right(&to))
        {
            self.settle_ticket_steps(now);
            return;
        }
        let highest = self.epoch_max();
        let taken = self.ticket.as_ref().is_some_and(|have| {
            have.epoch > to.epoch || have.epoch == to.epoch && have.holder != to.holder
        });
        if highest > to.epoch || taken {
            let reason = format!(
                "epoch {highest} was seen and epoch {} was to be taken: somebody else has moved the stack, or the store \
                 has lost writes",
                to.epoch
            );
            self.halt_run(now, step.number, &reason);
            return;
        }
        if let Some(reason) = self.seen_again(now.mono) {
            self.halt_run(now, step.number, &reason);
            return;
        }
        self.clocks.ticket_pending = true;
        let from = self.ticket.clone();
        self.push(Output::Persist(Persist::Ticket { from, to }));
    }

    /// The due step that writes a ticket, and the ticket.
    fn due_ticket(&self, now: Now) -> Option<(Step, Ticket)> {
        let run = self.going_run()?;
        let group = run.current_group()?;
        let ticket_step = |step: &&Step| matches!(step.work, Work::Revoke | Work::Grant);
        let step = run.steps_of(group).find(ticket_step)?;
        self.ticket_of(now, step)
            .map(|ticket| (step.clone(), ticket))
    }

    /// The ticket that a revoke or grant step writes.
    fn ticket_of(&self, now: Now, step: &Step) -> Option<Ticket> {
        let run = self.durable.run.as_ref()?;
        let have = self.ticket.as_ref()?;
        let grant = if step.work == Work::Grant {
            run.grant
        } else {
            None
        };
        let to = &run.plan.to;
        let epoch = run.epoch?;
        let summary = if grant.is_some() {
            format!("{to} holds the right to be live in epoch {epoch}")
        } else {
            format!(
                "epoch {epoch} is revoked from {} and not yet granted to {to}",
                run.plan.from
            )
        };
        Some(self.moved(now, have, (to, epoch), grant, summary))
    }

    /// A ticket with the right moved to a site and an epoch. Confirmations and leases are of the old right.
    pub(crate) fn moved(
        &self,
        now: Now,
        have: &Ticket,
        (holder, epoch): (&SiteName, Epoch),
        grant: Option<Nonce>,
        summary: String,
    ) -> Ticket {
        Ticket {
            summary,
            incarnation: have.incarnation,
            epoch,
            holder: holder.clone(),
            grant,
            changed_at: now.wall,
            confirmed_by: None,
            confirmations: 0,
            accepted: have.accepted,
            leases: BTreeMap::new(),
            automatic_off: self.automatic_off(),
        }
    }

    /// Settles the revoke or grant step whose ticket is in the store.
    fn settle_ticket_steps(&mut self, now: Now) {
        let Some((step, to)) = self.due_ticket(now) else {
            return;
        };
        let fits = self
            .ticket
            .as_ref()
            .is_some_and(|have| have.same_right(&to));
        if fits {
            let took = self.clocks.took(step.number, now.mono);
            let proof = ProofLine::new(
                "ticket",
                &self
                    .ticket
                    .as_ref()
                    .map_or_else(String::new, |t| t.summary.clone()),
            );
            self.finish_step(
                now,
                &step,
                StepOutcome::Done {
                    took_ms: took,
                    proof: vec![proof],
                },
            );
        }
    }
}
