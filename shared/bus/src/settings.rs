//! What a connection is made of: servers, identity, limits, and the manner in which it is used.
//!
//! Holds file names of secrets, never the secrets: they are read again at every dial, so that a
//! replaced key takes effect without a restart.

use std::path::PathBuf;
use std::time::Duration;

/// Everything needed to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Name shown by the server for this client, for example `pointsman-agent/dc1/db1/0.1.0`.
    pub client_name: String,
    /// Server addresses (`nats://host:port` or `tls://host:port`), the own site's first. They are tried in this order.
    pub servers: Vec<String>,
    /// Prefix of the reply subjects of this client. Never the default `_INBOX`, which lets every
    /// client read every reply.
    pub inbox_prefix: String,
    /// How this client proves who it is.
    pub credentials: Credentials,
    /// TLS files; with them a server without TLS is refused.
    pub tls: Option<TlsFiles>,
    /// Longest wait for an answer where the call does not name its own.
    pub request_timeout: Duration,
    /// Longest wait for one address to finish the handshake.
    pub connect_timeout: Duration,
    /// Silence after which the server is asked for a sign of life; three unanswered ones end the connection.
    pub ping_interval: Duration,
    /// Messages kept for each subscription that is slower than its sender. When full, the newest are dropped and counted.
    pub subscription_capacity: usize,
}

/// How a client proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all, or by the TLS certificate alone.
    None,
    /// File that holds an nkey seed (`SU...`).
    NkeySeedFile(PathBuf),
    /// Credentials file with a JWT and a seed.
    CredentialsFile(PathBuf),
    /// User name, and the file that holds the password.
    UserPassword {
        /// The user name.
        user: String,
        /// File that holds the password; whitespace around it is dropped.
        password_file: PathBuf,
    },
}

/// PEM files of a mutual TLS connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the authorities that may vouch for a server.
    pub ca: PathBuf,
    /// Certificate of this client.
    pub cert: PathBuf,
    /// Private key of this client.
    pub key: PathBuf,
}

/// What a connection is for. Decides whether it starts without a server, how soon it dials again,
/// and how many messages may be on their way to the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Heartbeats and events of an agent: starts without a server, dials for ever, drops what cannot
    /// be sent now. Its first dial after a loss is spread out, because all agents lose a server together.
    Telemetry,
    /// Orders and decisions: needs a server to start, refuses at once when not connected.
    Command,
    /// Watching everybody: starts without a server, dials for ever, large subscriptions.
    Observer,
}

impl Settings {
    /// Settings with the timings that the detection is designed for: dial 2 s, ping 2 s (a frozen
    /// server is noticed within 6 s), request 2 s, 1024 messages a subscription.
    pub fn new(
        client_name: impl Into<String>,
        servers: Vec<String>,
        inbox_prefix: impl Into<String>,
    ) -> Self {
        Self {
            client_name: client_name.into(),
            servers,
            inbox_prefix: inbox_prefix.into(),
            credentials: Credentials::None,
            tls: None,
            request_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(2),
            ping_interval: Duration::from_secs(2),
            subscription_capacity: 1024,
        }
    }
}

impl Manner {
    /// Messages that may wait for the socket before a publish is dropped.
    pub(crate) const fn send_capacity(self) -> usize {
        match self {
            Self::Telemetry => 64,
            Self::Command => 256,
            Self::Observer => 2048,
        }
    }

    /// Longest wait of a publish for room on the way to the socket.
    pub(crate) const fn publish_patience(self) -> Duration {
        match self {
            Self::Telemetry => Duration::from_millis(100),
            Self::Command | Self::Observer => Duration::from_secs(1),
        }
    }

    /// Size in bytes of the read buffer.
    pub(crate) const fn read_buffer(self) -> u16 {
        match self {
            Self::Telemetry => 8 * 1024,
            Self::Command => 32 * 1024,
            Self::Observer => u16::MAX,
        }
    }

    /// Longest pause between a loss and the first dial.
    pub(crate) const fn first_pause(self) -> Duration {
        match self {
            Self::Telemetry => Duration::from_millis(2200),
            Self::Command | Self::Observer => Duration::from_millis(500),
        }
    }

    /// Whether the first connection must stand before the call returns.
    pub(crate) const fn needs_server_to_start(self) -> bool {
        match self {
            Self::Telemetry | Self::Observer => false,
            Self::Command => true,
        }
    }
}
