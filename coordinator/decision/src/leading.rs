//! Taking and losing the lead: what a new leader starts from, and what one that was deposed drops.
//!
//! Must never: carry a clock, a timer or an unspoken word over from one lead to the next.

use shared::epoch::Term;
use shared::id::SiteName;
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
        (ticket, revision): (Option<Ticket>, u64),
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
        self.store_fault = None;
        for event in std::mem::take(&mut self.durable.unrecorded) {
            self.record(event);
        }
        let event = self.scene(now).event(
            "lead-taken",
            Severity::Info,
            format!("the coordinator in {} leads in term {term}", self.ears.site),
        );
        self.record(event);
        self.judge_store(now, revision);
        self.adopt_proposal(now);
        self.adopt_run(now);
    }

    /// Stops at once: what was not done is not done any more, another leader may act already.
    pub(crate) fn lead_lost(&mut self, now: Now) {
        self.drop_everything(now);
        self.forget_applied();
    }

    fn drop_everything(&mut self, now: Now) {
        self.lead = None;
        self.clocks = RunClocks::default();
        self.proposal = ProposalClocks::default();
        self.automatic = AutomaticClocks::default();
        self.accepting = None;
        self.blocked.clear();
        self.glass_told = None;
        self.go(now, Phase::Unknown);
        self.outbox.clear();
        self.events.clear();
        self.dirty = false;
    }

    /// What the store shows to a follower; true when a renewal in it is a sign of life that is news.
    pub(crate) fn mirror(
        &mut self,
        now: Now,
        durable: Option<Box<Durable>>,
        (ticket, revision): (Option<Ticket>, u64),
        leader: Option<(SiteName, Term)>,
    ) -> bool {
        let news = ticket
            .as_ref()
            .is_some_and(|ticket| self.renewals_seen(now.mono, ticket));
        if self.leads() {
            return news;
        }
        if let Some(durable) = durable {
            self.durable = *durable;
            self.take_up_acceptance(now);
        }
        self.glance(now, ticket.as_ref(), revision);
        if let Some(ticket) = ticket {
            self.ticket = Some(ticket);
        }
        self.known_leader = leader;
        news
    }

    /// A read of the ticket between the writes; true when a renewal in it is a sign of life that is news.
    pub(crate) fn ticket_seen(&mut self, now: Now, ticket: Option<Ticket>, revision: u64) -> bool {
        self.glance(now, ticket.as_ref(), revision);
        let Some(ticket) = ticket else {
            return false;
        };
        self.switch_seen(&ticket);
        self.renewals_seen(now.mono, &ticket)
    }

    pub(crate) fn term(&self) -> Term {
        self.lead
            .or_else(|| self.known_leader.as_ref().map(|(_, term)| *term))
            .unwrap_or_default()
    }
}
