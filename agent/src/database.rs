//! One session with the server beside this agent, where nothing may wait without a bound.
//!
//! The library's own timeouts do not cover a frozen server, so every call here has one. A session that did
//! not answer in time is dead: a statement that was given up still runs, and the next would queue behind it.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use shared::wire::DatabaseState;
use tokio::task::AbortHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row, SimpleQueryMessage, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::{Place, PostgresConfig, Tls};

/// Why the server did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    /// It accepted and did not answer in time.
    #[error("no answer within {} ms", .0.as_millis())]
    Hung(Duration),
    /// Nothing listens.
    #[error("nothing listens")]
    Down(#[source] tokio_postgres::Error),
    /// It answered with an error.
    #[error("{} ({})", .0.message(), .0.code().code())]
    Refused(Box<tokio_postgres::error::DbError>),
    /// The session ended.
    #[error("the session ended")]
    Lost(#[source] tokio_postgres::Error),
    /// The agent's own side is wrong: a file, a certificate, a type.
    #[error("{0}")]
    Setup(String),
}

impl DatabaseError {
    /// What this says about the server.
    pub(crate) fn state(&self) -> DatabaseState {
        match self {
            Self::Hung(_) => DatabaseState::Hung,
            Self::Down(_) => DatabaseState::Down,
            Self::Refused(error) => state_of(error.code()),
            Self::Lost(_) => DatabaseState::NotServing,
            Self::Setup(_) => DatabaseState::Unknown,
        }
    }

    /// Whether the role changed while it was being asked for: ask again.
    pub(crate) fn is_role_change(&self) -> bool {
        self.has_code(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE)
    }

    /// Whether the server answered with this code.
    pub(crate) fn has_code(&self, code: &SqlState) -> bool {
        matches!(self, Self::Refused(error) if error.code() == code)
    }

    fn from_library(error: tokio_postgres::Error) -> Self {
        if let Some(answer) = error.as_db_error() {
            return Self::Refused(Box::new(answer.clone()));
        }
        let io = std::error::Error::source(&error)
            .and_then(|source| source.downcast_ref::<std::io::Error>());
        match io.map(std::io::Error::kind) {
            Some(ErrorKind::ConnectionRefused | ErrorKind::NotFound) => Self::Down(error),
            _ => Self::Lost(error),
        }
    }
}

fn state_of(code: &SqlState) -> DatabaseState {
    let class = code.code();
    if class.starts_with("28") || *code == SqlState::INSUFFICIENT_PRIVILEGE {
        DatabaseState::Denied
    } else if class.starts_with("57P") || class.starts_with("53") {
        DatabaseState::NotServing
    } else {
        DatabaseState::Unknown
    }
}

/// What every session has.
const OPTIONS: &str = "-c lock_timeout=5s -c client_min_messages=error";

/// A session. Dropping it closes it, whatever the server does.
#[derive(Debug)]
pub(crate) struct Session {
    client: Client,
    driver: AbortHandle,
    patience: Duration,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Session {
    /// Opens a session in which nothing waits for other sites' acknowledgement.
    pub(crate) async fn open(
        config: &PostgresConfig,
        patience: Duration,
    ) -> Result<Self, DatabaseError> {
        Self::open_with(config, patience, "").await
    }

    /// Opens a session that can only look: read-only, and with none of the role's rights to promote or re-point.
    pub(crate) async fn open_to_look(
        config: &PostgresConfig,
        patience: Duration,
    ) -> Result<Self, DatabaseError> {
        let more = " -c default_transaction_read_only=on -c role=pg_monitor";
        Self::open_with(config, patience, more).await
    }

    /// Opens a session whose commits do not wait either, and in which the server's own `synchronous_commit` is seen as
    /// what a `RESET` would give.
    pub(crate) async fn open_to_sample(
        config: &PostgresConfig,
        patience: Duration,
    ) -> Result<Self, DatabaseError> {
        let session = Self::open_as(config, patience, OPTIONS).await?;
        session.order("SET synchronous_commit = local").await?;
        Ok(session)
    }

    async fn open_with(
        config: &PostgresConfig,
        patience: Duration,
        more: &str,
    ) -> Result<Self, DatabaseError> {
        let options = format!("-c synchronous_commit=local {OPTIONS}{more}");
        Self::open_as(config, patience, &options).await
    }

    async fn open_as(
        config: &PostgresConfig,
        patience: Duration,
        options: &str,
    ) -> Result<Self, DatabaseError> {
        let target = target(config, options)?;
        let connecting = Box::pin(connect(config, &target));
        match tokio::time::timeout(patience, connecting).await {
            Ok(Ok((client, driver))) => Ok(Self {
                client,
                driver,
                patience,
            }),
            Ok(Err(error)) => Err(error),
            Err(_elapsed) => Err(DatabaseError::Hung(patience)),
        }
    }

    /// Whether the server has ended it.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Prepares a statement that will be asked again and again.
    pub(crate) async fn prepare(&self, sql: &str) -> Result<Statement, DatabaseError> {
        self.bounded(self.client.prepare(sql)).await
    }

    /// The one row of a prepared statement.
    pub(crate) async fn row(&self, statement: &Statement) -> Result<Row, DatabaseError> {
        self.bounded(self.client.query_one(statement, &[])).await
    }

    /// The one row of a statement.
    pub(crate) async fn ask(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, DatabaseError> {
        self.bounded(self.client.query_one(sql, values)).await
    }

    /// Sends statements that give no rows.
    pub(crate) async fn order(&self, sql: &str) -> Result<(), DatabaseError> {
        self.bounded(self.client.batch_execute(sql)).await
    }

    /// The first column of the first row as text; nothing when there is no row or it is null.
    pub(crate) async fn first_text(&self, sql: &str) -> Result<Option<String>, DatabaseError> {
        let messages = self.bounded(self.client.simple_query(sql)).await?;
        Ok(messages.iter().find_map(|message| {
            let SimpleQueryMessage::Row(row) = message else {
                return None;
            };
            row.get(0).map(str::to_owned)
        }))
    }

    /// The same session with another patience.
    pub(crate) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    async fn bounded<T>(
        &self,
        asking: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, DatabaseError> {
        match tokio::time::timeout(self.patience, asking).await {
            Ok(answer) => answer.map_err(DatabaseError::from_library),
            Err(_elapsed) => Err(DatabaseError::Hung(self.patience)),
        }
    }
}

/// A column's value; a type that does not fit is a fault of the statement.
pub(crate) fn column<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    name: &str,
) -> Result<T, DatabaseError> {
    row.try_get(name)
        .map_err(|error| DatabaseError::Setup(format!("column {name}: {error}")))
}

/// The socket file of a server, by which its port can be tried without a session.
pub(crate) fn socket_file(directory: &Path, port: u16) -> std::path::PathBuf {
    directory.join(format!(".s.PGSQL.{port}"))
}

fn target(config: &PostgresConfig, options: &str) -> Result<Config, DatabaseError> {
    let mut target = Config::new();
    match &config.place {
        Place::Host(host) => target.host(host),
        Place::Socket(directory) => target.host_path(directory),
    };
    target
        .port(config.port)
        .user(&config.user)
        .dbname(&config.dbname)
        .application_name("pointsman-agent");
    target.options(options);
    target.ssl_mode(match config.tls {
        Tls::Disable => SslMode::Disable,
        Tls::Require { .. } => SslMode::Require,
    });
    if let Some(file) = &config.password_file {
        let password = std::fs::read_to_string(file).map_err(|error| {
            DatabaseError::Setup(format!("cannot read {}: {error}", file.display()))
        })?;
        target.password(password.trim());
    }
    Ok(target)
}

async fn connect(
    config: &PostgresConfig,
    target: &Config,
) -> Result<(Client, AbortHandle), DatabaseError> {
    match &config.tls {
        Tls::Disable => {
            let (client, connection) = target
                .connect(NoTls)
                .await
                .map_err(DatabaseError::from_library)?;
            Ok((client, drive(connection)))
        }
        Tls::Require { ca_file } => {
            let tls = MakeRustlsConnect::new(tls(ca_file.as_deref())?);
            let (client, connection) = target
                .connect(tls)
                .await
                .map_err(DatabaseError::from_library)?;
            Ok((client, drive(connection)))
        }
    }
}

/// The session's socket is served by a task of its own.
fn drive(
    connection: impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
) -> AbortHandle {
    let driving = async move {
        if let Err(error) = connection.await {
            let cause =
                std::error::Error::source(&error).map_or_else(String::new, ToString::to_string);
            tracing::debug!(%error, cause, "a database session ended");
        }
    };
    tokio::spawn(driving).abort_handle()
}

fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, DatabaseError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca_file)? {
        roots
            .add(certificate)
            .map_err(|error| DatabaseError::Setup(format!("a certificate is unfit: {error}")))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| DatabaseError::Setup(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn certificates(ca_file: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, DatabaseError> {
    let Some(path) = ca_file else {
        let loaded = rustls_native_certs::load_native_certs();
        return if loaded.certs.is_empty() {
            Err(DatabaseError::Setup(
                "the system has no certificates".to_owned(),
            ))
        } else {
            Ok(loaded.certs)
        };
    };
    let unfit = |error: std::io::Error| {
        DatabaseError::Setup(format!("cannot read {}: {error}", path.display()))
    };
    let pem = std::fs::read(path).map_err(unfit)?;
    let certificates: Vec<_> = rustls_pemfile::certs(&mut pem.as_slice())
        .collect::<Result<_, _>>()
        .map_err(unfit)?;
    if certificates.is_empty() {
        return Err(DatabaseError::Setup(format!(
            "{} holds no certificate",
            path.display()
        )));
    }
    Ok(certificates)
}
