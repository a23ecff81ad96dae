//! The invariants about commands, tickets and leads, held against what no single part of the product can see.
//! Each violation begins with the invariant's name.

use std::collections::{BTreeMap, BTreeSet};

use decision::{ProposalState, StepOutcome};
use shared::clock::Millis;
use shared::epoch::Epoch;
use shared::id::{CommandId, NodeName, Nonce, ProposalId, RunId, SiteName};
use shared::wire::{AuditEvent, Command, Ticket};

use super::seat::Seat;
use super::worker::Worker;

/// What has been seen so far.
#[derive(Debug, Default)]
pub(super) struct Checker {
    pub(super) violations: Vec<String>,
    holders: BTreeMap<Epoch, SiteName>,
    /// When an epoch was revoked, by the world's clock.
    pub(super) revoked_at: BTreeMap<Epoch, u64>,
    obeyed: BTreeMap<NodeName, Epoch>,
    /// Grants that an agent confirmed by a write.
    confirmed: BTreeSet<(NodeName, Epoch, Nonce)>,
    begun: BTreeMap<CommandId, u64>,
    runs: BTreeMap<ProposalId, RunId>,
    raised: BTreeSet<ProposalId>,
    ended: BTreeSet<ProposalId>,
    routed: Epoch,
    pub(super) two_writers: bool,
    pub(super) bound_broken: bool,
}

impl Checker {
    pub(super) fn violate(&mut self, time: u64, sentence: impl Into<String>) {
        self.violations
            .push(format!("at {time}: {}", sentence.into()));
    }

    /// I4, I7, I8, I9: what is sent stands in the written state, is approved, and is in its turn.
    pub(super) fn sends(&mut self, time: u64, seat: &Seat, command: &Command, trusted: bool) {
        let Some(state) = &seat.written else {
            return self.violate(time, "I8: a command was sent and no state was written");
        };
        let Some(run) = state.run.as_ref().filter(|run| run.id == command.run) else {
            return self.violate(
                time,
                format!("I8: step {} of a run that is not written", command.step),
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
                    "I8: step {} was sent before its intent was written",
                    command.step
                ),
            );
        }
        if run.approval.plan != run.plan.digest() || command.plan != run.approval.plan {
            self.violate(time, "I12: a command of a plan that was not approved");
        }
        let approved = |state: &ProposalState| matches!(state, ProposalState::Approved { .. });
        if !state
            .proposals
            .iter()
            .any(|p| p.id == run.proposal && approved(&p.state))
        {
            self.violate(time, "I12: a run of a proposal that was not approved");
        }
        let used = *self.runs.entry(run.proposal).or_insert(run.id);
        if used != run.id && trusted {
            self.violate(time, "I12: an approval was used for two runs");
        }
        let Some(step) = run.plan.step(command.step) else {
            return self.violate(time, "I8: a command of no step");
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
                        "I7: step {} before step {} was settled",
                        step.number, earlier.number
                    ),
                );
            }
        }
    }

    /// I5, as long as the store keeps what it acknowledged.
    pub(super) fn ticket(
        &mut self,
        time: u64,
        before: Option<&Ticket>,
        after: Option<&Ticket>,
        trusted: bool,
    ) {
        let Some(after) = after else { return };
        if before.is_some_and(|before| before.same_right(after)) {
            return;
        }
        if before.is_some_and(|before| before.epoch > after.epoch) {
            self.violate(time, "I5: the epoch fell");
        }
        let holder = self
            .holders
            .entry(after.epoch)
            .or_insert_with(|| after.holder.clone());
        if *holder != after.holder && trusted {
            let sentence = format!(
                "I5: epoch {} has two holders, {holder} and {}",
                after.epoch, after.holder
            );
            self.violate(time, sentence);
        }
        if after.grant.is_none() {
            self.revoked_at.entry(after.epoch).or_insert(time);
        }
    }

    /// How long after its revocation an epoch stands now; nothing for one that was never revoked.
    pub(super) fn waited(&self, time: u64, epoch: Epoch) -> Option<Millis> {
        let revoked = self.revoked_at.get(&epoch)?;
        Some(Millis(time.saturating_sub(*revoked)))
    }

    /// What the store held is gone: epochs may come again.
    pub(super) fn forget_store(&mut self) {
        self.holders.clear();
        self.revoked_at.clear();
    }

    /// I5, I7: an agent never obeys an older epoch, and begins a command once for each time that it may be begun.
    pub(super) fn begins(&mut self, time: u64, worker: &Worker, command: &Command, trusted: bool) {
        if !command.action.changes() {
            return;
        }
        if self.begun.insert(command.id, worker.life) == Some(worker.life)
            && trusted
            && command.action.kind() == "promote"
            && worker.database.as_ref().is_some_and(|d| d.primary)
        {
            let sentence = format!("I7: {} was begun again after its effect", command.id);
            self.violate(time, sentence);
        }
        let obeyed = self
            .obeyed
            .entry(worker.node.clone())
            .or_insert(command.epoch);
        if command.epoch < *obeyed {
            let sentence = format!(
                "I5: {} obeyed epoch {} after {obeyed}",
                worker.node, command.epoch
            );
            self.violate(time, sentence);
        } else {
            *obeyed = command.epoch;
        }
    }

    /// An agent's grant was confirmed by a write.
    pub(super) fn confirmed(&mut self, command: &Command, ticket: &Ticket) {
        if let Some(nonce) = ticket.grant.filter(|_| ticket.epoch == command.epoch) {
            self.confirmed
                .insert((command.node.clone(), ticket.epoch, nonce));
        }
    }

    /// I3, I4: who is promoted has confirmed the grant of its epoch by a write, for an approved plan.
    pub(super) fn promoted(&mut self, time: u64, command: &Command) {
        let held = command.grant.map(|grant| {
            let key = (command.node.clone(), grant.epoch, grant.nonce);
            grant.epoch == command.epoch && self.confirmed.contains(&key)
        });
        if held != Some(true) {
            let sentence = format!("I4: {} was promoted without its grant", command.node);
            self.violate(time, sentence);
        }
        if command.approval.is_none() {
            let sentence = format!("I3: {} was promoted without an approval", command.node);
            self.violate(time, sentence);
        }
    }

    /// I19: clients are never sent to a site whose epoch is older than where they were sent before.
    pub(super) fn routed(&mut self, time: u64, command: &Command) {
        if command.epoch < self.routed {
            let sentence = format!(
                "I19: routes follow epoch {} after {}",
                command.epoch, self.routed
            );
            self.violate(time, sentence);
        }
        self.routed = self.routed.max(command.epoch);
    }

    /// I9, I12, I25: proposals are told when they begin and end, and none is approved after its end.
    pub(super) fn recorded(&mut self, time: u64, event: &AuditEvent, trusted: bool) {
        let Some(proposal) = event.proposal else {
            return;
        };
        match event.kind.as_str() {
            "proposal-raised" => {
                self.raised.insert(proposal);
            }
            "proposal-withdrawn"
            | "proposal-expired"
            | "proposal-superseded"
            | "proposal-rejected" => {
                self.ended.insert(proposal);
            }
            "proposal-approved" if trusted && self.ended.contains(&proposal) => {
                self.violate(time, "I12: a proposal was approved after its end");
            }
            _ => {}
        }
    }

    /// I25: what stands in the state was told.
    pub(super) fn told(&mut self, time: u64, proposals: &[decision::Proposal]) {
        if let Some(silent) = proposals.iter().find(|p| !self.raised.contains(&p.id)) {
            let sentence = format!("I25: proposal {} was never told", silent.id);
            self.violate(time, sentence);
        }
    }

    /// I15: at no instant do two coordinators hold a lead that counts.
    pub(super) fn leads(&mut self, time: u64, site: &SiteName, seats: &BTreeMap<SiteName, Seat>) {
        let other = seats
            .values()
            .find(|seat| seat.site != *site && seat.leads(time));
        if let Some(other) = other {
            self.violate(time, format!("I15: {site} and {} lead at once", other.site));
        }
    }
}
