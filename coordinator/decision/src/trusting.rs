//! Whether the store is believed: one that shows less than was seen of it stops everything that is automatic.
//!
//! A read may be old for some seconds, so what is seen less right after an accepted write stops everything at once,
//! and becomes a halt when it stays so; only an operator ends that. Must never: act on what a store says that is known
//! to have forgotten.

use serde::{Deserialize, Serialize};
use shared::clock::{Millis, Mono};
use shared::wire::{Severity, StoreHalt, Ticket};

use crate::approval::refused;
use crate::assessment::Scene;
use crate::core::Core;
use crate::durable::Run;
use crate::glass::explains;
use crate::input::Now;
use crate::journal::About;
use crate::memory::{Halt, Less, Memory, Seen};
use crate::output::Answer;
use crate::view::StoreView;

/// The rule that refuses while the store shows less than was seen, by its name.
pub(crate) const STORE_REGRESSED: &str = "store-regressed";

/// How an operator accepts the store.
pub(crate) const ACCEPT: &str = "pointsman store accept --live SITE --confirm STACK --reason TEXT";

/// A deposed leader of the store may answer reads for ten seconds with what was; what is shown longer is shown.
const STALE_MAX: Millis = Millis::seconds(12);

/// Less is shown than was seen, and it is not certain yet that it stays so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Doubt {
    /// Since when.
    since: Mono,
    /// When it was last shown.
    until: Mono,
    /// True for what was shown right after an accepted write: it stops everything at once.
    stops: bool,
    halt: Halt,
}

impl Core {
    /// What this coordinator remembers of the store. The shell keeps it on its own disk before it does anything
    /// that this core wants done, and feeds it to the next process by [`crate::Input::Remembered`].
    pub const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Why nothing that the store says is acted on, as a sentence; nothing while it shows all that was seen.
    pub fn distrust(&self, now: Now) -> Option<String> {
        let own = self.stopping_halt().map(ToString::to_string);
        own.or_else(|| {
            let view = self.view(now.mono)?;
            doubts(&view).into_iter().next()
        })
    }

    /// What was seen and what is shown, for operators; nothing while they agree.
    pub(crate) fn store_view(&self, now: Now) -> Option<StoreView> {
        let why = self.distrust(now)?;
        let halt = self.stopping_halt();
        let ticket = self.ticket.as_ref();
        let shown = ticket.map(|ticket| Seen::of(ticket, self.revision));
        Some(StoreView {
            summary: why,
            since: halt.map(|halt| halt.at),
            remembered: halt.map_or(self.memory.seen, |halt| halt.remembered),
            shown: halt.map_or(shown, |halt| halt.shown),
        })
    }

    /// The halt that this coordinator itself has reason for.
    pub(crate) fn stopping_halt(&self) -> Option<&Halt> {
        let doubt = self.doubt.as_ref().filter(|doubt| doubt.stops);
        let doubted = || doubt.map(|doubt| &doubt.halt);
        self.memory.halt.as_ref().or_else(doubted)
    }

    /// What the other coordinators are told, so that whoever leads stops.
    pub(crate) fn store_word(&self) -> Option<StoreHalt> {
        self.memory.halt.as_ref().map(|halt| StoreHalt {
            accepted: self.memory.accepted,
            why: halt.to_string(),
        })
    }

    /// The rule that refuses while the store shows less than was seen.
    pub(crate) fn trusts_store(&self, now: Now) -> Result<(), Answer> {
        self.distrust(now).map_or(Ok(()), |why| {
            let reason = format!("{why}; an operator must accept the store as it is: {ACCEPT}");
            Err(refused(STORE_REGRESSED, reason, true))
        })
    }

    /// Judges what was read right after the lead was won by a write.
    pub(crate) fn judge_store(&mut self, now: Now, revision: u64) {
        self.doubt = None;
        self.revision = revision;
        self.take_up_acceptance(now);
        let ticket = self.ticket.clone();
        if self.memory.halt.is_some() {
            self.say_halted(now);
            return;
        }
        match self.memory.less(ticket.as_ref(), Some(revision)) {
            Some(less) => self.doubt(now, less, ticket.as_ref(), revision, true),
            None => self.see(ticket.as_ref(), revision),
        }
    }

    /// A read, which may be old: what it shows counts when it stays so.
    pub(crate) fn glance(&mut self, now: Now, ticket: Option<&Ticket>, revision: u64) {
        let less = self.memory.less(ticket, Some(revision));
        if let Some(less) = less {
            self.doubt(now, less, ticket, revision, false);
            return;
        }
        self.see(ticket, revision);
        self.revision = revision;
        let stopped = self.doubt.take().is_some_and(|doubt| doubt.stops);
        // What was read when the lead was won was old.
        if stopped && self.leads() {
            self.ticket = ticket.cloned();
        }
    }

    /// The store accepted a write of the ticket: it cannot show less than this.
    pub(crate) fn saw_written(&mut self, ticket: &Ticket, revision: u64) {
        self.see(Some(ticket), revision);
        self.revision = revision;
        self.doubt = None;
    }

    /// The ticket in the store is not what this leader wrote last.
    pub(crate) fn saw_conflict(&mut self, now: Now, found: Option<&Ticket>) {
        match self.memory.less(found, None) {
            Some(less) => self.doubt(now, less, found, 0, true),
            None => self.see(found, 0),
        }
    }

    /// An acceptance that was given while this coordinator did not hear it.
    pub(crate) fn take_up_acceptance(&mut self, now: Now) {
        let word = self.durable.accepted.as_ref();
        let Some(word) = word.filter(|word| word.number > self.memory.accepted) else {
            return;
        };
        let number = word.number;
        if self.leads() && self.memory.halt.is_some() {
            let summary = format!(
                "the store is trusted again: {} accepted it as it is",
                word.by
            );
            let event = self
                .scene(now)
                .event("store-trusted", Severity::Warning, summary);
            self.record(event);
        }
        self.accept_shown(number);
    }

    /// From here on what the store shows counts.
    pub(crate) fn accept_shown(&mut self, number: u64) {
        self.memory.accept(number);
        self.doubt = None;
    }

    /// Makes a doubt that stayed a halt, and stops the run when the store is not trusted for as long.
    pub(crate) fn settle_store(&mut self, now: Now) {
        let stayed = |doubt: &Doubt| doubt.since.after(STALE_MAX) <= doubt.until;
        if self.doubt.as_ref().is_some_and(stayed)
            && let Some(doubt) = self.doubt.take()
        {
            self.halt_on_store(now, doubt.halt);
        }
        let Some(why) = self.distrust(now) else {
            self.distrusted_since = None;
            return;
        };
        let since = *self.distrusted_since.get_or_insert(now.mono);
        if self.memory.halt.is_none() && since.after(STALE_MAX) > now.mono {
            return;
        }
        let step = self.going_run().and_then(Run::current_step);
        if let Some(step) = step.filter(|_| self.leads()) {
            self.halt_run(now, step, &why);
        }
    }

    fn see(&mut self, ticket: Option<&Ticket>, revision: u64) {
        if let Some(ticket) = ticket {
            self.memory.see(ticket, revision);
        }
    }

    fn halt_on_store(&mut self, now: Now, halt: Halt) {
        if self.memory.halt.is_none() {
            self.memory.halt = Some(halt);
            self.say_halted(now);
        }
    }

    /// Says that the store shows less: when that is certain, and whenever the lead is taken while it is not accepted.
    fn say_halted(&mut self, now: Now) {
        let Some(halt) = self.memory.halt.as_ref().filter(|_| self.leads()) else {
            return;
        };
        let summary = format!(
            "{halt}; nothing is proposed, approved, ordered or granted until an operator accepts the store: {ACCEPT}"
        );
        let known = |seen: Option<Seen>| {
            seen.map_or_else(|| "no ticket".to_owned(), |seen| seen.to_string())
        };
        let (remembered, shown) = (known(halt.remembered), known(halt.shown));
        let event = self
            .scene(now)
            .event(STORE_REGRESSED, Severity::Critical, summary);
        self.record(event.with("remembered", remembered).with("shown", shown));
    }

    fn doubt(&mut self, now: Now, less: Less, ticket: Option<&Ticket>, revision: u64, stops: bool) {
        let halt = self.halt_of(now, less, ticket, revision);
        let before = self.doubt.take();
        self.doubt = Some(Doubt {
            since: before.as_ref().map_or(now.mono, |doubt| doubt.since),
            until: now.mono,
            stops: stops || before.is_some_and(|doubt| doubt.stops),
            halt,
        });
    }

    fn halt_of(&self, now: Now, less: Less, ticket: Option<&Ticket>, revision: u64) -> Halt {
        Halt {
            at: now.wall,
            less,
            remembered: self.memory.seen,
            shown: ticket.map(|ticket| Seen::of(ticket, revision)),
        }
    }
}

/// What the store does not show and others know: agents that obeyed a higher epoch, coordinators that remember more,
/// the state beside the ticket.
pub(crate) fn doubts(scene: &Scene<'_>) -> Vec<String> {
    let mut doubts = Vec::new();
    let accepted = scene
        .durable
        .accepted
        .as_ref()
        .map_or(0, |word| word.number);
    for (site, record) in scene.inventory.coordinators() {
        let word = record.observation.store.as_ref();
        if let Some(word) = word.filter(|word| word.accepted >= accepted) {
            doubts.push(format!("the coordinator in {site} says: {}", word.why));
        }
    }
    let Some(ticket) = scene.ticket else {
        return doubts;
    };
    let kept = scene.durable.incarnation;
    if kept.is_some_and(|kept| kept != ticket.incarnation) {
        doubts.push("the ticket and the state in the store are of two incarnations".to_owned());
    }
    let ahead = scene
        .inventory
        .agents()
        .filter(|(_, _, agent)| agent.heartbeat.epoch > ticket.epoch)
        .find(|(site, node, _)| !explains(scene.inventory, ticket, site, node));
    if let Some((site, node, agent)) = ahead {
        doubts.push(format!(
            "agent {site}/{node} has obeyed epoch {} and the store shows epoch {}: the store has lost writes",
            agent.heartbeat.epoch, ticket.epoch
        ));
    }
    if scene.durable.epoch_max > ticket.epoch {
        doubts.push(format!(
            "the state was written in epoch {} and the ticket shows epoch {}: the store has lost writes",
            scene.durable.epoch_max, ticket.epoch
        ));
    }
    doubts
}
