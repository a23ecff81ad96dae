//! Answers the looks of other sites' agents with one line, and their questions for a vow. Nothing else that comes
//! in is trusted or acted upon.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use shared::id::{NodeName, ProcessId, SiteName, StackName};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::gate::Identity;
use crate::vow::line::{ASKING, LINE_LEN_MAX};
use crate::vower::Vower;

/// What is asked.
pub(crate) const QUESTION: &[u8] = b"pointsman?\n";
/// Longest answer, in bytes: five names and identities with spaces.
pub(crate) const ANSWER_LEN_MAX: usize = 320;

/// Looks answered at the same time; more are closed at once.
const CONNECTIONS_MAX: usize = 32;
/// Longest time for one.
const PATIENCE: Duration = Duration::from_secs(1);
/// Pause after the system refused a connection, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What an agent says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) stack: StackName,
    pub(crate) site: SiteName,
    pub(crate) node: NodeName,
    pub(crate) process: ProcessId,
}

impl Answer {
    /// The line as it travels.
    pub(crate) fn line(&self) -> String {
        format!(
            "pointsman {} {} {} {}\n",
            self.stack, self.site, self.node, self.process
        )
    }

    /// Reads a line; nothing when it is not one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
        let mut words = line.split(' ');
        let greeting = words.next()? == "pointsman";
        let answer = Self {
            stack: words.next()?.parse().ok()?,
            site: words.next()?.parse().ok()?,
            node: words.next()?.parse().ok()?,
            process: words.next()?.parse().ok()?,
        };
        (greeting && words.next().is_none()).then_some(answer)
    }
}

/// Listens on an address.
///
/// # Errors
/// When it is taken or not of this host.
pub(crate) async fn bind(listen: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(listen).await
}

/// Answers for ever.
pub(crate) async fn run(listener: TcpListener, identity: Identity, vower: Option<Arc<Vower>>) {
    let Identity {
        stack,
        site,
        node,
        process,
    } = identity;
    let line: Arc<str> = Answer {
        stack,
        site,
        node,
        process,
    }
    .line()
    .into();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (line, vower) = (Arc::clone(&line), vower.clone());
        tokio::spawn(async move {
            // A look that breaks off is the looker's business.
            drop(tokio::time::timeout(PATIENCE, answer(stream, &line, vower.as_deref())).await);
            drop(place);
        });
    }
}

async fn answer(mut stream: TcpStream, line: &str, vower: Option<&Vower>) -> std::io::Result<()> {
    let (incoming, mut outgoing) = stream.split();
    let mut question = Vec::new();
    let limit = u64::try_from(LINE_LEN_MAX).unwrap_or(u64::MAX);
    let mut incoming = BufReader::new(incoming.take(limit));
    incoming.read_until(b'\n', &mut question).await?;
    if question == QUESTION {
        outgoing.write_all(line.as_bytes()).await?;
    } else if let Some(vower) = vower
        && question.starts_with(ASKING.as_bytes())
        && let Ok(question) = str::from_utf8(&question)
    {
        let answer = vower.answer(question).await;
        outgoing.write_all(answer.as_bytes()).await?;
    }
    outgoing.shutdown().await
}
