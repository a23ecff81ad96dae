//! A tap between one program and its NATS server: it reads every message, and can stop the world around one.
//!
//! With it a crash is exact. A message that shall not happen is swallowed; one that happened is passed on and
//! the server's answer to it swallowed. From then on the tap carries nothing more of that program, in neither
//! direction, until the program is dead. It must never change a message that it passes on.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

/// One message as it passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passing {
    /// From the program to the server, or back.
    pub outward: bool,
    /// Its subject.
    pub subject: String,
    /// Where an answer to it goes.
    pub reply: Option<String>,
    /// Its payload, without headers.
    pub payload: Vec<u8>,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Pass,
    /// It is swallowed and the world stops: before it happened.
    StopBefore(String),
    /// It passes, and the world stops before the program hears or says the answer to it; at once when nobody
    /// will answer. The text says which crash this is.
    StopAfter(String),
}

/// Who decides.
pub type Judge = Box<dyn FnMut(&Passing) -> Verdict + Send>;

/// A running tap. Dropping it closes it.
pub struct Tap {
    address: SocketAddr,
    judge: Arc<Mutex<Option<Judge>>>,
    stops: mpsc::UnboundedReceiver<String>,
    still: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Tap at {}", self.address)
    }
}

impl Tap {
    /// Opens a tap that leads to `server`, on an address that the program reaches.
    ///
    /// # Errors
    /// When the port cannot be opened.
    pub async fn open(host: Option<Ipv4Addr>, server: SocketAddr) -> Result<Self> {
        let host = IpAddr::from(host.unwrap_or(Ipv4Addr::LOCALHOST));
        let port = crate::port::reserve()?;
        let address = SocketAddr::from((host, port));
        let listener = TcpListener::bind(address).await.context("opening a tap")?;
        let judge: Arc<Mutex<Option<Judge>>> = Arc::default();
        let (stopped, stops) = mpsc::unbounded_channel();
        let still = Arc::new(AtomicBool::new(false));
        let (bench, halt) = (Arc::clone(&judge), Arc::clone(&still));
        let task = tokio::spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let course = Course {
                    judge: Arc::clone(&bench),
                    stopped: stopped.clone(),
                    still: Arc::clone(&halt),
                    awaited: Arc::default(),
                };
                carried.spawn(async move {
                    // A connection that breaks is the program's own affair.
                    drop(carry(client, server, course).await);
                });
            }
        });
        Ok(Self {
            address,
            judge,
            stops,
            still,
            task,
        })
    }

    /// Where the program connects.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this decides; nobody does when it is nothing.
    pub fn set_judge(&self, judge: Option<Judge>) {
        *self.judge.lock().unwrap_or_else(PoisonError::into_inner) = judge;
    }

    /// Lets the world go on, for the next process.
    pub fn go_on(&self) {
        self.still.store(false, Ordering::SeqCst);
    }

    /// Waits until the world has stopped, and says which crash this is.
    pub async fn stopped(&mut self) -> String {
        match self.stops.recv().await {
            Some(which) => which,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Course {
    judge: Arc<Mutex<Option<Judge>>>,
    stopped: mpsc::UnboundedSender<String>,
    /// The world stands still on every connection of the program.
    still: Arc<AtomicBool>,
    /// Subjects whose next message is the answer before which the world stops.
    awaited: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Course {
    /// What becomes of a message; nothing is carried after a stop.
    fn judge(&self, passing: &Passing) -> Verdict {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(which) = awaited.remove(&passing.subject) {
            return Verdict::StopBefore(which);
        }
        let mut judge = self.judge.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = judge.as_mut().map_or(Verdict::Pass, |judge| judge(passing));
        match (verdict, &passing.reply) {
            (Verdict::StopAfter(which), Some(reply)) => {
                awaited.insert(reply.clone(), which);
                Verdict::Pass
            }
            (verdict, _) => verdict,
        }
    }
}

async fn carry(client: TcpStream, server: SocketAddr, course: Course) -> Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut outward = Box::pin(pass(from_client, to_server, true, &course));
    let mut back = Box::pin(pass(from_server, to_client, false, &course));
    let stopped = tokio::select! {
        outward = &mut outward => outward?,
        back = &mut back => back?,
    };
    if stopped {
        // The connection hangs until the program is killed, as if the world stood still.
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// Passes messages until the end, or until the world stops: then true.
async fn pass(
    source: impl AsyncRead + Unpin,
    mut sink: impl AsyncWrite + Unpin,
    outward: bool,
    course: &Course,
) -> Result<bool> {
    let mut source = BufReader::new(source);
    loop {
        let Some((bytes, passing)) = read(&mut source, outward).await? else {
            return Ok(false);
        };
        if course.still.load(Ordering::SeqCst) {
            return Ok(true);
        }
        let verdict = passing.map_or(Verdict::Pass, |passing| course.judge(&passing));
        if verdict != Verdict::Pass {
            course.still.store(true, Ordering::SeqCst);
        }
        match verdict {
            Verdict::Pass => sink.write_all(&bytes).await?,
            Verdict::StopBefore(which) => {
                drop(course.stopped.send(which));
                return Ok(true);
            }
            Verdict::StopAfter(which) => {
                sink.write_all(&bytes).await?;
                sink.flush().await?;
                drop(course.stopped.send(which));
                return Ok(true);
            }
        }
    }
}

/// The next operation of the protocol as it is, and the message in it; nothing at the end.
async fn read(
    source: &mut BufReader<impl AsyncRead + Unpin>,
    outward: bool,
) -> Result<Option<(Vec<u8>, Option<Passing>)>> {
    let mut bytes = Vec::new();
    if source.read_until(b'\n', &mut bytes).await? == 0 {
        return Ok(None);
    }
    let line = String::from_utf8_lossy(&bytes).into_owned();
    let words: Vec<&str> = line.split_whitespace().collect();
    // After the verb: subject, in a delivery the subscription, perhaps a reply, then the sizes.
    let (after, sizes) = match words
        .first()
        .map(|verb| verb.to_ascii_uppercase())
        .as_deref()
    {
        Some("PUB") => (2, 1),
        Some("HPUB") => (2, 2),
        Some("MSG") => (3, 1),
        Some("HMSG") => (3, 2),
        _ => return Ok(Some((bytes, None))),
    };
    let number = |word: Option<&&str>| -> Result<usize> {
        let word = word.context("a message without size")?;
        word.parse()
            .with_context(|| format!("an odd size in {line}"))
    };
    let whole = number(words.last())?;
    let head = if sizes == 2 {
        number(words.len().checked_sub(2).and_then(|at| words.get(at)))?
    } else {
        0
    };
    let start = bytes.len();
    bytes.resize(start + whole + 2, 0);
    let Some(rest) = bytes.get_mut(start..) else {
        bail!("an odd message: {line}");
    };
    source.read_exact(rest).await?;
    let payload = bytes.get(start + head..start + whole).unwrap_or_default();
    let passing = Passing {
        outward,
        subject: words.get(1).copied().unwrap_or_default().to_owned(),
        reply: (words.len() > after + sizes)
            .then(|| words.get(after).copied().unwrap_or_default().to_owned()),
        payload: payload.to_vec(),
    };
    Ok(Some((bytes, Some(passing))))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_one(text: &str) -> Option<Passing> {
        let mut source = BufReader::new(text.as_bytes());
        let (bytes, passing) = read(&mut source, true).await.unwrap().unwrap();
        assert_eq!(bytes, text.as_bytes());
        passing
    }

    #[tokio::test]
    async fn messages_are_read_whole_and_pass_unchanged() {
        let passing = read_one("PUB a.b _INBOX.1 4\r\nbody\r\n").await.unwrap();
        assert_eq!(passing.subject, "a.b");
        assert_eq!(passing.reply.as_deref(), Some("_INBOX.1"));
        assert_eq!(passing.payload, b"body");
        let passing = read_one("PUB a.b 0\r\n\r\n").await.unwrap();
        assert_eq!((passing.reply, passing.payload), (None, Vec::new()));
        let passing = read_one("HMSG a.b 7 back 12 16\r\nNATS/1.0\r\n\r\nbody\r\n")
            .await
            .unwrap();
        assert_eq!(passing.reply.as_deref(), Some("back"));
        assert_eq!(passing.payload, b"body");
        let passing = read_one("MSG a.b 7 4\r\nbody\r\n").await.unwrap();
        assert_eq!(passing.reply, None);
        assert_eq!(read_one("PING\r\n").await, None);
    }

    #[tokio::test]
    async fn a_message_that_is_cut_off_is_an_error() {
        let mut source = BufReader::new("PUB a.b 40\r\nbody\r\n".as_bytes());
        assert!(read(&mut source, true).await.is_err());
    }
}
