//! The assessment: everything that is found at one instant, each finding with an operator's sentence.
//!
//! It only looks. What follows from a finding stands in its row of the table ([`crate::FINDINGS`]).

mod databases;
mod observers;
mod sites;

use shared::clock::{Millis, Mono};
use shared::epoch::StackVersion;
use shared::id::SiteName;
use shared::stack::Stack;
use shared::wire::Ticket;

use crate::detector::Detector;
use crate::durable::Durable;
use crate::finding::{Finding, FindingCode, gravity, row_of};
use crate::inventory::Inventory;
use crate::leasing::LeaseWatch;
use crate::memory::Halt;
use crate::sighting::{ObserverVote, OwnEars, observe};

/// All that an assessment looks at.
pub(crate) struct Scene<'a> {
    /// What was heard.
    pub(crate) inventory: &'a Inventory,
    /// The own ears.
    pub(crate) ears: &'a OwnEars,
    /// The stack.
    pub(crate) stack: &'a Stack,
    /// Its version.
    pub(crate) version: StackVersion,
    /// The ticket.
    pub(crate) ticket: Option<&'a Ticket>,
    /// The state.
    pub(crate) durable: &'a Durable,
    /// The detector of the live site.
    pub(crate) detector: &'a Detector,
    /// Something wrong with the store, as a sentence.
    pub(crate) store_fault: Option<&'a str>,
    /// The store shows less than this coordinator remembers.
    pub(crate) store_halt: Option<&'a Halt>,
    /// What was seen of the leases in the ticket.
    pub(crate) leases: &'a LeaseWatch,
    /// Now.
    pub(crate) now: Mono,
}

/// Everything that is found, the gravest first.
pub(crate) fn assess(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    sites::find(scene, &mut findings);
    databases::find(scene, &mut findings);
    observers::find(scene, &mut findings);
    findings.sort_by_key(|finding| gravity(finding.code));
    findings.dedup();
    findings
}

/// The findings that forbid a proposal.
pub(crate) fn blocking(findings: &[Finding]) -> Vec<String> {
    findings
        .iter()
        .filter(|f| row_of(f.code).blocks)
        .map(|f| f.sentence.clone())
        .collect()
}

impl Scene<'_> {
    /// The site that holds the right to be live.
    pub(crate) fn live(&self) -> &SiteName {
        self.ticket
            .map_or_else(|| self.stack.first_primary(), |ticket| &ticket.holder)
    }

    /// The site that a run is making live, if one is.
    pub(crate) fn becoming_live(&self) -> Option<&SiteName> {
        self.durable.run.as_ref().map(|run| &run.plan.to)
    }

    /// What `observer` says of `target`.
    pub(crate) fn vote(&self, observer: &SiteName, target: &SiteName) -> ObserverVote {
        observe(
            self.inventory,
            self.ears,
            self.stack,
            observer,
            target,
            self.now,
        )
    }

    /// What every other site says of `target`.
    pub(crate) fn votes(&self, target: &SiteName) -> Vec<ObserverVote> {
        self.stack
            .sites
            .keys()
            .filter(|site| *site != target)
            .map(|site| self.vote(site, target))
            .collect()
    }

    /// The policy's silence.
    pub(crate) fn silence(&self) -> Millis {
        self.stack.policy.silence_ms
    }

    /// True when an agent's word is fresh.
    pub(crate) fn fresh(&self, age: Millis) -> bool {
        age <= self.stack.policy.observation_age_max_ms
    }
}

/// Adds a finding.
fn found(findings: &mut Vec<Finding>, code: FindingCode, sentence: impl Into<String>) {
    findings.push(Finding {
        code,
        sentence: sentence.into(),
    });
}
