//! What becomes of commands: agents admit them, confirm their grants, work, and report.

use agent::gate::Verdict;
use agent::ledger::Fenced;
use shared::clock::{Millis, Mono};
use shared::id::{NodeName, SiteName};
use shared::refusal::Refusal;
use shared::wire::{Action, Command, ProofLine, ReportState};

use super::database::Port;
use super::fault_kind::FaultKind;
use super::worker::Wrote;
use super::world::{Event, World};

/// A confirmation counts for so long; the promotion that it allows must have begun by then.
const FRESH: Millis = Millis::seconds(1);

/// A command on its way through an agent.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) command: Command,
    /// The coordinator that asked, and its process.
    pub(super) from: SiteName,
    pub(super) asker: u64,
    /// The agent's process.
    pub(super) life: u64,
    /// Before the grant's confirmation was sent.
    pub(super) since: Mono,
}

impl World {
    pub(super) fn command_arrives(&mut self, command: Box<Command>, from: SiteName, asker: u64) {
        let time = self.time;
        let Some(worker) = self.workers.get_mut(&command.node) else {
            return;
        };
        if !worker.up || self.network.dark.contains(&worker.site) {
            return;
        }
        if time < worker.still_until() {
            let after = worker.still_until() - time;
            return self.plan(
                after,
                Event::Command {
                    command,
                    from,
                    asker,
                },
            );
        }
        let verdict = worker.judge(time, &command);
        let begun = match &verdict {
            Verdict::Start { .. } => Some(worker.begin(time, &command)),
            Verdict::Refuse(Refusal::Promised { .. }) => {
                worker.keeper.vows.note_epoch(command.epoch);
                None
            }
            Verdict::Refuse(_) | Verdict::Replay(_) => None,
        };
        let life = worker.life;
        let state = match (&verdict, begun) {
            (Verdict::Refuse(refusal), _) => ReportState::Refused(refusal.clone()),
            (Verdict::Replay(state), _) => state.clone(),
            (Verdict::Start { .. }, Some(Wrote::Full)) => {
                ReportState::Refused(Refusal::LedgerUnwritable {
                    reason: "no space".to_owned(),
                })
            }
            (Verdict::Start { .. }, Some(Wrote::Died)) => {
                let node = command.node.clone();
                return self.worker_dies(&node);
            }
            (Verdict::Start { .. }, Some(Wrote::Done) | None) => ReportState::Running {
                for_ms: Millis(0),
                progress: "begun".to_owned(),
            },
        };
        let goes_on = begun == Some(Wrote::Done);
        if self.tells() {
            self.say(format_args!(
                "{} step {} {}: {}",
                command.node,
                command.step,
                command.action.kind(),
                word(&state)
            ));
        }
        self.answer(&command, &from, asker, state);
        if goes_on {
            self.go_on(*command, from, asker, life);
        }
    }

    fn go_on(&mut self, command: Command, from: SiteName, asker: u64, life: u64) {
        let Some(worker) = self.workers.get(&command.node) else {
            return;
        };
        let trusted =
            !self.has_befallen(FaultKind::LostWrites) && !self.has_befallen(FaultKind::StoreRemade);
        self.checker.begins(self.time, worker, &command, trusted);
        let since = worker.clock.mono(self.time);
        let confirms =
            command.action.needs_grant() || is_automatic(&command) && command.action.changes();
        let job = Box::new(Job {
            command,
            from,
            asker,
            life,
            since,
        });
        if confirms {
            let after = self.dice.between(5, 200);
            self.plan(after, Event::Confirm { job });
        } else {
            let after = self.dice.between(50, 1_500);
            self.plan(after, Event::Work { job });
        }
    }

    pub(super) fn confirm(&mut self, job: Box<Job>) {
        let Some(worker) = self.workers.get(&job.command.node) else {
            return;
        };
        if worker.life != job.life {
            return;
        }
        let site = worker.site.clone();
        let reached = self.store_answers(&site);
        let grant = job
            .command
            .grant
            .filter(|_| job.command.action.needs_grant());
        let confirmed = match grant {
            Some(grant) if reached => self.store.confirm(&site, &job.command.node, grant),
            None if reached && !job.command.action.needs_grant() => self.store.prove(),
            Some(_) | None => Err("no stream found, or no grant".to_owned()),
        };
        if let Ok((ticket, _)) = &confirmed
            && let Some(off) = ticket
                .automatic_off
                .clone()
                .filter(|_| is_automatic(&job.command))
        {
            self.count("an automatic order refused, because it was switched off");
            let state = ReportState::Refused(Refusal::AutomaticOff { by: off.by });
            return self.finish(job, state);
        }
        let regressed = confirmed.as_ref().ok().and_then(|(ticket, revision)| {
            let record = &self.workers[&job.command.node].record;
            record.regression(ticket, *revision)
        });
        match (confirmed, regressed) {
            (Ok((ticket, revision)), None) => {
                if grant.is_some() {
                    self.checker.confirmed(&job.command, &ticket);
                }
                let node = &job.command.node;
                let stack = self.store.stack.value.as_ref();
                if let Some(worker) = self.workers.get_mut(node) {
                    if let Some((version, stack)) = stack {
                        worker.keeper.learn(*version, &stack.policy);
                    }
                    let wrote = worker.write(|record| {
                        record.see(&ticket, revision);
                        let over = |fenced: &Fenced| fenced.epoch <= ticket.epoch;
                        if grant.is_some() && record.fenced().is_some_and(over) {
                            record.keep_fenced(None);
                        }
                    });
                    if wrote == Wrote::Died {
                        let node = node.clone();
                        return self.worker_dies(&node);
                    }
                }
                let after = self.dice.between(1, 900);
                self.plan(after, Event::Work { job });
            }
            (Ok(_), Some(reason)) | (Err(reason), _) => {
                let state = ReportState::Refused(Refusal::GrantNotConfirmed { reason });
                self.finish(job, state);
            }
        }
    }

    pub(super) fn work(&mut self, job: Box<Job>) {
        let time = self.time;
        let Some(worker) = self.workers.get(&job.command.node) else {
            return;
        };
        if worker.life != job.life {
            return;
        }
        if time < worker.still_until() {
            let after = worker.still_until() - time;
            return self.plan(after, Event::Work { job });
        }
        if self.dice.permille(30) {
            let pending = self.dice.permille(500);
            let state = ReportState::Failed {
                took_ms: Millis(5),
                reason: "it did not work".to_owned(),
                pending,
            };
            return self.finish(job, state);
        }
        if let Action::Promote {
            timeline, min_lsn, ..
        } = &job.command.action
        {
            let now = worker.clock.mono(time);
            let late = now.since(job.since) > FRESH;
            let fits = worker.database.as_ref().is_some_and(|d| {
                d.up && !d.primary && d.timeline == timeline.0 && d.lsn >= min_lsn.0
            });
            let done = worker
                .database
                .as_ref()
                .is_some_and(|d| d.up && d.primary && d.timeline > timeline.0);
            if done {
                return self.finish(job, done_state());
            }
            if late || !fits {
                return self.finish(job, failed(if late { "too slow" } else { "wrong role" }));
            }
            // The database carries it out by itself from here on: nothing can take it back.
            let after = self.dice.between(5, 400);
            return self.plan(after, Event::PromotionLands { job });
        }
        let state = self.effect(&job.command);
        self.finish(job, state);
    }

    /// A promotion that was asked for takes place.
    pub(super) fn promotion_lands(&mut self, job: Box<Job>) {
        let (time, node) = (self.time, job.command.node.clone());
        let Some(worker) = self.workers.get_mut(&node) else {
            return;
        };
        if time < worker.host_paused_until {
            let after = worker.host_paused_until - time;
            return self.plan(after, Event::PromotionLands { job });
        }
        let guards = worker.keeper.guards();
        let able = |d: &&mut super::database::Database| d.up && !d.hangs && !d.primary;
        let Some(database) = worker.database.as_mut().filter(able) else {
            return self.finish(job, failed("the database is down"));
        };
        let upto = database.promote();
        if guards {
            database.port = Port::Closed;
        }
        self.check_promoted(&node, &job.command, upto);
        self.open_for(&job, guards);
        self.finish(job, done_state());
    }

    /// The agent of a new primary takes up the lease that its confirmation has begun, unless it is dead or still.
    fn open_for(&mut self, job: &Job, guards: bool) {
        let time = self.time;
        let Some(worker) = self.workers.get_mut(&job.command.node) else {
            return;
        };
        if !worker.up || worker.life != job.life || time < worker.still_until() {
            return;
        }
        let database = worker.database.as_mut().filter(|_| guards);
        if let (Some(database), Some((_, policy))) = (database, &worker.keeper.policy) {
            // From before the confirmation was sent, as with every renewal.
            database.port = Port::Until(job.since.after(policy.deadman_after_ms));
            let spent = worker.clock.mono(time).since(job.since).0;
            worker.keeper.renewed_at = Some(time.saturating_sub(spent));
        }
    }

    fn effect(&mut self, command: &Command) -> ReportState {
        let source = match &command.action {
            Action::Follow { primary, .. } => self.member_at(primary, &command.site),
            Action::Hook { hook, .. } => {
                let fence = self.stack.fences.iter().find(|fence| fence.hook == *hook);
                if let Some(site) = fence.map(|fence| fence.site.clone()) {
                    self.switch_off(&site);
                } else {
                    self.checker.routed(self.time, command);
                }
                None
            }
            Action::Check { .. }
            | Action::Fence { .. }
            | Action::Promote { .. }
            | Action::Scale { .. }
            | Action::Verify { .. } => None,
        };
        let Some(worker) = self.workers.get_mut(&command.node) else {
            return failed("no agent");
        };
        match (&command.action, &mut worker.database, &mut worker.workloads) {
            (Action::Fence { .. }, Some(database), _) => {
                database.stop();
                if database.up {
                    return failed("processes of the database are left");
                }
            }
            (Action::Follow { .. }, Some(database), _) => {
                if !database.up || database.primary {
                    return failed("the database is no standby");
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
        done_state()
    }

    /// The site of the member that another one reaches at an address.
    fn member_at(
        &self,
        address: &shared::stack::Address,
        from: &SiteName,
    ) -> Option<(SiteName, String)> {
        let mut members = self
            .stack
            .databases
            .iter()
            .flat_map(shared::stack::Database::members);
        members
            .find(|member| member.address_for(from) == address)
            .map(|member| (member.site.clone(), address.to_string()))
    }

    pub(super) fn finish(&mut self, job: Box<Job>, state: ReportState) {
        let (time, node) = (self.time, job.command.node.clone());
        let Some(worker) = self.workers.get_mut(&node) else {
            return;
        };
        if worker.life != job.life {
            return;
        }
        if time < worker.still_until() {
            let after = worker.still_until() - time;
            return self.plan(after, Event::Finish { job, state });
        }
        let wrote = worker.end(job.command.id, &state);
        if self.tells() {
            self.say(format_args!(
                "{node} step {} {}: {}",
                job.command.step,
                job.command.action.kind(),
                word(&state)
            ));
        }
        if wrote == Wrote::Died {
            return self.worker_dies(&node);
        }
        self.answer(&job.command, &job.from, job.asker, state);
    }

    /// Its process ends where it stands; another is started later.
    pub(super) fn worker_dies(&mut self, node: &NodeName) {
        self.say(format_args!("{node} dies at a write"));
        self.end_worker(node);
    }
}

/// True for an order that nobody approved.
fn is_automatic(command: &Command) -> bool {
    let approval = command.approval.as_ref();
    approval.is_some_and(|approval| approval.automatic)
}

fn done_state() -> ReportState {
    ReportState::Done {
        took_ms: Millis(5),
        proof: vec![ProofLine::new("seen", "as expected")],
    }
}

fn failed(reason: &str) -> ReportState {
    ReportState::Failed {
        took_ms: Millis(1),
        reason: reason.to_owned(),
        pending: false,
    }
}

fn word(state: &ReportState) -> String {
    match state {
        ReportState::Running { .. } => "running".to_owned(),
        ReportState::Done { .. } => "done".to_owned(),
        ReportState::Failed {
            pending, reason, ..
        } => format!("failed, pending {pending}: {reason}"),
        ReportState::Refused(refusal) => format!("refused: {refusal}"),
        ReportState::Interrupted { .. } => "interrupted".to_owned(),
    }
}
