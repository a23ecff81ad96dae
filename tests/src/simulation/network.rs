//! What arrives where: links, one-way cuts, NATS servers, loss, delay and doubling.

use std::collections::{BTreeMap, BTreeSet};

use shared::id::SiteName;

use super::dice::Dice;

/// The network between the sites.
#[derive(Debug, Default)]
pub(super) struct Network {
    /// Pairs between which nothing passes in this direction, and how many faults say so.
    pub(super) cuts: BTreeMap<(SiteName, SiteName), u32>,
    /// Sites that are without power.
    pub(super) dark: BTreeSet<SiteName>,
    /// Sites without a NATS server.
    pub(super) off_bus: BTreeSet<SiteName>,
    /// Messages lost, in thousandths.
    pub(super) loss: u64,
    /// Longest delay of a message that is delayed, in milliseconds.
    pub(super) delay: u64,
    /// Messages doubled, in thousandths.
    pub(super) doubled: u64,
}

impl Network {
    /// True when a packet passes.
    pub(super) fn passes(&self, from: &SiteName, to: &SiteName) -> bool {
        let cut = self
            .cuts
            .get(&(from.clone(), to.clone()))
            .is_some_and(|count| *count > 0);
        !self.dark.contains(from) && !self.dark.contains(to) && (from == to || !cut)
    }

    /// True when a connection stands: both directions.
    pub(super) fn connects(&self, a: &SiteName, b: &SiteName) -> bool {
        self.passes(a, b) && self.passes(b, a)
    }

    /// True when the bus carries a message: NATS routes forward one hop.
    pub(super) fn carries(&self, from: &SiteName, to: &SiteName) -> bool {
        self.passes(from, to) && !self.off_bus.contains(from) && !self.off_bus.contains(to)
    }

    /// The delays with which a message arrives: none, one or two.
    pub(super) fn arrivals(&self, dice: &mut Dice, from: &SiteName, to: &SiteName) -> Vec<u64> {
        if !self.carries(from, to) || dice.permille(self.loss) {
            return Vec::new();
        }
        let mut delays = vec![self.latency(dice)];
        if dice.permille(self.doubled) {
            delays.push(self.latency(dice));
        }
        delays
    }

    fn latency(&self, dice: &mut Dice) -> u64 {
        let usual = dice.between(1, 40);
        if self.delay > 0 && dice.permille(200) {
            usual + dice.between(0, self.delay)
        } else {
            usual
        }
    }

    pub(super) fn cut(&mut self, from: &SiteName, to: &SiteName) {
        *self.cuts.entry((from.clone(), to.clone())).or_insert(0) += 1;
    }

    pub(super) fn mend(&mut self, from: &SiteName, to: &SiteName) {
        if let Some(count) = self.cuts.get_mut(&(from.clone(), to.clone())) {
            *count = count.saturating_sub(1);
        }
    }
}
