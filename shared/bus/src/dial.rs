//! Opens one client for one TCP connection.
//!
//! The client is pinned: as soon as it stands, its server list is replaced by an address that cannot
//! be reached, so that the library's own reconnect fails at once and the client dies with everything
//! that was still queued in it. Nothing may be published on a client before it is pinned.

use std::future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ReconnectToServer, Subscriber};
use futures_util::StreamExt;
use tokio::sync::Notify;

use crate::backoff;
use crate::health::Tally;
use crate::settings::{Credentials, Manner, Settings};

/// Port 0 is never listened on: a dial to it fails at once and asks nobody.
const NOWHERE: &str = "nats://127.0.0.1:0";
/// Longest wait for a dying client to be gone.
const RETIREMENT: Duration = Duration::from_secs(2);
/// Longest pause between the server's farewell and this client's move, well inside the server's grace period.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why one server could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// A secret could not be read.
    #[error("cannot read {}", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The server refused who this client says it is.
    #[error("{server} refuses this client's credentials")]
    Refused {
        /// The server's address.
        server: String,
        /// What the library said.
        #[source]
        source: async_nats::ConnectError,
    },
    /// The server could not be reached, or the handshake failed.
    #[error("cannot connect to {server}")]
    Unreachable {
        /// The server's address.
        server: String,
        /// What the library said.
        #[source]
        source: async_nats::ConnectError,
    },
    /// The connection was lost again before it was ready.
    #[error("the connection to {server} was lost during the handshake")]
    LostAtOnce {
        /// The server's address.
        server: String,
    },
}

/// A client that is ready to be used, until its connection ends.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) client: Client,
    /// Address from the settings.
    pub(crate) server: String,
    /// Name that the server gives itself.
    pub(crate) server_name: String,
    pub(crate) version: String,
    /// Counts the links of one connection from 1.
    pub(crate) generation: u64,
}

impl Link {
    /// Whether the client believes that it is connected.
    pub(crate) fn is_up(&self) -> bool {
        self.client.connection_state() == State::Connected
    }
}

/// A link, and the means to learn of its end.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) link: Arc<Link>,
    sentinel: Subscriber,
    lame_duck: Arc<Notify>,
}

/// How a link ended, or is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The connection is gone.
    Lost,
    /// The server will shut down and asks its clients to move.
    LameDuck,
}

impl Life {
    /// Resolves when the link ended or should be left.
    pub(crate) async fn end(&mut self) -> End {
        tokio::select! {
            () = gone(&mut self.sentinel) => return End::Lost,
            () = self.lame_duck.notified() => {}
        }
        let pause = backoff::between(Duration::ZERO, FAREWELL);
        tokio::select! {
            () = gone(&mut self.sentinel) => End::Lost,
            () = tokio::time::sleep(pause) => End::LameDuck,
        }
    }

    /// Ends the client, with all that it still holds.
    pub(crate) async fn retire(mut self) {
        let ending = async {
            if self.link.client.force_reconnect().await.is_ok() {
                gone(&mut self.sentinel).await;
            }
        };
        if tokio::time::timeout(RETIREMENT, ending).await.is_err() {
            tracing::debug!(
                server = self.link.server,
                "the old client did not end in time"
            );
        }
    }
}

/// Connects to one server.
pub(crate) async fn dial(
    settings: &Settings,
    manner: Manner,
    server: &str,
    generation: u64,
    tally: &Arc<Tally>,
) -> Result<Life, DialError> {
    let lame_duck = Arc::new(Notify::new());
    let options = identity(
        options(settings, manner, tally, &lame_duck),
        &settings.credentials,
    )?;
    let client = options
        .connect(server)
        .await
        .map_err(|source| failure(server, source))?;
    let lost = || DialError::LostAtOnce {
        server: server.to_owned(),
    };
    let pinning = async {
        client.set_server_pool(NOWHERE).await.map_err(|_| lost())?;
        client
            .subscribe(client.new_inbox())
            .await
            .map_err(|_| lost())
    };
    let sentinel = tokio::time::timeout(settings.connect_timeout, pinning)
        .await
        .map_err(|_elapsed| lost())??;
    let about = client.server_info();
    let link = Link {
        client,
        server: server.to_owned(),
        server_name: about.server_name,
        version: about.version,
        generation,
    };
    Ok(Life {
        link: Arc::new(link),
        sentinel,
        lame_duck,
    })
}

/// Reads every secret once, so that a wrong path is a start-up error.
pub(crate) fn check_secrets(credentials: &Credentials) -> Result<(), DialError> {
    identity(ConnectOptions::new(), credentials).map(|_| ())
}

fn options(
    settings: &Settings,
    manner: Manner,
    tally: &Arc<Tally>,
    lame_duck: &Arc<Notify>,
) -> ConnectOptions {
    let (tally, lame_duck) = (Arc::clone(tally), Arc::clone(lame_duck));
    let options = ConnectOptions::new()
        .name(&settings.client_name)
        .custom_inbox_prefix(&settings.inbox_prefix)
        .connection_timeout(settings.connect_timeout)
        .request_timeout(Some(settings.request_timeout))
        .ping_interval(settings.ping_interval)
        .client_capacity(manner.send_capacity())
        .subscription_capacity(settings.subscription_capacity)
        .read_buffer_capacity(manner.read_buffer())
        .ignore_discovered_servers()
        .retain_servers_order()
        .max_reconnects(1)
        .reconnect_delay_callback(|_attempt| Duration::ZERO)
        // Choosing the server by callback keeps the library from logging the intended end as an error.
        .reconnect_to_server_callback(|pool, _about| {
            future::ready(pool.into_iter().next().map(|server| ReconnectToServer {
                addr: server.addr,
                delay: Some(Duration::ZERO),
            }))
        })
        .event_callback(move |event| {
            tally.note(&event);
            if event == Event::LameDuckMode {
                lame_duck.notify_one();
            }
            future::ready(())
        });
    match &settings.tls {
        None => options,
        Some(files) => options
            .require_tls(true)
            .add_root_certificates(files.ca.clone())
            .add_client_certificate(files.cert.clone(), files.key.clone()),
    }
}

fn identity(
    options: ConnectOptions,
    credentials: &Credentials,
) -> Result<ConnectOptions, DialError> {
    match credentials {
        Credentials::None => Ok(options),
        Credentials::NkeySeedFile(path) => Ok(options.nkey(secret(path)?)),
        Credentials::CredentialsFile(path) => {
            options
                .credentials(&secret(path)?)
                .map_err(|source| DialError::Secret {
                    path: path.clone(),
                    source,
                })
        }
        Credentials::UserPassword {
            user,
            password_file,
        } => Ok(options.user_and_password(user.clone(), secret(password_file)?)),
    }
}

fn secret(path: &Path) -> Result<String, DialError> {
    std::fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .map_err(|source| DialError::Secret {
            path: path.to_owned(),
            source,
        })
}

fn failure(server: &str, source: async_nats::ConnectError) -> DialError {
    let server = server.to_owned();
    let kind = source.kind();
    if kind == ConnectErrorKind::AuthorizationViolation || kind == ConnectErrorKind::Authentication
    {
        DialError::Refused { server, source }
    } else {
        DialError::Unreachable { server, source }
    }
}

async fn gone(sentinel: &mut Subscriber) {
    while sentinel.next().await.is_some() {}
}
