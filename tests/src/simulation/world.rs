//! The world's clock and queue: every event at its time, in the order in which it was planned.

use std::collections::{BTreeMap, BTreeSet};

use decision::{Input, Persist};
use shared::clock::Millis;
use shared::id::{CommandId, NodeName, SiteName};
use shared::stack::Stack;
use shared::wire::{Command, Report};

use super::checker::Checker;
use super::dice::Dice;
use super::fault::Fault;
use super::network::Network;
use super::operator::Operator;
use super::seat::{Clock, Seat};
use super::store::{Store, Written};
use super::worker::Worker;
use super::{Depth, Flaw, History};

/// The sample that operators start from.
const STACK: &str = include_str!("../../../deploy/config/stack.toml");
/// Faults are made until then, in milliseconds.
pub(super) const FAULTY: u64 = 75_000;
/// By then it must have come to rest.
const END: u64 = FAULTY + 180_000;
/// So long nothing may have moved for it to count as rest.
const REST: u64 = 25_000;

/// Something that will happen.
pub(super) enum Event {
    SeatBeat {
        site: SiteName,
        life: u64,
    },
    Wake {
        site: SiteName,
        life: u64,
    },
    Input {
        site: SiteName,
        life: u64,
        input: Box<Input>,
    },
    Reply {
        site: SiteName,
        life: u64,
        node: NodeName,
        report: Box<Report>,
    },
    NoReply {
        site: SiteName,
        life: u64,
        command: CommandId,
    },
    Campaign {
        site: SiteName,
        life: u64,
        revision: u64,
        beat: u64,
    },
    TakeOver {
        site: SiteName,
        session: u64,
    },
    Write {
        site: SiteName,
        session: u64,
        write: Box<Persist>,
        known: (u64, u64),
    },
    Acknowledged {
        site: SiteName,
        session: u64,
        written: Box<Written>,
        write: Box<Persist>,
    },
    SeatRestart {
        site: SiteName,
    },
    WorkerBeat {
        node: NodeName,
        life: u64,
    },
    Command {
        command: Box<Command>,
        from: SiteName,
        life: u64,
    },
    Confirm {
        node: NodeName,
        life: u64,
        command: Box<Command>,
        from: SiteName,
        asker: u64,
    },
    Work {
        node: NodeName,
        life: u64,
        command: Box<Command>,
        from: SiteName,
        asker: u64,
    },
    WorkerRestart {
        node: NodeName,
    },
    Replicate,
    Fault,
    Mend(Fault),
    Heal,
    Operator,
    DatabaseStart {
        node: NodeName,
    },
}

pub(super) struct World {
    pub(super) seed: u64,
    depth: Depth,
    pub(super) flaw: Option<Flaw>,
    pub(super) time: u64,
    pub(super) dice: Dice,
    queue: BTreeMap<(u64, u64), Event>,
    planned: u64,
    pub(super) stack: Stack,
    pub(super) sites: Vec<SiteName>,
    pub(super) network: Network,
    pub(super) store: Store,
    pub(super) seats: BTreeMap<SiteName, Seat>,
    pub(super) workers: BTreeMap<NodeName, Worker>,
    pub(super) operator: Operator,
    pub(super) checker: Checker,
    pub(super) log: Vec<String>,
    pub(super) faults: BTreeMap<&'static str, u64>,
    pub(super) events: BTreeMap<String, u64>,
    pub(super) phases: BTreeSet<String>,
    pub(super) rows: BTreeSet<u16>,
    /// The live site is lost for good in this history.
    pub(super) lost_for_good: bool,
    pub(super) moved_at: u64,
}

impl World {
    pub(super) fn new(seed: u64, depth: Depth, flaw: Option<Flaw>) -> Self {
        let mut dice = Dice::new(seed);
        let stack = stack(&mut dice);
        let sites: Vec<SiteName> = stack.sites.keys().cloned().collect();
        let mut clock = |_: &SiteName| Clock {
            offset: dice.between(1_000, 90_000_000),
            drift: i64::try_from(dice.between(0, 400)).unwrap_or(0) - 200,
            wall_jump: dice.between(0, 5_000),
        };
        let clocks: Vec<Clock> = sites.iter().map(&mut clock).collect();
        let homes: Vec<(NodeName, SiteName)> = stack.nodes().into_iter().collect();
        let worker_clocks: Vec<Clock> = homes.iter().map(|(_, site)| clock(site)).collect();
        let seats = sites
            .iter()
            .zip(clocks)
            .map(|(site, clock)| (site.clone(), Seat::new(site.clone(), clock, dice.uuid())));
        let seats = seats.collect();
        let workers = homes
            .into_iter()
            .zip(worker_clocks)
            .map(|((node, site), clock)| {
                let mut worker = Worker::furnish(&stack, site, node.clone(), clock, dice.uuid());
                worker.started = worker.clock.mono(0);
                (node, worker)
            });
        let workers = workers.collect();
        let lost_for_good = dice.permille(400);
        let operator = Operator::new(dice.permille(250));
        Self {
            seed,
            depth,
            flaw,
            time: 0,
            dice,
            queue: BTreeMap::new(),
            planned: 0,
            stack,
            sites,
            network: Network::default(),
            store: Store::default(),
            seats,
            workers,
            operator,
            checker: Checker::default(),
            log: Vec::new(),
            faults: BTreeMap::new(),
            events: BTreeMap::new(),
            phases: BTreeSet::new(),
            rows: BTreeSet::new(),
            lost_for_good,
            moved_at: 0,
        }
    }

    pub(super) fn play(mut self) -> History {
        for site in self.sites.clone() {
            let after = self.dice.between(0, 999);
            self.plan(after, Event::SeatBeat { site, life: 1 });
        }
        for node in self.workers.keys().cloned().collect::<Vec<_>>() {
            let after = self.dice.between(0, 999);
            self.plan(after, Event::WorkerBeat { node, life: 1 });
        }
        self.plan(500, Event::Replicate);
        self.plan(3_000, Event::Operator);
        self.plan(20_000, Event::Fault);
        self.plan(FAULTY, Event::Heal);
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > END || self.is_at_rest(at) {
                break;
            }
            self.time = at;
            self.happen(event);
            self.check_databases();
        }
        self.check_rest();
        History {
            seed: self.seed,
            violations: self.checker.violations,
            log: self.log,
            faults: self.faults,
            phases: self.phases,
            rows: self.rows,
            events: self.events,
        }
    }

    pub(super) fn plan(&mut self, after: u64, event: Event) {
        self.planned += 1;
        self.queue.insert((self.time + after, self.planned), event);
    }

    pub(super) fn say(&mut self, line: impl std::fmt::Display) {
        if self.depth == Depth::Told {
            self.log.push(format!("{:>7} {line}", self.time));
        }
    }

    fn is_at_rest(&self, at: u64) -> bool {
        at > FAULTY + REST && at > self.moved_at + REST && self.rests()
    }

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
            Event::Command {
                command,
                from,
                life,
            } => self.command_arrives(&command, &from, life),
            Event::Confirm {
                node,
                life,
                command,
                from,
                asker,
            } => {
                self.confirm(&node, life, &command, &from, asker);
            }
            Event::Work {
                node,
                life,
                command,
                from,
                asker,
            } => self.work(&node, life, &command, &from, asker),
            Event::WorkerRestart { node } => self.worker_restart(&node),
            Event::Replicate => self.replicate(),
            Event::Fault => self.make_fault(),
            Event::Mend(fault) => self.mend(&fault),
            Event::Heal => self.heal(),
            Event::Operator => self.operate(),
            Event::DatabaseStart { node } => self.database_start(&node),
        }
    }

    fn worker_beat(&mut self, node: &NodeName, life: u64) {
        let Some(worker) = self.workers.get(node) else {
            return;
        };
        let (site, is_current) = (worker.site.clone(), worker.up && worker.life == life);
        if !is_current || self.network.dark.contains(&site) {
            return;
        }
        let others: Vec<SiteName> = self
            .sites
            .iter()
            .filter(|other| **other != site)
            .cloned()
            .collect();
        let sees: Vec<(SiteName, bool)> = others
            .into_iter()
            .map(|other| (other.clone(), self.answers(&site, &other)))
            .collect();
        let time = self.time;
        let Some(worker) = self.workers.get_mut(node) else {
            return;
        };
        let heartbeat = worker.speak(time, &sees);
        for to in self.sites.clone() {
            for delay in self.network.arrivals(&mut self.dice, &site, &to) {
                let input = Input::Heard {
                    site: site.clone(),
                    node: node.clone(),
                    heartbeat: Box::new(heartbeat.clone()),
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
        self.plan(
            1_000,
            Event::WorkerBeat {
                node: node.clone(),
                life,
            },
        );
    }

    /// A look at another site's database port.
    fn answers(&self, from: &SiteName, to: &SiteName) -> bool {
        let up =
            |worker: &Worker| worker.site == *to && worker.database.as_ref().is_some_and(|d| d.up);
        self.network.connects(from, to) && self.workers.values().any(up)
    }

    fn replicate(&mut self) {
        let mut primaries = Vec::new();
        for worker in self
            .workers
            .values_mut()
            .filter(|worker| !self.network.dark.contains(&worker.site))
        {
            if let Some(database) = worker
                .database
                .as_mut()
                .filter(|database| database.writes())
            {
                database.lsn += self.dice.between(0, 8_192);
                primaries.push((worker.site.clone(), database.lsn, database.timeline));
            }
        }
        let time = self.time;
        for worker in self.workers.values_mut() {
            let now = worker.clock.mono(time);
            let Some(database) = worker.database.as_mut().filter(|d| d.up && !d.primary) else {
                continue;
            };
            let Some((source, _)) = &database.follows else {
                continue;
            };
            let sent = primaries.iter().find(|(site, ..)| site == source);
            if let Some((_, lsn, timeline)) =
                sent.filter(|_| self.network.connects(source, &worker.site))
                && *timeline >= database.timeline
            {
                database.message_at = Some(now);
                database.lsn = database.lsn.max(*lsn);
                database.timeline = *timeline;
            }
        }
        self.plan(500, Event::Replicate);
    }
}

fn stack(dice: &mut Dice) -> Stack {
    let mut stack = match Stack::parse("stack.toml", STACK) {
        Ok(stack) => stack,
        Err(problems) => unreachable!("the sample is a good stack: {problems}"),
    };
    if dice.permille(800) {
        let policy = &mut stack.policy;
        policy.silence_ms = Millis(4_000);
        policy.observation_age_max_ms = Millis(3_000);
        policy.confirm_ms = Millis(6_000);
        policy.clear_ms = Millis(8_000);
        policy.epoch_wait_ms = Millis(2_000);
    }
    let deadlines = &mut stack.policy.deadlines;
    deadlines.promote_ms = Millis(20_000);
    deadlines.scale_ms = Millis(15_000);
    deadlines.follow_ms = Millis(10_000);
    deadlines.hook_ms = Millis(10_000);
    deadlines.verify_ms = Millis(10_000);
    stack
}
