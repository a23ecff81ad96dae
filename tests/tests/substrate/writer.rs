//! The checks that a failover is judged by can fail.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::postgres::{OWNER, SERVICE};
use tests::writability::{self, Probe, overlap, proven_overlap};
use tests::writer::{self, Pace, RouteFile, Writer};
use tokio::time::sleep;

use crate::trio::Trio;
use crate::{LONG, SILENCE, eventually};

#[tokio::test]
async fn the_checker_finds_acknowledged_rows_that_are_lost() -> Result<()> {
    let mut trio = Trio::start().await?;
    let origin = Instant::now();
    let session = trio.primary.connect(OWNER, SERVICE).await?;
    writer::prepare(&session).await?;
    let route = RouteFile::new(trio.scratch.path().join("route"));
    route.write(trio.primary.address())?;
    let journal = trio.scratch.path().join("writer.jsonl");
    let running = Writer::start(route.clone(), Pace::default(), &journal, origin)?;
    running.wait_more(10, LONG).await?;
    let end = trio.primary.current_lsn().await?;
    trio.second.wait_replayed(end, LONG).await?;

    // What is acknowledged from here on never leaves the first site.
    trio.links.isolate("dc1").await?;
    running.wait_more(10, LONG).await?;
    trio.primary.kill().await?;
    trio.second.promote(LONG).await?;
    route.write(trio.second.address())?;
    running.wait_more(10, LONG).await?;
    let record = running.stop().await?;

    let session = trio.second.connect(OWNER, SERVICE).await?;
    let lost = record.lost_in(&session).await?;
    ensure!(lost.len() >= 9, "only {lost:?} counted as lost");
    let (first, last) = (record.first_of("dc2"), record.last_of("dc1"));
    let (first, last) = (first.context("none in dc2")?, last.context("none in dc1")?);
    ensure!(
        lost.iter().all(|n| *n > 10 && *n <= last.n),
        "{lost:?} beyond {}",
        last.n
    );
    ensure!(
        first.sent > last.acknowledged,
        "two servers acknowledged at once"
    );
    ensure!(
        record.longest_gap() >= first.sent - last.acknowledged,
        "the gap is not seen"
    );
    assert_eq!(
        std::fs::read_to_string(&journal)?.lines().count(),
        record.acknowledged.len()
    );

    // A row that is deleted on purpose is missed as well, and only that one.
    session
        .execute("DELETE FROM numbered_row WHERE n = $1", &[&first.n])
        .await?;
    let now_lost = record.lost_in(&session).await?;
    let expected: Vec<i64> = lost.iter().copied().chain([first.n]).collect();
    assert_eq!(now_lost, expected);
    Ok(())
}

#[tokio::test]
async fn two_writable_sites_are_seen_as_overlap() -> Result<()> {
    let mut trio = Trio::start().await?;
    let origin = Instant::now();
    let session = trio.primary.connect(OWNER, SERVICE).await?;
    let mut probes = Vec::new();
    for database in [&trio.primary, &trio.second] {
        writability::prepare(&session, database.site()).await?;
        let journal = trio
            .scratch
            .path()
            .join(format!("probe-{}.jsonl", database.site()));
        probes.push(Probe::start(
            database.site(),
            database.address(),
            &journal,
            origin,
        )?);
    }
    let [old, new] = probes.as_slice() else {
        anyhow::bail!("two probes")
    };
    eventually("the primary accepts", async || old.successes().len() >= 3).await?;
    let end = trio.primary.current_lsn().await?;
    trio.second.wait_replayed(end, LONG).await?;
    assert_eq!(new.successes(), []);

    // Split brain, on purpose: promoted while the primary is alive.
    trio.second.promote(LONG).await?;
    eventually("the second accepts", async || !new.successes().is_empty()).await?;
    let before = old.successes().len();
    eventually("both accept", async || old.successes().len() >= before + 4).await?;
    let proven = proven_overlap(&old.successes(), &new.successes());
    ensure!(
        proven >= Duration::from_millis(50),
        "split brain of {proven:?} is not seen"
    );
    ensure!(
        overlap(&old.successes(), &new.successes()) >= proven,
        "outer is less than inner"
    );
    trio.primary.kill().await?;
    let after = old.successes().len();
    sleep(SILENCE).await;
    assert_eq!(old.successes().len(), after);
    Ok(())
}
