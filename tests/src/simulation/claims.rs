//! What is claimed of databases, and when: each invariant only under the faults that it is claimed for.

use shared::clock::Millis;
use shared::id::NodeName;
use shared::wire::Command;

use super::fault_kind::FaultKind;
use super::worker::Worker;
use super::world::World;

impl World {
    /// True once the store broke its own word: what was acknowledged is gone.
    pub(super) fn store_failed(&self) -> bool {
        self.has_befallen(FaultKind::LostWrites) || self.has_befallen(FaultKind::StoreRemade)
    }

    /// True while times mean something: no clock outside the bound, no host that stood still with its clock.
    pub(super) fn clocks_hold(&self) -> bool {
        !self.has_befallen(FaultKind::ClockRate) && !self.has_befallen(FaultKind::VmPause)
    }

    /// True when one writer is claimed: the store and the clocks keep to their bounds, nobody went past the gate,
    /// and either every site fences itself, kept by its kernel, and nobody went past the proof of that, or nobody
    /// vouched for what was not so.
    fn claims_one_writer(&self) -> bool {
        let proved = !self.operator.went_past_proof();
        let by_lease = self.always_enforced && self.guarded && proved;
        let by_word = !self.operator.is_careless();
        let by_hand = self.has_befallen(FaultKind::StartedByHand) && !by_lease;
        let bounded = !self.store_failed() && self.clocks_hold();
        bounded && !self.ungated && !by_hand && (by_lease || by_word)
    }

    /// I1: two databases never serve at once.
    pub(super) fn check_writers(&mut self) {
        let time = self.time;
        let mut serving = self.workers.values().filter(|w| w.serves(time));
        let (Some(first), Some(second)) = (serving.next(), serving.next()) else {
            return;
        };
        if self.checker.two_writers {
            return;
        }
        let sentence = format!("I1: {} and {} serve at once", first.node, second.node);
        self.checker.two_writers = true;
        self.say(&sentence);
        if self.claims_one_writer() {
            self.checker.violate(time, sentence);
        } else {
            self.count("two databases served where that is not excluded");
        }
    }

    /// I2, whatever clocks, pauses, operators and the store do: who was replaced acknowledges nothing.
    pub(super) fn check_acknowledged(&mut self, told: &[(NodeName, u32)]) {
        let time = self.time;
        let newest = self
            .workers
            .values()
            .filter_map(|worker| worker.database.as_ref())
            .filter(|database| database.primary)
            .map(|database| database.timeline)
            .max();
        for (node, timeline) in told {
            let cleared = self
                .workers
                .get(node)
                .and_then(|worker| worker.database.as_ref())
                .is_none_or(|database| database.names_cleared);
            if !cleared && newest > Some(*timeline) {
                let sentence = format!("I2: {node} acknowledged a commit after it was replaced");
                self.checker.violate(time, sentence);
            }
        }
    }

    /// I3, I4, I6, I18: a promotion has its grant, waited long enough or has a proof, and loses nothing that a
    /// synchronous primary acknowledged.
    pub(super) fn check_promoted(&mut self, node: &NodeName, command: &Command, upto: u64) {
        let time = self.time;
        self.count("database promoted");
        self.checker.promoted(time, command);
        self.check_whole(node, upto);
        let waited = self.checker.waited(time, command.epoch);
        self.check_waited(waited, "the revocation");
    }

    /// I3, I4, I6, I18: a promotion without the store has an operator's record of its own epoch, waited long enough
    /// since its session began, and loses nothing that a synchronous primary acknowledged.
    pub(super) fn check_promoted_by_word(&mut self, node: &NodeName, upto: u64, begun_at: u64) {
        let time = self.time;
        self.count("database promoted by an operator's word");
        let recorded = self.workers.get(node).is_some_and(Worker::serves_by_word);
        if !recorded {
            let sentence =
                format!("I3: {node} was promoted without a grant or an operator's record");
            self.checker.violate(time, sentence);
        }
        self.check_whole(node, upto);
        let waited = Millis(time.saturating_sub(begun_at));
        self.check_waited(Some(waited), "the operator's session began");
    }

    fn check_whole(&mut self, node: &NodeName, upto: u64) {
        let time = self.time;
        let lost = self
            .workers
            .values()
            .filter(|worker| worker.node != *node)
            .filter_map(|worker| worker.database.as_ref())
            .filter(|database| !database.names_cleared && database.acknowledged > upto)
            .count();
        let synchronous = self.stack.policy.replication == shared::stack::Replication::Synchronous;
        if synchronous && lost > 0 {
            let sentence = format!("I18: {node} was promoted without what was acknowledged");
            self.checker.violate(time, sentence);
        }
    }

    /// I6: who promises to stop by a bound is waited for, by the world's own clock.
    fn check_waited(&mut self, waited: Option<Millis>, after: &str) {
        if self.store_failed() || !self.clocks_hold() || !self.always_enforced || !self.guarded {
            return;
        }
        let bound = self.stack.policy.lease.stop_bound_ms();
        if let Some(waited) = waited.filter(|waited| *waited < bound) {
            let sentence = format!(
                "I6: promoted {} after {after}, the old site may serve for {bound}",
                waited.human()
            );
            self.checker.violate(self.time, sentence);
        }
    }

    /// I23: who fences itself serves no longer than its stop bound after its last renewal.
    pub(super) fn check_bounds(&mut self) {
        if !self.clocks_hold() || !self.always_enforced || self.checker.bound_broken {
            return;
        }
        let time = self.time;
        let bound = self.stack.policy.lease.stop_bound_ms().0;
        let late = self.workers.values().find(|worker| {
            let since = worker.keeper.renewed_at.filter(|_| worker.keeper.guards());
            worker.serves(time) && since.is_some_and(|at| time > at + bound)
        });
        if let Some(late) = late {
            let since = late.keeper.renewed_at.unwrap_or_default();
            let sentence = format!(
                "I23: {} serves {} ms after its last renewal",
                late.node,
                time.saturating_sub(since)
            );
            self.checker.bound_broken = true;
            self.checker.violate(time, sentence);
        }
    }
}
