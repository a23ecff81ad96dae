//! Liveness: once everything is mended, the world comes to rest, or waits for a person with a reason.

use decision::{Phase, RunState};

use super::world::{Event, FAULTY, World};

/// So long nothing may have moved for it to count as rest.
const REST: u64 = 8_000;
/// By then it must have come to rest.
pub(super) const END: u64 = FAULTY + 150_000;

impl World {
    /// Once a second, after everything was mended.
    pub(super) fn check_rest(&mut self) {
        let quiet = self.time > self.moved_at + REST;
        self.over = quiet && self.rests();
        if !self.over {
            self.plan(1_000, Event::Rest);
        }
    }

    /// True when the leader watches and nothing of it is under way: while the store elects, a state that is written
    /// waits for its answer, and what follows it was not said yet.
    fn rests(&self) -> bool {
        let time = self.time;
        let leader = self.seats.values().find(|seat| seat.leads(time));
        let settled = leader.filter(|seat| !seat.writing);
        let phase = settled.map(|seat| seat.core.phase());
        matches!(phase, Some(Phase::Watching | Phase::Completed))
    }

    /// What a history that did not come to rest by itself must show.
    pub(super) fn conclude(&mut self) {
        let time = self.time;
        if !self.store_failed()
            && let Some(state) = &self.store.state.value
        {
            self.checker.told(time, &state.proposals);
        }
        if self.over {
            return;
        }
        let Some(leader) = self.seats.values().find(|seat| seat.leads(time)) else {
            return self
                .checker
                .violate(time, "I9: nobody leads long after everything was mended");
        };
        let now = leader.clock.now(time);
        let status = leader.core.status(now);
        let run = leader.core.durable().and_then(|d| d.run.as_ref());
        let waits = match (status.phase, run.map(|run| &run.state)) {
            (_, Some(RunState::Halted { reason, .. })) => !reason.is_empty(),
            (Phase::Blocked | Phase::Suspecting | Phase::Confirming, None) => {
                !status.findings.is_empty() && !leader.core.explain(now).waits_for.is_empty()
            }
            // A store that was made anew waits for a file that names the site that is live.
            (Phase::Unknown, None) => self.store_failed() && leader.core.stack().is_none(),
            _ => false,
        };
        if !waits {
            let sentence = format!(
                "I9: no rest: phase {}, {}",
                status.phase.word(),
                status.summary
            );
            self.checker.violate(time, sentence);
        }
    }
}
