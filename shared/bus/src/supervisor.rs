//! Keeps one link up: dials, shows it to the users of the connection, hides it when it ends, dials again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::backoff::{self, Backoff};
use crate::dial::{self, DialError, End, Life, Link};
use crate::health::Tally;
use crate::settings::{Manner, Settings};
use crate::version::ServerVersion;

/// A connection that had to go to another server looks for its first one again after so long: behind a foreign
/// server it hangs on a link between sites, and its site's own server looks lost to everybody.
const HOMING: (Duration, Duration) = (Duration::from_secs(8), Duration::from_secs(16));

/// The present link, as all users of the connection see it.
pub(crate) type Outlet = watch::Receiver<Option<Arc<Link>>>;

/// Work of one connection for as long as it is open.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) settings: Arc<Settings>,
    pub(crate) manner: Manner,
    pub(crate) tally: Arc<Tally>,
    display: Display,
    generation: u64,
}

/// Hides the link when the supervisor ends in whatever way, so that no user keeps a client alive.
#[derive(Debug)]
struct Display(watch::Sender<Option<Arc<Link>>>);

impl Drop for Display {
    fn drop(&mut self) {
        self.0.send_replace(None);
    }
}

impl Supervisor {
    pub(crate) fn new(
        settings: Arc<Settings>,
        manner: Manner,
        tally: Arc<Tally>,
    ) -> (Self, Outlet) {
        let (sender, outlet) = watch::channel(None);
        (
            Self {
                settings,
                manner,
                tally,
                display: Display(sender),
                generation: 0,
            },
            outlet,
        )
    }

    /// Tries every server once, in order; `avoid` comes last.
    pub(crate) async fn dial_any(&mut self, avoid: Option<&str>) -> Result<Life, Vec<DialError>> {
        let settings = Arc::clone(&self.settings);
        let (last, first): (Vec<&String>, Vec<&String>) = settings
            .servers
            .iter()
            .partition(|server| Some(server.as_str()) == avoid);
        let mut failures = Vec::new();
        for server in first.into_iter().chain(last) {
            self.generation += 1;
            match dial::dial(&settings, self.manner, server, self.generation, &self.tally).await {
                Ok(life) => return Ok(life),
                Err(failure) => failures.push(failure),
            }
        }
        Err(failures)
    }

    /// Shows a link to all users of the connection.
    pub(crate) fn show(&self, life: &Life) {
        let link = &life.link;
        self.tally.connected();
        tracing::info!(
            server = link.server,
            name = link.server_name,
            version = link.version,
            "bus connected"
        );
        if let Err(old) = ServerVersion::check(&link.version) {
            tracing::warn!(server = link.server, "{old}");
        }
        self.display.0.send_replace(Some(Arc::clone(link)));
    }

    /// Runs until dropped.
    pub(crate) async fn run(mut self, first: Option<Life>) {
        let mut life = if let Some(life) = first {
            life
        } else {
            let life = self.dial_until_up(None, None).await;
            self.show(&life);
            life
        };
        loop {
            let present = Arc::clone(&life.link);
            let end = tokio::select! {
                biased;
                end = life.end() => end,
                home = self.way_home(&present.server) => {
                    tracing::info!(server = home.link.server, "the first bus server is back, moving");
                    self.show(&home);
                    std::mem::replace(&mut life, home).retire().await;
                    continue;
                }
            };
            match end {
                End::Lost => {
                    self.display.0.send_replace(None);
                    tracing::warn!(server = life.link.server, "bus connection lost");
                    drop(life);
                    life = self
                        .dial_until_up(None, Some(self.manner.first_pause()))
                        .await;
                    self.show(&life);
                }
                End::LameDuck => {
                    tracing::info!(
                        server = life.link.server,
                        "bus server is about to shut down, moving"
                    );
                    let next = self
                        .dial_until_up(Some(life.link.server.clone()), None)
                        .await;
                    self.show(&next);
                    std::mem::replace(&mut life, next).retire().await;
                }
            }
        }
    }

    /// Resolves with a life at the first server of the settings; never while `present` is that server.
    async fn way_home(&mut self, present: &str) -> Life {
        let settings = Arc::clone(&self.settings);
        let Some(first) = settings.servers.first().filter(|first| *first != present) else {
            return std::future::pending().await;
        };
        loop {
            // Spread out, because all of a site's connections come home together.
            tokio::time::sleep(backoff::between(HOMING.0, HOMING.1)).await;
            self.generation += 1;
            let dialled = dial::dial(&settings, self.manner, first, self.generation, &self.tally);
            match dialled.await {
                Ok(life) => return life,
                Err(failure) => tracing::debug!(server = first, "not back yet: {failure}"),
            }
        }
    }

    async fn dial_until_up(
        &mut self,
        avoid: Option<String>,
        first_pause: Option<Duration>,
    ) -> Life {
        let mut backoff = Backoff::new(first_pause.unwrap_or_else(|| self.manner.first_pause()));
        if first_pause.is_some() {
            tokio::time::sleep(backoff.pause()).await;
        }
        let mut told = false;
        loop {
            match self.dial_any(avoid.as_deref()).await {
                Ok(life) => return life,
                Err(failures) => {
                    for failure in &failures {
                        tell(failure, told);
                    }
                    told = true;
                }
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }
}

/// Says once per outage what is wrong; further rounds are for who is looking closely.
fn tell(failure: &DialError, told: bool) {
    let cause = std::error::Error::source(failure).map_or_else(String::new, ToString::to_string);
    if told {
        tracing::debug!(cause, "{failure}");
    } else {
        tracing::warn!(cause, "{failure}");
    }
}
