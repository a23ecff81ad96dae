//! The world's clock and queue: every event at its time, in the order in which it was planned.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use decision::FindingCode;
use shared::id::{NodeName, SiteName};
use shared::stack::{Mode, Stack};
use shared::wire::Command;

use super::calibration::Watch;
use super::checker::Checker;
use super::clock::Clock;
use super::dice::Dice;
pub(super) use super::event::Event;
use super::event::Planned;
use super::evidence::Evidence;
use super::fault::{FIRST, Instance};
use super::fault_kind::FaultKind;
use super::glass::Glass;
use super::network::Network;
use super::operator::Operator;
use super::replication;
use super::rest::END;
use super::seat::Seat;
use super::setting;
use super::store::Store;
use super::worker::Worker;
use super::{Depth, Flaw, History};

/// Faults are made until then, in milliseconds.
pub(super) const FAULTY: u64 = 38_000;

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct World {
    pub(super) seed: u64,
    depth: Depth,
    pub(super) flaw: Option<Flaw>,
    pub(super) time: u64,
    pub(super) dice: Dice,
    queue: BinaryHeap<Reverse<Planned>>,
    planned: u64,
    pub(super) stack: Stack,
    pub(super) sites: Vec<SiteName>,
    pub(super) network: Network,
    pub(super) store: Store,
    pub(super) seats: BTreeMap<SiteName, Seat>,
    pub(super) workers: BTreeMap<NodeName, Worker>,
    pub(super) operator: Operator,
    pub(super) checker: Checker,
    pub(super) evidence: Evidence,
    pub(super) glass: Glass,
    /// Commands that were sent, with the coordinator that asked and its process.
    pub(super) sent: Vec<(Command, SiteName, u64)>,
    /// The kinds of faults of this history.
    pub(super) mix: Vec<FaultKind>,
    pub(super) instances: Vec<Instance>,
    pub(super) faults: [u32; FaultKind::ALL.len()],
    log: Vec<String>,
    pub(super) events: BTreeMap<String, u64>,
    marks: BTreeMap<&'static str, u64>,
    phases: BTreeSet<&'static str>,
    pub(super) rows: BTreeSet<u16>,
    findings: BTreeSet<FindingCode>,
    /// The first live site is lost for good in this history.
    pub(super) lost_for_good: bool,
    /// Every kernel guards its database's port.
    pub(super) guarded: bool,
    /// No stack was ever in force that does not enforce self-fencing.
    pub(super) always_enforced: bool,
    /// An old primary was started where no gate is.
    pub(super) ungated: bool,
    pub(super) moved_at: u64,
    /// When the last run was over that nobody has acknowledged.
    pub(super) run_over: Option<u64>,
    /// It has come to rest.
    pub(super) over: bool,
    /// Only noise is played, and what is proposed is counted.
    pub(super) noise: Option<Watch>,
    /// When a site last got its power back.
    pub(super) lit_at: u64,
    /// When everything that was planned is over.
    pub(super) quiet_at: u64,
}

impl World {
    pub(super) fn new(seed: u64, depth: Depth, flaw: Option<Flaw>) -> Self {
        let mut dice = Dice::new(seed);
        let stack = setting::stack(&mut dice);
        let sites: Vec<SiteName> = stack.sites.keys().cloned().collect();
        let lost_for_good = dice.permille(300);
        let operator = Operator::new(dice.permille(250));
        let mut world = Self {
            seed,
            depth,
            flaw,
            time: 0,
            dice,
            queue: BinaryHeap::new(),
            planned: 0,
            stack,
            sites,
            network: Network::default(),
            store: Store::default(),
            seats: BTreeMap::new(),
            workers: BTreeMap::new(),
            operator,
            checker: Checker::default(),
            evidence: Evidence::default(),
            glass: Glass::default(),
            sent: Vec::new(),
            mix: Vec::new(),
            instances: Vec::new(),
            faults: [0; FaultKind::ALL.len()],
            log: Vec::new(),
            events: BTreeMap::new(),
            marks: BTreeMap::new(),
            phases: BTreeSet::new(),
            rows: BTreeSet::new(),
            findings: BTreeSet::new(),
            lost_for_good,
            guarded: false,
            always_enforced: false,
            ungated: false,
            moved_at: 0,
            run_over: None,
            over: false,
            noise: None,
            lit_at: 0,
            quiet_at: 0,
        };
        world.furnish();
        world
    }

    /// Chooses the rules and sets up the hosts.
    fn furnish(&mut self) {
        self.guarded = self.dice.permille(800);
        let mut policy = self.stack.policy.clone();
        self.choose_fencing(&mut policy);
        self.choose_mode(&mut policy);
        self.stack.policy = policy;
        self.draw_mix();
        let has_gate = self.dice.permille(700);
        self.set_up_hosts(has_gate);
    }

    pub(super) fn set_up_hosts(&mut self, has_gate: bool) {
        self.always_enforced = self.stack.policy.lease.enforces();
        for site in self.sites.clone() {
            let (clock, process) = (self.clock(), self.dice.uuid());
            self.seats
                .insert(site.clone(), Seat::new(site, clock, process));
        }
        for (node, site) in self.stack.nodes() {
            let (clock, process) = (self.clock(), self.dice.uuid());
            let mut worker = Worker::furnish(&self.stack, site, node.clone(), clock, process);
            worker.keeper.has_deadman = self.guarded;
            worker.keeper.has_gate = has_gate;
            self.workers.insert(node, worker);
        }
    }

    fn clock(&mut self) -> Clock {
        let base = self.dice.between(1_000, 90_000_000);
        let drift = i64::try_from(self.dice.between(0, 800)).unwrap_or(0) - 400;
        let jump = i64::try_from(self.dice.between(0, 5_000)).unwrap_or(0);
        Clock::new(base, drift, jump)
    }

    pub(super) fn play(mut self) -> History {
        self.begin();
        // A site that never promised anything is never acted on: automatic mode gets the time for it.
        let automatic = self.stack.policy.mode == Mode::Automatic;
        self.plan(FIRST + if automatic { 4_000 } else { 0 }, Event::Fault);
        self.plan(FAULTY, Event::Heal);
        self.plan(FAULTY + 2_000, Event::Rest);
        self.run_until(END);
        self.conclude();
        for (mark, count) in std::mem::take(&mut self.marks) {
            self.events.insert(mark.to_owned(), count);
        }
        History {
            seed: self.seed,
            simulated_ms: self.time,
            violations: self.checker.violations,
            log: self.log,
            faults: self.faults,
            phases: self.phases,
            rows: self.rows,
            findings: self.findings,
            events: self.events,
        }
    }

    /// Everybody starts.
    pub(super) fn begin(&mut self) {
        for site in self.sites.clone() {
            let after = self.dice.between(0, 999);
            self.plan(after, Event::SeatBeat { site, life: 1 });
        }
        for node in self.workers.keys().cloned().collect::<Vec<_>>() {
            let after = self.dice.between(0, 999);
            let look = node.clone();
            self.plan(after, Event::WorkerBeat { node, life: 1 });
            self.plan(
                after + 1,
                Event::Look {
                    node: look,
                    life: 1,
                },
            );
        }
        self.plan(replication::EVERY, Event::Replicate);
        self.plan(1_500, Event::Operator);
    }

    /// Lets everything happen, until a time or the end.
    pub(super) fn run_until(&mut self, end: u64) {
        while let Some(Reverse(planned)) = self.queue.pop() {
            if planned.at > end || self.over {
                break;
            }
            self.time = planned.at;
            self.happen(planned.event);
            self.check_writers();
        }
    }

    pub(super) fn plan(&mut self, after: u64, event: Event) {
        self.planned += 1;
        self.queue.push(Reverse(Planned {
            at: self.time.saturating_add(after),
            order: self.planned,
            event,
        }));
    }

    /// True when events are told, so that words are worth their making.
    pub(super) fn tells(&self) -> bool {
        self.depth == Depth::Told
    }

    pub(super) fn say(&mut self, line: impl std::fmt::Display) {
        if self.depth == Depth::Told {
            self.log.push(format!("{:>7} {line}", self.time));
        }
    }

    /// Counts something that is worth knowing.
    pub(super) fn count(&mut self, mark: &'static str) {
        *self.marks.entry(mark).or_insert(0) += 1;
    }

    /// What a leader shows: its phase always, its findings in some histories, because they cost more to find.
    pub(super) fn note_status(&mut self, site: &SiteName) {
        let seat = &self.seats[site];
        self.phases.insert(seat.core.phase().word());
        if self.noise.is_none() && self.seed.is_multiple_of(8) {
            let findings = self.status_of(site).findings;
            self.findings
                .extend(findings.iter().map(|finding| finding.code));
        }
    }

    #[expect(clippy::too_many_lines, reason = "one arm an event")]
    fn happen(&mut self, event: Event) {
        match event {
            Event::SeatBeat { site, life } => self.seat_beat(&site, life),
            Event::Wake { site, life } => self.wake(&site, life),
            Event::Input { site, life, input } => self.deliver(&site, life, *input),
            Event::Reply {
                site,
                life,
                node,
                report,
            } => self.reply(&site, life, &node, *report),
            Event::NoReply {
                site,
                life,
                command,
            } => self.no_reply(&site, life, command),
            Event::Campaign {
                site,
                life,
                revision,
                beat,
            } => self.campaign(&site, life, revision, beat),
            Event::TakeOver { site, session } => self.take_over(&site, session),
            Event::Write {
                site,
                session,
                write,
                known,
            } => self.store_write(&site, session, *write, known),
            Event::Acknowledged {
                site,
                session,
                written,
                write,
            } => {
                self.acknowledged(&site, session, *written, &write);
            }
            Event::SeatRestart { site } => self.seat_restart(&site),
            Event::WorkerBeat { node, life } => self.worker_beat(&node, life),
            Event::Word {
                to,
                life,
                word,
                sent,
            } => self.word_arrives(to, life, word, sent),
            Event::Command {
                command,
                from,
                asker,
            } => self.command_arrives(command, from, asker),
            Event::Confirm { job } => self.confirm(job),
            Event::Work { job } => self.work(job),
            Event::PromotionLands { job } => self.promotion_lands(job),
            Event::Finish { job, state } => self.finish(job, state),
            Event::Look { node, life } => self.look(&node, life),
            Event::Renew {
                node,
                life,
                attempt,
                sent,
            } => self.renew(&node, life, attempt, sent),
            Event::Renewed {
                node,
                life,
                attempt,
                sent,
                promise,
                outcome,
            } => self.renewed(&node, life, (attempt, sent), promise, *outcome),
            Event::Vouch {
                node,
                life,
                attempt,
                sent,
            } => self.vouch(&node, life, attempt, sent),
            Event::StopLands { node } => self.stop_lands(&node),
            Event::WorkerRestart { node } => self.worker_restart(&node),
            Event::DatabaseStart { node } => self.database_start(&node),
            Event::Replicate => self.replicate(),
            Event::Fault => self.make_fault(),
            Event::Mend(mend) => self.mend(&mend),
            Event::LoseWrites => self.lose_writes(),
            Event::Trouble(source, span) => self.make_trouble(source, span),
            Event::Heal => self.heal(),
            Event::Rest => self.check_rest(),
            Event::Operator => self.operate(),
            Event::Glass { site } => self.go_on_with_glass(&site),
        }
    }
}
