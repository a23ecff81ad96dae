//! How a host keeps its lease: renewals, the peers' word, and the kernel's timer on the port.

use agent::lease::{Reading, Verdict as LeaseVerdict};
use agent::ledger::Fenced;
use shared::stack::StoreLoss;

use super::ground::WALL;
use super::setup::Flaw;

use super::host::{Host, Life, Renewal, Rules};

/// Heartbeats that are remembered: older ones are too old for any command.
const BEATS: usize = 8;

impl Rules {
    /// Sets the kernel's timer to what is left of the lease; it may be late by what the policy says.
    pub(super) fn guard(&self, host: &mut Host, now: Reading) {
        let Some(lease) = &host.lease else { return };
        if !self.has_deadman() {
            return;
        }
        let left = if self.setup.has(Flaw::DeadmanRestarted) {
            self.policy.deadman_after_ms
        } else {
            lease.deadman_ms(now)
        };
        let late = self.policy.deadman_within_ms;
        host.database.closes = Some(now.mono.after(left).after(late));
    }

    pub(super) fn second(&self, host: &mut Host, time: u8) {
        if host.paused {
            host.lost += 1;
            return;
        }
        if host.database.stopping {
            host.database.stopping = false;
            host.database.up = false;
        }
        if host.life != Life::Up {
            return;
        }
        host.beats.push(time);
        if host.beats.len() > BEATS {
            host.beats.remove(0);
        }
        let now = self.reading(host, time);
        self.look(host, now);
    }

    /// The agent's turn over its lease.
    pub(super) fn look(&self, host: &mut Host, now: Reading) {
        if let Some(lease) = &mut host.lease {
            lease.look(now);
        }
        self.heed(host, now);
        self.renew(host, now);
    }

    /// What the lease says of the database is done.
    pub(super) fn heed(&self, host: &mut Host, now: Reading) {
        let Some(lease) = &host.lease else { return };
        match lease.verdict(now) {
            LeaseVerdict::Serve { .. } => self.guard(host, now),
            LeaseVerdict::Close => host.database.closes = Some(now.mono),
            LeaseVerdict::Stop(_) => {
                host.database.stopping = host.database.up;
                let fenced = Fenced {
                    epoch: host.record.epoch(),
                    at: WALL,
                    reason: "the lease is lost".to_owned(),
                };
                host.record.keep_fenced(Some(fenced));
                host.lease = None;
                host.renewal = Renewal::None;
                host.asked = None;
            }
        }
    }

    pub(super) fn renew(&self, host: &mut Host, now: Reading) {
        let Some(lease) = &mut host.lease else { return };
        if let Renewal::Sent(_, at) | Renewal::Answered(_, at, _) = host.renewal
            && now.mono.since(at) >= self.policy.attempt_ms
        {
            host.renewal = Renewal::None;
            if self.policy.store_loss == StoreLoss::Failsafe {
                host.asked = Some((lease.send(now), [false, false]));
                return;
            }
        }
        if host.renewal == Renewal::None && lease.renewal_due(now) {
            host.renewal = Renewal::Sent(lease.send(now), now.mono);
        }
    }

    pub(super) fn answered(&self, host: &mut Host, now: Reading) {
        let Renewal::Answered(sent, _, accepted) = host.renewal else {
            return;
        };
        host.renewal = Renewal::None;
        let Some(lease) = &mut host.lease else { return };
        // Before anything else: an answer that waited while the process hung is as old as the hang.
        let unlooked = self.setup.has(Flaw::AnswerBeforeLook);
        if !unlooked {
            lease.look(now);
        }
        if !accepted {
            lease.depose();
            return;
        }
        let from_reply = self.setup.has(Flaw::LeaseFromReply);
        let attempt = if from_reply { lease.send(now) } else { sent };
        lease.accept(attempt, now);
        host.asked = None;
        if unlooked {
            self.guard(host, now);
        } else {
            self.heed(host, now);
        }
    }
}
