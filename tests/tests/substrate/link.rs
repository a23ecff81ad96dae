//! Links do what they say, as seen by the processes at their ends.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tests::port;
use tests::relay::{Flow, Links};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::{LONG, SILENCE, SITES, SOON, eventually};

/// A server that answers every byte with the same byte.
async fn echo() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port::reserve()?)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                drop(tokio::io::copy(&mut read, &mut write).await);
            });
        }
    });
    Ok(address)
}

async fn exchange(stream: &mut TcpStream, word: &[u8; 4], within: Duration) -> Result<[u8; 4]> {
    stream.write_all(word).await?;
    let mut answer = [0; 4];
    timeout(within, stream.read_exact(&mut answer)).await??;
    Ok(answer)
}

#[tokio::test]
async fn a_cut_link_is_silent_and_loses_nothing() -> Result<()> {
    let links = Links::between(&SITES);
    let address = links.forward("dc1", "dc2", echo().await?).await?;
    let mut stream = TcpStream::connect(address).await?;
    assert_eq!(&exchange(&mut stream, b"one.", SOON).await?, b"one.");

    links.cut("dc1", "dc2").await?;
    let mut answer = [0; 4];
    stream.write_all(b"two.").await?;
    let silent = timeout(SILENCE, stream.read_exact(&mut answer)).await;
    ensure!(
        silent.is_err(),
        "something came over a cut link: {silent:?}"
    );
    let hanging = timeout(SILENCE, TcpStream::connect(address)).await;
    ensure!(
        hanging.is_err(),
        "a cut link answered a connection: {hanging:?}"
    );

    links.heal("dc1", "dc2").await?;
    timeout(SOON, stream.read_exact(&mut answer)).await??;
    assert_eq!(&answer, b"two.");
    let mut fresh = timeout(SOON, TcpStream::connect(address)).await??;
    assert_eq!(&exchange(&mut fresh, b"new.", SOON).await?, b"new.");
    Ok(())
}

#[tokio::test]
async fn a_connection_begun_during_a_cut_succeeds_once_it_is_healed() -> Result<()> {
    let links = Links::between(&SITES);
    let address = links.forward("dc1", "dc3", echo().await?).await?;
    links.isolate("dc3").await?;
    let waiting = tokio::spawn(async move {
        let mut stream = TcpStream::connect(address).await?;
        exchange(&mut stream, b"late", LONG).await
    });
    sleep(SILENCE).await;
    ensure!(!waiting.is_finished(), "connected through a cut link");
    links.rejoin("dc3").await?;
    assert_eq!(&timeout(LONG, waiting).await???, b"late");
    Ok(())
}

#[tokio::test]
async fn a_refused_link_resets_and_refuses() -> Result<()> {
    let links = Links::between(&SITES);
    let address = links.forward("dc1", "dc2", echo().await?).await?;
    let mut stream = TcpStream::connect(address).await?;
    exchange(&mut stream, b"one.", SOON).await?;
    links.refuse("dc1", "dc2").await?;
    let ended = timeout(SOON, stream.read(&mut [0; 4])).await?;
    assert_eq!(
        ended.map_err(|error| error.kind()),
        Err(ErrorKind::ConnectionReset)
    );
    let refused = TcpStream::connect(address).await.map(drop);
    assert_eq!(
        refused.map_err(|error| error.kind()),
        Err(ErrorKind::ConnectionRefused)
    );
    assert_eq!(links.traffic("dc1", "dc2")?.resets, 1);
    links.heal("dc1", "dc2").await?;
    let mut fresh = TcpStream::connect(address).await?;
    assert_eq!(&exchange(&mut fresh, b"new.", SOON).await?, b"new.");
    Ok(())
}

#[tokio::test]
async fn one_direction_can_be_silent_alone() -> Result<()> {
    let links = Links::between(&SITES);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port::reserve()?)).await?;
    let address = links.forward("dc1", "dc2", listener.local_addr()?).await?;
    let mut near = TcpStream::connect(address).await?;
    let (mut far, _) = listener.accept().await?;
    links.set("dc1", "dc2", Flow::Silent).await?;
    near.write_all(b"lost").await?;
    far.write_all(b"back").await?;
    let mut answer = [0; 4];
    timeout(SOON, near.read_exact(&mut answer)).await??;
    assert_eq!(&answer, b"back");
    let silent = timeout(SILENCE, far.read_exact(&mut answer)).await;
    ensure!(
        silent.is_err(),
        "came through the silent direction: {silent:?}"
    );
    assert_eq!(links.traffic("dc1", "dc2")?.bytes, 0);
    assert_eq!(links.traffic("dc2", "dc1")?.bytes, 4);
    Ok(())
}

#[tokio::test]
async fn a_slow_link_delays_each_way_and_other_links_not() -> Result<()> {
    let links = Links::between(&SITES);
    let target = echo().await?;
    let slow = links.forward("dc1", "dc2", target).await?;
    let delay = Duration::from_millis(80);
    links
        .slow("dc1", "dc2", delay, Duration::from_millis(20))
        .await?;
    let mut stream = TcpStream::connect(slow).await?;
    let began = Instant::now();
    exchange(&mut stream, b"slow", SOON).await?;
    ensure!(
        began.elapsed() >= delay * 2,
        "answered after {:?}",
        began.elapsed()
    );

    let bulk = vec![7_u8; 3_000_000];
    let (mut read, mut write) = stream.into_split();
    let sent = bulk.clone();
    let sending = tokio::spawn(async move { write.write_all(&sent).await });
    let mut received = vec![0; bulk.len()];
    timeout(LONG, read.read_exact(&mut received)).await??;
    sending.await??;
    ensure!(received == bulk, "bytes were changed under way");
    Ok(())
}

#[tokio::test]
async fn a_target_that_is_gone_is_refused_through_its_relay() -> Result<()> {
    let links = Links::between(&SITES);
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, port::reserve()?));
    let address = links.forward("dc1", "dc2", target).await?;
    let refused = TcpStream::connect(address).await.map(drop);
    assert_eq!(
        refused.map_err(|error| error.kind()),
        Err(ErrorKind::ConnectionRefused)
    );
    let listener = TcpListener::bind(target).await?;
    eventually("the relay opens", async || {
        TcpStream::connect(address).await.is_ok()
    })
    .await?;
    drop(listener);
    eventually("the relay closes", async || {
        TcpStream::connect(address).await.is_err()
    })
    .await
}
