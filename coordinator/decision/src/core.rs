//! The core itself: its state, the entry of inputs, and the queue of outputs.
//!
//! Deciding stands in the modules: [`crate::proposing`] for proposals, [`crate::execution`] for runs,
//! [`crate::requests`] for operators. This file only routes, and keeps the order Persist → Send.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use shared::clock::{Millis, Mono};
use shared::epoch::{Epoch, StackVersion, Term};
use shared::id::{NodeName, SiteName};
use shared::stack::Stack;
use shared::wire::{AuditEvent, Fitness, Heartbeat, Observation, Ticket, Unfit};
use uuid::Uuid;

use crate::accepting::Accepting;
use crate::applying::Applied;
use crate::assessment;
use crate::automatic::AutomaticClocks;
use crate::detector::Detector;
use crate::durable::Durable;
use crate::execution::RunClocks;
use crate::input::{Fresh, Identity, Input, Now};
use crate::inventory::Inventory;
use crate::journal::{About, Scene};
use crate::leasing::LeaseWatch;
use crate::memory::Memory;
use crate::output::{Output, WakeReason};
use crate::phase::{Phase, find};
use crate::sighting::{ObserverVote, OwnEars};
use crate::trusting::Doubt;

/// Outputs that may wait: far more than one input ever makes.
const OUTBOX_MAX: usize = 4_096;

/// Agents of which a record is kept, besides those that the stack names: twice what was measured.
const AGENTS_MAX: usize = 20_000;

/// The pure core of a coordinator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Core {
    pub(crate) identity: Identity,
    pub(crate) ears: OwnEars,
    pub(crate) stack: Option<(StackVersion, Stack)>,
    /// What the stack stands for that this leader put in force and that the store has not shown yet.
    pub(crate) applied: Option<Applied>,
    pub(crate) inventory: Inventory,
    pub(crate) detector: Detector,
    pub(crate) watched: Option<SiteName>,
    pub(crate) phase: Phase,
    pub(crate) lead: Option<Term>,
    pub(crate) known_leader: Option<(SiteName, Term)>,
    pub(crate) durable: Durable,
    pub(crate) ticket: Option<Ticket>,
    pub(crate) store_fault: Option<String>,
    /// The most that the store has shown.
    pub(crate) memory: Memory,
    /// The store shows less than that, and may only be slow.
    pub(crate) doubt: Option<Doubt>,
    /// Since when the store is not trusted, for whatever reason.
    pub(crate) distrusted_since: Option<Mono>,
    /// The revision at which the ticket was last read or written.
    pub(crate) revision: u64,
    /// An operator's acceptance that the store has not taken yet.
    pub(crate) accepting: Option<Accepting>,
    pub(crate) leases: LeaseWatch,
    pub(crate) clocks: RunClocks,
    pub(crate) proposal: ProposalClocks,
    pub(crate) automatic: AutomaticClocks,
    pub(crate) blocked: Vec<String>,
    /// The epoch of the broken glass that this leader has said.
    pub(crate) glass_told: Option<Epoch>,
    pub(crate) fresh: Fresh,
    pub(crate) drawn: u64,
    pub(crate) dirty: bool,
    pub(crate) events: Vec<AuditEvent>,
    pub(crate) outbox: VecDeque<Output>,
}

/// Times of the open proposal on this leader's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub(crate) struct ProposalClocks {
    /// When it ends.
    pub(crate) expires: Option<Mono>,
    /// Since when its evidence is incomplete without a sighting.
    pub(crate) doubt_since: Option<Mono>,
}

impl Core {
    /// A core that knows nothing.
    pub fn new(identity: Identity, now: Now) -> Self {
        let ears = OwnEars {
            site: identity.site.clone(),
            started: now.mono,
            fitness: Fitness::Unfit(vec![Unfit::NotConnected]),
        };
        Self {
            identity,
            ears,
            stack: None,
            applied: None,
            inventory: Inventory::default(),
            detector: Detector::new(),
            watched: None,
            phase: Phase::Unknown,
            lead: None,
            known_leader: None,
            durable: Durable::empty(),
            ticket: None,
            store_fault: None,
            memory: Memory::default(),
            doubt: None,
            distrusted_since: None,
            revision: 0,
            accepting: None,
            leases: LeaseWatch::default(),
            clocks: RunClocks::default(),
            proposal: ProposalClocks::default(),
            automatic: AutomaticClocks::default(),
            blocked: Vec::new(),
            glass_told: None,
            fresh: Fresh(Uuid::nil()),
            drawn: 0,
            dirty: false,
            events: Vec::new(),
            outbox: VecDeque::new(),
        }
    }

    /// Takes an input. Never fails: what does not fit is recorded or refused.
    ///
    /// # Panics
    /// When the core finds itself in a state that its tables do not allow: a bug.
    pub fn handle(&mut self, now: Now, input: Input) {
        let looks = self.take(now, input);
        if looks {
            self.look(now);
        }
        self.flush_state();
        self.flush_events();
        assert!(
            self.outbox.len() <= OUTBOX_MAX,
            "the outbox grows without end"
        );
    }

    /// The next thing to do, if any.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop_front()
    }

    /// When to feed a tick at the latest, and why; a tick a second is fed besides.
    pub fn poll_timeout(&self) -> Option<(Mono, WakeReason)> {
        let detector = self.detector_wake();
        let run = if self.leads() { self.run_wake() } else { None };
        let proposal = self.proposal_wake();
        [detector, run, proposal].into_iter().flatten().min()
    }

    /// True when this coordinator leads.
    pub const fn leads(&self) -> bool {
        self.lead.is_some()
    }

    /// The phase that operators are shown.
    pub fn phase(&self) -> Phase {
        self.shown_phase()
    }

    /// The stack that this core works with.
    pub fn stack(&self) -> Option<(StackVersion, &Stack)> {
        self.stack
            .as_ref()
            .map(|(version, stack)| (*version, stack))
    }

    /// The state: the own one of a leader, else what the store last showed.
    pub fn durable(&self) -> Option<&Durable> {
        Some(&self.durable)
    }

    /// The ticket, as last known.
    pub fn ticket(&self) -> Option<&Ticket> {
        self.ticket.as_ref()
    }

    /// Routes an input; true when the whole is to be looked at anew.
    fn take(&mut self, now: Now, input: Input) -> bool {
        match input {
            Input::Tick(fresh) => {
                self.draw_from(fresh);
                true
            }
            Input::Heard {
                site,
                node,
                heartbeat,
            } => self.heard(now, site, node, *heartbeat),
            Input::Observed { site, observation } => self.observed(now, site, observation),
            Input::SelfFitness(fitness) => {
                self.ears.fitness = fitness;
                false
            }
            Input::StackInForce { version, stack } => {
                self.stack_in_force(version, *stack);
                true
            }
            Input::Remembered(memory) => {
                self.memory = memory;
                false
            }
            Input::Mirrored {
                durable,
                ticket,
                revision,
                leader,
            } => self.mirror(now, durable, (ticket, revision), leader),
            Input::TicketSeen { ticket, revision } => self.ticket_seen(now, ticket, revision),
            Input::Led {
                term,
                durable,
                ticket,
                revision,
                fresh,
            } => {
                self.led(now, term, durable, (ticket, revision), fresh);
                true
            }
            Input::LeadLost { .. } => {
                self.lead_lost(now);
                false
            }
            Input::Asked {
                request,
                actor,
                ask,
                fresh,
            } => {
                self.draw_from(fresh);
                self.asked(now, request, &actor, ask);
                true
            }
            Input::Reported { site, node, report } => {
                self.led_by_word(|core| core.reported(now, &site, &node, report))
            }
            Input::Unanswered { command, cause } => {
                self.led_by_word(|core| core.unanswered(now, command, cause))
            }
            Input::TicketWritten { ticket, revision } => {
                self.led_by_word(|core| core.ticket_written(now, ticket, revision))
            }
            Input::TicketConflict { found } => {
                self.led_by_word(|core| core.ticket_conflict(now, found))
            }
        }
    }

    /// A word that concerns what a leader does: one that comes after the lead was lost changes nothing.
    fn led_by_word(&mut self, act: impl FnOnce(&mut Self)) -> bool {
        let leads = self.leads();
        if leads {
            act(self);
        }
        leads
    }

    /// A leader's own version is newer than what a slow watch still shows.
    fn stack_in_force(&mut self, version: StackVersion, stack: Stack) {
        let older = self.stack.as_ref().is_some_and(|(own, _)| version < *own);
        if !(older && self.leads()) {
            self.stack = Some((version, stack));
            self.applied = None;
        }
    }

    /// Whether a sender is worth a record: the bus does not bound how many names may speak on it.
    fn admits(&self, site: &SiteName, node: &NodeName) -> bool {
        let room = self.inventory.len() < AGENTS_MAX;
        let known = self.inventory.agent(site, node).is_some();
        known
            || self.stack.as_ref().map_or(room, |(_, stack)| {
                let named = || stack.nodes().get(node) == Some(site);
                stack.sites.contains_key(site) && (room || named())
            })
    }

    fn heard(&mut self, now: Now, site: SiteName, node: NodeName, heartbeat: Heartbeat) -> bool {
        if !self.admits(&site, &node) {
            return false;
        }
        let watched = self.watched.as_ref() == Some(&site);
        let news = self.inventory.hear(now.mono, site, node, heartbeat);
        news && watched && self.sighted_now(now.mono)
    }

    /// The live site was sighted; true when that may change the judgement at once.
    pub(crate) fn sighted_now(&mut self, now: Mono) -> bool {
        self.clocks.newest = self.clocks.newest.max(Some(now));
        self.waits_for_silence()
    }

    fn observed(&mut self, now: Now, site: SiteName, observation: Observation) -> bool {
        let of_stack = self
            .stack
            .as_ref()
            .is_none_or(|(_, stack)| stack.sites.contains_key(&site));
        site != self.ears.site
            && of_stack
            && self.inventory.observe(now.mono, site, observation)
            && self.waits_for_silence()
    }

    /// Looks at everything: detector, run, proposal, phase.
    fn look(&mut self, now: Now) {
        let live = self.live_site();
        if self.watched != live {
            self.detector.reset();
            self.watched = live;
        }
        let votes = self.live_votes(now.mono);
        self.clocks.newest = votes
            .iter()
            .filter_map(|vote| vote.sighting.as_ref().map(|s| s.at))
            .max();
        self.step_detector(now.mono, &votes);
        self.settle_store(now);
        if self.leads() {
            self.alarm_of_glass(now);
            self.advance_run(now);
            self.keep_proposal(now);
            self.raise_if_due(now);
            self.keep_shadow(now, &votes);
            self.act_if_due(now);
        }
        self.settle_phase(now);
    }

    /// A leader in the live site is itself a proof of that site's life: it has just renewed its lead.
    pub(crate) fn lives_here(&self) -> bool {
        self.leads() && self.live_site().as_ref() == Some(&self.ears.site)
    }

    pub(crate) fn step_detector(&mut self, now: Mono, votes: &[ObserverVote]) {
        let lives_here = self.lives_here();
        let silence = self
            .stack
            .as_ref()
            .map(|(_, stack)| stack.policy.silence_ms)
            .unwrap_or_default();
        self.detector.step(now, votes, silence, lives_here);
    }

    /// True while every single word about the live site may change the judgement: elsewhere a look a second is
    /// enough, and ten thousand agents must not cause ten thousand looks.
    const fn waits_for_silence(&self) -> bool {
        matches!(
            self.phase,
            Phase::Confirming | Phase::Blocked | Phase::Proposed
        )
    }

    /// The site that holds the right to be live.
    pub(crate) fn live_site(&self) -> Option<SiteName> {
        let of_ticket = self.ticket.as_ref().map(|ticket| ticket.holder.clone());
        of_ticket.or_else(|| {
            self.stack
                .as_ref()
                .map(|(_, stack)| stack.first_primary().clone())
        })
    }

    /// What every other site says of the live one.
    pub(crate) fn live_votes(&self, now: Mono) -> Vec<ObserverVote> {
        self.view(now)
            .map(|view| view.votes(view.live()))
            .unwrap_or_default()
    }

    /// Everything that an assessment looks at; nothing without a stack.
    pub(crate) fn view(&self, now: Mono) -> Option<assessment::Scene<'_>> {
        let (version, stack) = self.stack.as_ref()?;
        Some(assessment::Scene {
            inventory: &self.inventory,
            ears: &self.ears,
            stack,
            version: *version,
            ticket: self.ticket.as_ref(),
            durable: &self.durable,
            detector: &self.detector,
            store_fault: self.store_fault.as_deref(),
            store_halt: self.stopping_halt(),
            leases: &self.leases,
            now,
        })
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.ticket
            .as_ref()
            .map(|ticket| ticket.epoch)
            .unwrap_or_default()
    }

    /// The highest epoch that anybody is known to have seen.
    pub(crate) fn epoch_max(&self) -> Epoch {
        let agents = self
            .inventory
            .agents()
            .map(|(_, _, agent)| agent.heartbeat.epoch)
            .max();
        self.epoch()
            .max(self.memory.epoch_max)
            .max(self.durable.epoch_max)
            .max(agents.unwrap_or_default())
    }

    /// An epoch above every one that anybody is known to have seen.
    pub(crate) fn next_epoch(&self) -> Epoch {
        Epoch(self.epoch_max().0.saturating_add(1))
    }

    /// What all events of this moment have in common.
    pub(crate) fn scene(&self, now: Now) -> Scene {
        let stack = self
            .stack
            .as_ref()
            .map_or_else(unnamed, |(_, stack)| stack.name.clone());
        Scene {
            stack,
            wall: now.wall,
            site: self.ears.site.clone(),
            term: self.term(),
            epoch: self.epoch(),
        }
    }

    /// Moves to another phase, by the table only.
    pub(crate) fn go(&mut self, now: Now, to: Phase) {
        let from = self.phase;
        if from == to {
            return;
        }
        let row = find(from, to);
        assert!(
            row.is_some(),
            "no row leads from {} to {}",
            from.word(),
            to.word()
        );
        self.phase = to;
        if let Some(row) = row.filter(|_| self.leads()) {
            let summary = format!("{} -> {}: {}", from.word(), to.word(), row.why);
            let mut event = self
                .scene(now)
                .event("phase", shared::wire::Severity::Info, summary);
            event.row = Some(row.row);
            self.record(event.with(
                "site",
                self.live_site().map_or_else(String::new, |s| s.to_string()),
            ));
        }
    }
}

/// The name shown before a stack was ever in force.
fn unnamed() -> shared::id::StackName {
    let name = shared::id::StackName::new("unnamed");
    name.unwrap_or_else(|_| unreachable!("a constant name keeps to the alphabet"))
}

/// Age of the oldest of the votes' knowledge.
pub(crate) fn oldest(votes: &[ObserverVote]) -> Millis {
    votes
        .iter()
        .map(|vote| vote.knowledge_age)
        .max()
        .unwrap_or(Millis(u64::MAX))
}
