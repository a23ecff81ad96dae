//! A broken glass: a site that an operator made live while the store was lost. Seen, alarmed of, acknowledged.
//!
//! Nothing is moved and nothing is proposed until an operator has acknowledged it; then the ticket in the store
//! takes the epoch of the break over. Must never: choose between two sites that both broke their glass.

use std::collections::BTreeSet;

use shared::clock::Millis;
use shared::epoch::Epoch;
use shared::id::{Actor, NodeName, Nonce, SiteName};
use shared::stack::SiteRole;
use shared::wire::{BrokenGlass, Severity, Ticket};

use crate::approval::refused;
use crate::assessment::Scene;
use crate::core::Core;
use crate::durable::Run;
use crate::input::Now;
use crate::inventory::Inventory;
use crate::journal::About;
use crate::output::{Answer, Output, Persist};
use crate::requests::accepted_answer;

/// One agent's word that its glass was broken.
pub(crate) struct Break<'a> {
    pub(crate) site: &'a SiteName,
    pub(crate) node: &'a NodeName,
    pub(crate) glass: &'a BrokenGlass,
}

impl Break<'_> {
    /// The operator's sentence.
    pub(crate) fn sentence(&self) -> String {
        let glass = self.glass;
        format!(
            "{} broke the glass at {}/{} at {}: {} was made live in epoch {} without the store, vouching that {} is off \
             ({}); acknowledge it with `pointsman acknowledge break-glass --reason TEXT`",
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

/// Every break that the ticket has not taken over.
pub(crate) fn breaks<'a>(
    inventory: &'a Inventory,
    ticket: Option<&Ticket>,
) -> impl Iterator<Item = Break<'a>> {
    let known = ticket.map_or(Epoch(0), |ticket| ticket.epoch);
    inventory.agents().filter_map(move |(site, node, agent)| {
        let glass = agent.heartbeat.glass.as_ref()?.broken.as_deref()?;
        let open = !glass.acknowledged && glass.epoch > known;
        open.then_some(Break { site, node, glass })
    })
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
    let eligible = scene
        .stack
        .sites
        .iter()
        .filter(|(site, role)| **role != SiteRole::Witness && *site != scene.live());
    eligible.map(|(site, _)| glass_of(scene, site)).collect()
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

impl Core {
    /// Says once that a glass was broken, and halts what goes on.
    pub(crate) fn alarm_of_glass(&mut self, now: Now) {
        let Some((epoch, sentence)) = self.newest_break() else {
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
        if let Some(step) = self.going_run().and_then(Run::current_step) {
            self.halt_run(now, step, &sentence);
        }
    }

    /// True while a broken glass waits for an operator.
    pub(crate) fn glass_is_broken(&self) -> bool {
        self.newest_break().is_some()
    }

    fn newest_break(&self) -> Option<(Epoch, String)> {
        breaks(&self.inventory, self.ticket.as_ref())
            .max_by_key(|open| open.glass.epoch)
            .map(|open| (open.glass.epoch, open.sentence()))
    }

    /// The ticket takes a broken glass's epoch over: from then on the site holds the right to be live.
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
        let (site, epoch, sentence) = self.break_to_take_over()?;
        let Some(have) = self.ticket.clone().filter(|_| !self.clocks.ticket_pending) else {
            let why = "the store has no ticket, or it is being written: ask again";
            return Err(refused("ticket", why, false));
        };
        let grant = Nonce::new(self.draw("grant"));
        let to = Ticket {
            summary: format!(
                "{site} holds the right to be live in epoch {epoch}, after break glass"
            ),
            incarnation: have.incarnation,
            epoch,
            holder: site.clone(),
            grant: Some(grant),
            changed_at: now.wall,
            confirmed_by: None,
            confirmations: 0,
            leases: std::collections::BTreeMap::new(),
        };
        self.withdraw(now, "a broken glass was acknowledged");
        self.clocks.ticket_pending = true;
        self.push(Output::Persist(Persist::Ticket {
            from: Some(have),
            to,
        }));
        let summary = format!(
            "{actor} acknowledged the broken glass: the ticket now names {site} in epoch {epoch}; agents of other sites \
             that still serve stop when they read it"
        );
        let event = self
            .scene(now)
            .event("glass-acknowledged", Severity::Warning, summary.clone())
            .by(actor)
            .because(reason);
        self.record(event.with("break", sentence));
        Ok(accepted_answer(summary))
    }

    /// The one break that can be taken over, or why none can.
    fn break_to_take_over(&self) -> Result<(SiteName, Epoch, String), Answer> {
        let open: Vec<Break<'_>> = breaks(&self.inventory, self.ticket.as_ref()).collect();
        let Some(newest) = open.iter().max_by_key(|open| open.glass.epoch) else {
            let why = "no agent that this coordinator hears says that its glass was broken, or the ticket has taken it over";
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
        Ok((
            newest.glass.to.clone(),
            newest.glass.epoch,
            newest.sentence(),
        ))
    }
}
