//! The invariants, each held against the whole world, which no part of the product can see.

use std::collections::BTreeMap;

use decision::{ProposalState, RunState, StepOutcome};
use shared::clock::Millis;
use shared::epoch::Epoch;
use shared::id::{CommandId, NodeName, SiteName};
use shared::stack::Stack;
use shared::wire::{Command, Ticket};

use super::seat::Seat;
use super::store::Store;
use super::worker::Worker;
use super::world::World;

/// What has been seen so far.
#[derive(Debug, Default)]
pub(super) struct Checker {
    pub(super) violations: Vec<String>,
    holders: BTreeMap<Epoch, SiteName>,
    revoked_at: BTreeMap<Epoch, u64>,
    begun: BTreeMap<CommandId, u32>,
    obeyed: BTreeMap<NodeName, Epoch>,
    two_writers: bool,
    pub(super) disturbed_at: u64,
}

impl Checker {
    pub(super) fn violate(&mut self, time: u64, sentence: impl Into<String>) {
        self.violations
            .push(format!("at {time}: {}", sentence.into()));
    }

    /// I4, I7, I8, I9: what is sent stands in the written state, is approved, and is in its turn.
    pub(super) fn sends(&mut self, time: u64, seat: &Seat, command: &Command) {
        let Some(state) = &seat.written else {
            return self.violate(time, "a command was sent and no state was written");
        };
        let Some(run) = state.run.as_ref().filter(|run| run.id == command.run) else {
            return self.violate(
                time,
                format!("step {} of a run that is not written", command.step),
            );
        };
        if run
            .steps
            .get(&command.step)
            .and_then(|record| record.command)
            != Some(command.id)
        {
            self.violate(
                time,
                format!(
                    "step {} was sent before its intent was written",
                    command.step
                ),
            );
        }
        if run.approval.plan != run.plan.digest() || command.plan != run.approval.plan {
            self.violate(time, "a command of a plan that was not approved");
        }
        let approved = |state: &ProposalState| matches!(state, ProposalState::Approved { .. });
        if !state
            .proposals
            .iter()
            .any(|p| p.id == run.proposal && approved(&p.state))
        {
            self.violate(time, "a run of a proposal that was not approved");
        }
        let Some(step) = run.plan.step(command.step) else {
            return self.violate(time, "a command of no step");
        };
        for earlier in run
            .plan
            .steps
            .iter()
            .filter(|earlier| earlier.group < step.group)
        {
            let settled = match run.steps.get(&earlier.number).map(|record| &record.outcome) {
                Some(StepOutcome::Done { .. } | StepOutcome::Waived { .. }) => true,
                Some(StepOutcome::Failed { .. }) => earlier.on_failure != decision::OnFailure::Halt,
                Some(StepOutcome::Started) | None => false,
            };
            if !settled {
                self.violate(
                    time,
                    format!(
                        "step {} before step {} was settled",
                        step.number, earlier.number
                    ),
                );
            }
        }
    }

    /// I5 and the wait between revoke and grant.
    pub(super) fn ticket(
        &mut self,
        time: u64,
        before: Option<&Ticket>,
        after: Option<&Ticket>,
        stack: &Stack,
    ) {
        let Some(after) = after else { return };
        if before.is_some_and(|before| before.same_right(after)) {
            return;
        }
        if before.is_some_and(|before| before.epoch > after.epoch) {
            self.violate(time, "the epoch fell");
        }
        let holder = self
            .holders
            .entry(after.epoch)
            .or_insert_with(|| after.holder.clone());
        if *holder != after.holder {
            let sentence = format!(
                "epoch {} has two holders, {holder} and {}",
                after.epoch, after.holder
            );
            self.violate(time, sentence);
        }
        if after.grant.is_none() {
            self.revoked_at.entry(after.epoch).or_insert(time);
        } else if let Some(revoked) = self.revoked_at.get(&after.epoch) {
            let waited = Millis((time - revoked) * 1_001 / 1_000);
            if waited < stack.policy.epoch_wait_ms {
                self.violate(
                    time,
                    format!("granted {} after the revocation", waited.human()),
                );
            }
        }
    }

    /// I6: a command is begun once for each life of its agent.
    pub(super) fn begins(&mut self, time: u64, worker: &Worker, command: &Command) {
        *self.begun.entry(command.id).or_insert(0) += 1;
        if !command.action.changes() {
            return;
        }
        let obeyed = self
            .obeyed
            .entry(worker.node.clone())
            .or_insert(command.epoch);
        if command.epoch < *obeyed {
            let sentence = format!(
                "{} obeyed epoch {} after {obeyed}",
                worker.node, command.epoch
            );
            self.violate(time, sentence);
        } else {
            *obeyed = command.epoch;
        }
    }

    /// I3, I4: a promotion holds the grant that the store shows or has shown for its epoch.
    pub(super) fn promoted(
        &mut self,
        time: u64,
        node: &NodeName,
        command: &Command,
        store: &Store,
    ) {
        let granted = store.ticket.value.as_ref();
        let fits = granted.is_some_and(|ticket| ticket.epoch >= command.epoch);
        if !fits || self.holders.get(&command.epoch) != Some(&command.site) {
            self.violate(
                time,
                format!("{node} was promoted without the right to be live"),
            );
        }
        if command.approval.is_none() {
            self.violate(time, format!("{node} was promoted without an approval"));
        }
    }

    /// At no instant do two coordinators hold a lead that counts.
    pub(super) fn leads(&mut self, time: u64, site: &SiteName, seats: &BTreeMap<SiteName, Seat>) {
        let other = seats
            .values()
            .find(|seat| seat.site != *site && seat.leads(time));
        if let Some(other) = other {
            self.violate(time, format!("{site} and {} lead at once", other.site));
        }
    }
}

impl World {
    /// I1 and I3: two databases write only when somebody vouched for what was not so.
    pub(super) fn check_databases(&mut self) {
        if self.network.off_bus.is_empty() && self.network.dark.is_empty() && self.network.loss == 0
        {
            let cut = self.network.cuts.values().any(|count| *count > 0);
            let paused = self
                .seats
                .values()
                .any(|seat| !seat.up || self.time < seat.paused_until);
            if cut || paused || self.network.delay > 0 {
                self.checker.disturbed_at = self.time;
            }
        } else {
            self.checker.disturbed_at = self.time;
        }
        if self
            .workers
            .values()
            .any(|w| !w.up || w.database.as_ref().is_some_and(|d| !d.up))
        {
            self.checker.disturbed_at = self.time;
        }
        let writers = self.workers.values().filter(|w| {
            w.database
                .as_ref()
                .is_some_and(super::database::Database::writes)
        });
        if writers.count() > 1 && !self.checker.two_writers {
            self.checker.two_writers = true;
            self.say("two databases write");
            *self
                .events
                .entry("lie: two databases write".to_owned())
                .or_insert(0) += 1;
            if !self.operator.is_careless() {
                self.checker
                    .violate(self.time, "two databases write and nobody lied");
            }
        }
    }

    /// I21: nothing is proposed in a world that has been whole for longer than the silence.
    pub(super) fn check_proposal(&mut self) {
        let quiet = self.time.saturating_sub(self.checker.disturbed_at);
        if quiet > self.stack.policy.silence_ms.0 {
            self.checker
                .violate(self.time, "a proposal in a world that was whole");
        }
    }

    /// True when the leader watches, or waits for a person with a reason.
    pub(super) fn rests(&self) -> bool {
        let time = self.time;
        let Some(leader) = self.seats.values().find(|seat| seat.leads(time)) else {
            return false;
        };
        let status = leader.core.status(leader.clock.now(time));
        matches!(
            status.phase,
            decision::Phase::Watching | decision::Phase::Completed
        )
    }

    /// Liveness: once healed, the world comes to rest.
    pub(super) fn check_rest(&mut self) {
        if self.rests() {
            return;
        }
        let time = self.time;
        let Some(leader) = self.seats.values().find(|seat| seat.leads(time)) else {
            return self
                .checker
                .violate(time, "nobody leads long after everything was mended");
        };
        let status = leader.core.status(leader.clock.now(time));
        let halted = leader
            .core
            .durable()
            .and_then(|d| d.run.as_ref())
            .map(|run| run.state.clone());
        let waits = match (status.phase, halted) {
            (_, Some(RunState::Halted { reason, .. })) => !reason.is_empty(),
            (decision::Phase::Blocked | decision::Phase::Suspecting, None) => {
                !status.findings.is_empty()
                    && !leader
                        .core
                        .explain(leader.clock.now(time))
                        .waits_for
                        .is_empty()
            }
            _ => false,
        };
        if !waits {
            let sentence = format!("no rest: phase {}, {}", status.phase.word(), status.summary);
            self.checker.violate(time, sentence);
        }
    }
}
