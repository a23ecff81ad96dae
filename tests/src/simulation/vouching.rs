//! The peers' word in place of a store that does not answer: the real vow of each, on its disk before it is told.

use agent::lease::{Attempt, Reading};
use agent::standing::Writability;
use agent::vow::Facts;
use agent::vow::line::Question;
use shared::id::NodeName;
use shared::stack::{LeasePolicy, StoreLoss};

use super::worker::Wrote;
use super::world::World;

impl World {
    /// The store did not answer: all peers are asked directly whether they have promoted, and will not.
    pub(super) fn vouch(
        &mut self,
        node: &NodeName,
        life: u64,
        attempt: Attempt,
        sent: (u64, Reading),
    ) {
        let time = self.time;
        let Some(worker) = self.workers.get(node).filter(|w| w.up && w.life == life) else {
            return;
        };
        let keeper = &worker.keeper;
        let failsafe = |p: &LeasePolicy| p.renews() && p.store_loss == StoreLoss::Failsafe;
        let Some((version, policy)) = keeper.policy.as_ref().filter(|(_, p)| failsafe(p)) else {
            return;
        };
        let Some(seen) = worker.record.seen().filter(|_| !keeper.regressed) else {
            return;
        };
        if time < worker.still_until() || keeper.lease.is_none() {
            return;
        }
        let question = Question {
            stack: worker.identity.stack.clone(),
            site: worker.site.clone(),
            node: node.clone(),
            to: worker.site.clone(),
            epoch: seen.epoch,
            incarnation: seen.incarnation,
            span_ms: policy.wait_min_ms(),
            stack_version: *version,
            nonce: seen.incarnation,
        };
        let peers: Vec<NodeName> = self
            .workers
            .values()
            .filter(|peer| peer.site != question.site && peer.database.is_some())
            .map(|peer| peer.node.clone())
            .collect();
        let mut all = !peers.is_empty();
        for peer in peers {
            all &= self.vows(&peer, question.clone());
        }
        let Some(worker) = self.workers.get_mut(node).filter(|_| all) else {
            return;
        };
        let now = worker.clock.reading(time);
        if let Some(lease) = &mut worker.keeper.lease {
            lease.extend(attempt, now);
            if worker.keeper.renewed_at.is_some() {
                worker.keeper.renewed_at = worker.keeper.renewed_at.max(Some(sent.0));
            }
            self.count("lease vouched for by all peers");
        }
        self.act_on_lease(node);
    }

    /// A peer's word that it has not promoted and will not for a while: on its disk before it is told.
    fn vows(&mut self, peer: &NodeName, question: Question) -> bool {
        let time = self.time;
        let Some(worker) = self.workers.get_mut(peer) else {
            return false;
        };
        let hears = self.network.connects(&worker.site, &question.site);
        if !hears || !worker.up || time < worker.still_until() {
            return false;
        }
        let seen = worker.record.seen();
        let facts = Facts {
            identity: &worker.identity,
            epoch: worker.record.epoch_known(),
            incarnation: seen.map(|seen| seen.incarnation),
            stack_version: worker.keeper.wanted.as_ref().map(|(version, _)| *version),
            writability: match &worker.database {
                Some(database) if database.up && !database.primary => Writability::Standby,
                Some(database) if !database.up => Writability::Down,
                Some(_) | None => Writability::Possible,
            },
        };
        let question = Question {
            to: worker.site.clone(),
            ..question
        };
        let now = worker.clock.mono(time);
        let Ok(promised) = worker.keeper.vows.give(&question, &facts, now) else {
            return false;
        };
        match worker.write(|record| _ = record.keep_promise(Some(promised))) {
            Wrote::Done => true,
            Wrote::Full => false,
            Wrote::Died => {
                self.worker_dies(peer);
                false
            }
        }
    }
}
