//! Taking and losing the lead: what a new leader starts from, and what one that was deposed drops.
//!
//! Must never: carry a clock, a timer or an unspoken word over from one lead to the next.

use shared::epoch::{Epoch, Term};
use shared::id::{Nonce, SiteName};
use shared::wire::{Severity, Ticket};

use crate::automatic::AutomaticClocks;
use crate::core::{Core, ProposalClocks};
use crate::durable::Durable;
use crate::execution::RunClocks;
use crate::input::{Fresh, Now};
use crate::phase::Phase;

impl Core {
    /// Begins to lead with what the store showed after the lead was won.
    pub(crate) fn led(
        &mut self,
        now: Now,
        term: Term,
        durable: Option<Box<Durable>>,
        ticket: Option<Ticket>,
        fresh: Fresh,
    ) {
        self.drop_everything(now);
        self.draw_from(fresh);
        self.lead = Some(term);
        self.automatic = AutomaticClocks::led(now.mono);
        self.known_leader = Some((self.ears.site.clone(), term));
        self.durable = durable.map_or_else(Durable::empty, |durable| *durable);
        self.durable.term = term;
        self.ticket = ticket;
        self.store_fault = self.regression();
        for event in std::mem::take(&mut self.durable.unrecorded) {
            self.record(event);
        }
        let event = self.scene(now).event(
            "lead-taken",
            Severity::Info,
            format!("the coordinator in {} leads in term {term}", self.ears.site),
        );
        self.record(event);
        self.adopt_proposal(now);
        self.adopt_run(now);
    }

    /// Stops at once: what was not done is not done any more, another leader may act already.
    pub(crate) fn lead_lost(&mut self, now: Now) {
        self.drop_everything(now);
    }

    fn drop_everything(&mut self, now: Now) {
        self.lead = None;
        self.clocks = RunClocks::default();
        self.proposal = ProposalClocks::default();
        self.automatic = AutomaticClocks::default();
        self.blocked.clear();
        self.glass_told = None;
        self.go(now, Phase::Unknown);
        self.outbox.clear();
        self.events.clear();
        self.dirty = false;
    }

    /// What the store shows less of than this process has seen before, or what does not belong together.
    fn regression(&mut self) -> Option<String> {
        let Some((incarnation, epoch)) = self.ticket.as_ref().map(|t| (t.incarnation, t.epoch))
        else {
            let lost = "the store has no ticket any more: it has lost writes";
            return self.seen.map(|_| lost.to_owned());
        };
        if self
            .durable
            .incarnation
            .is_some_and(|kept| kept != incarnation)
        {
            return Some(
                "the ticket and the state in the store are of two incarnations".to_owned(),
            );
        }
        match self.seen {
            Some((seen, _)) if seen != incarnation => Some(
                "the store was made anew: its ticket is of another incarnation (restart the coordinators if that was meant)"
                    .to_owned(),
            ),
            Some((_, seen)) if seen > epoch => Some(format!(
                "the store shows epoch {epoch}, this coordinator has seen epoch {seen}: the store has lost writes"
            )),
            Some(_) | None => {
                self.see(incarnation, epoch);
                None
            }
        }
    }

    /// Remembers what the store has shown.
    pub(crate) fn see(&mut self, incarnation: Nonce, epoch: Epoch) {
        let seen = self.seen.get_or_insert((incarnation, epoch));
        if seen.0 == incarnation {
            seen.1 = seen.1.max(epoch);
        }
    }

    pub(crate) fn mirror(
        &mut self,
        durable: Option<Box<Durable>>,
        ticket: Option<Ticket>,
        leader: Option<(SiteName, Term)>,
    ) {
        if self.leads() {
            return;
        }
        if let Some(durable) = durable {
            self.durable = *durable;
        }
        if let Some(ticket) = ticket {
            self.see(ticket.incarnation, ticket.epoch);
            self.ticket = Some(ticket);
        }
        self.known_leader = leader;
    }

    pub(crate) fn term(&self) -> Term {
        self.lead
            .or_else(|| self.known_leader.as_ref().map(|(_, term)| *term))
            .unwrap_or_default()
    }
}
