//! The loss bound: what a failover would lose, in three numbers with their age, unknown when unknown.
//!
//! Replication lag alone is not the loss: a standby cut off 0.4 s before the primary's death has no lag at
//! the last sample and may still miss a thousand commits.

use shared::clock::Mono;
use shared::id::SiteName;
use shared::lsn::LagBytes;
use shared::stack::Stack;

use crate::candidate::{furthest, last_primary};
use crate::inventory::Inventory;
use crate::proposal::{CandidateChoice, LossBound};
use crate::synchrony::{Bound, proved};

/// The loss over all databases when `choices` are promoted instead of the primaries in `from`.
pub(crate) fn bound(
    inventory: &Inventory,
    stack: &Stack,
    from: &SiteName,
    choices: &[CandidateChoice],
    now: Mono,
) -> LossBound {
    let mut known = Some(LagBytes(0));
    let mut projected = Some(LagBytes(0));
    let mut blind = None;
    for choice in choices {
        let database = stack
            .databases
            .iter()
            .find(|database| database.name == choice.database);
        let (Some(database), Some(chosen)) = (database, &choice.chosen) else {
            (known, projected) = (None, None);
            continue;
        };
        let Some(primary) = last_primary(inventory, database, from) else {
            (known, projected) = (None, None);
            continue;
        };
        let reference = furthest(inventory, database, &chosen.site)
            .unwrap_or(primary.lsn)
            .max(primary.lsn);
        let span = now.since(primary.at);
        let written = LagBytes(primary.bytes_per_s.saturating_mul(span.0) / 1_000);
        known = known.map(|sum| LagBytes(sum.0.saturating_add(reference.ahead_of(chosen.lsn).0)));
        projected = projected.map(|sum| LagBytes(sum.0.saturating_add(written.0)));
        blind = blind.max(Some(span));
    }
    if let Some(to) = choices.iter().find_map(|choice| choice.chosen.as_ref())
        && choices.iter().all(|choice| choice.chosen.is_some())
        && let Ok(bound) = proved(inventory, stack, from, &to.site, now)
    {
        return nothing(&bound, from);
    }
    let mut loss = LossBound {
        known_bytes: known,
        blind_ms: blind,
        projected_bytes: projected,
        summary: String::new(),
    };
    let uncovered = choices.iter().find(|choice| choice.chosen.is_none());
    loss.summary = match uncovered {
        Some(choice) => format!(
            "unknown: no member of database {} could be promoted now",
            choice.database
        ),
        None => sentence(&loss, from),
    };
    loss
}

/// Every commit that was acknowledged had reached the standby that is promoted.
fn nothing(bound: &[Bound], from: &SiteName) -> LossBound {
    let age = Bound::oldest(bound);
    let standbys: Vec<&str> = bound.iter().map(|one| one.standby.as_str()).collect();
    LossBound {
        known_bytes: Some(LagBytes(0)),
        blind_ms: Some(age),
        projected_bytes: Some(LagBytes(0)),
        summary: format!(
            "no acknowledged commit: by its settings of {} ago, {from}'s primary acknowledges one only when {} has it on \
             disk; what a session set for itself, or a client cancelled while it waited, is not covered",
            age.human(),
            standbys.join(", ")
        ),
    }
}

impl LossBound {
    /// Known and projected together; nothing when either is unknown.
    pub fn upper_bytes(&self) -> Option<LagBytes> {
        Some(LagBytes(
            self.known_bytes?.0.saturating_add(self.projected_bytes?.0),
        ))
    }
}

fn sentence(loss: &LossBound, from: &SiteName) -> String {
    match (loss.known_bytes, loss.blind_ms, loss.projected_bytes) {
        (Some(known), Some(blind), Some(projected)) => format!(
            "{known} of WAL are known to be missing; {from}'s primary was last sampled {} ago, and at its recent rate \
             it may have written up to {projected} more",
            blind.human()
        ),
        _ => format!(
            "unknown: {from}'s primary was never sampled by this coordinator, so its position is not known"
        ),
    }
}
