//! One relay port: accepts, keeps silent or refuses as its two directions say.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::line::{Flow, Line};
use super::listening::is_listened_on;
use super::pump::pump;
use crate::port;

/// Connections the kernel may queue; it queues one more than this.
const BACKLOG: u32 = 8;
/// How long one of our own connections may take before the queue counts as full.
const FULL: Duration = Duration::from_millis(100);
/// How often the target is looked at.
const LOOK: Duration = Duration::from_millis(50);
const RETRY: Duration = Duration::from_millis(20);

/// What the relay does with new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Opening,
    Accepting,
    Silent,
    Refusing,
}

/// A relay port. Dropping it closes the port and resets what it carries.
#[derive(Debug)]
pub(super) struct Forward {
    address: SocketAddr,
    course: Course,
    applied: watch::Receiver<Gate>,
    task: JoinHandle<()>,
}

/// Where a relay leads and what governs it.
#[derive(Debug, Clone)]
struct Course {
    target: SocketAddr,
    out: Arc<Line>,
    back: Arc<Line>,
}

impl Forward {
    pub(super) fn open(target: SocketAddr, out: Arc<Line>, back: Arc<Line>) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port::reserve()?));
        let course = Course { target, out, back };
        let (sender, applied) = watch::channel(Gate::Opening);
        let task = tokio::spawn(attend(address, course.clone(), sender));
        Ok(Self {
            address,
            course,
            applied,
            task,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the port does what the directions say now.
    pub(super) async fn settled(&self) -> Result<()> {
        let mut applied = self.applied.clone();
        applied
            .wait_for(|gate| *gate == self.course.gate())
            .await
            .context("a relay has ended")?;
        Ok(())
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Course {
    fn gate(&self) -> Gate {
        let flows = [self.out.flow(), self.back.flow()];
        if flows.contains(&Flow::Refused) {
            Gate::Refusing
        } else if flows.contains(&Flow::Silent) {
            Gate::Silent
        } else if is_listened_on(self.target) {
            Gate::Accepting
        } else {
            Gate::Refusing
        }
    }

    async fn changed_from(&self, gate: Gate) {
        let (mut out, mut back) = (self.out.subscribe(), self.back.subscribe());
        while self.gate() == gate {
            tokio::select! {
                _ = out.changed() => {}
                _ = back.changed() => {}
                () = sleep(LOOK) => {}
            }
        }
    }
}

async fn attend(address: SocketAddr, course: Course, applied: watch::Sender<Gate>) {
    let mut carried = JoinSet::new();
    let mut held: Option<TcpListener> = None;
    loop {
        let gate = course.gate();
        if gate == Gate::Refusing {
            held = None;
            applied.send_replace(gate);
            course.changed_from(gate).await;
            continue;
        }
        let listener = match held.take() {
            Some(listener) => listener,
            None => listen(address).await,
        };
        if gate == Gate::Silent {
            let own = fill(address).await;
            applied.send_replace(gate);
            course.changed_from(gate).await;
            drain(&listener, own, &course, &mut carried).await;
        } else {
            applied.send_replace(gate);
            accept(&listener, &course, gate, &mut carried).await;
        }
        held = Some(listener);
    }
}

async fn accept(listener: &TcpListener, course: &Course, gate: Gate, carried: &mut JoinSet<()>) {
    let changed = course.changed_from(gate);
    tokio::pin!(changed);
    loop {
        tokio::select! {
            biased;
            () = &mut changed => return,
            _ = carried.join_next(), if !carried.is_empty() => {}
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                carried.spawn(carry(client, course.clone()));
            },
        }
    }
}

/// Listens with a short queue, trying again while the port is still being given up.
async fn listen(address: SocketAddr) -> TcpListener {
    loop {
        let attempt = TcpSocket::new_v4().and_then(|socket| {
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        });
        match attempt {
            Ok(listener) => return listener,
            Err(_) => sleep(RETRY).await,
        }
    }
}

/// Fills the accept queue with our own connections; the kernel then drops every further SYN.
async fn fill(address: SocketAddr) -> Vec<TcpStream> {
    let mut own = Vec::new();
    for _ in 0..=BACKLOG {
        match timeout(FULL, TcpStream::connect(address)).await {
            Ok(Ok(connection)) => own.push(connection),
            Ok(Err(_)) | Err(_) => break,
        }
    }
    own
}

/// Empties the accept queue: our own connections end, those of others are carried on.
async fn drain(
    listener: &TcpListener,
    own: Vec<TcpStream>,
    course: &Course,
    carried: &mut JoinSet<()>,
) {
    let ours: BTreeSet<SocketAddr> = own
        .iter()
        .filter_map(|connection| connection.local_addr().ok())
        .collect();
    let mut left = ours.len();
    while left > 0 {
        // One of ours that the kernel gave up on would be waited for in vain.
        let Ok(Ok((client, peer))) = timeout(FULL, listener.accept()).await else {
            return;
        };
        if ours.contains(&peer) {
            left -= 1;
        } else {
            carried.spawn(carry(client, course.clone()));
        }
    }
}

async fn carry(mut client: TcpStream, course: Course) {
    // Whoever connected in the last instant before a silence and gave up during it never reached
    // the target.
    wait_open(&course).await;
    if given_up(&client).await {
        return;
    }
    let Ok(mut server) = TcpStream::connect(course.target).await else {
        course.out.count_reset();
        let _unsent = client.set_zero_linger();
        return;
    };
    course.out.count_connection();
    let whole = converse(&mut client, &mut server, &course).await;
    if !whole {
        course.out.count_reset();
        // Dropped with a linger of zero, both ends see a reset and not an orderly end.
        let _unsent = (client.set_zero_linger(), server.set_zero_linger());
    }
}

/// Carries both directions; whether both came to an orderly end.
async fn converse(client: &mut TcpStream, server: &mut TcpStream, course: &Course) -> bool {
    let _slower = (client.set_nodelay(true), server.set_nodelay(true));
    let seed = client.peer_addr().map_or(0, |peer| u64::from(peer.port()));
    let (client_read, client_write) = client.split();
    let (server_read, server_write) = server.split();
    let both = async {
        tokio::try_join!(
            pump(client_read, server_write, Arc::clone(&course.out), seed),
            pump(server_read, client_write, Arc::clone(&course.back), !seed),
        )
    };
    let (mut out, mut back) = (course.out.subscribe(), course.back.subscribe());
    tokio::select! {
        ended = both => ended.is_ok(),
        _ = out.wait_for(|flow| *flow == Flow::Refused) => false,
        _ = back.wait_for(|flow| *flow == Flow::Refused) => false,
    }
}

async fn wait_open(course: &Course) {
    for line in [&course.out, &course.back] {
        let mut flow = line.subscribe();
        let _ended = flow.wait_for(|now| *now != Flow::Silent).await.is_err();
    }
}

async fn given_up(client: &TcpStream) -> bool {
    let now = timeout(Duration::ZERO, client.ready(Interest::READABLE)).await;
    matches!(now, Ok(Ok(ready)) if ready.is_read_closed())
}
