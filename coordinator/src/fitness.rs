//! Whether this coordinator may be counted as an observer: deafness must not be taken for silence.
//!
//! It judges its own ears only. What it hears of others is the core's.

use std::collections::VecDeque;

use shared::clock::{Millis, Mono};
use shared::wire::{Fitness, Unfit};

/// Age at which the newest heard canary is too old: two may be lost.
const CANARY_AGE_MAX: Millis = Millis(2_800);
/// A loop later than this was stopped, or its host is overloaded.
pub const LOOP_LATE: Millis = Millis::seconds(1);
/// How long a late loop or a lost message counts: what was heard in it may be old.
const REMEMBERED: Millis = Millis::seconds(5);
/// A process this young knows nothing yet.
const YOUNG: Millis = Millis::seconds(3);
/// Canaries on their way that are remembered.
const CANARIES_MAX: usize = 16;

/// What is known of the own ears.
#[derive(Debug)]
pub struct Ledger {
    started: Mono,
    on_their_way: VecDeque<(u64, Mono)>,
    /// When the newest canary that came back was sent.
    echoed: Option<Mono>,
    drops: u64,
    dropped_at: Option<Mono>,
    late_at: Option<Mono>,
}

impl Ledger {
    /// Begins with the process.
    pub const fn new(now: Mono) -> Self {
        Self {
            started: now,
            on_their_way: VecDeque::new(),
            echoed: None,
            drops: 0,
            dropped_at: None,
            late_at: None,
        }
    }

    /// A canary was sent.
    pub fn sent(&mut self, sequence: u64, now: Mono) {
        if self.on_their_way.len() == CANARIES_MAX {
            self.on_their_way.pop_front();
        }
        self.on_their_way.push_back((sequence, now));
    }

    /// A canary came back through the own subscription. Its age counts from its sending, so that a
    /// subscription that lags behind does not pass for a good one.
    pub fn heard(&mut self, sequence: u64) {
        while let Some((sent, at)) = self.on_their_way.front().copied() {
            if sent > sequence {
                return;
            }
            self.on_their_way.pop_front();
            if sent == sequence {
                self.echoed = self.echoed.max(Some(at));
            }
        }
    }

    /// The loop came round `late` after it should have.
    pub fn looped(&mut self, now: Mono, late: Millis) {
        if late > LOOP_LATE {
            self.late_at = Some(now);
        }
    }

    /// The judgement.
    pub fn judge(&mut self, now: Mono, connected: bool, drops: u64) -> Fitness {
        if drops > self.drops {
            self.drops = drops;
            self.dropped_at = Some(now);
        }
        let recent = |at: Option<Mono>| at.is_some_and(|at| now.since(at) < REMEMBERED);
        let heard = self
            .echoed
            .is_some_and(|at| now.since(at) <= CANARY_AGE_MAX);
        let reasons = [
            (now.since(self.started) < YOUNG, Unfit::JustStarted),
            (!connected, Unfit::NotConnected),
            (connected && !heard, Unfit::NoCanary),
            (recent(self.dropped_at), Unfit::SlowConsumer),
            (recent(self.late_at), Unfit::LoopLag),
        ];
        let found: Vec<Unfit> = reasons
            .into_iter()
            .filter(|(holds, _)| *holds)
            .map(|(_, why)| why)
            .collect();
        if found.is_empty() {
            Fitness::Fit
        } else {
            Fitness::Unfit(found)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy(now: u64) -> Ledger {
        let mut ledger = Ledger::new(Mono(0));
        ledger.sent(1, Mono(now));
        ledger.heard(1);
        ledger
    }

    #[test]
    fn each_reason_is_found_and_passes() {
        let at = 10_000;
        assert_eq!(healthy(at).judge(Mono(at), true, 0), Fitness::Fit);
        assert_eq!(
            healthy(at).judge(Mono(at), false, 0),
            Fitness::Unfit(vec![Unfit::NotConnected])
        );
        assert_eq!(
            healthy(at).judge(Mono(at + 2_801), true, 0),
            Fitness::Unfit(vec![Unfit::NoCanary])
        );
        assert_eq!(
            healthy(at).judge(Mono(at), true, 3),
            Fitness::Unfit(vec![Unfit::SlowConsumer])
        );
        assert_eq!(
            healthy(500).judge(Mono(600), true, 0),
            Fitness::Unfit(vec![Unfit::JustStarted])
        );
        let mut late = healthy(at);
        late.looped(Mono(at), Millis(1_001));
        assert_eq!(
            late.judge(Mono(at), true, 0),
            Fitness::Unfit(vec![Unfit::LoopLag])
        );
        late.sent(2, Mono(at + 5_000));
        late.heard(2);
        assert_eq!(late.judge(Mono(at + 5_000), true, 0), Fitness::Fit);
    }

    #[test]
    fn a_lagging_subscription_is_deaf_although_canaries_come_back() {
        let mut ledger = Ledger::new(Mono(0));
        ledger.sent(1, Mono(5_000));
        ledger.sent(2, Mono(6_000));
        ledger.heard(1);
        assert_eq!(
            ledger.judge(Mono(9_000), true, 0),
            Fitness::Unfit(vec![Unfit::NoCanary])
        );
        ledger.heard(7);
        assert_eq!(
            ledger.judge(Mono(8_900), true, 0),
            Fitness::Unfit(vec![Unfit::NoCanary]),
            "7 was never sent"
        );
    }
}
