//! What becomes of commands: agents take them, work, and report; faults are those that a test orders.

use decision::{Input, Unanswered};
use shared::clock::{Millis, Mono, UnixMillis};
use shared::epoch::Epoch;
use shared::id::{CommandId, NodeName, ProcessId, SiteName};
use shared::refusal::Refusal;
use shared::wire::{Action, Command, DatabaseRole, DatabaseState, ProofLine, Report, ReportState};
use uuid::Uuid;

use super::World;

/// What goes wrong with the next command of a kind.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// The step kind.
    pub(crate) kind: String,
    /// What happens.
    pub(crate) what: What,
}

/// What happens to a command.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// It fails, and nothing was done.
    Fails(String),
    /// It is taken, and nothing is ever heard of it.
    Hangs,
    /// It is refused.
    Refused(Refusal),
}

/// Something that will happen.
pub(super) enum Due {
    /// An agent has done its work.
    Work { at: Mono, command: Box<Command> },
    /// A word of an agent arrives.
    Word {
        at: Mono,
        node: NodeName,
        report: Report,
    },
    /// A request gets no answer.
    NoAnswer {
        at: Mono,
        to: SiteName,
        command: CommandId,
        cause: Unanswered,
    },
}

impl Due {
    pub(super) fn at(&self) -> Mono {
        match self {
            Self::Work { at, .. } | Self::Word { at, .. } | Self::NoAnswer { at, .. } => *at,
        }
    }
}

/// A word on a command that its agent never said.
pub(crate) fn report_on(command: &Command, state: ReportState) -> Report {
    Report {
        command: command.id,
        run: command.run,
        step: command.step,
        process: ProcessId::new(Uuid::from_u128(6)),
        epoch: Epoch(2),
        sent_at: UnixMillis(5),
        state,
    }
}

impl World {
    #[expect(
        clippy::too_many_lines,
        reason = "the ways of one command, in their order"
    )]
    pub(super) fn send(&mut self, leader: &SiteName, command: Command) {
        let at = self.now.after(Millis(100));
        let id = command.id;
        let heard = self.carries(leader, &command.site) && self.carries(&command.site, leader);
        let no_answer = |cause, at| Due::NoAnswer {
            at,
            to: leader.clone(),
            command: id,
            cause,
        };
        let Some(agent) = self.agents.get_mut(&command.node) else {
            return;
        };
        if !agent.alive || !heard {
            let (cause, wait) = if heard {
                (Unanswered::NoResponder, 10)
            } else {
                (Unanswered::TimedOut, 2_000)
            };
            self.due
                .push(no_answer(cause, self.now.after(Millis(wait))));
            return;
        }
        if let Some(known) = agent.ledger.get(&id) {
            let running = ReportState::Running {
                for_ms: Millis(0),
                progress: "at work".to_owned(),
            };
            let state = known.clone().unwrap_or(running);
            self.word(at, &command, state);
            return;
        }
        let kind = command.action.kind();
        let fault = self
            .faults
            .iter()
            .position(|fault| fault.kind == kind)
            .map(|index| self.faults.remove(index));
        if let Some(What::Refused(refusal)) = fault.as_ref().map(|fault| &fault.what) {
            let refused = ReportState::Refused(refusal.clone());
            self.word(at, &command, refused);
            return;
        }
        let Some(agent) = self.agents.get_mut(&command.node) else {
            return;
        };
        if command.action.changes() {
            agent.epoch = agent.epoch.max(command.epoch);
        }
        agent.ledger.insert(id, None);
        let running = ReportState::Running {
            for_ms: Millis(0),
            progress: "begun".to_owned(),
        };
        self.word(at, &command, running);
        match fault.map(|fault| fault.what) {
            Some(What::Hangs | What::Refused(_)) => {}
            Some(What::Fails(reason)) => {
                let state = ReportState::Failed {
                    took_ms: Millis(700),
                    reason,
                    pending: false,
                };
                if let Some(agent) = self.agents.get_mut(&command.node) {
                    agent.ledger.insert(id, Some(state.clone()));
                }
                self.word(self.now.after(Millis(700)), &command, state);
            }
            None => {
                let at = self.now.after(duration(&command.action));
                self.due.push(Due::Work {
                    at,
                    command: Box::new(command),
                });
            }
        }
    }

    fn word(&mut self, at: Mono, command: &Command, state: ReportState) {
        let agent = &self.agents[&command.node];
        let report = Report {
            command: command.id,
            run: command.run,
            step: command.step,
            process: ProcessId::new(Uuid::from_u128(agent.process)),
            epoch: agent.epoch,
            sent_at: self.instant().wall,
            state,
        };
        if self.twice {
            let (node, report) = (command.node.clone(), report.clone());
            self.due.push(Due::Word {
                at: at.after(Millis(900)),
                node,
                report,
            });
        }
        self.due.push(Due::Word {
            at,
            node: command.node.clone(),
            report,
        });
    }

    /// Does what is due.
    pub(super) fn labour(&mut self) {
        while let Some(index) = self.due.iter().position(|due| due.at() <= self.now) {
            match self.due.remove(index) {
                Due::Work { command, .. } => self.work(&command),
                Due::Word { node, report, .. } => self.deliver(&node, &report),
                Due::NoAnswer {
                    to, command, cause, ..
                } => self.tell(&to, Input::Unanswered { command, cause }),
            }
        }
    }

    fn deliver(&mut self, node: &NodeName, report: &Report) {
        let site = self.agents[node].site.clone();
        for to in self.cores.keys().cloned().collect::<Vec<_>>() {
            if self.runs(&to) && self.carries(&site, &to) {
                let (site, node, report) = (site.clone(), node.clone(), report.clone());
                self.tell(&to, Input::Reported { site, node, report });
            }
        }
    }

    fn work(&mut self, command: &Command) {
        let Some(agent) = self.agents.get_mut(&command.node) else {
            return;
        };
        if !agent.alive || self.gone.contains(&agent.site) {
            return;
        }
        let proof = match &command.action {
            Action::Promote { .. } => promote(agent),
            Action::Fence { .. } => {
                if let Some(database) = &mut agent.database {
                    database.state = DatabaseState::Down;
                }
                ("processes in PGDATA", "none".to_owned())
            }
            Action::Follow { primary, .. } => {
                let address = primary.to_string();
                self.follow(&command.node, &command.site, &address)
            }
            Action::Scale { targets } => {
                let workloads = agent.cluster.get_or_insert_default();
                for target in targets {
                    workloads.insert(
                        format!("{}/{}", target.namespace, target.object),
                        target.replicas,
                    );
                }
                ("ready", format!("{} workloads", targets.len()))
            }
            Action::Check { .. } | Action::Hook { .. } | Action::Verify { .. } => {
                ("looked", "as expected".to_owned())
            }
        };
        let state = ReportState::Done {
            took_ms: duration(&command.action),
            proof: vec![ProofLine::new(proof.0, &proof.1)],
        };
        if let Some(agent) = self.agents.get_mut(&command.node) {
            agent.ledger.insert(command.id, Some(state.clone()));
        }
        self.word(self.now.after(Millis(50)), command, state);
    }

    fn follow(
        &mut self,
        node: &NodeName,
        site: &SiteName,
        address: &str,
    ) -> (&'static str, String) {
        let members = self
            .stack
            .databases
            .iter()
            .flat_map(shared::stack::Database::members);
        let source = members
            .filter(|member| member.address_for(site).to_string() == address)
            .map(|member| member.site.clone())
            .next();
        if let Some(database) = self
            .agents
            .get_mut(node)
            .and_then(|agent| agent.database.as_mut())
        {
            database.follows = source.map(|source| (source, address.to_owned()));
        }
        ("streams from", address.to_owned())
    }

    /// Primaries write, standbys receive.
    pub(super) fn replicate(&mut self) {
        let now = self.now;
        let mut positions = Vec::new();
        for agent in self
            .agents
            .values_mut()
            .filter(|agent| !self.gone.contains(&agent.site))
        {
            if let Some(database) = agent.database.as_mut().filter(|database| database.writes()) {
                database.lsn += 4_096;
                positions.push((
                    agent.site.clone(),
                    database.name.clone(),
                    database.lsn,
                    database.timeline,
                ));
            }
        }
        for name in self.agents.keys().cloned().collect::<Vec<_>>() {
            let home = self.agents[&name].site.clone();
            let Some(database) = self.agents[&name].database.clone() else {
                continue;
            };
            let Some((source, _)) = &database.follows else {
                continue;
            };
            let streams = self.reaches(source, &home)
                && self.reaches(&home, source)
                && database.role == DatabaseRole::Standby
                && database.state == DatabaseState::Up;
            let sent = positions
                .iter()
                .find(|(site, of, ..)| site == source && *of == database.name);
            let Some(own) = self
                .agents
                .get_mut(&name)
                .and_then(|agent| agent.database.as_mut())
            else {
                continue;
            };
            if let Some((_, _, lsn, timeline)) = sent.filter(|_| streams && own.receiving) {
                own.message_at = Some(now);
                own.lsn = *lsn;
                own.timeline = *timeline;
            }
        }
    }
}

fn promote(agent: &mut super::Agent) -> (&'static str, String) {
    if let Some(database) = &mut agent.database {
        if database.role == DatabaseRole::Standby {
            database.role = DatabaseRole::Primary;
            database.timeline += 1;
            database.follows = None;
        }
        return ("timeline", database.timeline.to_string());
    }
    ("timeline", "none".to_owned())
}

fn duration(action: &Action) -> Millis {
    Millis(match action {
        Action::Check { .. } | Action::Verify { .. } => 200,
        Action::Hook { .. } => 300,
        Action::Fence { .. } => 500,
        Action::Follow { .. } => 800,
        Action::Promote { .. } => 1_500,
        Action::Scale { .. } => 4_000,
    })
}
