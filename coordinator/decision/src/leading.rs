//! Taking and losing the lead: what a new leader starts from, and what one that was deposed drops.
//!
//! Must never: carry a clock, a timer or an unspoken word over from one lead to the next.

use shared::epoch::Term;
use shared::id::SiteName;
use shared::wire::{Severity, Ticket};

use crate::core::{Core, ProposalClocks};
use crate::durable::Durable;
use crate::execution::RunClocks;
use crate::input::{Fresh, Now};
use crate::phase::Phase;

impl Core {
    pub(crate) fn led(
        &mut self,
        now: Now,
        term: Term,
        durable: Option<Box<Durable>>,
        ticket: Option<Ticket>,
        fresh: Fresh,
    ) {
        self.draw_from(fresh);
        self.lead = Some(term);
        self.known_leader = Some((self.ears.site.clone(), term));
        self.durable = durable.map_or_else(Durable::empty, |durable| *durable);
        self.durable.term = term;
        self.ticket = ticket;
        self.clocks = RunClocks::default();
        self.proposal = ProposalClocks::default();
        self.blocked.clear();
        self.phase = Phase::Unknown;
        self.adopt_proposal(now);
        self.adopt_run(now);
        let event = self.scene(now).event(
            "lead-taken",
            Severity::Info,
            format!("the coordinator in {} leads in term {term}", self.ears.site),
        );
        self.record(event);
    }

    pub(crate) fn lead_lost(&mut self) {
        self.lead = None;
        self.clocks = RunClocks::default();
        self.proposal = ProposalClocks::default();
        self.blocked.clear();
        self.phase = Phase::Unknown;
        // Nothing that was not done is done any more: another leader may act already.
        self.outbox.clear();
        self.events.clear();
        self.dirty = false;
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
        if ticket.is_some() {
            self.ticket = ticket;
        }
        self.known_leader = leader;
    }

    pub(crate) fn term(&self) -> Term {
        self.lead
            .or_else(|| self.known_leader.as_ref().map(|(_, term)| *term))
            .unwrap_or_default()
    }
}
