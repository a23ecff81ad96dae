//! An operator accepts a store that shows less than was seen of it, and says which site is live.
//!
//! Must never: take a site for live against what a database says, or count the word before the store has taken it.

use serde::{Deserialize, Serialize};
use shared::id::{Actor, Nonce, SiteName};
use shared::wire::{Severity, Ticket};

use crate::approval::refused;
use crate::core::Core;
use crate::durable::Hold;
use crate::input::Now;
use crate::journal::About;
use crate::memory::Acceptance;
use crate::output::{Answer, Output, Persist};
use crate::requests::accepted_answer;

/// An acceptance whose ticket is being written: a crash before that leaves the halt in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Accepting {
    word: Acceptance,
    ticket: Ticket,
}

impl Core {
    /// Goes on with the store as it is: the live site gets an epoch above every one that anybody has seen.
    pub(crate) fn accept_store(
        &mut self,
        now: Now,
        actor: &Actor,
        live: &SiteName,
        reason: &str,
    ) -> Result<Answer, Answer> {
        self.acceptable(now, live, reason)?;
        let epoch = self.next_epoch();
        if epoch <= self.epoch_max() {
            return Err(refused("epoch", "no epoch is left to grant", true));
        }
        let word = Acceptance {
            number: self.next_acceptance(now),
            by: actor.clone(),
            at: now.wall,
            reason: reason.to_owned(),
        };
        let Some(shown) = self.ticket.clone() else {
            let what = no_ticket(live);
            return Ok(self.accepted(now, word, &what));
        };
        let grant = Nonce::new(self.draw("grant"));
        let summary =
            format!("{live} holds the right to be live in epoch {epoch}, by the word of {actor}");
        let ticket = Ticket {
            accepted: word.number,
            ..self.moved(now, &shown, (live, epoch), Some(grant), summary)
        };
        self.write_acceptance(word, shown, ticket);
        Ok(accepted_answer(format!(
            "{actor} accepts the store as it is: {reason}; {live} is given epoch {epoch}"
        )))
    }

    /// Above every acceptance that the store may have forgotten: by the wall clock, and, because that may have been
    /// wrong, by what this coordinator and the halted ones know.
    fn next_acceptance(&self, now: Now) -> u64 {
        let told = self
            .inventory
            .coordinators()
            .filter_map(|(_, record)| record.observation.store.as_ref())
            .map(|word| word.accepted);
        let known = told.max().unwrap_or_default().max(self.memory().accepted);
        now.wall.0.max(known.saturating_add(1))
    }

    /// The store took a ticket: an acceptance that waited for it counts from here.
    pub(crate) fn settle_acceptance(&mut self, now: Now, written: &Ticket) {
        let fits = |accepting: &mut Accepting| accepting.ticket.same_right(written);
        if let Some(accepting) = self.accepting.take_if(fits) {
            let (holder, epoch) = (&written.holder, written.epoch);
            self.durable.incarnation = Some(written.incarnation);
            let what = format!("{holder} is given epoch {epoch}");
            self.accepted(now, accepting.word, &what);
        }
    }

    /// The store shows another ticket than the one that was to be replaced; true when the word counts for that, too:
    /// what is shown is less than was seen, and as it is the operator has accepted it.
    pub(crate) fn accept_found(&mut self, now: Now, found: Option<&Ticket>) -> bool {
        let Some(accepting) = self.accepting.take() else {
            return false;
        };
        let is_less = self.memory().less(found, None).is_some();
        if !is_less || found.is_some_and(|found| found.epoch >= accepting.ticket.epoch) {
            return false;
        }
        self.ticket = found.cloned();
        let Some(found) = found else {
            let what = no_ticket(&accepting.ticket.holder);
            self.accepted(now, accepting.word, &what);
            return true;
        };
        let to = Ticket {
            incarnation: found.incarnation,
            ..accepting.ticket
        };
        self.write_acceptance(accepting.word, found.clone(), to);
        true
    }

    /// The word counts when the store has taken the ticket.
    fn write_acceptance(&mut self, word: Acceptance, shown: Ticket, ticket: Ticket) {
        self.clocks.ticket_pending = true;
        self.accepting = Some(Accepting {
            word,
            ticket: ticket.clone(),
        });
        self.push(Output::Persist(Persist::Ticket {
            from: Some(shown),
            to: ticket,
        }));
    }

    fn accepted(&mut self, now: Now, word: Acceptance, what: &str) -> Answer {
        if self.ticket.is_none() {
            self.durable.incarnation = None;
        }
        self.accept_shown(word.number);
        self.store_fault = None;
        let (by, reason) = (word.by.clone(), word.reason.clone());
        self.durable.accepted = Some(word);
        // That somebody switched automatic mode off may be among what the store has lost.
        let off = Hold {
            by: by.clone(),
            at: now.wall,
            reason: "the store was accepted after it had lost writes".to_owned(),
        };
        self.durable.automatic_off.get_or_insert(off);
        self.touch();
        let summary = format!("{by} accepted the store as it is: {reason}; {what}");
        let event = self
            .scene(now)
            .event("store-accepted", Severity::Critical, summary.clone());
        self.record(event.by(&by).because(&reason));
        accepted_answer(summary)
    }

    /// Whether the store may be accepted with this site as the live one.
    fn acceptable(&self, now: Now, live: &SiteName, reason: &str) -> Result<(), Answer> {
        if self.distrust(now).is_none() && self.store_fault.is_none() {
            let reason = "the store shows all that was ever seen of it: there is nothing to accept";
            return Err(refused("not-regressed", reason, false));
        }
        if reason.trim().is_empty() {
            let reason = "accepting a store that shows less than was seen needs a reason";
            return Err(refused("reason", reason, false));
        }
        if let Some(run) = &self.durable.run {
            let reason = format!("run {} is not over: abandon it first", run.id.short());
            return Err(refused("run", reason, true));
        }
        if self.clocks.ticket_pending {
            return Err(refused("ticket", "the ticket is being written", false));
        }
        let Some(view) = self.view(now.mono) else {
            return Ok(());
        };
        if !view.stack.is_eligible(live) {
            let reason = format!("{live} is no site that may be live");
            return Err(refused("live-site", reason, true));
        }
        let mut others = view.stack.sites.keys().filter(|other| *other != live);
        if let Some(node) = others.find_map(|other| view.writer_in(other)) {
            let reason = format!(
                "{node} says that its database writes, and it is not in {live}: name the live site, or stop that \
                 database"
            );
            return Err(refused("live-elsewhere", reason, true));
        }
        Ok(())
    }
}

/// What is left to do in a store without a ticket.
fn no_ticket(live: &SiteName) -> String {
    format!("it holds no ticket: apply a stack file with {live} as its primary")
}
