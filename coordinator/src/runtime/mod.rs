//! The loop that joins the core to the world: inputs in, outputs done strictly in order, one write at a time.
//!
//! It decides nothing about the stack. It stops at once when the lead is lost: what the core ordered and is not
//! done yet is dropped, and nothing more is sent.

mod term;

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use bus::{Bucket, ConnectError, Connection, Manner, ServiceRequest, SubscribeError};
use decision::{Core, Fresh, Identity, Input, Now, Seen};
use shared::clock::{Millis, Mono};
use shared::id::ProcessId;
use shared::subject::Subject;
use shared::telemetry::Chain;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use uuid::Uuid;

use self::term::{Leading, Work, worked};
use crate::audit::{self, Audit};
use crate::config::Config;
use crate::contingency::{Contingencies, SignerError};
use crate::ears::{Ears, Heard};
use crate::event::Event;
use crate::leadership::{Campaign, LeadView, Order};
use crate::memory::{Keeper, MemoryError};
use crate::operator::{Desk, Situation};
use crate::store::Snapshot;
use crate::{clock, mirror, opening};

/// Between two judgements of the own ears, two observations, two ticks at the latest.
const BEAT: Duration = Duration::from_secs(1);
/// Heartbeats folded in one turn of the loop.
const CROWD: usize = 512;
/// Shortest sleep before a wake that the core asked for.
const SLEEP_MIN: Duration = Duration::from_millis(1);
/// Longest wait for what is still to be said at the end.
const FAREWELL: Duration = Duration::from_secs(3);

/// Why a coordinator could not run.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// What the store has shown cannot be remembered.
    #[error("what this coordinator has seen of the store is not known")]
    Memory(#[from] MemoryError),
    /// The bus settings cannot work.
    #[error("the bus cannot be used")]
    Connect(#[source] ConnectError),
    /// A subject cannot be subscribed to.
    #[error("the bus cannot be listened to")]
    Subscribe(#[from] SubscribeError),
    /// The state directory cannot be made.
    #[error("the state directory {} cannot be made", path.display())]
    StateDir {
        /// The directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Plans for break glass cannot be signed.
    #[error("plans for break glass cannot be signed")]
    Signer(#[from] SignerError),
    /// The connection was closed for good: a bug of the bus.
    #[error("the bus connection ended")]
    Closed,
}

/// A running coordinator.
pub struct Runtime {
    config: Config,
    process: ProcessId,
    core: Core,
    ears: Ears,
    telemetry: Connection,
    sender: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
    desk: Option<Desk>,
    command: Option<Connection>,
    bucket: Option<Bucket>,
    audit: Option<(Audit, audit::Running)>,
    lead_view: watch::Receiver<LeadView>,
    lead_shown: watch::Sender<LeadView>,
    orders: watch::Sender<Order>,
    campaign: Option<tokio::task::JoinHandle<()>>,
    leading: Option<Leading>,
    work: Work,
    sequence: u64,
    next_beat: Mono,
    stack_revision: Option<u64>,
    contingencies: Contingencies,
    keeper: Keeper,
    halted: bool,
    stopping: bool,
}

impl Runtime {
    /// Opens everything that needs no server.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub async fn open(config: Config) -> Result<Self, RuntimeError> {
        std::fs::create_dir_all(&config.state_dir).map_err(|source| RuntimeError::StateDir {
            path: config.state_dir.clone(),
            source,
        })?;
        let contingencies = Contingencies::open(config.signing_seed_file.as_deref())?;
        let keeper = Keeper::open(&config.state_dir, &config.stack, &config.site)?;
        let process = ProcessId::new(Uuid::now_v7());
        let connect = async |purpose, manner| {
            Connection::connect(config.settings(purpose), manner)
                .await
                .map_err(RuntimeError::Connect)
        };
        let observer = connect("ears", Manner::Observer).await?;
        let telemetry = connect("voice", Manner::Telemetry).await?;
        let ears = Ears::open(observer, config.stack.clone(), config.site.clone(), process).await?;
        let (sender, events) = mpsc::channel(1_024);
        let (lead_shown, lead_view) = watch::channel(LeadView::default());
        let identity = Identity {
            site: config.site.clone(),
            process,
        };
        tokio::spawn(opening::command(config.clone(), sender.clone()));
        let mut core = Core::new(identity, clock::now());
        core.handle(clock::now(), Input::Remembered(keeper.memory().clone()));
        Ok(Self {
            core,
            keeper,
            halted: false,
            process,
            ears,
            telemetry,
            sender,
            events,
            desk: None,
            command: None,
            bucket: None,
            audit: None,
            lead_view,
            lead_shown,
            orders: watch::channel(Order::Campaign).0,
            campaign: None,
            leading: None,
            work: Work::None,
            sequence: 0,
            next_beat: clock::mono(),
            stack_revision: None,
            contingencies,
            stopping: false,
            config,
        })
    }

    /// Runs until `stop` resolves, then gives the lead up.
    ///
    /// # Errors
    /// [`RuntimeError::Closed`].
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), RuntimeError> {
        tokio::pin!(stop);
        let sleep = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(sleep);
        loop {
            self.tell_halt();
            self.perform();
            sleep.as_mut().reset(Instant::now() + self.pause());
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = &mut sleep => self.wake().await,
                worked = worked(&mut self.work) => self.worked(worked),
                () = self.keeper.written() => {}
                event = self.events.recv() => match event {
                    Some(event) => self.take(event).await?,
                    None => return Err(RuntimeError::Closed),
                },
                asked = served(&mut self.desk) => match asked {
                    Some(asked) => self.serve(asked),
                    None => return Err(RuntimeError::Closed),
                },
                heard = self.ears.next() => {
                    let Some(heard) = heard else { return Err(RuntimeError::Closed) };
                    self.hear(heard);
                }
            }
        }
        self.end().await;
        Ok(())
    }

    /// Says loudly that the store shows less than was seen of it, and that it is believed again.
    fn tell_halt(&mut self) {
        let halt = self.core.memory().halt.as_ref();
        if halt.is_some() == self.halted {
            return;
        }
        self.halted = halt.is_some();
        let Some(halt) = halt else {
            tracing::warn!("the store is believed again: an operator accepted it as it is");
            return;
        };
        let words = |seen: Option<Seen>| {
            seen.map_or_else(|| "no ticket".to_owned(), |seen| seen.to_string())
        };
        tracing::error!(
            reason = %halt,
            remembered = words(halt.remembered),
            shown = words(halt.shown),
            "the store shows less than was seen of it: all automation is halted until an operator accepts it with \
             `pointsman store accept`"
        );
    }

    /// Time until the next beat, the core's own wake, or the end of the lease.
    fn pause(&self) -> Duration {
        let now = clock::mono();
        let wake = self.core.poll_timeout().map(|(at, _)| at);
        let lease = self.leading.as_ref().map(|leading| leading.lease.end());
        let at = [Some(self.next_beat), wake, lease]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.next_beat);
        at.since(now).duration().max(SLEEP_MIN)
    }

    async fn wake(&mut self) {
        let now = clock::now();
        self.check_lease(now);
        if now.mono >= self.next_beat {
            self.beat(now).await;
        } else if self
            .core
            .poll_timeout()
            .is_some_and(|(at, _)| at <= now.mono)
        {
            self.core.handle(now, Input::Tick(fresh()));
        }
    }

    /// Once a second: judge the own ears, let time pass, say what is heard.
    async fn beat(&mut self, now: Now) {
        if let Some(reason) = self.keeper.stuck(now.mono) {
            self.resign(now, reason);
        }
        self.ears.looped(now.mono.since(self.next_beat));
        self.next_beat = now.mono.after(Millis::from_duration(BEAT));
        self.core
            .handle(now, Input::SelfFitness(self.ears.fitness()));
        self.core.handle(now, Input::Tick(fresh()));
        self.sequence += 1;
        let observation = self.core.observation(now, self.sequence);
        self.ears.send_canary(&observation).await;
        let subject = Subject::observation(&self.config.stack, &self.config.site);
        match self.telemetry.publish(&subject, &observation).await {
            Ok(bus::Publication::Published) => {}
            Ok(bus::Publication::Dropped(why)) => {
                tracing::debug!(?why, "the observation was dropped");
            }
            Err(error) => tracing::error!(error = %Chain(&error), "the observation cannot be sent"),
        }
        if let Some(desk) = &mut self.desk {
            desk.forget_old(now.mono);
        }
        if self.leading.is_some()
            && let Some(bucket) = &self.bucket
            && self.contingencies.is_due(now.mono)
        {
            let plans = self.core.contingencies(now);
            self.contingencies.keep(now.mono, plans, bucket);
        }
    }

    fn hear(&mut self, heard: Heard) {
        let now = clock::now();
        self.core.handle(now, input(heard));
        for _ in 1..CROWD {
            let Some(heard) = self.ears.waiting() else {
                return;
            };
            self.core.handle(now, input(heard));
        }
    }

    fn serve(&mut self, asked: ServiceRequest) {
        let now = clock::now();
        let situation = self.situation(now);
        let Some(desk) = &mut self.desk else { return };
        if let Some(change) = desk.serve(asked, &self.core, now, &situation) {
            tracing::info!(request = change.request.0, actor = %change.actor, "an operator asks");
            let input = Input::Asked {
                request: change.request,
                actor: change.actor,
                ask: change.ask,
                fresh: fresh(),
            };
            self.core.handle(now, input);
        }
    }

    async fn take(&mut self, event: Event) -> Result<(), RuntimeError> {
        let now = clock::now();
        match event {
            Event::CommandUp(connection) => self.command_up(connection).await?,
            Event::StoreOpen(bucket) => self.store_open(bucket),
            Event::Won { term, lease } => self.won(term, lease),
            Event::Lost { term, reason } => {
                if self
                    .leading
                    .as_ref()
                    .is_some_and(|leading| leading.term == term)
                {
                    self.lose(now, reason);
                }
            }
            Event::Mirrored(found) => self.mirrored(now, *found),
            Event::TicketSeen(found) => {
                let (revision, ticket) = found.unzip();
                let revision = revision.unwrap_or_default();
                self.core
                    .handle(now, Input::TicketSeen { ticket, revision });
            }
            Event::Reported { site, node, report } => {
                self.core.handle(
                    now,
                    Input::Reported {
                        site,
                        node,
                        report: *report,
                    },
                );
            }
            Event::Unanswered { command, cause } => {
                self.core.handle(now, Input::Unanswered { command, cause });
            }
        }
        Ok(())
    }

    async fn command_up(&mut self, connection: Connection) -> Result<(), RuntimeError> {
        let (stack, site) = (self.config.stack.clone(), self.config.site.clone());
        self.desk = Some(Desk::open(connection.clone(), stack.clone(), site).await?);
        self.audit = Some(Audit::start(
            connection.clone(),
            stack.clone(),
            &self.config.state_dir,
        ));
        tokio::spawn(opening::bucket(
            connection.clone(),
            stack,
            self.sender.clone(),
        ));
        self.command = Some(connection);
        Ok(())
    }

    fn store_open(&mut self, bucket: Bucket) {
        let campaign = Campaign {
            bucket: bucket.clone(),
            site: self.config.site.clone(),
            process: self.process,
            config: self.config.lead,
            events: self.sender.clone(),
            view: self.lead_shown.clone(),
            orders: self.orders.subscribe(),
        };
        self.campaign = Some(tokio::spawn(campaign.run()));
        tokio::spawn(mirror::run(
            bucket.clone(),
            self.lead_view.clone(),
            self.sender.clone(),
        ));
        self.bucket = Some(bucket);
    }

    /// A follower shows what the store shows.
    fn mirrored(&mut self, now: Now, found: Snapshot) {
        if self.leading.is_some() {
            return;
        }
        if let Some((revision, record)) = found.stack
            && self.stack_revision != Some(revision)
        {
            self.stack_revision = Some(revision);
            self.core.handle(
                now,
                Input::StackInForce {
                    version: record.version,
                    stack: record.stack,
                },
            );
        }
        let leader = self.lead_view.borrow().leader.clone();
        let durable = found.durable.map(|(_, durable)| durable);
        let (revision, ticket) = found.ticket.unzip();
        self.core.handle(
            now,
            Input::Mirrored {
                durable,
                ticket,
                revision: revision.unwrap_or_default(),
                leader,
            },
        );
    }

    fn situation(&self, now: Now) -> Situation {
        let lead = self.lead_view.borrow();
        let leads = self.core.leads()
            && self
                .leading
                .as_ref()
                .is_some_and(|leading| leading.lease.holds(now.mono));
        let live_leader = if leads {
            Some(self.config.site.clone())
        } else {
            // Its own record, when it does not lead, is one that it could not renew.
            lead.live_leader(now.mono, self.config.lead.lease)
                .filter(|site| **site != self.config.site)
                .cloned()
        };
        Situation { leads, live_leader }
    }

    /// Gives the lead up and says what is still to be said, within [`FAREWELL`].
    async fn end(mut self) {
        tracing::info!("stopping");
        self.stopping = true;
        self.lose(clock::now(), "this coordinator is being stopped".to_owned());
        self.orders.send_replace(Order::Stop);
        let farewell = async {
            if let Some(campaign) = self.campaign.take() {
                report(campaign.await);
            }
            if let Some((audit, running)) = self.audit.take() {
                drop(audit);
                report(running.await);
            }
            if let Some(desk) = self.desk.take() {
                desk.close().await;
            }
            if let Some(command) = &self.command {
                command.flush(BEAT).await;
            }
        };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::warn!("not everything could be said before the end");
        }
    }
}

/// The next request, once the desk is open.
async fn served(desk: &mut Option<Desk>) -> Option<ServiceRequest> {
    match desk {
        Some(desk) => desk.next().await,
        None => std::future::pending().await,
    }
}

fn input(heard: Heard) -> Input {
    match heard {
        Heard::Heartbeat {
            site,
            node,
            heartbeat,
        } => Input::Heard {
            site,
            node,
            heartbeat,
        },
        Heard::Observation { site, observation } => Input::Observed { site, observation },
        Heard::Report { site, node, report } => Input::Reported { site, node, report },
    }
}

fn fresh() -> Fresh {
    Fresh(Uuid::new_v4())
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(error = %Chain(&error), "a task ended in disorder");
    }
}
