//! Whether two sites accepted writes at the same time.
//!
//! A probe per site tries to write to that site's database directly, whatever the route says, and
//! keeps the time before sending and after the acknowledgement of each success. The commit itself
//! happened somewhere between the two. [`overlap`] is computed so that it is never too small: from
//! the *sending* of the new site's first success to the *acknowledgement* of the old site's last
//! one. [`proven_overlap`] takes the inner ends instead, so it is never too large. A write that was
//! not acknowledged in time counts for nothing.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::postgres::{CLIENT, SERVICE, Session};

const EVERY: Duration = Duration::from_millis(50);
const WITHIN: Duration = Duration::from_millis(500);

/// One acknowledged write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Success {
    /// Just before it was sent.
    pub sent: Instant,
    /// Just after it was acknowledged.
    pub acknowledged: Instant,
}

/// A running probe of one database. Dropping it stops it.
#[derive(Debug)]
pub struct Probe {
    successes: Arc<Mutex<Vec<Success>>>,
    task: JoinHandle<()>,
}

/// Makes the table that the probe of `site` writes to; on the primary, once for each site.
///
/// # Errors
/// When the site's name is not a plain word or a statement fails.
pub async fn prepare(session: &Session, site: &str) -> Result<()> {
    let table = table(site)?;
    let statement = format!(
        "CREATE TABLE IF NOT EXISTS {table} (at timestamptz NOT NULL); \
         ALTER TABLE {table} OWNER TO {CLIENT}"
    );
    session.batch(&statement).await
}

impl Probe {
    /// Starts to probe the database at `address`, which stands in `site`, 20 times a second; each
    /// success is appended to `journal` with microseconds since `origin`.
    ///
    /// # Errors
    /// When the site's name is not a plain word or the journal cannot be opened.
    pub fn start(site: &str, address: SocketAddr, journal: &Path, origin: Instant) -> Result<Self> {
        let insert = format!(
            "INSERT INTO {} (at) VALUES (clock_timestamp())",
            table(site)?
        );
        let file = File::options()
            .create(true)
            .append(true)
            .open(journal)
            .with_context(|| format!("opening {}", journal.display()))?;
        let successes = Arc::new(Mutex::new(Vec::new()));
        let log = Log {
            successes: Arc::clone(&successes),
            file,
            site: site.to_owned(),
            origin,
        };
        let task = tokio::spawn(probe(address, insert, log));
        Ok(Self { successes, task })
    }

    /// Every success so far, in order.
    pub fn successes(&self) -> Vec<Success> {
        self.successes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The longest time for which both *may* have accepted writes after `new` began to: zero when the
/// last success of `old` was acknowledged before the first of `new` was sent, or either has none.
pub fn overlap(old: &[Success], new: &[Success]) -> Duration {
    match (old.last(), new.first()) {
        (Some(last), Some(first)) => last.acknowledged.saturating_duration_since(first.sent),
        (None, _) | (_, None) => Duration::ZERO,
    }
}

/// The time for which both *certainly* accepted writes after `new` began to.
pub fn proven_overlap(old: &[Success], new: &[Success]) -> Duration {
    match (old.last(), new.first()) {
        (Some(last), Some(first)) => last.sent.saturating_duration_since(first.acknowledged),
        (None, _) | (_, None) => Duration::ZERO,
    }
}

struct Log {
    successes: Arc<Mutex<Vec<Success>>>,
    file: File,
    site: String,
    origin: Instant,
}

impl Log {
    /// A journal that cannot be written is shorter than the list; the list is what counts.
    fn push(&mut self, success: Success) {
        let since = |instant: Instant| {
            u64::try_from(instant.saturating_duration_since(self.origin).as_micros()).ok()
        };
        let line = json!({
            "site": self.site,
            "sent_us": since(success.sent),
            "acknowledged_us": since(success.acknowledged),
        });
        let _shorter = writeln!(self.file, "{line}");
        self.successes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(success);
    }
}

async fn probe(address: SocketAddr, insert: String, mut log: Log) {
    let mut beat = interval(EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut open: Option<Session> = None;
    loop {
        beat.tick().await;
        let session = match open.take() {
            Some(session) => session,
            None => match Session::open(address, CLIENT, SERVICE, WITHIN).await {
                Ok(session) => session,
                Err(_) => continue,
            },
        };
        let sent = Instant::now();
        let written = session.execute(&insert, &[]).await;
        let acknowledged = Instant::now();
        // A refusal proves nothing about the next attempt, and a session that timed out is of no
        // use, so both connect anew.
        if matches!(written, Ok(1)) {
            log.push(Success { sent, acknowledged });
            open = Some(session);
        }
    }
}

fn table(site: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    ensure!(
        !site.is_empty() && site.chars().all(plain),
        "{site} cannot be part of a table's name"
    );
    Ok(format!("writability_{site}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn successes(origin: Instant, spans: &[(u64, u64)]) -> Vec<Success> {
        let at = |ms| origin + Duration::from_millis(ms);
        spans
            .iter()
            .map(|(from, to)| Success {
                sent: at(*from),
                acknowledged: at(*to),
            })
            .collect()
    }

    #[test]
    fn one_after_the_other_is_no_overlap() {
        let origin = Instant::now();
        let old = successes(origin, &[(0, 5), (50, 55)]);
        let new = successes(origin, &[(56, 60), (100, 105)]);
        assert_eq!(overlap(&old, &new), Duration::ZERO);
        assert_eq!(proven_overlap(&old, &new), Duration::ZERO);
    }

    #[test]
    fn overlap_counts_the_outer_ends_and_the_proven_one_the_inner() {
        let origin = Instant::now();
        let old = successes(origin, &[(0, 5), (150, 160)]);
        let new = successes(origin, &[(100, 110), (200, 205)]);
        assert_eq!(overlap(&old, &new), Duration::from_millis(60));
        assert_eq!(proven_overlap(&old, &new), Duration::from_millis(40));
    }

    #[test]
    fn commits_that_may_have_coincided_count_as_overlap_but_not_as_proof() {
        let origin = Instant::now();
        let old = successes(origin, &[(0, 10)]);
        let new = successes(origin, &[(8, 12)]);
        assert_eq!(overlap(&old, &new), Duration::from_millis(2));
        assert_eq!(proven_overlap(&old, &new), Duration::ZERO);
    }

    #[test]
    fn a_site_that_never_accepted_overlaps_with_nothing() {
        let new = successes(Instant::now(), &[(0, 1)]);
        assert_eq!(overlap(&[], &new), Duration::ZERO);
        assert_eq!(overlap(&new, &[]), Duration::ZERO);
    }
}
