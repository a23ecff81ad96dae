//! The handle that the rest of the project holds: cheap to clone, all clones share one connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::dial::{self, DialError, Link};
use crate::health::{BusHealth, Tally};
use crate::settings::{Manner, Settings};
use crate::supervisor::{Outlet, Supervisor};
use crate::version::{ServerTooOld, ServerVersion};

/// A supervised connection to the bus. Dropping the last clone closes it.
#[derive(Debug, Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Arc<Settings>,
    manner: Manner,
    tally: Arc<Tally>,
    outlet: Outlet,
    supervisor: AbortHandle,
}

/// Whether messages can be sent now. A frozen server is noticed within three ping intervals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionState {
    /// A connection stands.
    Connected {
        /// Name that the server gives itself. Another site's name here is evidence about the own site's server.
        server_name: String,
    },
    /// No connection stands; the supervisor is dialling.
    Disconnected,
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The settings cannot work.
    #[error("bus settings: {0}")]
    Settings(String),
    /// A secret could not be read.
    #[error("bus credentials cannot be used")]
    Credentials(#[source] DialError),
    /// None of the servers could be used; all reasons in the order of the settings.
    #[error("no bus server can be used: {}", list(.0))]
    NoServer(Vec<DialError>),
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

impl Connection {
    /// Opens a connection. With [`Manner::Command`] it returns when a server has been reached; in the
    /// other manners at once, and dials in the background for ever.
    ///
    /// Must be called inside a tokio runtime (a current-thread one will do).
    ///
    /// # Errors
    /// [`ConnectError`]; with [`Manner::Telemetry`] and [`Manner::Observer`] only for settings that cannot work.
    pub async fn connect(settings: Settings, manner: Manner) -> Result<Self, ConnectError> {
        check(&settings)?;
        dial::check_secrets(&settings.credentials).map_err(ConnectError::Credentials)?;
        let (settings, tally) = (Arc::new(settings), Arc::new(Tally::new()));
        let (mut supervisor, outlet) =
            Supervisor::new(Arc::clone(&settings), manner, Arc::clone(&tally));
        let first = if manner.needs_server_to_start() {
            let life = Box::pin(supervisor.dial_any(None))
                .await
                .map_err(ConnectError::NoServer)?;
            supervisor.show(&life);
            Some(life)
        } else {
            None
        };
        let supervisor = tokio::spawn(supervisor.run(first)).abort_handle();
        Ok(Self {
            inner: Arc::new(Inner {
                settings,
                manner,
                tally,
                outlet,
                supervisor,
            }),
        })
    }

    /// Whether messages can be sent now.
    pub fn state(&self) -> ConnectionState {
        self.link().map_or(ConnectionState::Disconnected, |link| {
            ConnectionState::Connected {
                server_name: link.server_name.clone(),
            }
        })
    }

    /// Whether messages can be sent now.
    pub fn is_connected(&self) -> bool {
        self.link().is_some()
    }

    /// Waits until a connection stands; false if none does within `patience`.
    pub async fn wait_connected(&self, patience: Duration) -> bool {
        let mut outlet = self.inner.outlet.clone();
        let up = outlet.wait_for(|link| link.as_ref().is_some_and(|link| link.is_up()));
        tokio::time::timeout(patience, up)
            .await
            .is_ok_and(|link| link.is_ok())
    }

    /// The counters since the connection was opened.
    pub fn health(&self) -> BusHealth {
        self.inner.tally.read()
    }

    /// Release of the connected server, checked.
    ///
    /// # Errors
    /// [`ServerTooOld`] if it is older than [`ServerVersion::OLDEST`], or if no server is connected.
    pub fn server_version(&self) -> Result<ServerVersion, ServerTooOld> {
        self.link().map_or_else(
            || ServerVersion::check(""),
            |link| ServerVersion::check(&link.version),
        )
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The manner it was opened with.
    pub fn manner(&self) -> Manner {
        self.inner.manner
    }

    /// Waits until everything published so far is written to the socket, at most `patience`. True if so;
    /// it says nothing about receipt. For the last message before an exit.
    pub async fn flush(&self, patience: Duration) -> bool {
        match self.link() {
            None => false,
            Some(link) => tokio::time::timeout(patience, link.client.flush())
                .await
                .is_ok_and(|done| done.is_ok()),
        }
    }

    /// The present link, if its client believes that it is connected.
    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        self.inner
            .outlet
            .borrow()
            .as_ref()
            .filter(|link| link.is_up())
            .cloned()
    }

    pub(crate) fn outlet(&self) -> Outlet {
        self.inner.outlet.clone()
    }

    pub(crate) fn tally(&self) -> &Arc<Tally> {
        &self.inner.tally
    }
}

fn check(settings: &Settings) -> Result<(), ConnectError> {
    if settings.servers.is_empty() {
        return Err(ConnectError::Settings("no server is named".to_owned()));
    }
    for server in &settings.servers {
        if let Err(why) = server.parse::<async_nats::ServerAddr>() {
            return Err(ConnectError::Settings(format!(
                "server {server:?}: {why}; allowed: nats://host:port or tls://host:port"
            )));
        }
    }
    let prefix = &settings.inbox_prefix;
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '*' || c == '>';
    if prefix.is_empty() || prefix.starts_with('.') || prefix.ends_with('.') || prefix.contains(odd)
    {
        return Err(ConnectError::Settings(format!(
            "inbox prefix {prefix:?} is not a subject"
        )));
    }
    if settings.subscription_capacity == 0
        || settings.ping_interval.is_zero()
        || settings.connect_timeout.is_zero()
    {
        return Err(ConnectError::Settings(
            "capacities and intervals must be above zero".to_owned(),
        ));
    }
    Ok(())
}

fn list(failures: &[DialError]) -> String {
    failures
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}
