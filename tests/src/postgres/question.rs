//! The few questions that tests ask of an instance.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::time::{Instant, sleep};

use super::settings::{self, MAINTENANCE, OWNER};
use super::{POLL, Postgres};

impl Postgres {
    /// Whether it is a standby now.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn in_recovery(&self) -> Result<bool> {
        let session = self.connect(OWNER, MAINTENANCE).await?;
        Ok(session
            .one("SELECT pg_is_in_recovery()", &[])
            .await?
            .try_get(0)?)
    }

    /// End of its WAL: written on a primary, received or replayed on a standby.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn current_lsn(&self) -> Result<u64> {
        let session = self.connect(OWNER, MAINTENANCE).await?;
        let row = session.one(settings::CURRENT_LSN, &[]).await?;
        u64::try_from(row.try_get::<_, i64>(0)?).context("a negative LSN")
    }

    /// Names of the standbys that stream from it.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn streaming_standbys(&self) -> Result<Vec<String>> {
        let session = self.connect(OWNER, MAINTENANCE).await?;
        let rows = session.all(settings::STREAMING_STANDBYS, &[]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Timeline its WAL receiver gets, when it streams.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn received_timeline(&self) -> Result<Option<i32>> {
        let session = self.connect(OWNER, MAINTENANCE).await?;
        let rows = session.all(settings::RECEIVED_TIMELINE, &[]).await?;
        rows.first().map(|row| Ok(row.try_get(0)?)).transpose()
    }

    /// Waits until exactly `standbys` stream from it.
    ///
    /// # Errors
    /// When that is not so `within`.
    pub async fn wait_streaming(&self, standbys: &[&str], within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let seen = self.streaming_standbys().await;
            if matches!(&seen, Ok(names) if names == standbys) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{standbys:?} do not all stream after {within:?}: {seen:?}");
            }
            sleep(POLL).await;
        }
    }

    /// Waits until it has replayed `lsn`.
    ///
    /// # Errors
    /// When it has not `within`.
    pub async fn wait_replayed(&self, lsn: u64, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        let session = self.connect(OWNER, MAINTENANCE).await?;
        loop {
            let replayed: Option<i64> =
                session.one(settings::REPLAYED_LSN, &[]).await?.try_get(0)?;
            if replayed
                .and_then(|at| u64::try_from(at).ok())
                .is_some_and(|at| at >= lsn)
            {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "replayed {replayed:?} of {lsn} after {within:?}"
            );
            sleep(POLL).await;
        }
    }
}
