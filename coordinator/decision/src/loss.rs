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
