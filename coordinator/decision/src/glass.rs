//! A broken glass: a site that an operator made live while the store was lost. Seen, alarmed of, reconciled,
//! acknowledged.
//!
//! The ticket takes the epoch of the break over as soon as nobody sights the site that was left, so that it finds
//! itself replaced when it comes back; while it is sighted, only an operator decides. Nothing is proposed until an
//! operator has acknowledged the break. Must never: choose between two sites that both broke their glass.

use std::collections::BTreeSet;

use shared::clock::Millis;
use shared::epoch::Epoch;
use shared::id::{Actor, NodeName, Nonce, SiteName};
use shared::stack::Mode;
use shared::wire::{BrokenGlass, Severity, Ticket};

use crate::approval::refused;
use crate::assessment::Scene;
use crate::core::Core;
use crate::durable::{Durable, Run};
use crate::input::Now;
use crate::inventory::Inventory;
use crate::journal::About;
use crate::output::{Answer, Output, Persist};
use crate::requests::accepted_answer;
use crate::sighting::Vote;

/// One agent's word that its glass was broken.
pub(crate) struct Break<'a> {
    pub(crate) site: &'a SiteName,
    pub(crate) node: &'a NodeName,
    pub(crate) glass: &'a BrokenGlass,
    /// True while the ticket has not taken it over.
    pub(crate) open: bool,
}

impl Break<'_> {
    /// The operator's sentence.
    pub(crate) fn sentence(&self) -> String {
        let glass = self.glass;
        let ticket = if self.open {
            "the ticket has not taken that over"
        } else {
            "the ticket has taken that over"
        };
        format!(
            "{} broke the glass at {}/{} at {}: {} was made live in epoch {} without the store, vouching that {} is off \
             ({}); {ticket}; acknowledge it with `pointsman acknowledge break-glass --reason TEXT`",
            glass.operator,
            self.site,
            self.node,
            glass.at.rfc3339(),
            glass.to,
            glass.epoch,
            glass.site_off,
            glass.reason
        )
    }
}

/// What agents tell of broken glasses.
fn told<'a>(inventory: &'a Inventory, ticket: Option<&Ticket>) -> impl Iterator<Item = Break<'a>> {
    let known = ticket.map_or(Epoch(0), |ticket| ticket.epoch);
    inventory.agents().filter_map(move |(site, node, agent)| {
        let glass = agent.heartbeat.glass.as_ref()?.broken.as_deref()?;
        let open = !glass.reconciled && glass.epoch > known;
        Some(Break {
            site,
            node,
            glass,
            open,
        })
    })
}

/// Every break that the ticket has not taken over.
pub(crate) fn breaks<'a>(
    inventory: &'a Inventory,
    ticket: Option<&Ticket>,
) -> impl Iterator<Item = Break<'a>> {
    told(inventory, ticket).filter(|told| told.open)
}

/// What an operator must not do beside breaks that the ticket has not taken over.
pub(crate) fn caution(inventory: &Inventory, ticket: Option<&Ticket>) -> Option<String> {
    let glass = breaks(inventory, ticket).next()?.glass;
    let (off, to) = (&glass.site_off, &glass.to);
    Some(format!(
        "keep {off} off: {to} was made live in its place, without the store"
    ))
}

/// Every break that an operator has to look at: not taken over, or not acknowledged.
pub(crate) fn alarms<'a>(
    inventory: &'a Inventory,
    ticket: Option<&Ticket>,
    durable: &Durable,
) -> impl Iterator<Item = Break<'a>> {
    let acknowledged = durable.glass_acknowledged;
    told(inventory, ticket).filter(move |told| told.open || told.glass.epoch > acknowledged)
}

/// True when an agent is ahead of the store because its glass was broken, not because the store lost writes.
pub(crate) fn explains(
    inventory: &Inventory,
    ticket: &Ticket,
    site: &SiteName,
    node: &NodeName,
) -> bool {
    let epoch = inventory
        .agent(site, node)
        .map(|agent| agent.heartbeat.epoch);
    breaks(inventory, Some(ticket))
        .any(|open| (open.site, open.node) == (site, node) && Some(open.glass.epoch) == epoch)
}

/// Whether each site that may become live could be made so by hand, if the store were lost together with the live
/// one: a sentence each.
pub(crate) fn glass_of_sites(scene: &Scene<'_>) -> Vec<String> {
    let others = scene.stack.eligible().filter(|site| *site != scene.live());
    others.map(|site| glass_of(scene, site)).collect()
}

fn glass_of(scene: &Scene<'_>, site: &SiteName) -> String {
    let mut oldest = Millis(0);
    for (node, _) in scene.stack.nodes().iter().filter(|(_, home)| *home == site) {
        let agent = scene.inventory.agent(site, node);
        let glass = agent.and_then(|agent| agent.heartbeat.glass.as_ref());
        let Some(glass) = glass else {
            return format!(
                "not available in {site}: the file of {node} trusts no key ([break_glass])"
            );
        };
        let Some(age) = glass.plan_age_ms else {
            return format!("not available in {site}: {node} keeps no signed plan yet");
        };
        oldest = oldest.max(age);
    }
    format!("available in {site}, by a plan of {} ago", oldest.human())
}

/// The break of which is said most.
struct Alarmed {
    epoch: Epoch,
    open: bool,
    sentence: String,
}

/// The break that the ticket takes over.
struct Taken {
    site: SiteName,
    off: SiteName,
    epoch: Epoch,
    sentence: String,
}

impl Core {
    /// Says once that a glass was broken, halts what goes on, and lets the ticket take it over when that harms nobody.
    pub(crate) fn alarm_of_glass(&mut self, now: Now) {
        let Some(Alarmed {
            epoch,
            open,
            sentence,
        }) = self.newest_alarm()
        else {
            self.glass_told = None;
            return;
        };
        if self.glass_told != Some(epoch) {
            self.glass_told = Some(epoch);
            let event = self
                .scene(now)
                .event("glass-broken", Severity::Critical, sentence.clone());
            self.record(event.with("epoch", epoch));
        }
        if !open {
            return;
        }
        if let Some(step) = self.going_run().and_then(Run::current_step) {
            self.halt_run(now, step, &sentence);
        }
        if let Ok(taken) = self.break_to_take_over()
            && !self.clocks.ticket_pending
            && self.distrust(now).is_none()
            && self.is_left(now, &taken.off)
        {
            let summary = format!(
                "the ticket takes the broken glass over: it names {} in epoch {}, because nobody sights {}",
                taken.site, taken.epoch, taken.off
            );
            if self.take_over(now, &taken) {
                let event = self
                    .scene(now)
                    .event("glass-reconciled", Severity::Warning, summary);
                self.record(event.with("break", taken.sentence));
            }
        }
    }

    /// True while a broken glass waits for an operator.
    pub(crate) fn glass_is_broken(&self) -> bool {
        self.newest_alarm().is_some()
    }

    fn newest_alarm(&self) -> Option<Alarmed> {
        alarms(&self.inventory, self.ticket.as_ref(), &self.durable)
            .max_by_key(|told| (told.open, told.glass.epoch))
            .map(|told| Alarmed {
                epoch: told.glass.epoch,
                open: told.open,
                sentence: told.sentence(),
            })
    }

    /// True when this leader does not sight a site and would if it could, nobody else sights it, and the policy lets
    /// Pointsman act.
    fn is_left(&self, now: Now, site: &SiteName) -> bool {
        let Some(view) = self.view(now.mono) else {
            return false;
        };
        let acts = match view.stack.policy.mode {
            Mode::Approval | Mode::Automatic => true,
            Mode::Observe | Mode::Shadow => false,
        };
        let votes = view.votes(site);
        let sighted = votes.iter().any(|vote| vote.vote == Vote::Sighted);
        let own = |vote: &&crate::sighting::ObserverVote| vote.observer == self.ears.site;
        let silent = votes.iter().find(own).map(|vote| &vote.vote) == Some(&Vote::Silent);
        acts && silent && !sighted
    }

    /// An operator has looked at a broken glass. Where the ticket has not taken it over yet, it does so now.
    pub(crate) fn acknowledge_glass(
        &mut self,
        now: Now,
        actor: &Actor,
        reason: &str,
    ) -> Result<Answer, Answer> {
        if reason.trim().is_empty() {
            return Err(refused(
                "reason",
                "acknowledging a broken glass needs a reason",
                false,
            ));
        }
        let Some(alarm) = self.newest_alarm() else {
            let why = "no agent that this coordinator hears says that its glass was broken, or it was acknowledged";
            return Err(refused("no-break-glass", why, false));
        };
        let mut more = String::new();
        if alarm.open {
            self.trusts_store(now)?;
            let taken = self.break_to_take_over()?;
            if self.ticket.is_none() {
                let why = format!(
                    "the store has no ticket: apply a stack file with {} as its primary, then ask again",
                    taken.site
                );
                return Err(refused("ticket", why, false));
            }
            if self.clocks.ticket_pending || !self.take_over(now, &taken) {
                let why = "the ticket is being written: ask again";
                return Err(refused("ticket", why, false));
            }
            more = format!(
                ": the ticket now names {}; agents of other sites that still serve stop when they read it",
                taken.site
            );
        }
        let epoch = alarm.epoch;
        let summary = format!("{actor} acknowledged the broken glass of epoch {epoch}{more}");
        self.durable.glass_acknowledged = self.durable.glass_acknowledged.max(epoch);
        self.touch();
        let event = self
            .scene(now)
            .event("glass-acknowledged", Severity::Warning, summary.clone())
            .by(actor)
            .because(reason);
        self.record(event.with("break", alarm.sentence));
        Ok(accepted_answer(summary))
    }

    /// The ticket takes a broken glass's epoch over: from then on the site holds the right to be live. False when
    /// there is no ticket.
    fn take_over(&mut self, now: Now, taken: &Taken) -> bool {
        let Some(have) = self.ticket.clone() else {
            return false;
        };
        let (site, epoch) = (&taken.site, taken.epoch);
        let grant = Nonce::new(self.draw("grant"));
        let summary =
            format!("{site} holds the right to be live in epoch {epoch}, after break glass");
        let to = self.moved(now, &have, (site, epoch), Some(grant), summary);
        self.withdraw(now, "the ticket takes a broken glass over");
        self.clocks.ticket_pending = true;
        self.push(Output::Persist(Persist::Ticket {
            from: Some(have),
            to,
        }));
        true
    }

    /// The one break that can be taken over, or why none can.
    fn break_to_take_over(&self) -> Result<Taken, Answer> {
        let open: Vec<Break<'_>> = breaks(&self.inventory, self.ticket.as_ref()).collect();
        let Some(newest) = open.iter().max_by_key(|open| open.glass.epoch) else {
            let why = "the ticket has taken every broken glass over";
            return Err(refused("no-break-glass", why, false));
        };
        let sites: BTreeSet<&SiteName> = open.iter().map(|open| &open.glass.to).collect();
        if sites.len() > 1 {
            let names: Vec<&str> = sites.iter().map(|site| site.as_str()).collect();
            let why = format!(
                "{} were both made live without the store: what each wrote is a history of its own, and only people can \
                 choose. Stop the database and remove the state directory of the site that is given up, then ask again",
                names.join(" and ")
            );
            return Err(refused("two-breaks", why, true));
        }
        if let Some(run) = &self.durable.run {
            let why = format!("run {} is not over: abandon it first", run.id.short());
            return Err(refused("run", why, true));
        }
        let holder = self.live_site();
        let fits = |site: &SiteName| *site == newest.glass.site_off || *site == newest.glass.to;
        if let Some(other) = holder.filter(|site| !fits(site)) {
            let why = format!(
                "the ticket names {other}, and the broken glass left {} for {}: the stack was moved by others meanwhile",
                newest.glass.site_off, newest.glass.to
            );
            return Err(refused("holder", why, true));
        }
        Ok(Taken {
            site: newest.glass.to.clone(),
            off: newest.glass.site_off.clone(),
            epoch: newest.glass.epoch,
            sentence: newest.sentence(),
        })
    }
}
