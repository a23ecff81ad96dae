//! An agent on its host: the real gate, the real record of its ledger, and what outlives its process.

use std::collections::{BTreeMap, BTreeSet};

use agent::gate::{
    GateState, Identity, Known, Modules, RunningCommand, SentHeartbeats, Verdict, admit,
};
use agent::ledger::Record;
use agent::vow::Vows;
use shared::clock::{Millis, Mono, UnixMillis};
use shared::id::{BootId, CommandId, NodeName, ProcessId, SiteName};
use shared::stack::Stack;
use shared::wire::{
    Action, ClusterSample, Command, Fitness, GlassSample, Heartbeat, PeerChannel, PeerOutcome,
    PeerSample, Report, ReportState, Unfit, WorkloadSample,
};
use uuid::Uuid;

use super::clock::Clock;
use super::database::{Database, Port};
use super::keeper::Keeper;

/// Commands that a ledger keeps.
const CAPACITY: usize = 24;

/// What became of a write to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrote {
    /// It is on the disk.
    Done,
    /// The disk is full: nothing changed.
    Full,
    /// The process died there.
    Died,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) site: SiteName,
    pub(super) node: NodeName,
    pub(super) clock: Clock,
    pub(super) up: bool,
    /// Counts its starts: what was meant for an earlier process finds nobody.
    pub(super) life: u64,
    pub(super) identity: Identity,
    boot: u128,
    started: Mono,
    sequence: u64,
    pub(super) sent: SentHeartbeats,
    /// What is on its disk; the process works with nothing else.
    pub(super) record: Record,
    pub(super) disk_full: bool,
    /// It dies at its next write: before it is on the disk, or after.
    pub(super) dies_at_write: Option<bool>,
    /// Its process stands still until then.
    pub(super) paused_until: u64,
    /// Its whole host does.
    pub(super) host_paused_until: u64,
    pub(super) slow_until: u64,
    pub(super) running: Option<RunningCommand>,
    pub(super) modules: Modules,
    pub(super) database: Option<Database>,
    pub(super) workloads: Option<BTreeMap<String, u32>>,
    pub(super) keeper: Keeper,
}

impl Worker {
    pub(super) fn furnish(
        stack: &Stack,
        site: SiteName,
        node: NodeName,
        clock: Clock,
        process: Uuid,
    ) -> Self {
        let live = stack.first_primary();
        let database = furnish_database(stack, &site, &node);
        let acts_on_cluster = stack.clusters.get(&site) == Some(&node);
        let workloads = acts_on_cluster.then(|| {
            let count = |replicas| if site == *live { replicas } else { 0 };
            stack
                .workloads
                .iter()
                .map(|w| (format!("{}/{}", w.namespace, w.object), count(w.replicas)))
                .collect()
        });
        let modules = Modules {
            database: database.as_ref().map(|database| database.name.clone()),
            pgdata: true,
            kubernetes: acts_on_cluster,
            hooks: stack
                .routes
                .iter()
                .map(|route| route.hook.clone())
                .chain(stack.fences.iter().map(|fence| fence.hook.clone()))
                .collect::<BTreeSet<_>>(),
        };
        let identity = Identity {
            stack: stack.name.clone(),
            site: site.clone(),
            node: node.clone(),
            process: ProcessId::new(process),
        };
        Self {
            started: clock.mono(0),
            record: Record::empty(&identity),
            site,
            node,
            clock,
            up: true,
            life: 1,
            identity,
            boot: 1,
            sequence: 0,
            sent: SentHeartbeats::default(),
            disk_full: false,
            dies_at_write: None,
            paused_until: 0,
            host_paused_until: 0,
            slow_until: 0,
            running: None,
            modules,
            database,
            workloads,
            keeper: Keeper::default(),
        }
    }

    /// Until when nothing of its process happens.
    pub(super) fn still_until(&self) -> u64 {
        self.paused_until.max(self.host_paused_until)
    }

    pub(super) fn speak(&mut self, time: u64, sees: &[(SiteName, bool)]) -> Heartbeat {
        let now = self.clock.mono(time);
        self.sequence += 1;
        self.sent.note(self.sequence, now);
        let looks = sees.iter().filter(|_| self.database.is_some());
        let late = time < self.slow_until;
        Heartbeat {
            process: self.identity.process,
            boot: BootId::new(Uuid::from_u128(self.boot)),
            sequence: self.sequence,
            sent_at: self.clock.wall(time),
            uptime_ms: now.since(self.started),
            loop_lag_ms: Millis(if late { 2_500 } else { 1 }),
            epoch: self.record.epoch(),
            fitness: if late {
                Fitness::Unfit(vec![Unfit::LoopLag])
            } else {
                Fitness::Fit
            },
            version: String::new(),
            foreign_server: None,
            host: None,
            database: self.database.as_ref().map(|database| database.sample(now)),
            cluster: self.workloads.as_ref().map(cluster_sample),
            peers: looks
                .map(|(site, answers)| PeerSample {
                    site: site.clone(),
                    channel: PeerChannel::Postgres,
                    outcome: if *answers {
                        PeerOutcome::Answered
                    } else {
                        PeerOutcome::Silent
                    },
                    answered_ms: answers.then_some(Millis(300)),
                })
                .collect(),
            running: self.running.as_ref().map(|running| running.id),
            lease: self.keeper.sample(self.clock.reading(time)),
            glass: self.glass_sample(),
        }
    }

    fn glass_sample(&self) -> Option<GlassSample> {
        let broken = self.record.glass()?;
        Some(GlassSample {
            plan_age_ms: Some(Millis::seconds(30)),
            broken: Some(Box::new(broken.sample())),
        })
    }

    /// True while it serves by an operator's word, which no ticket has taken over.
    pub(super) fn serves_by_word(&self) -> bool {
        self.record.glass().is_some_and(|broken| !broken.reconciled)
    }

    /// True for a primary of another site than the live one, of which nothing of its host keeps clients away.
    pub(super) fn is_unguarded(&self, live: &SiteName) -> bool {
        let primary = self.database.as_ref().is_some_and(|d| d.primary);
        primary && self.site != *live && !self.keeper.guards()
    }

    /// The real gate decides.
    pub(super) fn judge(&self, time: u64, command: &Command) -> Verdict {
        let known: Option<Known> = self.record.known(command.id);
        let state = GateState {
            identity: &self.identity,
            modules: &self.modules,
            sent: &self.sent,
            epoch: self.record.epoch(),
            term: self.record.term(),
            known: known.as_ref(),
            running: self.running.as_ref(),
            command_age_max: Millis(10_000),
            regressed: self
                .keeper
                .regressed
                .then_some("it shows less than was seen"),
            promised: self.keeper.vows.left(self.clock.mono(time)),
            automatic: self.keeper.stance,
        };
        admit(&state, command, self.clock.mono(time))
    }

    /// Writes the ledger.
    pub(super) fn write(&mut self, change: impl FnOnce(&mut Record)) -> Wrote {
        if self.disk_full {
            return Wrote::Full;
        }
        match self.dies_at_write.take() {
            Some(false) => Wrote::Died,
            Some(true) => {
                change(&mut self.record);
                Wrote::Died
            }
            None => {
                change(&mut self.record);
                Wrote::Done
            }
        }
    }

    /// The ledger holds a command and its epoch before anything is done.
    pub(super) fn begin(&mut self, time: u64, command: &Command) -> Wrote {
        let at = self.clock.wall(time);
        let wrote = self.write(|record| record.begin(command, at, CAPACITY));
        if wrote == Wrote::Done {
            let state = ReportState::Running {
                for_ms: Millis(0),
                progress: "begun".to_owned(),
            };
            self.running = Some(RunningCommand {
                id: command.id,
                state,
            });
            self.keeper.vows.promoting(command.action.needs_grant());
        }
        wrote
    }

    /// The outcome is on the disk before it is told; a disk that stays full does not keep it from being told.
    pub(super) fn end(&mut self, id: CommandId, outcome: &ReportState) -> Wrote {
        if self
            .running
            .as_ref()
            .is_some_and(|running| running.id == id)
        {
            self.running = None;
            self.keeper.vows.promoting(false);
        }
        self.write(|record| {
            if matches!(outcome, ReportState::Refused(_)) {
                record.forget(id);
            } else {
                record.finish(id, outcome.clone());
            }
        })
    }

    /// The process is gone; what it had in memory is forgotten.
    pub(super) fn crash(&mut self) {
        self.up = false;
        self.life += 1;
        self.running = None;
        self.dies_at_write = None;
        self.keeper.forget();
    }

    /// The host is without power.
    pub(super) fn lose_power(&mut self) {
        self.crash();
        self.boot += 1;
        if let Some(database) = &mut self.database {
            database.up = false;
            database.hangs = false;
            database.stop_ordered = false;
            database.recovers = false;
        }
    }

    /// A new process looks at what its ledger left open.
    pub(super) fn restart(&mut self, time: u64, process: Uuid) {
        self.up = true;
        self.identity.process = ProcessId::new(process);
        self.started = self.clock.mono(time);
        self.sequence = 0;
        self.sent = SentHeartbeats::default();
        self.keeper.vows = Vows::resume(self.record.promised(), self.started);
        let open: Vec<Command> = self.record.unfinished().cloned().collect();
        for command in open {
            let found = self.examine(&command.action);
            let _ = self.write(|record| record.finish(command.id, found));
        }
    }

    fn examine(&self, action: &Action) -> ReportState {
        let database = self.database.as_ref();
        let done = match action {
            Action::Promote { timeline, .. } => {
                database.is_some_and(|d| d.up && d.primary && d.timeline > timeline.0)
            }
            Action::Fence { .. } => database.is_some_and(|d| !d.up),
            Action::Check { .. }
            | Action::Follow { .. }
            | Action::Scale { .. }
            | Action::Hook { .. }
            | Action::Verify { .. } => false,
        };
        if done {
            ReportState::Done {
                took_ms: Millis(1),
                proof: Vec::new(),
            }
        } else {
            ReportState::Interrupted {
                found: "not done".to_owned(),
                repeatable: true,
            }
        }
    }

    pub(super) fn report(&self, time: u64, command: &Command, state: ReportState) -> Report {
        Report {
            command: command.id,
            run: command.run,
            step: command.step,
            process: self.identity.process,
            epoch: self.record.epoch(),
            sent_at: UnixMillis(self.clock.wall(time).0),
            state,
        }
    }

    /// True when a client could have a commit acknowledged here.
    pub(super) fn serves(&self, time: u64) -> bool {
        time >= self.host_paused_until
            && self
                .database
                .as_ref()
                .is_some_and(|database| database.serves(self.clock.mono(time)))
    }
}

fn furnish_database(stack: &Stack, site: &SiteName, node: &NodeName) -> Option<Database> {
    let live = stack.first_primary();
    let (database, _) = stack.member_of_node(node)?;
    let primary = database.members.iter().find(|member| member.site == *live);
    let follows = primary
        .filter(|_| site != live)
        .map(|m| (live.clone(), m.address_for(site).to_string()));
    Some(Database {
        name: database.name.clone(),
        up: true,
        primary: site == live,
        timeline: 1,
        lsn: 0x300_0000,
        acknowledged: 0,
        names_cleared: false,
        follows,
        message_at: None,
        receives: true,
        hangs: false,
        stop_ordered: false,
        recovers: false,
        port: Port::Open,
    })
}

fn cluster_sample(workloads: &BTreeMap<String, u32>) -> ClusterSample {
    ClusterSample {
        reachable: true,
        age_ms: Millis(50),
        workloads: workloads
            .iter()
            .map(|(object, count)| WorkloadSample {
                object: object.clone(),
                wanted: Some(*count),
                ready: *count,
            })
            .collect(),
    }
}
