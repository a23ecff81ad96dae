//! One SQL session whose every wait is bounded.
//!
//! A hung server answers neither handshake nor query and never closes, so the timeout is ours. After
//! one, the session is of no use: the next statement would queue behind the lost one.

use std::fmt::{Debug, Formatter};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row};

/// An open session. Dropping it closes the connection.
pub struct Session {
    client: Client,
    connection: JoinHandle<()>,
    within: Duration,
}

impl Session {
    /// Connects; this and each later statement may take `within`.
    ///
    /// # Errors
    /// When there is no answer in time or the server refuses.
    pub async fn open(
        address: SocketAddr,
        role: &str,
        database: &str,
        within: Duration,
    ) -> Result<Self> {
        let mut settings = tokio_postgres::Config::new();
        settings
            .host(address.ip().to_string())
            .port(address.port())
            .user(role)
            .dbname(database);
        settings.application_name("lab");
        let (client, connection) = timeout(within, settings.connect(NoTls))
            .await
            .with_context(|| format!("{address} is silent"))?
            .with_context(|| format!("{address} refuses"))?;
        let connection = tokio::spawn(async move {
            // The client reports the end of the connection by itself.
            drop(connection.await);
        });
        Ok(Self {
            client,
            connection,
            within,
        })
    }

    /// Runs a statement and gives how many rows it touched.
    ///
    /// # Errors
    /// When it fails or there is no answer in time.
    pub async fn execute(&self, statement: &str, values: &[&(dyn ToSql + Sync)]) -> Result<u64> {
        let work = self.client.execute(statement, values);
        timeout(self.within, work)
            .await
            .context("no answer")?
            .with_context(|| statement.to_owned())
    }

    /// Runs several statements without values.
    ///
    /// # Errors
    /// When one fails or there is no answer in time.
    pub async fn batch(&self, statements: &str) -> Result<()> {
        let work = self.client.batch_execute(statements);
        timeout(self.within, work)
            .await
            .context("no answer")?
            .with_context(|| statements.to_owned())
    }

    /// Runs a query that gives exactly one row.
    ///
    /// # Errors
    /// When it fails, gives another number of rows, or there is no answer in time.
    pub async fn one(&self, query: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Row> {
        let work = self.client.query_one(query, values);
        timeout(self.within, work)
            .await
            .context("no answer")?
            .with_context(|| query.to_owned())
    }

    /// Runs a query and gives all its rows.
    ///
    /// # Errors
    /// When it fails or there is no answer in time.
    pub async fn all(&self, query: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        let work = self.client.query(query, values);
        timeout(self.within, work)
            .await
            .context("no answer")?
            .with_context(|| query.to_owned())
    }

    /// The driver's client, for what is not covered here; its waits are not bounded.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Debug for Session {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Session")
            .field("within", &self.within)
            .finish_non_exhaustive()
    }
}
