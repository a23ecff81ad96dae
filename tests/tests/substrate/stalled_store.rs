//! A store that stalls and goes on: writes whose outcome was unknown are decided late, and nobody is deposed by his
//! own earlier write.

use std::time::Duration;

use anyhow::{Result, ensure};
use bus::{Bucket, BucketError, Connection, Manner, Settings};
use coordinator::lease::Lease;
use coordinator::store::{Persisted, Store};
use coordinator::{clock, provisioning};
use decision::{Durable, Persist};
use shared::clock::Millis;
use shared::id::StackName;
use shared::subject::{self, key};
use tests::nats_cluster::NatsCluster;
use tests::relay::Links;
use tests::scratch::Scratch;

use crate::{LONG, SITES, eventually, nats};

/// Until a write without an answer is given up.
const PATIENCE: Duration = Duration::from_secs(1);

async fn connected(cluster: &NatsCluster) -> Result<Connection> {
    let url = cluster.client_url("dc3")?;
    let mut settings = Settings::new("coordinator-dc3", vec![url], "_INBOX.dc3");
    settings.request_timeout = PATIENCE;
    let connection = Connection::connect(settings, Manner::Command).await?;
    ensure!(connection.wait_connected(LONG).await, "not connected");
    Ok(connection)
}

fn state(summary: &str) -> Durable {
    Durable {
        summary: summary.to_owned(),
        ..Durable::empty()
    }
}

#[tokio::test]
async fn a_write_that_is_decided_late_is_done_and_costs_nobody_the_lead() -> Result<()> {
    let scratch = Scratch::new()?;
    let links = Links::between(&SITES);
    let mut cluster = nats::cluster(&scratch, &links).await?;
    let connection = connected(&cluster).await?;
    let stack = StackName::new("ess")?;
    eventually("the bucket is led beside its writer", async || {
        let spec = [provisioning::bucket(&stack, 3)];
        let notes = bus::provision(&connection, &spec, &[], Some("nats-dc3")).await;
        notes.is_ok_and(|notes| {
            !notes
                .iter()
                .any(|note| matches!(note, bus::ProvisionNote::LeaderElsewhere { .. }))
        })
    })
    .await?;
    let bucket = Bucket::open(&connection, &subject::bucket(&stack)).await?;
    let lease = Lease::until(clock::mono().after(Millis::from_duration(LONG)));
    let (mut store, _nothing) = Store::take_over(bucket.clone(), lease).await?;
    let before = store
        .persist(Persist::State(Box::new(state("before"))))
        .await;
    ensure!(before == Persisted::Done, "{before:?}");

    for site in ["dc1", "dc2"] {
        cluster.freeze(site).await?;
    }
    let late = tokio::spawn(async move {
        let late = store.persist(Persist::State(Box::new(state("late")))).await;
        (store, late)
    });
    // The first sending is without an answer by then, and later ones are refused because of it.
    let stalled = clock::mono();
    let mut underway = false;
    while clock::mono().since(stalled) < Millis::from_duration(3 * PATIENCE) {
        // At a revision of nobody: it can be refused only.
        let probe = bucket.update(key::STATE, "probe", u32::MAX.into()).await;
        underway |= matches!(probe, Err(BucketError::Underway { .. }));
        ensure!(
            !late.is_finished(),
            "ended without a majority: {:?}",
            late.await?.1
        );
        ensure!(probe.is_err(), "a write was taken without a majority");
        tokio::time::sleep(PATIENCE / 10).await;
    }
    ensure!(underway, "no write was refused as under way");
    for site in ["dc1", "dc2"] {
        cluster.thaw(site)?;
    }
    let (mut store, late) = tokio::time::timeout(LONG, late).await??;
    ensure!(late == Persisted::Done, "{late:?}");
    let next = store.persist(Persist::State(Box::new(state("next")))).await;
    ensure!(next == Persisted::Done, "{next:?}");

    // Somebody else's write is somebody else's, as before.
    bucket.put(key::STATE, "another's").await?;
    let lost = store.persist(Persist::State(Box::new(state("lost")))).await;
    ensure!(matches!(lost, Persisted::LeadLost { .. }), "{lost:?}");
    Ok(())
}
