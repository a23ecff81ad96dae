//! A client that opened its connection while all was well and never lets go of it.
//!
//! Whoever connects anew may be kept out; a connection that is open already, with a statement that waits for
//! its answer, is what an old primary can still serve. It writes one row after the other over that one
//! connection, waits for each answer as long as it takes, and ends when the connection does.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::postgres::{CLIENT, SERVICE, Session};

const EVERY: Duration = Duration::from_millis(50);
const CONNECT: Duration = Duration::from_secs(5);
const TABLE: &str = "CREATE TABLE IF NOT EXISTS stayer (at timestamptz NOT NULL)";
const INSERT: &str = "INSERT INTO stayer (at) VALUES (clock_timestamp())";

/// The running client. Dropping it closes its connection.
#[derive(Debug)]
pub struct Stayer {
    acknowledged: Arc<Mutex<Vec<Instant>>>,
    task: JoinHandle<()>,
}

/// Makes its table, on the primary.
///
/// # Errors
/// When the statement fails.
pub async fn prepare(session: &Session) -> Result<()> {
    let owned = format!("{TABLE}; ALTER TABLE stayer OWNER TO {CLIENT}");
    session.batch(&owned).await
}

impl Stayer {
    /// Connects to the database at `address` and begins to write.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn start(address: SocketAddr) -> Result<Self> {
        let session = Session::open(address, CLIENT, SERVICE, CONNECT).await?;
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&acknowledged);
        let task = tokio::spawn(async move {
            while session.client().execute(INSERT, &[]).await.is_ok() {
                list.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(Instant::now());
                sleep(EVERY).await;
            }
        });
        Ok(Self { acknowledged, task })
    }

    /// How many rows were acknowledged after a moment.
    pub fn acknowledged_after(&self, moment: Instant) -> usize {
        let list = self
            .acknowledged
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        list.iter().filter(|at| **at > moment).count()
    }
}

impl Drop for Stayer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
