//! I13: automatic mode acts only under its gates, held against what the world knows besides the core.

use decision::{Durable, FindingCode};
use shared::id::{RunId, SiteName};
use shared::stack::Mode;

use super::evidence::SLACK;
use super::operator::shows;
use super::setting::COOL_DOWN;
use super::world::World;

/// The run that nobody approved, if that is what goes on.
pub(super) fn automatic_run(durable: &Durable) -> Option<RunId> {
    let run = durable.run.as_ref();
    run.filter(|run| run.approval.automatic).map(|run| run.id)
}

impl World {
    /// A leader has begun a run that nobody approved.
    pub(super) fn check_automatic(&mut self, leader: &SiteName) {
        let time = self.time;
        let seat = &self.seats[leader];
        // What a core begins whose lead is over never leaves its process.
        if !seat.leads(time) {
            return;
        }
        self.count("automatic mode acted");
        let seat = &self.seats[leader];
        let Some((_, stack)) = seat.core.stack() else {
            return;
        };
        let (mode, policy) = (stack.policy.mode, stack.policy.clone());
        let durable = seat.core.durable();
        let flaps = shows(&self.status_of(leader), FindingCode::Flapping);
        let timed = self.clocks_hold() && !self.store_failed();
        let borne = policy.silence_ms.0 + self.stack.policy.automatic.confirm_ms.0;
        let heard = self.newest_sign(leader);
        let alone = self.other_coordinators(leader);
        let cools = self
            .run_over
            .is_some_and(|at| time + SLACK < at + COOL_DOWN.0);
        let wrong = [
            (mode != Mode::Automatic, "in another mode"),
            (durable.is_some_and(|d| d.hold.is_some()), "under a hold"),
            (
                durable.is_some_and(|d| d.automatic_off.is_some()),
                "while it was switched off",
            ),
            (flaps, "while the site came and went"),
            (timed && cools, "in the cool-down"),
            (
                timed && alone,
                "without the other coordinators, or with another stack than theirs",
            ),
            (
                timed && heard + borne > time + SLACK,
                "before its window was over",
            ),
            (
                !policy.lease.enforces(),
                "without databases that fence themselves",
            ),
        ];
        for (_, sentence) in wrong.into_iter().filter(|(is_wrong, _)| *is_wrong) {
            let sentence = format!("I13: {leader} acted automatically {sentence}");
            self.checker.violate(time, sentence);
        }
    }

    /// True when a coordinator outside the live site is not heard, or names another stack than the leader.
    fn other_coordinators(&self, leader: &SiteName) -> bool {
        let seat = &self.seats[leader];
        let own = seat.core.stack().map(|(version, _)| version);
        let patience = self.stack.policy.observation_age_max_ms.0;
        let (at, live) = (self.index_of(leader), self.live_site());
        let mut others = self
            .sites
            .iter()
            .filter(|site| **site != live && *site != leader);
        others.any(|site| {
            let (heard, version) = self.evidence.word_of(at, self.index_of(site));
            version != own || self.time > heard + patience + SLACK
        })
    }

    /// When a run was over, or a person has looked at it.
    pub(super) fn note_run(&mut self, kind: &str, late: u64) {
        if matches!(kind, "run-completed" | "run-abandoned") && late < 1_000 {
            self.run_over = Some(self.time.saturating_sub(late));
        } else if kind == "acknowledged" {
            self.run_over = None;
        }
    }
}
