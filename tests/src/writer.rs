//! A client of the service that writes numbered rows through the active route.
//!
//! It stands for the product's users: it keeps its connection for as long as that answers, and asks
//! for the route again only when it has to connect, as a client that resolves a name does. It
//! records what was *acknowledged*, and afterwards says what of that a database does not have. A row
//! whose outcome is unknown (timeout, broken connection) is never written again and never counted.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::postgres::{CLIENT, SERVICE, Session};

/// What the rows are kept in; `site` is the name the *server* gives itself.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS numbered_row \
     (n bigint PRIMARY KEY, site text NOT NULL, at timestamptz NOT NULL)";
const INSERT: &str = "INSERT INTO numbered_row (n, site, at) \
     VALUES ($1, current_setting('cluster_name'), clock_timestamp()) RETURNING site";

/// The file that names the live database as `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteFile {
    path: PathBuf,
}

impl RouteFile {
    /// A route kept in `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is kept.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Points the route at `address`, in one step for every reader.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, address: SocketAddr) -> Result<()> {
        let next = self.path.with_extension("next");
        std::fs::write(&next, address.to_string()).context("writing the route")?;
        std::fs::rename(&next, &self.path).context("switching the route")
    }

    /// Where the route points.
    ///
    /// # Errors
    /// When the file is not there or does not hold an address.
    pub fn read(&self) -> Result<SocketAddr> {
        let text = std::fs::read_to_string(&self.path).context("reading the route")?;
        text.trim()
            .parse()
            .with_context(|| format!("not a route: {text}"))
    }
}

/// A row that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Its number.
    pub n: i64,
    /// When it was sent.
    pub sent: Instant,
    /// When the acknowledgement arrived.
    pub acknowledged: Instant,
    /// Where the route pointed when the connection was made.
    pub endpoint: SocketAddr,
    /// The name of the server that acknowledged.
    pub site: String,
}

/// How to write.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Time between two rows.
    pub every: Duration,
    /// How long a connection or a row may take.
    pub within: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            every: Duration::from_millis(20),
            within: Duration::from_secs(1),
        }
    }
}

/// What was acknowledged, and what was tried.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Every acknowledged row, in order.
    pub acknowledged: Vec<Acknowledged>,
    /// Rows sent, whatever became of them.
    pub sent: u64,
    /// Failures by their text, the last ones only.
    pub failures: Vec<String>,
}

/// Failures that a record keeps.
const FAILURES: usize = 50;

/// The running client. Dropping it stops it without a record.
#[derive(Debug)]
pub struct Writer {
    record: Arc<Mutex<Record>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Makes the table, on the primary, before anything is written.
///
/// # Errors
/// When the statement fails.
pub async fn prepare(session: &Session) -> Result<()> {
    session
        .batch(&format!(
            "{TABLE}; ALTER TABLE numbered_row OWNER TO {CLIENT}"
        ))
        .await
}

impl Writer {
    /// Starts writing to where `route` points, numbered from 1, and appends each acknowledgement
    /// to `journal` as a line of JSON with microseconds since `origin`.
    ///
    /// # Errors
    /// When the journal cannot be opened.
    pub fn start(route: RouteFile, pace: Pace, journal: &Path, origin: Instant) -> Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(journal)
            .with_context(|| format!("opening {}", journal.display()))?;
        let record = Arc::new(Mutex::new(Record::default()));
        let (stop, stopped) = watch::channel(false);
        let log = Log {
            record: Arc::clone(&record),
            file,
            origin,
        };
        let task = tokio::spawn(write_rows(route, pace, log, stopped));
        Ok(Self { record, stop, task })
    }

    /// What happened so far.
    pub fn record(&self) -> Record {
        self.record
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many rows were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.record
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .acknowledged
            .len()
    }

    /// Waits until `count` more rows were acknowledged.
    ///
    /// # Errors
    /// When they were not `within`; says the last failure.
    pub async fn wait_more(&self, count: usize, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        let wanted = self.acknowledged() + count;
        while self.acknowledged() < wanted {
            let last = self.record().failures.pop();
            ensure!(
                Instant::now() < deadline,
                "{} of {wanted} rows: {last:?}",
                self.acknowledged()
            );
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Stops after the row under way and gives the record.
    ///
    /// # Errors
    /// When the task failed.
    pub async fn stop(mut self) -> Result<Record> {
        self.stop.send_replace(true);
        (&mut self.task).await.context("the writer failed")?;
        Ok(self.record())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Record {
    /// Acknowledged rows that the database of `session` does not have.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn lost_in(&self, session: &Session) -> Result<Vec<i64>> {
        let rows = session.all("SELECT n FROM numbered_row", &[]).await?;
        let present: BTreeSet<i64> = rows
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Result<_, _>>()?;
        Ok(self
            .acknowledged
            .iter()
            .map(|row| row.n)
            .filter(|n| !present.contains(n))
            .collect())
    }

    /// The first row that the server named `site` acknowledged.
    pub fn first_of(&self, site: &str) -> Option<&Acknowledged> {
        self.acknowledged.iter().find(|row| row.site == site)
    }

    /// The last row that the server named `site` acknowledged.
    pub fn last_of(&self, site: &str) -> Option<&Acknowledged> {
        self.acknowledged.iter().rev().find(|row| row.site == site)
    }

    /// The longest time between two acknowledgements in succession.
    pub fn longest_gap(&self) -> Duration {
        let pairs = self
            .acknowledged
            .iter()
            .zip(self.acknowledged.iter().skip(1));
        pairs
            .map(|(one, next)| next.acknowledged - one.acknowledged)
            .max()
            .unwrap_or_default()
    }
}

struct Log {
    record: Arc<Mutex<Record>>,
    file: File,
    origin: Instant,
}

impl Log {
    fn sent(&self) {
        self.record
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .sent += 1;
    }

    fn failed(&self, failure: &anyhow::Error) {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        if record.failures.len() >= FAILURES {
            record.failures.remove(0);
        }
        record.failures.push(format!("{failure:#}"));
    }

    fn acknowledged(&mut self, row: Acknowledged) {
        let line = json!({
            "n": row.n, "site": row.site, "endpoint": row.endpoint.to_string(),
            "sent_us": microseconds(row.sent, self.origin),
            "acknowledged_us": microseconds(row.acknowledged, self.origin),
        });
        let written = writeln!(self.file, "{line}");
        self.record
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .acknowledged
            .push(row);
        if let Err(error) = written {
            self.failed(&anyhow::Error::new(error).context("writing the journal"));
        }
    }
}

fn microseconds(instant: Instant, origin: Instant) -> u64 {
    let since = instant.saturating_duration_since(origin).as_micros();
    u64::try_from(since).unwrap_or(u64::MAX)
}

async fn write_rows(route: RouteFile, pace: Pace, mut log: Log, stopped: watch::Receiver<bool>) {
    let mut beat = interval(pace.every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut open: Option<(SocketAddr, Session)> = None;
    let mut n = 0;
    while !*stopped.borrow() {
        beat.tick().await;
        let (endpoint, session) = match open.take() {
            Some(connection) => connection,
            None => match connect(&route, &pace).await {
                Ok(connection) => connection,
                Err(failure) => {
                    log.failed(&failure);
                    continue;
                }
            },
        };
        n += 1;
        log.sent();
        let sent = Instant::now();
        match timeout(pace.within, session.one(INSERT, &[&n])).await {
            Ok(Ok(row)) => {
                let site = row.try_get(0).unwrap_or_default();
                let acknowledged = Instant::now();
                log.acknowledged(Acknowledged {
                    n,
                    sent,
                    acknowledged,
                    endpoint,
                    site,
                });
                open = Some((endpoint, session));
            }
            Ok(Err(failure)) => log.failed(&failure),
            Err(_) => log.failed(&anyhow::anyhow!("row {n} is unanswered at {endpoint}")),
        }
    }
}

async fn connect(route: &RouteFile, pace: &Pace) -> Result<(SocketAddr, Session)> {
    let endpoint = route.read()?;
    Ok((
        endpoint,
        Session::open(endpoint, CLIENT, SERVICE, pace.within).await?,
    ))
}
