//! What the agent says of itself once a second.
//!
//! A heartbeat is about this moment: what cannot be sent now is dropped, never queued. Ages are counted here,
//! when it is made.

use shared::clock::{Millis, Mono};
use shared::epoch::Epoch;
use shared::id::{BootId, CommandId, ProcessId};
use shared::wire::{
    ClusterSample, DatabaseSample, Fitness, GlassSample, Heartbeat, LeaseSample, PeerSample, Unfit,
};

use crate::clock;
use crate::gate::SentHeartbeats;
use crate::probe::{DatabaseReading, PeerReading, Reading, Readings};

/// An agent that has run for less knows too little to be an observer.
const JUST_STARTED: Millis = Millis::seconds(3);
/// A loop that was later than this may have been paused.
const LAG_MAX: Millis = Millis::seconds(1);
/// For so long after a late loop the agent is no observer: its probes ran late as well.
const LAG_REMEMBERED: Millis = Millis::seconds(3);

/// Counts heartbeats and judges the own loop.
#[derive(Debug)]
pub(crate) struct Pulse {
    process: ProcessId,
    boot: BootId,
    begun: Mono,
    sequence: u64,
    worst_lag: Millis,
    late_at: Option<Mono>,
    sent: SentHeartbeats,
}

/// What only the loop knows at the moment of sending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Moment {
    pub(crate) epoch: Epoch,
    pub(crate) connected: bool,
    pub(crate) foreign_server: Option<String>,
    pub(crate) running: Option<CommandId>,
    /// Its lease, when it keeps one.
    pub(crate) lease: Option<LeaseSample>,
    /// How it stands to break glass, when its file allows that.
    pub(crate) glass: Option<GlassSample>,
}

impl Pulse {
    pub(crate) fn new(process: ProcessId, boot: BootId) -> Self {
        Self {
            process,
            boot,
            begun: clock::mono(),
            sequence: 0,
            worst_lag: Millis(0),
            late_at: None,
            sent: SentHeartbeats::default(),
        }
    }

    /// Notes how late the loop came.
    pub(crate) fn note_lag(&mut self, lag: Millis, now: Mono) {
        self.worst_lag = self.worst_lag.max(lag);
        if lag > LAG_MAX {
            self.late_at = Some(now);
        }
    }

    /// The next heartbeat. It counts as sent only by [`Pulse::note_sent`].
    pub(crate) fn next(&mut self, readings: &Readings, moment: Moment, now: Mono) -> Heartbeat {
        self.sequence += 1;
        let fitness = self.fitness(moment.connected, now);
        Heartbeat {
            process: self.process,
            boot: self.boot,
            sequence: self.sequence,
            sent_at: clock::wall(),
            uptime_ms: now.since(self.begun),
            loop_lag_ms: std::mem::take(&mut self.worst_lag),
            epoch: moment.epoch,
            fitness,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            foreign_server: moment.foreign_server,
            host: readings
                .host
                .as_ref()
                .and_then(|host| host.borrow().as_ref().map(|r| r.value.clone())),
            database: readings
                .database
                .as_ref()
                .and_then(|r| r.borrow().as_ref().map(|r| database(r, now))),
            cluster: readings
                .cluster
                .as_ref()
                .and_then(|r| r.borrow().as_ref().map(|r| cluster(r, now))),
            peers: readings
                .peers
                .iter()
                .filter_map(|r| r.borrow().as_ref().map(|r| peer(r, now)))
                .collect(),
            running: moment.running,
            lease: moment.lease,
            glass: moment.glass,
        }
    }

    /// Remembers that the newest heartbeat left: commands answer to it.
    pub(crate) fn note_sent(&mut self, at: Mono) {
        self.sent.note(self.sequence, at);
    }

    /// When which heartbeat was sent.
    pub(crate) fn sent(&self) -> &SentHeartbeats {
        &self.sent
    }

    fn fitness(&self, connected: bool, now: Mono) -> Fitness {
        let mut unfit = Vec::new();
        if now.since(self.begun) < JUST_STARTED {
            unfit.push(Unfit::JustStarted);
        }
        if self
            .late_at
            .is_some_and(|at| now.since(at) < LAG_REMEMBERED)
        {
            unfit.push(Unfit::LoopLag);
        }
        if !connected {
            unfit.push(Unfit::NotConnected);
        }
        if unfit.is_empty() {
            Fitness::Fit
        } else {
            Fitness::Unfit(unfit)
        }
    }
}

fn database(reading: &Reading<DatabaseReading>, now: Mono) -> DatabaseSample {
    let age = now.since(reading.at);
    let older = |span: Option<Millis>| span.map(|span| Millis(span.0.saturating_add(age.0)));
    let mut sample = reading.value.sample.clone();
    sample.age_ms = age;
    sample.lag_ms = older(sample.lag_ms);
    if let Some(receiver) = &mut sample.receiver {
        receiver.message_age_ms = older(receiver.message_age_ms);
    }
    sample
}

fn cluster(reading: &Reading<ClusterSample>, now: Mono) -> ClusterSample {
    ClusterSample {
        age_ms: now.since(reading.at),
        ..reading.value.clone()
    }
}

fn peer(reading: &Reading<PeerReading>, now: Mono) -> PeerSample {
    PeerSample {
        site: reading.value.site.clone(),
        channel: reading.value.channel,
        outcome: reading.value.outcome,
        answered_ms: reading.value.answered.map(|at| now.since(at)),
    }
}

/// This boot of the host, as the kernel names it.
pub(crate) fn boot_id() -> Option<BootId> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .ok()?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests;
