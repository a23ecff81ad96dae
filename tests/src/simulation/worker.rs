//! An agent: the real gate, a ledger that survives a crash, and actions that take time.

use std::collections::{BTreeMap, BTreeSet};

use agent::gate::{
    GateState, Identity, Known, Modules, RunningCommand, SentHeartbeats, Verdict, admit,
};
use shared::clock::{Millis, Mono, UnixMillis};
use shared::epoch::{Epoch, Term};
use shared::id::{BootId, CommandId, NodeName, ProcessId, SiteName, StackName};
use shared::stack::Stack;
use shared::wire::{
    Action, ClusterSample, Command, Fitness, Heartbeat, PeerChannel, PeerOutcome, PeerSample,
    Report, ReportState, WorkloadSample,
};
use uuid::Uuid;

use super::database::Database;
use super::seat::Clock;

/// What the ledger holds of a command.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) command: Command,
    pub(super) outcome: Option<ReportState>,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) stack: StackName,
    pub(super) site: SiteName,
    pub(super) node: NodeName,
    pub(super) clock: Clock,
    pub(super) up: bool,
    /// Counts its starts: what was meant for an earlier process finds nobody.
    pub(super) life: u64,
    pub(super) process: Uuid,
    pub(super) started: Mono,
    pub(super) sequence: u64,
    pub(super) sent: SentHeartbeats,
    pub(super) epoch: Epoch,
    pub(super) term: Term,
    pub(super) entries: BTreeMap<CommandId, Entry>,
    pub(super) running: Option<RunningCommand>,
    pub(super) modules: Modules,
    pub(super) database: Option<Database>,
    pub(super) workloads: Option<BTreeMap<String, u32>>,
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
        let database = stack.member_of_node(&node).map(|(database, _)| {
            let primary = database.members.iter().find(|member| member.site == *live);
            let follows = primary
                .filter(|_| site != *live)
                .map(|m| (live.clone(), m.address_for(&site).to_string()));
            Database {
                name: database.name.clone(),
                up: true,
                primary: site == *live,
                timeline: 1,
                lsn: 0x300_0000,
                follows,
                message_at: None,
                promotions: 0,
            }
        });
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
                .collect::<BTreeSet<_>>(),
        };
        Self {
            stack: stack.name.clone(),
            site,
            node,
            clock,
            up: true,
            life: 1,
            process,
            started: Mono(0),
            sequence: 0,
            sent: SentHeartbeats::default(),
            epoch: Epoch(0),
            term: Term(0),
            entries: BTreeMap::new(),
            running: None,
            modules,
            database,
            workloads,
        }
    }

    pub(super) fn speak(&mut self, time: u64, sees: &[(SiteName, bool)]) -> Heartbeat {
        let now = self.clock.mono(time);
        self.sequence += 1;
        self.sent.note(self.sequence, now);
        let looks = sees.iter().filter(|_| self.database.is_some());
        Heartbeat {
            process: ProcessId::new(self.process),
            boot: BootId::new(Uuid::from_u128(1)),
            sequence: self.sequence,
            sent_at: self.clock.wall(time),
            uptime_ms: now.since(self.started),
            loop_lag_ms: Millis(1),
            epoch: self.epoch,
            fitness: Fitness::Fit,
            version: "0.1.0".to_owned(),
            foreign_server: None,
            host: None,
            database: self.database.as_ref().map(|database| database.sample(now)),
            cluster: self.workloads.as_ref().map(|workloads| ClusterSample {
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
            }),
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
            lease: None,
        }
    }

    /// The real gate decides.
    pub(super) fn judge(&self, time: u64, command: &Command) -> Verdict {
        let known = self.entries.get(&command.id).map(|entry| Known {
            digest: entry.command.digest.clone(),
            outcome: entry.outcome.clone(),
        });
        let identity = Identity {
            stack: self.stack.clone(),
            site: self.site.clone(),
            node: self.node.clone(),
            process: ProcessId::new(self.process),
        };
        let state = GateState {
            identity: &identity,
            modules: &self.modules,
            sent: &self.sent,
            epoch: self.epoch,
            term: self.term,
            known: known.as_ref(),
            running: self.running.as_ref(),
            command_age_max: Millis(10_000),
        };
        admit(&state, command, self.clock.mono(time))
    }

    /// The ledger holds a command and its epoch before anything is done.
    pub(super) fn begin(&mut self, command: &Command) {
        if command.action.changes() {
            if command.epoch > self.epoch {
                self.epoch = command.epoch;
                self.term = command.term;
            }
            self.term = self.term.max(command.term);
        }
        self.entries.insert(
            command.id,
            Entry {
                command: command.clone(),
                outcome: None,
            },
        );
        let state = ReportState::Running {
            for_ms: Millis(0),
            progress: "begun".to_owned(),
        };
        self.running = Some(RunningCommand {
            id: command.id,
            state,
        });
    }

    pub(super) fn end(&mut self, id: CommandId, outcome: &ReportState) {
        if self
            .running
            .as_ref()
            .is_some_and(|running| running.id == id)
        {
            self.running = None;
        }
        if matches!(outcome, ReportState::Refused(_)) {
            self.entries.remove(&id);
        } else if let Some(entry) = self.entries.get_mut(&id) {
            entry.outcome = Some(outcome.clone());
        }
    }

    /// The process is gone: what was not on the disk is forgotten.
    pub(super) fn crash(&mut self) {
        self.up = false;
        self.life += 1;
        self.running = None;
        self.entries
            .retain(|_, entry| entry.command.action.changes());
    }

    /// A new process looks at what its ledger left open.
    pub(super) fn restart(&mut self, time: u64, process: Uuid) {
        self.up = true;
        self.process = process;
        self.started = self.clock.mono(time);
        self.sequence = 0;
        self.sent = SentHeartbeats::default();
        let database = self.database.clone();
        for entry in self
            .entries
            .values_mut()
            .filter(|entry| entry.outcome.is_none())
        {
            let done = match &entry.command.action {
                Action::Promote { timeline, .. } => database
                    .as_ref()
                    .is_some_and(|d| d.writes() && d.timeline > timeline.0),
                Action::Fence { .. } => database.as_ref().is_some_and(|d| !d.up),
                Action::Check { .. }
                | Action::Follow { .. }
                | Action::Scale { .. }
                | Action::Hook { .. }
                | Action::Verify { .. } => false,
            };
            entry.outcome = Some(if done {
                ReportState::Done {
                    took_ms: Millis(1),
                    proof: Vec::new(),
                }
            } else {
                ReportState::Interrupted {
                    found: "not done".to_owned(),
                    repeatable: true,
                }
            });
        }
    }

    pub(super) fn report(&self, time: u64, command: &Command, state: ReportState) -> Report {
        Report {
            command: command.id,
            run: command.run,
            step: command.step,
            process: ProcessId::new(self.process),
            epoch: self.epoch,
            sent_at: UnixMillis(self.clock.wall(time).0),
            state,
        }
    }
}
