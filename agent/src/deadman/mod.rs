//! What stops the database's service when the agent does not run any more.
//!
//! The kernel closes the database's port when a timed element runs out (`nftables`), and a watchdog device resets
//! the host (`watchdog`). Both are set to the time that is *left* until the lease's end, never to a span of
//! their own, and only by whoever holds an accepted renewal. Neither helps against a paused virtual machine: its
//! timers are paused too.
//!
//! Talking to the kernel happens on a thread of its own, so that another program's long change of the rules holds
//! up neither the lease nor the heartbeats; what is not acknowledged in time is an error, and an error means that
//! the old, shorter time stands.

mod netlink;
mod nftables;
mod watchdog;

use std::sync::mpsc;
use std::time::Duration;

use shared::clock::{Millis, Mono};
use shared::telemetry::Chain;
use shared::wire::DeadmanKind;
use tokio::sync::oneshot;

pub use self::netlink::NetlinkError;
use self::nftables::{Guard, Standing};
use self::watchdog::Watchdog;
pub use self::watchdog::WatchdogError;
use crate::clock;
use crate::config::AgentConfig;

/// Longest wait for the kernel. It takes well below a millisecond when nobody else changes rules.
const PATIENCE: Duration = Duration::from_millis(800);
/// A change that took longer is made again, because the kernel counts from when it took it.
const LATE: Millis = Millis(50);

/// The deadman of one database.
#[derive(Debug, Clone)]
pub struct Deadman {
    kind: DeadmanKind,
    asking: Option<mpsc::Sender<Request>>,
}

/// What a look at the deadman gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// All is as it was made.
    Whole,
    /// Its table was removed or changed, and was made again with the time that is left. Until then the port was as
    /// open as others made it.
    Mended,
}

/// Why the deadman does not guard as it should.
#[derive(Debug, thiserror::Error)]
pub enum DeadmanError {
    /// The packet filter.
    #[error("the port guard does not work")]
    Guard(#[from] NetlinkError),
    /// The watchdog.
    #[error("the watchdog does not work")]
    Watchdog(#[from] WatchdogError),
    /// No answer in time.
    #[error("the kernel did not answer within {} ms", PATIENCE.as_millis())]
    Late,
    /// Its thread could not be started.
    #[error("the deadman's thread cannot be started")]
    Thread(#[source] std::io::Error),
}

type Answer = Result<Checked, DeadmanError>;

#[derive(Debug)]
struct Request {
    deed: Deed,
    answer: oneshot::Sender<Answer>,
}

#[derive(Debug, Clone, Copy)]
enum Deed {
    Install,
    Arm(Mono),
    Cut,
    Check,
    Rest,
    Remove,
}

impl Deadman {
    /// No deadman: everything succeeds and nothing is guarded.
    pub const fn none() -> Self {
        Self {
            kind: DeadmanKind::None,
            asking: None,
        }
    }

    /// The deadman of the agent's file. Nothing is guarded before [`Self::install`].
    ///
    /// # Errors
    /// [`DeadmanError`] when the kernel does not let it: the agent can run without, and must not promise it.
    pub fn open(config: &AgentConfig) -> Result<Self, DeadmanError> {
        let (Some(settings), Some(postgres)) = (&config.deadman, &config.postgres) else {
            return Ok(Self::none());
        };
        let guard = if settings.guard_port {
            Some(Guard::open(&config.stack, &config.node, postgres.port)?)
        } else {
            None
        };
        let watchdog = settings.watchdog.as_deref().map(Watchdog::at);
        let kind = match (&guard, &watchdog) {
            (None, None) => return Ok(Self::none()),
            (Some(_), None) => DeadmanKind::Nftables,
            (None, Some(_)) => DeadmanKind::Watchdog,
            (Some(_), Some(_)) => DeadmanKind::Both,
        };
        let (asking, requests) = mpsc::channel();
        let worker = Worker {
            guard,
            watchdog,
            armed: None,
        };
        std::thread::Builder::new()
            .name("deadman".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || worker.serve(&requests))
            .map_err(DeadmanError::Thread)?;
        Ok(Self {
            kind,
            asking: Some(asking),
        })
    }

    /// What keeps the deadman of the agent's file from working on this host, as a sentence; nothing when it would.
    pub fn shortfall(config: &AgentConfig) -> Option<String> {
        let (settings, postgres) = config.deadman.as_ref().zip(config.postgres.as_ref())?;
        let guard = settings
            .guard_port
            .then(|| Guard::open(&config.stack, &config.node, postgres.port));
        if let Some(Err(error)) = guard {
            return Some(format!("deadman.guard_port: {}", Chain(&error)));
        }
        let watchdog = settings.watchdog.as_deref().map(Watchdog::at)?;
        let error = watchdog.check().err()?;
        Some(format!("deadman.watchdog: {}", Chain(&error)))
    }

    /// What it consists of.
    pub const fn kind(&self) -> DeadmanKind {
        self.kind
    }

    /// Makes the port's table, closed. One that is there already keeps the time that it has.
    ///
    /// # Errors
    /// [`DeadmanError`]: then nothing may be promised.
    pub async fn install(&self) -> Result<(), DeadmanError> {
        self.ask(Deed::Install).await.map(drop)
    }

    /// Lets the database be served for so long from now, whatever was set before; no time closes its port.
    ///
    /// # Errors
    /// [`DeadmanError`]: the time that was set before stands.
    pub async fn arm(&self, left: Millis) -> Result<(), DeadmanError> {
        // By an instant, so that waiting for the kernel does not prolong it.
        let until = clock::mono().after(left);
        self.ask(Deed::Arm(until)).await.map(drop)
    }

    /// Closes the port at once, for established connections and replication too. The watchdog goes on running out.
    ///
    /// # Errors
    /// [`DeadmanError`]: the port closes when the time that was set runs out.
    pub async fn cut(&self) -> Result<(), DeadmanError> {
        self.ask(Deed::Cut).await.map(drop)
    }

    /// Looks whether all is still as it was made, and mends it.
    ///
    /// # Errors
    /// [`DeadmanError`]: then nothing may be promised.
    pub async fn check(&self) -> Result<Checked, DeadmanError> {
        self.ask(Deed::Check).await
    }

    /// Nothing that could write runs any more, and that was proved: the watchdog is disarmed, the port stays closed.
    ///
    /// # Errors
    /// [`DeadmanError`]: the host may be reset.
    pub async fn rest(&self) -> Result<(), DeadmanError> {
        self.ask(Deed::Rest).await.map(drop)
    }

    /// Guards nothing any more: only for a policy that was switched off.
    ///
    /// # Errors
    /// [`DeadmanError`]: the port may close when its time runs out.
    pub async fn remove(&self) -> Result<(), DeadmanError> {
        self.ask(Deed::Remove).await.map(drop)
    }

    async fn ask(&self, deed: Deed) -> Answer {
        let Some(asking) = &self.asking else {
            return Ok(Checked::Whole);
        };
        let (answer, answered) = oneshot::channel();
        asking
            .send(Request { deed, answer })
            .map_err(|_| DeadmanError::Late)?;
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(DeadmanError::Late),
        }
    }
}

/// Where the kernel is spoken to.
struct Worker {
    guard: Option<Guard>,
    watchdog: Option<Watchdog>,
    armed: Option<Mono>,
}

impl Worker {
    fn serve(mut self, requests: &mpsc::Receiver<Request>) {
        for Request { deed, answer } in requests {
            let done = match deed {
                Deed::Install => self.install().map(|()| Checked::Whole),
                Deed::Arm(until) => self.arm(until).map(|()| Checked::Whole),
                Deed::Cut => self.cut().map(|()| Checked::Whole),
                Deed::Check => self.check(),
                Deed::Rest => self.rest().map(|()| Checked::Whole),
                Deed::Remove => self.remove().map(|()| Checked::Whole),
            };
            // Whoever asked may have given up; the deed is done all the same.
            drop(answer.send(done));
        }
    }

    fn install(&mut self) -> Result<(), DeadmanError> {
        if let Some(guard) = &mut self.guard {
            guard.install()?;
        }
        Ok(())
    }

    fn arm(&mut self, until: Mono) -> Result<(), DeadmanError> {
        self.armed = Some(until);
        if let Some(guard) = &mut self.guard {
            loop {
                let begun = clock::mono();
                let left = until.since(begun);
                if left == Millis(0) {
                    guard.cut()?;
                    break;
                }
                guard.arm(left)?;
                // The kernel counts from when it took the change: one that waited is made again, shorter.
                if clock::mono().since(begun) <= LATE {
                    break;
                }
            }
        }
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.arm(until.since(clock::mono()))?;
        }
        Ok(())
    }

    fn cut(&mut self) -> Result<(), DeadmanError> {
        self.armed = None;
        if let Some(guard) = &mut self.guard {
            guard.cut()?;
        }
        Ok(())
    }

    fn check(&mut self) -> Answer {
        if let Some(watchdog) = &self.watchdog {
            watchdog.check()?;
        }
        let Some(guard) = &mut self.guard else {
            return Ok(Checked::Whole);
        };
        if guard.check()? == Standing::Whole {
            return Ok(Checked::Whole);
        }
        guard.install()?;
        let left = self.armed.map(|until| until.since(clock::mono()));
        match left {
            // A table that was removed has lost its element; what is left of it was promised to clients.
            Some(left) if left > Millis(0) => guard.arm(left)?,
            _ => guard.cut()?,
        }
        Ok(Checked::Mended)
    }

    fn rest(&mut self) -> Result<(), DeadmanError> {
        self.cut()?;
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.rest()?;
        }
        Ok(())
    }

    fn remove(&mut self) -> Result<(), DeadmanError> {
        self.armed = None;
        if let Some(guard) = &mut self.guard {
            guard.remove()?;
        }
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.rest()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
