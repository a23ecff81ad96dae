//! Three sites with agents and real cores, driven second by second. It does what it is told and breaks nothing
//! by itself, so that a test reads as a story.

mod agent;
mod glass;
mod labour;
mod life;
mod stacks;

use std::collections::{BTreeMap, BTreeSet};

use decision::{
    Announcement, Answer, ApprovalRequest, Ask, Core, Durable, Fresh, Identity, Input, Now, Output,
    Persist, Phase, RequestId,
};
use shared::clock::{Millis, Mono, UnixMillis};
use shared::epoch::{Epoch, StackVersion, Term};
use shared::id::{Actor, NodeName, ProcessId, SiteName};
use shared::stack::Stack;
use shared::wire::{
    AuditEvent, Command, DatabaseRole, DatabaseState, Heartbeat, SyncCommit, SyncSample, Ticket,
};
use uuid::Uuid;

pub(crate) use self::agent::{Agent, Database, Renews};
use self::labour::Due;
pub(crate) use self::labour::{Fault, What, report_on};
pub(crate) use self::stacks::{
    STACK, in_mode, powered_off, self_fencing, synchronous, two_standbys,
};

/// All wall clocks begin here.
const WALL: u64 = 1_790_000_000_000;

/// What the store holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store {
    pub(crate) durable: Option<Durable>,
    pub(crate) ticket: Option<Ticket>,
    /// The revision of the ticket's key.
    pub(crate) revision: u64,
    pub(crate) stack: Option<(StackVersion, Stack)>,
}

/// The world.
pub(crate) struct World {
    pub(crate) now: Mono,
    pub(crate) stack: Stack,
    pub(crate) agents: BTreeMap<NodeName, Agent>,
    pub(crate) cores: BTreeMap<SiteName, Core>,
    pub(crate) leader: Option<SiteName>,
    pub(crate) term: u64,
    pub(crate) store: Store,
    /// Sites that are wholly gone.
    pub(crate) gone: BTreeSet<SiteName>,
    /// Sites whose NATS server is gone.
    pub(crate) off_bus: BTreeSet<SiteName>,
    /// Coordinators that learn no other stack.
    pub(crate) keeps_stack: BTreeSet<SiteName>,
    /// Coordinators that do not run.
    pub(crate) stopped: BTreeSet<SiteName>,
    /// Pairs between which nothing passes, in this direction.
    pub(crate) cuts: BTreeSet<(SiteName, SiteName)>,
    /// Pairs where the first cannot look at the second directly; all else passes.
    pub(crate) walls: BTreeSet<(SiteName, SiteName)>,
    /// Sites whose heartbeats are kept back by a slow network.
    pub(crate) kept_back: BTreeMap<SiteName, Vec<(SiteName, NodeName, Heartbeat)>>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) twice: bool,
    /// What the leader ordered, in order; the tests' checks look at it.
    pub(crate) done: Vec<Output>,
    pub(crate) answers: Vec<Answer>,
    due: Vec<Due>,
    drawn: u128,
    sequence: u64,
    /// A leader that is to be lost at its n-th write from now on.
    pub(crate) lost_at_write: Option<u32>,
    pub(crate) ticket_lies: Option<Ticket>,
    /// What the store held when it was copied.
    pub(crate) copy: Option<Store>,
}

/// A site's name.
pub(crate) fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

/// A node's name.
pub(crate) fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

impl World {
    /// The sample stack, everything healthy, nothing started.
    pub(crate) fn new() -> Self {
        Self::with(Stack::parse("stack.toml", STACK).unwrap())
    }

    /// A stack, everything healthy, nothing started.
    pub(crate) fn with(stack: Stack) -> Self {
        let mut world = Self {
            now: Mono(1_000_000),
            agents: BTreeMap::new(),
            cores: BTreeMap::new(),
            leader: None,
            term: 0,
            store: Store::default(),
            gone: BTreeSet::new(),
            off_bus: BTreeSet::new(),
            stopped: BTreeSet::new(),
            keeps_stack: BTreeSet::new(),
            cuts: BTreeSet::new(),
            walls: BTreeSet::new(),
            kept_back: BTreeMap::new(),
            faults: Vec::new(),
            twice: false,
            done: Vec::new(),
            answers: Vec::new(),
            due: Vec::new(),
            drawn: 0,
            sequence: 0,
            lost_at_write: None,
            ticket_lies: None,
            copy: None,
            stack,
        };
        world.furnish();
        for name in world.stack.sites.keys().cloned().collect::<Vec<_>>() {
            world.start(&name);
        }
        world
    }

    /// The sample stack in force, `leader` leading, and a minute of health behind it.
    pub(crate) fn healthy(leader: &str) -> Self {
        let mut world = Self::new();
        world.begin(leader);
        world
    }

    /// Puts the stack in force by `leader`, and lets a minute pass.
    pub(crate) fn begin(&mut self, leader: &str) {
        self.lead(&site(leader));
        let stack = Box::new(self.stack.clone());
        self.ask(Ask::ApplyStack {
            stack,
            replaces: None,
        });
        self.pass(Millis::seconds(60));
    }

    fn furnish(&mut self) {
        let live = self.stack.first_primary().clone();
        for (number, (name, home)) in (100_u128..).zip(self.stack.nodes()) {
            let member = self.stack.member_of_node(&name);
            let database = member.map(|(database, _)| {
                let primary = database.members.iter().find(|m| m.site == live).unwrap();
                let is_primary = home == live;
                Database {
                    name: database.name.clone(),
                    state: DatabaseState::Up,
                    role: if is_primary {
                        DatabaseRole::Primary
                    } else {
                        DatabaseRole::Standby
                    },
                    cluster: 7_500_000_000_000_000_001,
                    timeline: 1,
                    lsn: 0x1_0300_0000,
                    follows: (!is_primary)
                        .then(|| (live.clone(), primary.address_for(&home).to_string())),
                    message_at: None,
                    receiving: !is_primary,
                    obstacles: Vec::new(),
                    application: Some(home.to_string()),
                    sync: None,
                    senders: Vec::new(),
                }
            });
            let runs_cluster = self.stack.clusters.get(&home) == Some(&name);
            let cluster = runs_cluster.then(|| {
                let count = |replicas| if home == live { replicas } else { 0 };
                self.stack
                    .workloads
                    .iter()
                    .map(|w| (format!("{}/{}", w.namespace, w.object), count(w.replicas)))
                    .collect()
            });
            let agent = Agent {
                site: home,
                process: number,
                started: self.now.before(Millis::seconds(500)),
                sequence: 0,
                alive: true,
                epoch: Epoch(0),
                loop_lag: Millis(2),
                wall_jump: 0,
                unfit: Vec::new(),
                foreign_server: None,
                looks: database.is_some(),
                renews: if database.is_some() && self.stack.policy.lease.renews() {
                    Renews::WithDeadman
                } else {
                    Renews::Never
                },
                rules: StackVersion(1),
                keeps_rules: false,
                database,
                cluster,
                glass: None,
                ledger: BTreeMap::new(),
            };
            self.agents.insert(name, agent);
        }
    }

    /// The primary's commits wait for these, by its settings, and these answer.
    pub(crate) fn wait_for(&mut self, names: &str, answering: &[&str]) {
        let database = self.database("dc1-db");
        database.senders = vec!["dc2".to_owned(), "dc3".to_owned()];
        database.sync = Some(SyncSample {
            names: names.to_owned(),
            commit: SyncCommit::On,
            exception: None,
            answering: answering.iter().map(ToString::to_string).collect(),
        });
    }

    /// Starts a site's coordinator anew: it knows nothing but what is on its disk.
    pub(crate) fn start(&mut self, name: &SiteName) {
        let process = ProcessId::new(self.uuid());
        let identity = Identity {
            site: name.clone(),
            process,
        };
        let now = self.instant();
        let mut core = Core::new(identity, now);
        if let Some(before) = self.cores.get(name) {
            core.handle(now, Input::Remembered(before.memory().clone()));
        }
        self.cores.insert(name.clone(), core);
        self.stopped.remove(name);
    }

    /// This instant.
    pub(crate) fn instant(&self) -> Now {
        Now {
            mono: self.now,
            wall: UnixMillis(WALL + self.now.0 - 1_000_000),
        }
    }

    /// Time since the world began.
    pub(crate) fn age(&self) -> Millis {
        self.now.since(Mono(1_000_000))
    }

    /// Time from the beginning of the world to a wall clock time.
    pub(crate) fn age_of(at: UnixMillis) -> Millis {
        Millis(at.0.saturating_sub(WALL))
    }

    pub(crate) fn fresh(&mut self) -> Fresh {
        Fresh(self.uuid())
    }

    fn uuid(&mut self) -> Uuid {
        self.drawn += 1;
        Uuid::from_u128(0x5EED_0000 + self.drawn)
    }

    /// A site's coordinator takes the lead; the one before loses it.
    pub(crate) fn lead(&mut self, name: &SiteName) {
        self.lose_lead();
        self.term += 1;
        self.leader = Some(name.clone());
        if let Some((version, stack)) = self.store.stack.clone() {
            self.tell(
                name,
                Input::StackInForce {
                    version,
                    stack: Box::new(stack),
                },
            );
        }
        let input = Input::Led {
            term: Term(self.term),
            durable: self.store.durable.clone().map(Box::new),
            ticket: self.store.ticket.clone(),
            revision: self.store.revision,
            fresh: self.fresh(),
        };
        self.tell(name, input);
    }

    /// Nobody leads.
    pub(crate) fn lose_lead(&mut self) {
        if let Some(before) = self.leader.take() {
            self.tell(
                &before,
                Input::LeadLost {
                    reason: "another leads".to_owned(),
                },
            );
        }
    }

    /// The leading core; the one in dc2 while nobody leads.
    pub(crate) fn core(&self) -> &Core {
        let usual = site("dc2");
        &self.cores[self.leader.as_ref().unwrap_or(&usual)]
    }

    /// The leading core's phase.
    pub(crate) fn phase(&self) -> Phase {
        self.core().status(self.instant()).phase
    }

    /// An operator asks the leader; the answer.
    pub(crate) fn ask(&mut self, ask: Ask) -> Answer {
        let leader = self.leader.clone().unwrap();
        let fresh = self.fresh();
        let actor = Actor::new("alice");
        self.tell(
            &leader,
            Input::Asked {
                request: RequestId(1),
                actor,
                ask,
                fresh,
            },
        );
        self.answers.last().cloned().unwrap_or_else(|| {
            // The lead was lost before the answer was said.
            Answer::Accepted {
                summary: String::new(),
                differences: Vec::new(),
            }
        })
    }

    /// An operator approves the newest proposal with all that it needs.
    pub(crate) fn approve(&mut self) -> Answer {
        let newest = self
            .core()
            .durable()
            .and_then(|d| d.proposals.last().cloned())
            .unwrap();
        let overrides = newest
            .needs
            .overrides
            .iter()
            .map(|rule| (rule.rule.clone(), "accepted".to_owned()));
        self.ask(Ask::Approve(ApprovalRequest {
            proposal: newest.id,
            digest: newest.digest.to_string(),
            attest_site_off: newest
                .needs
                .attest_site_off
                .as_ref()
                .map(ToString::to_string),
            overrides: overrides.collect(),
            reason: "the fire brigade is there".to_owned(),
        }))
    }

    /// The same, when somebody leads and a proposal is open.
    pub(crate) fn approve_if_asked(&mut self) {
        let is_open = self
            .core()
            .durable()
            .is_some_and(|d| d.open_proposal().is_some());
        if self.leader.is_some() && is_open {
            self.approve();
        }
    }

    /// Feeds one core, and does what it orders.
    pub(crate) fn tell(&mut self, name: &SiteName, input: Input) {
        let now = self.instant();
        let Some(core) = self.cores.get_mut(name) else {
            return;
        };
        core.handle(now, input);
        self.obey(name);
    }

    fn obey(&mut self, name: &SiteName) {
        loop {
            let Some(output) = self.cores.get_mut(name).and_then(Core::poll_output) else {
                return;
            };
            match output.clone() {
                Output::Persist(write) => {
                    if self.is_lost_at_write() {
                        self.lose_lead();
                        return;
                    }
                    self.done.push(output);
                    self.write(name, write);
                }
                Output::Send(command) => {
                    self.done.push(output);
                    self.send(name, *command);
                }
                Output::Announce(Announcement::Answer { answer, .. }) => {
                    self.answers.push(answer);
                    self.done.push(output);
                }
                Output::Record(_) | Output::Announce(Announcement::Progress(_)) => {
                    self.done.push(output);
                }
            }
        }
    }

    fn is_lost_at_write(&mut self) -> bool {
        let Some(left) = self.lost_at_write else {
            return false;
        };
        self.lost_at_write = left.checked_sub(1);
        self.lost_at_write.is_none()
    }

    fn write(&mut self, name: &SiteName, write: Persist) {
        match write {
            Persist::State(durable) => self.store.durable = Some(*durable),
            Persist::Stack { version, stack } => self.store.stack = Some((version, *stack)),
            Persist::Ticket { from, to } => {
                let found = self
                    .ticket_lies
                    .take()
                    .or_else(|| self.store.ticket.clone());
                let fits = match (&from, &found) {
                    (Some(from), Some(found)) => from.same_right(found),
                    (None, None) => true,
                    (Some(_), None) | (None, Some(_)) => false,
                };
                if fits {
                    let written = to.in_place_of(found.as_ref());
                    self.store.ticket = Some(written.clone());
                    self.store.revision += 1;
                    let revision = self.store.revision;
                    self.tell(
                        name,
                        Input::TicketWritten {
                            ticket: written,
                            revision,
                        },
                    );
                } else {
                    self.tell(name, Input::TicketConflict { found });
                }
            }
        }
    }

    /// True while a site's coordinator runs.
    pub(crate) fn runs(&self, name: &SiteName) -> bool {
        !self.gone.contains(name) && !self.stopped.contains(name)
    }

    pub(super) fn running(&self) -> Vec<SiteName> {
        self.cores
            .keys()
            .filter(|name| self.runs(name))
            .cloned()
            .collect()
    }

    /// An agent by its name.
    pub(crate) fn agent(&mut self, name: &str) -> &mut Agent {
        self.agents.get_mut(&node(name)).unwrap()
    }

    /// A database by its agent's name.
    pub(crate) fn database(&mut self, name: &str) -> &mut Database {
        self.agent(name).database.as_mut().unwrap()
    }

    /// Every event recorded, oldest first.
    pub(crate) fn events(&self) -> impl Iterator<Item = &AuditEvent> {
        self.done.iter().filter_map(|output| match output {
            Output::Record(event) => Some(&**event),
            Output::Persist(_) | Output::Send(_) | Output::Announce(_) => None,
        })
    }

    /// Every command sent, oldest first.
    pub(crate) fn commands(&self) -> impl Iterator<Item = &Command> {
        self.done.iter().filter_map(|output| match output {
            Output::Send(command) => Some(&**command),
            Output::Persist(_) | Output::Record(_) | Output::Announce(_) => None,
        })
    }
}
