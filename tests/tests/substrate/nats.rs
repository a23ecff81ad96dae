//! The three-site NATS cluster: it keeps a key, and follows the links.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use tests::nats_cluster::NatsCluster;
use tests::nats_wire::Wire;
use tests::relay::Links;
use tests::scratch::Scratch;
use tokio::time::{sleep, timeout};

use crate::{LONG, SILENCE, SITES, SOON, eventually};

pub(crate) async fn cluster(scratch: &Scratch, links: &Links) -> Result<NatsCluster> {
    let mut cluster = NatsCluster::configure(scratch.path(), &SITES, links).await?;
    cluster.start_all()?;
    cluster.wait_ready(LONG).await?;
    Ok(cluster)
}

/// Puts until it is acknowledged: an election may be going on.
async fn put_eventually(address: SocketAddr, value: &[u8]) -> Result<()> {
    eventually("an acknowledged put", async || {
        let Ok(mut wire) = Wire::connect(address, SOON).await else {
            return false;
        };
        wire.put("probe", "key", value, SOON).await.is_ok()
    })
    .await
}

/// Gets until the answer is `value`: a replica that has just died may be asked, or a late one.
async fn get_eventually(address: SocketAddr, value: &[u8]) -> Result<()> {
    eventually("the expected value", async || {
        let Ok(mut wire) = Wire::connect(address, SOON).await else {
            return false;
        };
        wire.get("probe", "key", SILENCE)
            .await
            .is_ok_and(|found| found == value)
    })
    .await
}

#[tokio::test]
async fn a_key_survives_the_death_of_one_server() -> Result<()> {
    let scratch = Scratch::new()?;
    let links = Links::between(&SITES);
    let mut cluster = cluster(&scratch, &links).await?;
    let mut wire = Wire::connect(cluster.client_address("dc1")?, SOON).await?;
    wire.create_bucket("probe", 3, LONG).await?;
    put_eventually(cluster.client_address("dc1")?, b"before").await?;
    cluster.kill("dc1").await?;
    let second = cluster.client_address("dc2")?;
    get_eventually(second, b"before").await?;
    put_eventually(second, b"after").await?;
    cluster.start("dc1")?;
    cluster.wait_ready(LONG).await?;
    get_eventually(cluster.client_address("dc1")?, b"after").await
}

#[tokio::test]
async fn a_cut_link_cuts_the_route_and_gossip_does_not_go_around_it() -> Result<()> {
    let scratch = Scratch::new()?;
    let links = Links::between(&SITES);
    let mut cluster = cluster(&scratch, &links).await?;
    assert_eq!(cluster.routes("dc1").await?, ["nats-dc2", "nats-dc3"]);
    links.cut("dc1", "dc2").await?;
    eventually("the route goes", async || {
        cluster
            .routes("dc1")
            .await
            .is_ok_and(|routes| routes == ["nats-dc3"])
    })
    .await?;
    // When the third server comes back, it tells each of the two about the other.
    cluster.stop("dc3").await?;
    cluster.start("dc3")?;
    eventually("the third is back", async || {
        cluster
            .routes("dc3")
            .await
            .is_ok_and(|routes| routes == ["nats-dc1", "nats-dc2"])
    })
    .await?;
    sleep(SILENCE * 4).await;
    assert_eq!(cluster.routes("dc1").await?, ["nats-dc3"]);
    let mut ear = Wire::connect(cluster.client_address("dc2")?, SOON).await?;
    ear.subscribe("word").await?;
    let mut mouth = Wire::connect(cluster.client_address("dc1")?, SOON).await?;
    mouth.publish("word", b"cut").await?;
    let heard = timeout(SILENCE, ear.next_message()).await;
    ensure!(heard.is_err(), "heard over a cut link: {heard:?}");
    links.heal("dc1", "dc2").await?;
    cluster.wait_ready(LONG).await
}

#[tokio::test]
async fn a_frozen_server_is_silent_and_thaws() -> Result<()> {
    let scratch = Scratch::new()?;
    let links = Links::between(&SITES);
    let mut cluster = cluster(&scratch, &links).await?;
    let mut wire = Wire::connect(cluster.client_address("dc2")?, SOON).await?;
    cluster.freeze("dc2").await?;
    let answer = wire
        .jetstream("INFO", &serde_json::Value::Null, SILENCE)
        .await;
    ensure!(answer.is_err(), "a frozen server answered");
    cluster.thaw("dc2")?;
    cluster.wait_ready(LONG).await
}
