//! Faults between the sites and in the store, and how they are mended.

use shared::id::SiteName;

use super::fault_kind::FaultKind;
use super::store::Content;
use super::world::{Event, FAULTY, World};

/// A fault that will be mended.
#[derive(Debug, Clone)]
pub(super) enum Mend {
    /// Nothing passed these ways.
    Ways(Vec<(SiteName, SiteName)>),
    /// These sites had no NATS server.
    Servers(Vec<SiteName>),
    /// The weather was bad.
    Weather(FaultKind),
    /// A site was without power.
    Power(SiteName),
    /// A host, its agent or its database was broken.
    Host(shared::id::NodeName),
}

impl World {
    pub(super) fn break_network(&mut self, kind: FaultKind, a: &SiteName, b: &SiteName, span: u64) {
        let others = |site: &SiteName| {
            let others = self.sites.iter().filter(|other| *other != site).cloned();
            others.collect::<Vec<_>>()
        };
        if matches!(kind, FaultKind::BusDown | FaultKind::BusGone) {
            let all = kind == FaultKind::BusGone;
            let sites = if all {
                self.sites.clone()
            } else {
                vec![a.clone()]
            };
            return self.stop_servers(kind, sites, span);
        }
        if matches!(
            kind,
            FaultKind::Loss | FaultKind::Delay | FaultKind::Doubling
        ) {
            return self.worsen_weather(kind, span);
        }
        let ways: Vec<(SiteName, SiteName)> = if kind == FaultKind::SiteCutOff {
            let live = self.live_site();
            others(&live)
                .into_iter()
                .flat_map(|other| [(live.clone(), other.clone()), (other, live.clone())])
                .collect()
        } else if kind == FaultKind::DeafOutside {
            others(a).into_iter().map(|o| (a.clone(), o)).collect()
        } else if a == b {
            return;
        } else if kind == FaultKind::LinkCut {
            vec![(a.clone(), b.clone()), (b.clone(), a.clone())]
        } else {
            vec![(a.clone(), b.clone())]
        };
        self.befall(kind, &a, span);
        for (from, to) in &ways {
            self.network.cut(from, to);
        }
        self.plan(span, Event::Mend(Mend::Ways(ways)));
    }

    fn stop_servers(&mut self, kind: FaultKind, sites: Vec<SiteName>, span: u64) {
        self.befall(kind, &"servers", span);
        for site in &sites {
            self.network.stop_server(site);
        }
        self.plan(span, Event::Mend(Mend::Servers(sites)));
    }

    fn worsen_weather(&mut self, kind: FaultKind, span: u64) {
        self.befall(kind, &"everywhere", span);
        if kind == FaultKind::Loss {
            self.network.loss = self.dice.between(1, 300);
        } else if kind == FaultKind::Delay {
            self.network.delay = self.dice.between(1, 4_000);
        } else {
            self.network.doubled = self.dice.between(1, 300);
        }
        self.plan(span, Event::Mend(Mend::Weather(kind)));
    }

    pub(super) fn break_store(&mut self, kind: FaultKind, span: u64) {
        if kind == FaultKind::StoreElection {
            let wait = self.dice.between(4_000, 9_000);
            self.befall(kind, &"store", wait);
            self.store.electing_until = self.time + wait;
        } else if kind == FaultKind::StaleReads {
            let span = span.min(10_000);
            self.befall(kind, &"store", span);
            self.store.stale = Some(Box::new(self.store.content()));
            self.store.stale_until = self.time + span;
        } else if kind == FaultKind::LostWrites {
            // What is written from here on is what will be lost.
            self.store.earlier = Some(Box::new(self.store.content()));
            self.plan(span, Event::LoseWrites);
        } else {
            self.befall(kind, &"store", 0);
            self.say("the store is made anew");
            self.store.replace(Content::default());
            self.checker.forget_store();
        }
    }

    /// The store shows what it held some time ago.
    pub(super) fn lose_writes(&mut self) {
        if let Some(earlier) = self.store.earlier.take()
            && self.time < FAULTY
        {
            self.befall(FaultKind::LostWrites, &"store", 0);
            self.store.replace(*earlier);
            self.checker.forget_store();
        }
    }

    pub(super) fn mend(&mut self, mend: &Mend) {
        self.say(format_args!("mended: {mend:?}"));
        match mend {
            Mend::Ways(ways) => {
                for (from, to) in ways {
                    self.network.mend(from, to);
                }
                self.note_reach();
            }
            Mend::Servers(sites) => {
                for site in sites {
                    self.network.start_server(site);
                }
            }
            Mend::Weather(kind) if *kind == FaultKind::Loss => self.network.loss = 0,
            Mend::Weather(kind) if *kind == FaultKind::Delay => self.network.delay = 0,
            Mend::Weather(..) => self.network.doubled = 0,
            Mend::Power(site) => self.lighten(site),
            Mend::Host(node) => self.mend_host(node),
        }
    }
}
