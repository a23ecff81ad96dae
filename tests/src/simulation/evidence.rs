//! What a leader can have known when it raised a proposal: kept beside the product, from what really arrived.

use shared::epoch::StackVersion;
use shared::id::SiteName;
use shared::stack::Mode;

use super::fault_kind::FaultKind;
use super::world::World;

/// Arrival times are known to the core within this: latency, drift, the rounding of ages.
pub(super) const SLACK: u64 = 150;

/// The newest sending of a live message, for each knowing, observing and observed site.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    known: [[[u64; 3]; 3]; 3],
    /// When each coordinator's newest observation arrived at another, and which stack it named.
    words: [[(u64, Option<StackVersion>); 3]; 3],
}

impl Evidence {
    /// A coordinator has handled a message that `from` sent at `sent`.
    pub(super) fn hear(&mut self, at: usize, from: usize, sent: u64) {
        let known = &mut self.known[at][at][from];
        *known = (*known).max(sent);
    }

    /// What a coordinator knows of itself: it tells it with its observation.
    pub(super) const fn told_by(&self, site: usize) -> [u64; 3] {
        self.known[site][site]
    }

    /// A coordinator has handled another's observation.
    pub(super) fn learn(&mut self, at: usize, from: usize, told: [u64; 3], sent: u64) {
        for (known, told) in self.known[at][from].iter_mut().zip(told) {
            *known = (*known).max(told);
        }
        self.hear(at, from, sent);
    }

    /// A coordinator has just handled another's newest word of the stack in force.
    pub(super) const fn note_version(
        &mut self,
        at: usize,
        from: usize,
        now: u64,
        version: Option<StackVersion>,
    ) {
        self.words[at][from] = (now, version);
    }

    /// When another coordinator was last heard, and which stack it named.
    pub(super) const fn word_of(&self, at: usize, from: usize) -> (u64, Option<StackVersion>) {
        self.words[at][from]
    }

    /// A coordinator starts anew and knows nothing.
    pub(super) const fn forget(&mut self, site: usize) {
        self.known[site] = [[0; 3]; 3];
        self.words[site] = [(0, None); 3];
    }
}

impl World {
    pub(super) fn index_of(&self, site: &SiteName) -> usize {
        let found = self.sites.iter().position(|other| other == site);
        found.unwrap_or_default()
    }

    /// I10, I11, I21: a proposal is borne by an uninterrupted silence, and not by one small fault.
    pub(super) fn check_proposal(&mut self, leader: &SiteName) {
        let (time, live) = (self.time, self.live_site());
        let policy = match self.seats[leader].core.stack() {
            Some((_, stack)) => stack.policy.clone(),
            None => return,
        };
        if matches!(policy.mode, Mode::Shadow | Mode::Observe) {
            let sentence = format!("I13: {leader} proposed in mode {:?}", policy.mode);
            self.checker.violate(time, sentence);
        }
        let borne = policy.silence_ms.0 + policy.confirm_ms.0;
        let newest = self.newest_sign(leader);
        let held = self.clocks_hold() && !self.store_failed();
        if held && newest + borne > time + SLACK {
            let sentence = format!(
                "I10: {leader} proposed {} ms after it learnt of a life sign of {live}",
                time.saturating_sub(newest)
            );
            self.checker.violate(time, sentence);
        }
        self.check_cause(time.saturating_sub(borne + 3_000));
    }

    /// When the newest life sign of the live site was sent that a coordinator can know of.
    pub(super) fn newest_sign(&self, leader: &SiteName) -> u64 {
        let (at, of) = (self.index_of(leader), self.index_of(&self.live_site()));
        let newest = self.evidence.known[at].iter().map(|seen| seen[of]).max();
        newest.unwrap_or_default()
    }

    /// I21: one link, host, server, observer or clock that is at fault never causes a proposal.
    fn check_cause(&mut self, since: u64) {
        let recent: Vec<FaultKind> = self
            .instances
            .iter()
            .filter(|instance| instance.until + 6_000 >= since)
            .map(|instance| instance.kind)
            .collect();
        let small = |kind: FaultKind| {
            !matches!(
                kind,
                FaultKind::LiveSiteDark
                    | FaultKind::SiteDark
                    | FaultKind::SiteCutOff
                    | FaultKind::DeafOutside
                    | FaultKind::Loss
                    | FaultKind::Delay
                    | FaultKind::LostWrites
                    | FaultKind::StoreRemade
            )
        };
        let fencing = !matches!(
            self.stack.policy.lease.self_fence,
            shared::stack::SelfFence::Off
        );
        let bus = |kind| matches!(kind, FaultKind::BusDown | FaultKind::BusGone);
        let off = !self.network.dark.is_empty() || !self.operator.off.is_empty();
        let dark = off || self.lit_at >= since;
        let alone = match recent.as_slice() {
            [] => Some("nothing"),
            [kind] if small(*kind) && !(fencing && bus(*kind)) => Some(kind.word()),
            _ => None,
        };
        if let Some(word) = alone.filter(|_| !dark) {
            let sentence = format!("I21: a proposal out of {word}");
            self.checker.violate(self.time, sentence);
        }
    }

    /// I14: who hears an agent that obeyed a higher epoch than the store shows tells no proposal.
    pub(super) fn check_regression(&mut self, leader: &SiteName) {
        let shown = self.store.ticket.value.as_ref();
        let shown = shown.map(|ticket| ticket.epoch).unwrap_or_default();
        let seat = &self.seats[leader];
        let ahead = seat
            .heard
            .iter()
            .find(|(_, (sent, epoch))| *epoch > shown && *sent + 2_000 > self.time);
        if let Some((node, _)) = ahead {
            let sentence =
                format!("I14: {leader} proposed, and heard that {node} has obeyed a later epoch");
            self.checker.violate(self.time, sentence);
        }
    }
}
