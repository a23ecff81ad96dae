//! What arrives where: links, one-way cuts, NATS servers, loss, delay and doubling.

use std::collections::{BTreeMap, BTreeSet};

use shared::id::SiteName;

use super::dice::Dice;

/// The network between the sites.
#[derive(Debug, Default)]
pub(super) struct Network {
    /// Sites to which nothing passes from the first one, and how many faults say so.
    cuts: BTreeMap<SiteName, BTreeMap<SiteName, u32>>,
    /// Sites that are without power.
    pub(super) dark: BTreeSet<SiteName>,
    /// Sites without a NATS server, and how many faults say so.
    off_bus: BTreeMap<SiteName, u32>,
    /// Messages lost, in thousandths.
    pub(super) loss: u64,
    /// Longest delay of a message that is delayed, in milliseconds.
    pub(super) delay: u64,
    /// Messages doubled, in thousandths.
    pub(super) doubled: u64,
}

/// The delays with which a message arrives: none, one or two.
pub(super) type Arrivals = std::iter::Flatten<std::array::IntoIter<Option<u64>, 2>>;

impl Network {
    fn is_cut(&self, from: &SiteName, to: &SiteName) -> bool {
        self.cuts
            .get(from)
            .and_then(|ways| ways.get(to))
            .is_some_and(|count| *count > 0)
    }

    /// True when a packet passes.
    pub(super) fn passes(&self, from: &SiteName, to: &SiteName) -> bool {
        !self.dark.contains(from)
            && !self.dark.contains(to)
            && (from == to || !self.is_cut(from, to))
    }

    /// True when a connection stands: both directions.
    pub(super) fn connects(&self, a: &SiteName, b: &SiteName) -> bool {
        self.passes(a, b) && self.passes(b, a)
    }

    /// True for a site without a NATS server.
    pub(super) fn is_off_bus(&self, site: &SiteName) -> bool {
        self.off_bus.get(site).is_some_and(|count| *count > 0)
    }

    /// True when the bus carries a message: NATS routes forward one hop.
    pub(super) fn carries(&self, from: &SiteName, to: &SiteName) -> bool {
        self.passes(from, to) && !self.is_off_bus(from) && !self.is_off_bus(to)
    }

    /// The delays with which a message arrives: none, one or two.
    pub(super) fn arrivals(&self, dice: &mut Dice, from: &SiteName, to: &SiteName) -> Arrivals {
        let mut delays = [None, None];
        if self.carries(from, to) && !(self.loss > 0 && dice.permille(self.loss)) {
            delays[0] = Some(self.latency(dice));
            if self.doubled > 0 && dice.permille(self.doubled) {
                delays[1] = Some(self.latency(dice));
            }
        }
        delays.into_iter().flatten()
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
        *self
            .cuts
            .entry(from.clone())
            .or_default()
            .entry(to.clone())
            .or_insert(0) += 1;
    }

    pub(super) fn mend(&mut self, from: &SiteName, to: &SiteName) {
        if let Some(count) = self.cuts.get_mut(from).and_then(|ways| ways.get_mut(to)) {
            *count = count.saturating_sub(1);
        }
    }

    pub(super) fn stop_server(&mut self, site: &SiteName) {
        *self.off_bus.entry(site.clone()).or_insert(0) += 1;
    }

    pub(super) fn start_server(&mut self, site: &SiteName) {
        if let Some(count) = self.off_bus.get_mut(site) {
            *count = count.saturating_sub(1);
        }
    }

    /// Everything is whole, but for sites without power.
    pub(super) fn heal(&mut self) {
        self.cuts.clear();
        self.off_bus.clear();
        (self.loss, self.delay, self.doubled) = (0, 0, 0);
    }
}
