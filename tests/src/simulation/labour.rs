//! What becomes of commands: agents admit them, confirm their grants, work, and report.

use agent::gate::Verdict;
use decision::{Input, Unanswered};
use shared::clock::Millis;
use shared::id::{CommandId, NodeName, SiteName};
use shared::refusal::Refusal;
use shared::wire::{Action, Command, ProofLine, Report, ReportState};

use super::world::{Event, World};

impl World {
    pub(super) fn command_arrives(&mut self, command: &Command, from: &SiteName, asker: u64) {
        let time = self.time;
        let Some(worker) = self.workers.get_mut(&command.node) else {
            return;
        };
        if !worker.up || self.network.dark.contains(&worker.site) {
            return;
        }
        let verdict = worker.judge(time, command);
        let life = worker.life;
        let state = match &verdict {
            Verdict::Refuse(refusal) => ReportState::Refused(refusal.clone()),
            Verdict::Replay(state) => state.clone(),
            Verdict::Start { .. } => {
                worker.begin(command);
                ReportState::Running {
                    for_ms: Millis(0),
                    progress: "begun".to_owned(),
                }
            }
        };
        self.answer(command, from, asker, state.clone());
        self.say(format_args!(
            "{} step {} {}: {}",
            command.node,
            command.step,
            command.action.kind(),
            word(&state)
        ));
        if let Verdict::Start { .. } = verdict {
            self.checker
                .begins(time, &self.workers[&command.node], command);
            let (node, command, from) = (
                command.node.clone(),
                Box::new(command.clone()),
                from.clone(),
            );
            if command.action.needs_grant() {
                let after = self.dice.between(5, 200);
                self.plan(
                    after,
                    Event::Confirm {
                        node,
                        life,
                        command,
                        from,
                        asker,
                    },
                );
            } else {
                let after = self.dice.between(50, 2_500);
                self.plan(
                    after,
                    Event::Work {
                        node,
                        life,
                        command,
                        from,
                        asker,
                    },
                );
            }
        }
    }

    pub(super) fn confirm(
        &mut self,
        node: &NodeName,
        life: u64,
        command: &Command,
        from: &SiteName,
        asker: u64,
    ) {
        if self.workers[node].life != life {
            return;
        }
        let site = self.workers[node].site.clone();
        let (now, wait) = (self.time, self.dice.between(4_000, 9_000));
        let serves = self.store.serves(&self.network, &self.sites, now, wait);
        let confirmed = match command.grant {
            Some(grant) if serves && self.store.reachable(&self.network, &site) => {
                self.store.confirm(&site, node, grant)
            }
            Some(_) => Err("no stream found".to_owned()),
            None => Err("no grant".to_owned()),
        };
        match confirmed {
            Ok(()) => {
                let after = self.dice.between(1, 900);
                let (node, command, from) = (node.clone(), Box::new(command.clone()), from.clone());
                self.plan(
                    after,
                    Event::Work {
                        node,
                        life,
                        command,
                        from,
                        asker,
                    },
                );
            }
            Err(reason) => {
                let state = ReportState::Refused(Refusal::GrantNotConfirmed { reason });
                self.finish(node, command, from, asker, state);
            }
        }
    }

    pub(super) fn work(
        &mut self,
        node: &NodeName,
        life: u64,
        command: &Command,
        from: &SiteName,
        asker: u64,
    ) {
        if self.workers[node].life != life {
            return;
        }
        let state = if self.dice.permille(40) {
            let pending = self.dice.permille(500);
            ReportState::Failed {
                took_ms: Millis(5),
                reason: "it did not work".to_owned(),
                pending,
            }
        } else {
            self.effect(node, command)
        };
        self.finish(node, command, from, asker, state);
    }

    fn effect(&mut self, node: &NodeName, command: &Command) -> ReportState {
        let source = match &command.action {
            Action::Follow { primary, .. } => {
                let members = self
                    .stack
                    .databases
                    .iter()
                    .flat_map(shared::stack::Database::members);
                let of = members
                    .filter(|m| m.address_for(&command.site) == primary)
                    .map(|m| m.site.clone());
                of.last().map(|site| (site, primary.to_string()))
            }
            Action::Check { .. }
            | Action::Fence { .. }
            | Action::Promote { .. }
            | Action::Scale { .. }
            | Action::Hook { .. }
            | Action::Verify { .. } => None,
        };
        let Some(worker) = self.workers.get_mut(node) else {
            return ReportState::Failed {
                took_ms: Millis(1),
                reason: "no agent".to_owned(),
                pending: false,
            };
        };
        let failed = |reason: &str| ReportState::Failed {
            took_ms: Millis(1),
            reason: reason.to_owned(),
            pending: false,
        };
        match (&command.action, &mut worker.database, &mut worker.workloads) {
            (Action::Promote { timeline, .. }, Some(database), _) => {
                if !database.up {
                    return failed("the database is down");
                }
                if !database.primary {
                    database.primary = true;
                    database.timeline = timeline.0 + 1;
                    database.follows = None;
                    database.promotions += 1;
                    self.checker.promoted(self.time, node, command, &self.store);
                }
            }
            (Action::Fence { .. }, Some(database), _) => database.up = false,
            (Action::Follow { .. }, Some(database), _) => {
                if !database.up {
                    return failed("the database is down");
                }
                database.follows = source;
            }
            (Action::Check { .. }, Some(database), _) if !database.up || database.primary => {
                return failed("it cannot be promoted");
            }
            (Action::Scale { targets }, _, Some(workloads)) => {
                for target in targets {
                    workloads.insert(
                        format!("{}/{}", target.namespace, target.object),
                        target.replicas,
                    );
                }
            }
            _ => {}
        }
        ReportState::Done {
            took_ms: Millis(5),
            proof: vec![ProofLine::new("seen", "as expected")],
        }
    }

    fn finish(
        &mut self,
        node: &NodeName,
        command: &Command,
        from: &SiteName,
        asker: u64,
        state: ReportState,
    ) {
        self.say(format_args!(
            "{node} step {} {}: {}",
            command.step,
            command.action.kind(),
            word(&state)
        ));
        if let Some(worker) = self.workers.get_mut(node) {
            worker.end(command.id, &state);
        }
        self.answer(command, from, asker, state);
    }

    /// The reply to the asker, and the report that all coordinators hear.
    fn answer(&mut self, command: &Command, from: &SiteName, asker: u64, state: ReportState) {
        let (node, time) = (command.node.clone(), self.time);
        let worker = &self.workers[&node];
        let site = worker.site.clone();
        let report = worker.report(time, command, state);
        for delay in self.network.arrivals(&mut self.dice, &site, from) {
            let (report, node) = (Box::new(report.clone()), node.clone());
            self.plan(
                delay,
                Event::Reply {
                    site: from.clone(),
                    life: asker,
                    node,
                    report,
                },
            );
        }
        for to in self.sites.clone() {
            for delay in self.network.arrivals(&mut self.dice, &site, &to) {
                let input = Input::Reported {
                    site: site.clone(),
                    node: node.clone(),
                    report: report.clone(),
                };
                let life = self.seats[&to].life;
                self.plan(
                    delay,
                    Event::Input {
                        site: to.clone(),
                        life,
                        input: Box::new(input),
                    },
                );
            }
        }
    }

    pub(super) fn reply(&mut self, site: &SiteName, life: u64, node: &NodeName, report: Report) {
        let home = self.workers[node].site.clone();
        if let Some(seat) = self.seats.get_mut(site) {
            seat.waiting.remove(&report.command);
        }
        self.deliver(
            site,
            life,
            Input::Reported {
                site: home,
                node: node.clone(),
                report,
            },
        );
    }

    pub(super) fn no_reply(&mut self, site: &SiteName, life: u64, command: CommandId) {
        let was_waiting = self
            .seats
            .get_mut(site)
            .is_some_and(|seat| seat.waiting.remove(&command));
        if was_waiting {
            self.deliver(
                site,
                life,
                Input::Unanswered {
                    command,
                    cause: Unanswered::TimedOut,
                },
            );
        }
    }
}

fn word(state: &ReportState) -> String {
    match state {
        ReportState::Running { .. } => "running".to_owned(),
        ReportState::Done { .. } => "done".to_owned(),
        ReportState::Failed { pending, .. } => format!("failed, pending {pending}"),
        ReportState::Refused(refusal) => format!("refused: {refusal}"),
        ReportState::Interrupted { .. } => "interrupted".to_owned(),
    }
}
