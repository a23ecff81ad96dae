//! The one loop: it beats, admits commands, tells how they go, and ends on a signal.
//!
//! It never waits for a probe, a disk or a command: those are tasks. At most one command runs.

use std::sync::Arc;
use std::time::Duration;

use bus::{Connection, ConnectionState, Manner, Publication, Received, Subscription};
use shared::clock::{Millis, Mono};
use shared::epoch::Epoch;
use shared::id::ProcessId;
use shared::refusal::Refusal;
use shared::subject::Subject;
use shared::telemetry::Chain;
use shared::wire::{Command, ReportState};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Interval, MissedTickBehavior};
use uuid::Uuid;

use crate::action::Scene;
use crate::automatic::Stance;
use crate::clock;
use crate::config::AgentConfig;
use crate::errand::{Errand, Running};
use crate::gate::{self, GateState, Identity, Modules, Verdict};
use crate::glass::{Desk, Order};
use crate::grant::Authority;
use crate::heartbeat::{Moment, Pulse, boot_id};
use crate::ledger::{Ledger, LedgerError};
use crate::notify::Supervisor;
use crate::probe::Readings;
use crate::report::{Reporter, detail, outcome_word};
use crate::rules::Known;
use crate::senders::Senders;
use crate::start;
use crate::tenure::{Event, Tenure};
use crate::vower::Vower;

/// Between two turns of the loop; by their lateness the agent knows that it was paused.
pub(crate) const TICK: Duration = Duration::from_millis(250);
const HEARTBEAT: Millis = Millis::seconds(1);
/// Time for the last messages to leave.
const FAREWELL: Duration = Duration::from_millis(300);

/// Why the agent could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The ledger.
    #[error("the ledger cannot be used")]
    Ledger(#[from] LedgerError),
    /// The bus's settings.
    #[error("the bus cannot be used")]
    Bus(#[from] bus::ConnectError),
    /// The command subject.
    #[error("commands cannot be listened to")]
    Subscribe(#[from] bus::SubscribeError),
    /// The responder's address.
    #[error("the responder cannot listen on {address}")]
    Responder {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The key of vows.
    #[error("vow_key_file {} cannot be used: {why}", path.display())]
    VowKey {
        /// The file.
        path: std::path::PathBuf,
        /// Why not.
        why: String,
    },
    /// Signals.
    #[error("signals cannot be received")]
    Signals(#[source] std::io::Error),
    /// The kernel names no boot.
    #[error("/proc/sys/kernel/random/boot_id cannot be read")]
    NoBootId,
}

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
/// [`AgentError`] when it cannot start.
pub async fn run(config: AgentConfig) -> Result<(), AgentError> {
    let supervisor = Supervisor::from_environment();
    let mut agent = Box::pin(Agent::start(Arc::new(config))).await?;
    supervisor.ready();
    let ended = agent.turn_until_told(&supervisor).await;
    supervisor.stopping();
    if let Some(tenure) = &mut agent.tenure {
        tenure.end().await;
    }
    agent.connection.flush(FAREWELL).await;
    ended
}

struct Agent {
    config: Arc<AgentConfig>,
    identity: Identity,
    modules: Modules,
    connection: Connection,
    commands: Subscription<Command>,
    ledger: Ledger,
    reporter: Reporter,
    scene: Scene,
    readings: Readings,
    /// The lease of the database beside this agent.
    tenure: Option<Tenure>,
    vower: Option<Arc<Vower>>,
    /// The newest stack that is known.
    rules: Known,
    pulse: Pulse,
    /// The tasks of probes and responder: they end with the agent.
    _probes: JoinSet<()>,
    errands: JoinSet<Option<ReportState>>,
    running: Option<Running>,
    /// Commands that an earlier process left unfinished, to be looked at one after the other.
    unfinished: Vec<Command>,
    senders: Senders,
    /// Orders of an operator on this host.
    glass: Desk,
    heartbeat_due: Mono,
    report_due: Mono,
}

impl Agent {
    async fn start(config: Arc<AgentConfig>) -> Result<Self, AgentError> {
        let identity = Identity {
            stack: config.stack.clone(),
            site: config.site.clone(),
            node: config.node.clone(),
            process: ProcessId::new(Uuid::now_v7()),
        };
        let boot = boot_id().ok_or(AgentError::NoBootId)?;
        let ledger = Ledger::open(&config.state_dir, &identity, config.limits.ledger_commands)?;
        let settings = config.nats.settings(&config.site, &config.node);
        let connection = Connection::connect(settings, Manner::Telemetry).await?;
        let subject = Subject::command(&config.stack, &config.site, &config.node);
        let commands = connection.subscribe(&subject).await?;
        let mut probes = JoinSet::new();
        let readings = start::probes(&config, &identity, &mut probes);
        let scene = Scene {
            config: Arc::clone(&config),
            identity: identity.clone(),
            connection: connection.clone(),
            ledger: ledger.clone(),
            database: readings.database.clone(),
        };
        let rules = start::rules(&scene, &mut probes);
        let tenure = start::tenure(&scene, boot, &readings, rules.clone(), &mut probes)?;
        let (tenure, vower) = tenure.unzip();
        start::responder(&config, &identity, vower.clone(), &mut probes).await?;
        tracing::info!(
            stack = %config.stack, site = %config.site, node = %config.node, process = %identity.process,
            epoch = ledger.epoch().0, version = env!("CARGO_PKG_VERSION"), "agent started"
        );
        let now = clock::mono();
        Ok(Self {
            modules: start::modules(&config),
            glass: Desk::open(&scene, &readings.peers, vower.clone(), &mut probes),
            reporter: Reporter::new(connection.clone(), identity.clone()),
            pulse: Pulse::new(identity.process, boot),
            unfinished: ledger.unfinished(),
            config,
            identity,
            connection,
            commands,
            ledger,
            scene,
            readings,
            tenure,
            vower,
            rules,
            _probes: probes,
            errands: JoinSet::new(),
            running: None,
            senders: Senders::default(),
            heartbeat_due: now,
            report_due: now,
        })
    }

    async fn turn_until_told(&mut self, supervisor: &Supervisor) -> Result<(), AgentError> {
        let mut terminate = listen(SignalKind::terminate())?;
        let mut interrupt = listen(SignalKind::interrupt())?;
        let mut ticks: Interval = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut expected = clock::mono();
        loop {
            tokio::select! {
                biased;
                _ = terminate.recv() => break self.say_ended("SIGTERM"),
                _ = interrupt.recv() => break self.say_ended("SIGINT"),
                _ = ticks.tick() => {
                    self.look();
                    let now = clock::mono();
                    self.pulse.note_lag(now.since(expected), now);
                    expected = now.after(Millis::from_duration(TICK));
                    if let Some(tenure) = &mut self.tenure {
                        tenure.turn().await;
                    }
                    supervisor.alive();
                    self.beat(now).await;
                    self.tell_progress(now).await;
                    self.examine_next();
                }
                Some(event) = next_event(self.tenure.as_mut()) => {
                    self.look();
                    if let Some(tenure) = &mut self.tenure {
                        tenure.take(event);
                    }
                }
                Some(ended) = self.errands.join_next() => self.conclude(ended).await,
                Some(order) = self.glass.next(), if !self.is_moving() => self.take_order(order),
                received = self.commands.next(), if !self.is_moving() => match received {
                    Some(received) => self.receive(received).await,
                    None => break self.say_ended("the bus connection was closed"),
                },
            }
        }
        Ok(())
    }

    /// The pause guard of the lease: nothing is decided before it.
    fn look(&mut self) {
        if let Some(tenure) = &mut self.tenure {
            tenure.look();
        }
    }

    /// True while the agent itself stops or starts the database.
    fn is_moving(&self) -> bool {
        self.tenure.as_ref().is_some_and(Tenure::is_moving)
    }

    fn say_ended(&self, why: &str) {
        let running = self
            .running
            .as_ref()
            .map(|running| running.command.id.to_string());
        tracing::info!(why, running, "agent ends");
    }

    async fn beat(&mut self, now: Mono) {
        if now < self.heartbeat_due {
            return;
        }
        // From the due time, not from now, so that the rhythm does not drift; but never to catch up.
        let next = self.heartbeat_due.after(HEARTBEAT);
        self.heartbeat_due = if next > now {
            next
        } else {
            now.after(HEARTBEAT)
        };
        let (connected, foreign_server) = self.server();
        let running = self.running.as_ref().map(|running| running.command.id);
        let moment = Moment {
            epoch: self.ledger.epoch(),
            connected,
            foreign_server,
            running,
            lease: self.tenure.as_ref().and_then(Tenure::sample),
            glass: self.glass.sample(&self.ledger, clock::wall()),
        };
        let heartbeat = self.pulse.next(&self.readings, moment, now);
        if !connected {
            return;
        }
        let subject = Subject::heartbeat(
            &self.identity.stack,
            &self.identity.site,
            &self.identity.node,
        );
        match self.connection.publish(&subject, &heartbeat).await {
            Ok(Publication::Published) => self.pulse.note_sent(now),
            Ok(Publication::Dropped(why)) => tracing::debug!(?why, "a heartbeat was dropped"),
            Err(error) => tracing::error!(error = %Chain(&error), "a heartbeat cannot be sent"),
        }
    }

    /// Whether a server is connected, and its name when it is not the own site's.
    fn server(&self) -> (bool, Option<String>) {
        match self.connection.state() {
            ConnectionState::Disconnected => (false, None),
            ConnectionState::Connected { server_name } => {
                let own = self.config.nats.own_server_name.as_ref();
                (
                    true,
                    Some(server_name).filter(|name| own.is_some_and(|own| own != name)),
                )
            }
        }
    }

    async fn tell_progress(&mut self, now: Mono) {
        let Some(running) = self.running.as_ref().filter(|_| now >= self.report_due) else {
            return;
        };
        self.report_due = now.after(self.config.limits.report_every);
        let state = running.state(now);
        self.reporter
            .publish(&running.command, self.ledger.epoch(), state)
            .await;
    }

    async fn receive(&mut self, received: Received<Command>) {
        self.look();
        let reply = received.reply;
        let command = match received.body {
            Ok(command) => command,
            Err(garbage) => {
                self.senders.note_garbage(reply.as_ref(), &garbage);
                return;
            }
        };
        let now = clock::mono();
        let known = self.ledger.known(command.id);
        let running = self.running.as_ref().map(|running| running.for_gate(now));
        let state = GateState {
            identity: &self.identity,
            modules: &self.modules,
            sent: self.pulse.sent(),
            epoch: self.ledger.epoch(),
            term: self.ledger.term(),
            known: known.as_ref(),
            running: running.as_ref(),
            command_age_max: self.config.limits.command_age_max,
            regressed: self.tenure.as_ref().and_then(Tenure::regression),
            promised: self.vower.as_ref().and_then(|vower| vower.left(now)),
            automatic: Stance::of(self.config.automatic, self.rules.borrow().as_ref()),
        };
        let epoch = self.ledger.epoch();
        match gate::admit(&state, &command, now) {
            Verdict::Start { resumed } => self.begin(command, reply, resumed, now),
            Verdict::Replay(state) => {
                self.reporter
                    .reply(reply.as_ref(), &command, epoch, state)
                    .await;
            }
            Verdict::Refuse(refusal) => {
                // The right has moved on: what was vowed runs out, and nothing more is vowed.
                if let (Some(vower), Refusal::Promised { .. }) = (&self.vower, &refusal) {
                    vower.note_epoch(command.epoch);
                }
                tracing::warn!(
                    command = %command.id, kind = command.action.kind(), step = command.step,
                    epoch = command.epoch.0, %refusal, "command refused"
                );
                self.reporter
                    .reply(
                        reply.as_ref(),
                        &command,
                        epoch,
                        ReportState::Refused(refusal),
                    )
                    .await;
            }
        }
    }

    fn begin(&mut self, command: Command, reply: Option<Subject>, resumed: bool, now: Mono) {
        tracing::info!(
            command = %command.id, kind = command.action.kind(), run = %command.run, step = command.step,
            epoch = command.epoch.0, resumed, "command admitted"
        );
        let makes_live = command.action.needs_grant();
        let errand = Errand {
            scene: self.scene.clone(),
            ledger: self.ledger.clone(),
            reporter: self.reporter.clone(),
            command: Arc::new(command),
            authority: Authority::Granted,
            progress: crate::action::Progress::default(),
        };
        self.running = Some(errand.running(now));
        if let Some(vower) = self.vower.as_ref().filter(|_| makes_live) {
            vower.promoting(true);
        }
        self.report_due = now.after(self.config.limits.report_every);
        self.errands
            .spawn(async move { Some(errand.carry_out(reply, resumed).await) });
    }

    /// An operator's order on this host: the glass is broken.
    fn take_order(&mut self, order: Order) {
        let busy = self.running.as_ref().map(|running| running.command.id);
        let waits = self.unfinished.first().map(|command| command.id);
        if let Some(running) = busy.or(waits) {
            return order.refuse(Refusal::Busy { running });
        }
        let makes_live = order.command.action.needs_grant();
        if let Some(vower) = self.vower.as_ref().filter(|_| makes_live) {
            // From here on nothing more is vowed; what was vowed before binds an operator's order as well.
            vower.note_epoch(order.command.epoch);
            if let Some((epoch, left_ms)) = vower.left(clock::mono()) {
                return order.refuse(Refusal::Promised { epoch, left_ms });
            }
            vower.promoting(true);
        }
        let command = order.command;
        tracing::warn!(
            command = %command.id, kind = command.action.kind(), run = %command.run, step = command.step,
            epoch = command.epoch.0, resumed = order.resumed, "an operator on this host has a step done"
        );
        let errand = Errand {
            scene: self.scene.clone(),
            ledger: self.ledger.clone(),
            reporter: self.reporter.clone(),
            command: Arc::new(command),
            authority: order.vouched.map_or(Authority::Granted, Authority::Vouched),
            progress: order.progress,
        };
        let now = clock::mono();
        self.running = Some(errand.running(now));
        self.report_due = now.after(self.config.limits.report_every);
        self.errands.spawn(async move {
            let state = errand.carry_out(None, order.resumed).await;
            drop(order.reply.send(state.clone()));
            Some(state)
        });
    }

    /// Looks at the next command that an earlier process left unfinished.
    fn examine_next(&mut self) {
        if self.running.is_some() || self.unfinished.is_empty() {
            return;
        }
        let command = self.unfinished.remove(0);
        tracing::warn!(
            command = %command.id, kind = command.action.kind(), run = %command.run, step = command.step,
            "a restart cut this command off; looking at what it has done"
        );
        let now = clock::mono();
        let makes_live = command.action.needs_grant();
        let errand = Errand {
            scene: self.scene.clone(),
            ledger: self.ledger.clone(),
            reporter: self.reporter.clone(),
            command: Arc::new(command),
            authority: Authority::Granted,
            progress: crate::action::Progress::default(),
        };
        self.running = Some(errand.running(now));
        if let Some(vower) = self.vower.as_ref().filter(|_| makes_live) {
            vower.promoting(true);
        }
        self.errands
            .spawn(async move { Some(errand.examine().await) });
    }

    async fn conclude(&mut self, ended: Result<Option<ReportState>, JoinError>) {
        if let Some(vower) = &self.vower {
            vower.promoting(false);
        }
        let Some(running) = self.running.take() else {
            return;
        };
        let state = match ended {
            Ok(Some(state)) => state,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(command = %running.command.id, %error, "a command's task broke off");
                ReportState::Interrupted {
                    found: "the agent's task broke off".to_owned(),
                    repeatable: false,
                }
            }
        };
        let command = &running.command;
        tracing::info!(
            command = %command.id, kind = command.action.kind(), step = command.step, outcome = outcome_word(&state),
            ms = clock::mono().since(running.since).0, detail = detail(&state), "command ended"
        );
        let epoch: Epoch = self.ledger.epoch();
        self.reporter.publish(command, epoch, state).await;
    }
}

async fn next_event(tenure: Option<&mut Tenure>) -> Option<Event> {
    tenure?.next().await
}

fn listen(kind: SignalKind) -> Result<Signal, AgentError> {
    signal(kind).map_err(AgentError::Signals)
}
