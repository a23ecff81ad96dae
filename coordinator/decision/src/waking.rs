//! When the core wants to be woken for the detector's sake: what decides the moment of a verdict is found to
//! the millisecond, the tick of each second finds the rest.

use shared::clock::Mono;

use crate::core::Core;
use crate::output::WakeReason;
use crate::phase::Phase;

impl Core {
    pub(crate) fn detector_wake(&self) -> Option<(Mono, WakeReason)> {
        let (_, stack) = self.stack.as_ref()?;
        let policy = &stack.policy;
        let confirm = self
            .detector
            .quiet_since
            .map(|since| (since.after(policy.confirm_ms), WakeReason::Confirm));
        let window = self
            .automatic_due()
            .map(|due| (due, WakeReason::AutomaticWindow));
        let silence = self
            .clocks
            .newest
            .map(|at| (at.after(policy.silence_ms), WakeReason::Silence));
        let clear = self
            .detector
            .sighted_since
            .map(|since| (since.after(policy.clear_ms), WakeReason::Clear));
        let waits = [
            confirm,
            window,
            silence,
            clear.filter(|_| self.phase != Phase::Watching),
        ];
        let after = self.clocks.looked.unwrap_or_default();
        waits
            .into_iter()
            .flatten()
            .filter(|(at, _)| *at > after)
            .min()
    }
}
