//! The lease at work: renews it, keeps the deadman in step with it, and stops the database without it.
//!
//! It is turned by the one loop and never waits there: the store, the kernel, the peers and the database are spoken
//! to by tasks, one of each kind at a time. What is decided is decided by [`crate::standing`].

mod event;

use std::collections::BTreeSet;
use std::sync::Arc;

use bus::Connection;
use shared::clock::{Millis, Mono};
use shared::id::{BootId, Nonce};
use shared::telemetry::Chain;
use shared::wire::{DeadmanKind, LeaseSample, Ticket};
use tokio::task::JoinSet;

pub(crate) use self::event::Event;
use crate::anchor::{self, Anchor};
use crate::clock;
use crate::config::AgentConfig;
use crate::deadman::Deadman;
use crate::gate::Identity;
use crate::lease::{Reading, Why};
use crate::ledger::Ledger;
use crate::probe::{DatabaseReading, Reader};
use crate::renewal::{Renewal, Word};
use crate::rules::Known;
use crate::self_fence::SelfFencing;
use crate::standing::{Order, Rules, Standing, Writability};
use crate::vouching::{self, Vouching};
use crate::vow::line::Seal;
use crate::vower::{Vower, is_primary, writability};

/// A sample of the database that is older says nothing of now.
const SAMPLE_AGE_MAX: Millis = Millis::seconds(3);
/// Time for withdrawing the promise when the agent ends.
const FAREWELL: Millis = Millis::seconds(2);

/// What a tenure is made of.
pub(crate) struct Parts {
    pub(crate) config: Arc<AgentConfig>,
    pub(crate) identity: Identity,
    pub(crate) connection: Connection,
    pub(crate) ledger: Ledger,
    pub(crate) boot: BootId,
    pub(crate) database: Reader<DatabaseReading>,
    pub(crate) rules: Known,
    pub(crate) deadman: Deadman,
    pub(crate) vower: Arc<Vower>,
    pub(crate) seal: Seal,
}

/// The lease of the database beside this agent.
pub(crate) struct Tenure {
    parts: Parts,
    standing: Standing,
    fencing: SelfFencing,
    /// Not here while it is under way.
    renewal: Option<Renewal>,
    /// The incarnation that the last accepted write was in.
    incarnation: Option<Nonce>,
    events: JoinSet<Event>,
    /// The database is being stopped or started.
    moving: bool,
    /// When it was last proved stopped.
    stopped_at: Option<Mono>,
    port: Port,
    vouching: bool,
    regression: Option<String>,
    told: Told,
}

/// What this process last had the kernel do with the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    /// Nothing yet: an earlier process may have left it in any way.
    Unknown,
    /// The guard was taken away, or there never is one.
    Free,
    /// Open for a time.
    Timed,
    /// Closed.
    Closed,
}

/// What is said once, until it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Topic {
    Unanswered,
    Regressed,
    Unguarded,
    Recorded,
    Unvouched,
    Vouched,
}

/// What was said and is not over.
#[derive(Debug, Default)]
struct Told(BTreeSet<Topic>);

impl Told {
    /// True when it was not said yet.
    fn begin(&mut self, topic: Topic) -> bool {
        self.0.insert(topic)
    }

    /// True when it was said before.
    fn end(&mut self, topic: Topic) -> bool {
        self.0.remove(&topic)
    }
}

impl Tenure {
    /// Takes up what an earlier process has left.
    pub(crate) fn begin(
        parts: Parts,
        postgres: crate::config::PostgresConfig,
        tick: Millis,
    ) -> Self {
        let mut standing = Standing::new(tick, parts.deadman.kind());
        if let Some(record) = parts.rules.borrow().as_ref() {
            standing.know(rules(record));
        }
        let now = clock::reading();
        if let Some(anchor) = Anchor::read(&parts.config.state_dir) {
            let kept = anchor.of_boot(parts.boot, now);
            tracing::info!(
                epoch = anchor.epoch.0,
                renewed_ms_ago = kept.map(|kept| now.since(kept).0),
                "an earlier process kept a lease"
            );
            standing.resume(anchor.epoch, kept, now);
        }
        let port = if closable(parts.deadman.kind()) {
            Port::Unknown
        } else {
            Port::Free
        };
        Self {
            standing,
            fencing: SelfFencing {
                config: postgres,
                deadman: parts.deadman.clone(),
                ledger: parts.ledger.clone(),
            },
            renewal: Some(Renewal::new(
                parts.connection.clone(),
                parts.identity.clone(),
                parts.ledger.clone(),
            )),
            incarnation: parts.ledger.seen().map(|seen| seen.incarnation),
            events: JoinSet::new(),
            moving: false,
            stopped_at: None,
            port,
            vouching: false,
            regression: None,
            told: Told::default(),
            parts,
        }
    }

    /// The pause guard: to be called before anything else that the loop does.
    pub(crate) fn look(&mut self) {
        self.standing.look(clock::reading());
    }

    /// True while the database is being stopped or started, so that no command may touch it.
    pub(crate) const fn is_moving(&self) -> bool {
        self.moving
    }

    /// In what the store shows less than was seen of it, once that is sure.
    pub(crate) fn regression(&self) -> Option<&str> {
        let reason = self.regression.as_deref();
        reason.filter(|_| self.standing.is_regressed())
    }

    /// What a heartbeat says of it.
    pub(crate) fn sample(&self) -> Option<LeaseSample> {
        let fenced = self.parts.ledger.fenced().is_some();
        self.standing.sample(fenced, clock::reading())
    }

    /// One turn of the loop.
    pub(crate) async fn turn(&mut self) {
        while let Some(ended) = self.events.try_join_next() {
            match ended {
                Ok(event) => self.take(event),
                Err(error) => tracing::error!(%error, "a task of the lease broke off"),
            }
        }
        if self.parts.rules.has_changed().unwrap_or(false) {
            let record = self.parts.rules.borrow_and_update();
            if let Some(record) = record.as_ref() {
                self.standing.know(rules(record));
            }
        }
        self.obey(clock::reading());
        self.ask(clock::reading());
        self.parts.vower.clear_spent().await;
    }

    /// What is waited for in the loop, so that an answer is not left lying for a tick.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        match self.events.join_next().await? {
            Ok(event) => Some(event),
            Err(error) => {
                tracing::error!(%error, "a task of the lease broke off");
                None
            }
        }
    }

    /// The agent ends. What the kernel goes on keeping needs no withdrawal: the next process takes it up. What
    /// nobody keeps any more is withdrawn first.
    pub(crate) async fn end(&mut self) {
        let kept_on = self.standing.is_guarded();
        if !self.standing.is_enforced() || kept_on {
            return;
        }
        let arriving = async {
            while self.renewal.is_none() {
                match self.next().await {
                    Some(event) => self.take(event),
                    None => break,
                }
            }
        };
        drop(tokio::time::timeout(FAREWELL.duration(), arriving).await);
        let Some(mut renewal) = self.renewal.take() else {
            tracing::warn!(
                "the promise to fence the own database could not be withdrawn before the end"
            );
            return;
        };
        let withdrawn = tokio::time::timeout(FAREWELL.duration(), renewal.exchange(None)).await;
        if let Ok(Word::Accepted(_)) = withdrawn {
            tracing::info!("the promise to fence the own database is withdrawn");
        } else {
            tracing::warn!(
                "the promise to fence the own database could not be withdrawn before the end"
            );
        }
    }

    fn obey(&mut self, now: Reading) {
        let order = self.standing.order(now);
        match order {
            Order::Nothing | Order::Serve { .. } => {
                self.told.end(Topic::Recorded);
            }
            Order::Close => self.close(),
            Order::Record(why) => self.record(why),
            Order::Stop(why) => {
                self.close();
                self.stop(why, now);
            }
        }
        if order == Order::Nothing && self.port != Port::Free && !self.moving {
            self.release(now);
        }
    }

    fn close(&mut self) {
        let before = self.port;
        if !closable(self.parts.deadman.kind()) || before == Port::Closed {
            return;
        }
        self.port = Port::Closed;
        tracing::warn!(
            "the right to be live is not proved: the database's port is closed until it is"
        );
        let deadman = self.parts.deadman.clone();
        self.events.spawn(async move {
            let closed = async {
                // One that is there already is kept.
                if before != Port::Timed {
                    deadman.install().await?;
                }
                deadman.cut().await
            };
            Event::Cut(closed.await)
        });
    }

    fn record(&mut self, why: Why) {
        if self.told.begin(Topic::Recorded) {
            tracing::warn!(why = %why, "log-only: the database would be stopped now");
        }
    }

    fn stop(&mut self, why: Why, now: Reading) {
        if self.moving {
            return;
        }
        let seen = self.writability(now.mono);
        // A standby takes no writes, and what was stopped and is still down needs no second stop.
        let harmless = match seen {
            Writability::Standby => true,
            Writability::Down => self.stopped_at.is_some(),
            Writability::Possible => false,
        };
        if harmless {
            self.standing.stopped();
            if !self.standing.is_leased() {
                self.keep_anchor();
            }
            return;
        }
        let Some((epoch, _)) = self.standing.anchor() else {
            return;
        };
        // A right that is another's ends with a higher epoch; one that only expired may be renewed.
        let epoch = match why {
            Why::Deposed => epoch.next(),
            Why::Expired { .. } | Why::Unproved { .. } => epoch,
        };
        let reason = why.to_string();
        let (within, after) = (self.standing.stop_within(), self.standing.self_fence());
        let fencing = self.fencing.clone();
        let before = self.stopped_at.is_some();
        self.moving = true;
        self.events.spawn(async move {
            // No sample is newer than the last stop: the processes themselves tell whether it is down still.
            if before && fencing.is_down() {
                return Event::StillDown;
            }
            tracing::error!(
                epoch = epoch.0,
                reason,
                "the database is being stopped: its site's right to be live is not proved"
            );
            Event::Stopped(fencing.stop(epoch, &reason, within, after).await)
        });
    }

    /// No lease is kept: the port is opened for a standby, which can be read and followed.
    fn release(&mut self, now: Reading) {
        if self.writability(now.mono) != Writability::Standby {
            return;
        }
        self.port = Port::Free;
        self.standing.guard(false);
        let deadman = self.parts.deadman.clone();
        self.events
            .spawn(async move { Event::Removed(deadman.remove().await) });
    }

    /// Of a sample that was taken since the last stop.
    fn writability(&self, now: Mono) -> Writability {
        let age_max = self
            .stopped_at
            .map_or(SAMPLE_AGE_MAX, |at| SAMPLE_AGE_MAX.min(now.since(at)));
        let seen = writability(&self.parts.database, now, age_max);
        // While a server starts it does not answer, but it starts as what the agent made of it.
        let primary = is_primary(&self.parts.database, now, age_max);
        let starting = seen == Writability::Possible && !primary;
        if starting && self.stopped_at.is_some() && self.fencing.is_demoted() {
            Writability::Standby
        } else {
            seen
        }
    }

    fn ask(&mut self, now: Reading) {
        if !self.standing.due(now) {
            return;
        }
        let Some(mut renewal) = self.renewal.take() else {
            return;
        };
        let sent = self.standing.send(now);
        let (promise, patience) = (sent.promise, self.standing.patience());
        self.events.spawn(async move {
            let exchange = renewal.exchange(promise);
            let word = match tokio::time::timeout(patience.duration(), exchange).await {
                Ok(word) => word,
                Err(_elapsed) => {
                    renewal.forget();
                    Word::Unanswered("no answer in time".to_owned())
                }
            };
            Event::Exchanged {
                renewal: Box::new(renewal),
                sent: Box::new(sent),
                word,
            }
        });
    }

    fn accepted(&mut self, ticket: &Ticket, now: Reading) {
        self.incarnation = Some(ticket.incarnation);
        self.keep_anchor();
        self.arm(now);
        let fenced = self.parts.ledger.fenced();
        if let Some(fenced) = fenced.filter(|f| f.epoch <= ticket.epoch && !self.moving) {
            let (fencing, epoch) = (self.fencing.clone(), ticket.epoch);
            self.moving = true;
            self.events.spawn(async move {
                fencing.lift(&fenced, epoch).await;
                Event::Lifted
            });
        }
    }

    /// Sets the kernel's timer to what is left, or takes the guard away with the policy.
    fn arm(&mut self, now: Reading) {
        let deadman = self.parts.deadman.clone();
        if !self.standing.is_enforced() {
            if std::mem::replace(&mut self.port, Port::Free) != Port::Free {
                self.standing.guard(false);
                self.events
                    .spawn(async move { Event::Removed(deadman.remove().await) });
            }
            return;
        }
        let Order::Serve { deadman_ms } = self.standing.order(now) else {
            return;
        };
        if deadman.kind() == DeadmanKind::None {
            return;
        }
        // Where one is, it is kept with the time that it has.
        let install = std::mem::replace(&mut self.port, Port::Timed) != Port::Timed;
        self.events.spawn(async move {
            let armed = async {
                if install {
                    deadman.install().await?;
                }
                deadman.arm(deadman_ms).await?;
                deadman.check().await
            };
            Event::Armed(armed.await)
        });
    }

    fn vouch(&mut self, now: Reading) {
        let Some(attempt) = self.standing.question(now).filter(|_| !self.vouching) else {
            return;
        };
        let record = self.parts.rules.borrow().clone();
        let known = self.standing.anchor().zip(record).zip(self.incarnation);
        let Some((((epoch, _), record), incarnation)) = known else {
            return;
        };
        let vouching = Vouching::of(
            &self.parts.config,
            &self.parts.identity,
            &record,
            epoch,
            incarnation,
            self.parts.seal.clone(),
        );
        self.vouching = true;
        let patience = self
            .standing
            .patience()
            .min(Millis::from_duration(vouching::PATIENCE));
        self.events.spawn(async move {
            Event::Vouched {
                attempt,
                outcome: vouching.ask(patience).await,
            }
        });
    }

    fn keep_anchor(&mut self) {
        let kept = self.standing.anchor().map(|(epoch, sent)| Anchor {
            boot: self.parts.boot,
            epoch,
            sent,
        });
        let directory = self.parts.config.state_dir.clone();
        self.events.spawn(async move {
            let written = tokio::task::spawn_blocking(move || anchor::write(directory, kept)).await;
            Event::Kept(written.unwrap_or_else(|error| Err(std::io::Error::other(error))))
        });
    }
}

const fn closable(deadman: DeadmanKind) -> bool {
    matches!(deadman, DeadmanKind::Nftables | DeadmanKind::Both)
}

fn rules(record: &shared::stack::StackRecord) -> Rules {
    Rules {
        version: record.version,
        lease: record.stack.policy.lease.clone(),
    }
}
