//! Sites in network namespaces: what a program there notices of the links between them.
//!
//! Where this process may not make namespaces, each test says that it is skipped.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tests::relay::{Flow, Links};

use crate::{SILENCE, SITES};

const PORT: u16 = 7000;
const SOON: Duration = Duration::from_secs(20);

/// The links, or nothing where there can be none.
async fn links(test: &str) -> Result<Option<Links>> {
    match Links::in_namespaces(&SITES, 7).await {
        Ok(links) => Ok(Some(links)),
        Err(error) => {
            writeln!(std::io::stderr(), "skipped: {test} ({error:#})")?;
            Ok(None)
        }
    }
}

/// A server in dc2 that answers every byte with the same byte.
fn echo(links: &Links) -> Result<SocketAddr> {
    let address = SocketAddr::from((links.ground("dc2").address(), PORT));
    let listener = links.ground("dc2").enter(|| TcpListener::bind(address))??;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buffer = [0; 1024];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(address)
}

fn connect(links: &Links, to: SocketAddr, within: Duration) -> Result<std::io::Result<TcpStream>> {
    let connected = links
        .ground("dc1")
        .enter(|| TcpStream::connect_timeout(&to, within))?;
    Ok(connected.and_then(|stream| {
        stream.set_nodelay(true)?;
        Ok(stream)
    }))
}

fn hear(stream: &mut TcpStream, within: Duration) -> std::io::Result<[u8; 4]> {
    stream.set_read_timeout(Some(within))?;
    let mut word = [0; 4];
    stream.read_exact(&mut word).map(|()| word)
}

fn is_silence<T>(answer: &std::io::Result<T>) -> bool {
    matches!(answer, Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

#[tokio::test]
async fn a_cut_of_one_direction_is_felt_by_both_and_tcp_goes_on_after_it() -> Result<()> {
    let Some(links) = links("a one-way cut").await? else {
        return Ok(());
    };
    let server = echo(&links)?;
    for (from, to) in [("dc1", "dc2"), ("dc2", "dc1")] {
        let mut stream = connect(&links, server, SOON)??;
        stream.write_all(b"one.")?;
        assert_eq!(&hear(&mut stream, SOON)?, b"one.");
        links.set(from, to, Flow::Silent).await?;
        stream.write_all(b"two.")?;
        let heard = hear(&mut stream, SILENCE);
        ensure!(is_silence(&heard), "{from} to {to} is cut: {heard:?}");
        let asked = connect(&links, server, SILENCE)?;
        ensure!(is_silence(&asked), "{from} to {to} is cut: {asked:?}");
        links.heal(from, to).await?;
        assert_eq!(&hear(&mut stream, SOON)?, b"two.");
    }
    Ok(())
}

#[tokio::test]
async fn the_lab_reaches_a_site_that_is_cut_off() -> Result<()> {
    let Some(links) = links("a cut site is reached from outside").await? else {
        return Ok(());
    };
    let server = echo(&links)?;
    links.isolate("dc2").await?;
    let mut stream = TcpStream::connect_timeout(&server, SOON)?;
    stream.write_all(b"here")?;
    assert_eq!(&hear(&mut stream, SOON)?, b"here");
    Ok(())
}

#[tokio::test]
async fn a_refusing_link_resets_and_ended_connections_do_not_come_back() -> Result<()> {
    let Some(links) = links("refused and ended connections").await? else {
        return Ok(());
    };
    let server = echo(&links)?;
    let mut stream = connect(&links, server, SOON)??;
    links.refuse("dc1", "dc2").await?;
    let refused = connect(&links, server, SOON)?.map(drop);
    assert_eq!(
        refused.map_err(|error| error.kind()),
        Err(ErrorKind::ConnectionRefused)
    );
    // Written into a link that resets: the answer to it tells, or the write, where a packet before it was reset.
    let reset = stream.write_all(b"lost");
    let reset = reset.and_then(|()| hear(&mut stream, SOON));
    let reset = reset.map_err(|error| error.kind());
    assert_eq!(reset, Err(ErrorKind::ConnectionReset));

    links.heal("dc1", "dc2").await?;
    let mut old = connect(&links, server, SOON)??;
    links.end_connections("dc1", "dc2").await?;
    let mut new = connect(&links, server, SOON)??;
    new.write_all(b"new.")?;
    assert_eq!(&hear(&mut new, SOON)?, b"new.");
    let reset = old.write_all(b"old.").and_then(|()| hear(&mut old, SOON));
    let reset = reset.map_err(|error| error.kind());
    assert_eq!(reset, Err(ErrorKind::ConnectionReset));
    Ok(())
}

#[tokio::test]
async fn delay_is_kept_and_loss_is_made_good_by_tcp() -> Result<()> {
    let Some(links) = links("delay and loss").await? else {
        return Ok(());
    };
    let server = echo(&links)?;
    let mut stream = connect(&links, server, SOON)??;
    let delay = Duration::from_millis(40);
    links
        .slow("dc1", "dc2", delay, Duration::from_millis(5))
        .await?;
    let sent = Instant::now();
    stream.write_all(b"slow")?;
    assert_eq!(&hear(&mut stream, SOON)?, b"slow");
    ensure!(sent.elapsed() >= 2 * delay, "{:?}", sent.elapsed());

    let lossy = Flow::Open {
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        loss_per_mille: 200,
    };
    links.set_both("dc1", "dc2", lossy).await?;
    let before = links.traffic("dc1", "dc2")?.bytes;
    for _ in 0..50 {
        stream.write_all(b"good")?;
        assert_eq!(&hear(&mut stream, SOON)?, b"good");
    }
    ensure!(
        links.traffic("dc1", "dc2")?.bytes > before,
        "nothing was counted"
    );
    Ok(())
}

#[tokio::test]
async fn two_labs_stand_beside_each_other_and_leave_nothing() -> Result<()> {
    let Some(one) = links("two labs").await? else {
        return Ok(());
    };
    let other = Links::in_namespaces(&SITES, 7).await?;
    let name = |links: &Links| links.ground("dc1").name().unwrap_or_default().to_owned();
    let (first, second) = (name(&one), name(&other));
    assert_ne!(first, second);
    assert_ne!(one.ground("dc1").address(), other.ground("dc1").address());
    drop((one, other));
    for name in [first, second] {
        let entry = format!("{}/{name}", tests::ground::NAMES);
        ensure!(!std::path::Path::new(&entry).exists(), "{name} is left");
    }
    Ok(())
}
