//! The lead: renewed and taken by writes alone, believed in for a lease that ends by the own clock.

use decision::{Durable, Fresh, Input, Phase};
use shared::clock::{Millis, Mono};
use shared::epoch::Term;
use shared::id::SiteName;

use super::Flaw;
use super::seat::Held;
use super::store::{Key, Lead};
use super::world::{Event, World};

/// A lead holds so long from the sending of its last accepted renewal.
const LEASE: Millis = Millis(4_000);
/// A lead that stands unchanged for so long may be taken.
const UNCHANGED: Millis = Millis(6_000);

impl World {
    /// Renews the lead, or watches the one that stands.
    pub(super) fn look_at_store(&mut self, site: &SiteName) {
        if !self.store_answers(site) {
            return;
        }
        let revision = self.store.lead.revision;
        let Some(seat) = self.seats.get_mut(site) else {
            return;
        };
        let (local, life) = (seat.clock.mono(self.time), seat.life);
        let leads = seat.held.is_some();
        if leads {
            // Whoever leads watches the ticket too: whose lease grows in it is alive.
            let Key { value, revision } = self.store.shown_ticket(self.time).clone();
            self.deliver(
                site,
                life,
                Input::TicketSeen {
                    ticket: value,
                    revision,
                },
            );
        } else {
            let Some(seat) = self.seats.get_mut(site) else {
                return;
            };
            if seat.lead_seen.is_none_or(|(seen, _)| seen != revision) {
                seat.lead_seen = Some((revision, local));
            }
            self.mirror(site, life);
        }
        let seat = &self.seats[site];
        let stands = seat
            .lead_seen
            .is_some_and(|(_, since)| since.after(UNCHANGED) <= local);
        let is_free = self.store.lead.value.is_none();
        if leads || stands || is_free {
            let after = self.dice.between(1, 120);
            let revision = if leads { u64::MAX } else { revision };
            self.plan(
                after,
                Event::Campaign {
                    site: site.clone(),
                    life,
                    revision,
                    beat: local.0,
                },
            );
        }
    }

    /// A follower is shown what changed, as a watch on the store does.
    fn mirror(&mut self, site: &SiteName, life: u64) {
        let stale = self.store.stale.as_deref();
        let stale = stale.filter(|_| self.time < self.store.stale_until);
        let store = &self.store;
        let (state, ticket, stack, lead) = if let Some(old) = stale {
            (&old.state, &old.ticket, &old.stack, &old.lead)
        } else {
            (&store.state, &store.ticket, &store.stack, &store.lead)
        };
        let leader = lead.value.as_ref();
        let shown = (
            state.revision,
            ticket.revision,
            leader.map(|lead| lead.term),
        );
        let seat = &self.seats[site];
        let before = seat.mirrored;
        if before == Some(shown) {
            return;
        }
        let newer = stack
            .value
            .as_ref()
            .filter(|(version, _)| seat.core.stack().is_none_or(|(own, _)| own != *version))
            .map(|(version, stack)| Input::StackInForce {
                version: *version,
                stack: Box::new(stack.clone()),
            });
        let news = before.is_none_or(|(revision, ..)| revision != state.revision);
        let durable = state.value.as_ref().filter(|_| news);
        let input = Input::Mirrored {
            durable: durable.cloned().map(Box::new),
            ticket: ticket.value.clone(),
            revision: ticket.revision,
            leader: leader.map(|lead| (lead.site.clone(), Term(lead.term))),
        };
        if let Some(newer) = newer {
            self.deliver(site, life, newer);
        }
        self.deliver(site, life, input);
        if let Some(seat) = self.seats.get_mut(site) {
            seat.mirrored = Some(shown);
        }
    }

    /// A renewal, or an attempt to take the lead, arrives at the store.
    pub(super) fn campaign(&mut self, site: &SiteName, life: u64, revision: u64, beat: u64) {
        let answers = self.store_answers(site);
        let Some(seat) = self.seats.get_mut(site) else {
            return;
        };
        if !answers || seat.life != life || !seat.up {
            return;
        }
        let is_long = self.flaw == Some(Flaw::LeaseTooLong);
        let until = Mono(beat).after(if is_long { Millis(60_000) } else { LEASE });
        let standing = self.store.lead.value.clone();
        if let Some(held) = &mut seat.held {
            let term = held.term;
            if standing
                .as_ref()
                .is_some_and(|lead| lead.site == *site && lead.term == term)
            {
                held.until = held.until.max(until);
                self.store.lead.value = Some(Lead {
                    site: site.clone(),
                    term,
                    beat,
                });
                self.store.lead.revision += 1;
            } else {
                self.lose_lead(site, "another leads");
            }
            return;
        }
        if self.store.lead.revision != revision {
            return;
        }
        let term = standing.map_or(0, |lead| lead.term) + 1;
        self.store.lead.value = Some(Lead {
            site: site.clone(),
            term,
            beat,
        });
        self.store.lead.revision += 1;
        seat.session += 1;
        seat.held = Some(Held {
            term,
            until,
            taken_over: false,
        });
        let session = seat.session;
        let after = self.dice.between(5, 200);
        self.say(format_args!("{site} takes the lead in term {term}"));
        self.count("lead taken");
        self.moved_at = self.time;
        self.plan(
            after,
            Event::TakeOver {
                site: site.clone(),
                session,
            },
        );
    }

    pub(super) fn take_over(&mut self, site: &SiteName, session: u64) {
        let fresh = Fresh(self.dice.uuid());
        let time = self.time;
        let Some(seat) = self.seats.get_mut(site) else {
            return;
        };
        if seat.session != session || !seat.up {
            return;
        }
        let Some(held) = &mut seat.held else { return };
        held.taken_over = true;
        let (term, life) = (Term(held.term), seat.life);
        let content = self.store.read(time);
        seat.known = (content.state.revision, content.stack.revision);
        let durable: Option<Durable> = content.state.value;
        seat.written.clone_from(&durable);
        let (ticket, revision) = (content.ticket.value, content.ticket.revision);
        if let Some((version, stack)) = content.stack.value {
            self.deliver(
                site,
                life,
                Input::StackInForce {
                    version,
                    stack: Box::new(stack),
                },
            );
        }
        if !self.store_failed() && self.clocks_hold() {
            self.checker.leads(time, site, &self.seats);
        }
        self.deliver(
            site,
            life,
            Input::Led {
                term,
                durable: durable.map(Box::new),
                ticket,
                revision,
                fresh,
            },
        );
    }

    pub(super) fn lose_lead(&mut self, site: &SiteName, reason: &str) {
        let time = self.time;
        self.say(format_args!("{site} leads no more: {reason}"));
        let Some(seat) = self.seats.get_mut(site) else {
            return;
        };
        seat.held = None;
        seat.session += 1;
        seat.writing = false;
        seat.lead_seen = None;
        seat.mirrored = None;
        while seat.core.poll_output().is_some() {}
        // Who does not lead any more records nothing: the move is seen from outside.
        let row = decision::find(seat.core.phase(), Phase::Unknown);
        self.rows.extend(row.map(|row| row.row));
        seat.core.handle(
            seat.clock.now(time),
            Input::LeadLost {
                reason: reason.to_owned(),
            },
        );
    }
}
