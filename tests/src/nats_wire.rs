//! A minimal NATS client for looking at a cluster from outside.
//!
//! Tests judge the bus with it, so it shares no code with the bus. It speaks just enough of the
//! text protocol for a request and its reply; it never reconnects and never retries.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// How long one attempt to make a bucket is waited for.
const CREATION: Duration = Duration::from_secs(5);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// One connection.
#[derive(Debug)]
pub struct Wire {
    stream: BufReader<TcpStream>,
    asked: u64,
}

/// A message as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its subject.
    pub subject: String,
    /// The status in its header line, such as 503 for "no responders".
    pub status: Option<u16>,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// What the server says that somebody may wait for.
enum Word {
    Message(Message),
    Pong,
}

impl Wire {
    /// Connects and waits until the server has answered.
    ///
    /// # Errors
    /// When the server is not there or silent for `within`.
    pub async fn connect(address: SocketAddr, within: Duration) -> Result<Self> {
        timeout(within, Self::greet(address))
            .await
            .context("no greeting in time")?
    }

    /// Asks `subject` and gives the first answer.
    ///
    /// # Errors
    /// When there is no answer `within`, or the server reports an error.
    pub async fn request(
        &mut self,
        subject: &str,
        payload: &[u8],
        within: Duration,
    ) -> Result<Message> {
        self.asked += 1;
        let inbox = format!("_INBOX.wire.{}.{}", std::process::id(), self.asked);
        let (asked, length) = (self.asked, payload.len());
        let head =
            format!("SUB {inbox} {asked}\r\nUNSUB {asked} 1\r\nPUB {subject} {inbox} {length}\r\n");
        let exchange = async {
            self.send(&[head.as_bytes(), payload, b"\r\n"].concat())
                .await?;
            loop {
                let message = self.next_message().await?;
                if message.subject == inbox {
                    return Ok(message);
                }
            }
        };
        timeout(within, exchange)
            .await
            .with_context(|| format!("no answer from {subject}"))?
    }

    /// Subscribes to `subject`; read with [`Wire::next_message`].
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn subscribe(&mut self, subject: &str) -> Result<()> {
        self.asked += 1;
        let line = format!("SUB {subject} {}\r\n", self.asked);
        self.send(line.as_bytes()).await
    }

    /// Publishes without waiting for anything.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn publish(&mut self, subject: &str, payload: &[u8]) -> Result<()> {
        let head = format!("PUB {subject} {}\r\n", payload.len());
        self.send(&[head.as_bytes(), payload, b"\r\n"].concat())
            .await
    }

    /// Waits until the server has taken everything that was published; messages that arrive meanwhile are dropped.
    ///
    /// # Errors
    /// When it does not say so `within`, or refused something.
    pub async fn flush(&mut self, within: Duration) -> Result<()> {
        timeout(within, self.ping())
            .await
            .context("no answer in time")?
    }

    /// The next message of any subscription; waits for ever.
    ///
    /// # Errors
    /// When the connection is broken or the server reports an error.
    pub async fn next_message(&mut self) -> Result<Message> {
        loop {
            if let Word::Message(message) = self.next_word().await? {
                return Ok(message);
            }
        }
    }

    /// Asks the `JetStream` API and gives its JSON answer.
    ///
    /// # Errors
    /// When there is no answer, or the answer is an error.
    pub async fn jetstream(&mut self, verb: &str, body: &Value, within: Duration) -> Result<Value> {
        let payload = if body.is_null() {
            Vec::new()
        } else {
            serde_json::to_vec(body)?
        };
        let message = self
            .request(&format!("$JS.API.{verb}"), &payload, within)
            .await?;
        accepted(&message)
    }

    /// Makes a key-value bucket with `replicas` copies.
    ///
    /// # Errors
    /// As [`Wire::jetstream`].
    pub async fn create_bucket(
        &mut self,
        name: &str,
        replicas: u8,
        within: Duration,
    ) -> Result<()> {
        let stream = format!("KV_{name}");
        let body = json!({
            "name": stream, "subjects": [format!("$KV.{name}.>")], "storage": "file",
            "num_replicas": replicas, "max_msgs_per_subject": 1, "discard": "new",
            "allow_rollup_hdrs": true, "deny_delete": true, "allow_direct": true,
        });
        // A creation may be lost in an election; the same one again is no second one.
        let deadline = Instant::now() + within;
        let subject = format!("STREAM.CREATE.{stream}");
        loop {
            let made = self.jetstream(&subject, &body, CREATION.min(within)).await;
            if made.is_ok() || Instant::now() >= deadline {
                return made.map(drop);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Writes a key and gives its revision once a quorum has it.
    ///
    /// # Errors
    /// When it is not acknowledged.
    pub async fn put(
        &mut self,
        bucket: &str,
        key: &str,
        value: &[u8],
        within: Duration,
    ) -> Result<u64> {
        let message = self
            .request(&format!("$KV.{bucket}.{key}"), value, within)
            .await?;
        let answer = accepted(&message)?;
        answer
            .get("seq")
            .and_then(Value::as_u64)
            .context("an acknowledgement without sequence")
    }

    /// Reads a key from any replica; it may be stale.
    ///
    /// # Errors
    /// When it is not there or nobody answers.
    pub async fn get(&mut self, bucket: &str, key: &str, within: Duration) -> Result<Vec<u8>> {
        let subject = format!("$JS.API.DIRECT.GET.KV_{bucket}");
        let body = serde_json::to_vec(&json!({ "last_by_subj": format!("$KV.{bucket}.{key}") }))?;
        let message = self.request(&subject, &body, within).await?;
        ensure!(
            message.status.is_none(),
            "no such key: status {:?}",
            message.status
        );
        Ok(message.payload)
    }

    async fn greet(address: SocketAddr) -> Result<Self> {
        let stream = BufReader::new(TcpStream::connect(address).await?);
        let mut wire = Self { stream, asked: 0 };
        let info = wire.line().await?;
        ensure!(info.starts_with("INFO "), "not a NATS server: {info}");
        let options = json!({
            "verbose": false, "pedantic": false, "headers": true, "no_responders": true,
            "protocol": 1, "lang": "rust", "version": "0", "name": "wire",
        });
        wire.send(format!("CONNECT {options}\r\n").as_bytes())
            .await?;
        wire.ping().await?;
        Ok(wire)
    }

    /// Everything that was sent before has been taken once this returns.
    async fn ping(&mut self) -> Result<()> {
        self.send(b"PING\r\n").await?;
        while !matches!(self.next_word().await?, Word::Pong) {}
        Ok(())
    }

    async fn next_word(&mut self) -> Result<Word> {
        loop {
            let line = self.line().await?;
            let words: Vec<&str> = line.split_whitespace().collect();
            match *words.first().context("an empty line")? {
                "PING" => self.send(b"PONG\r\n").await?,
                "PONG" => return Ok(Word::Pong),
                "MSG" | "HMSG" => return self.body(&words).await.map(Word::Message),
                "-ERR" => bail!("the server says {line}"),
                _ => {}
            }
        }
    }

    async fn body(&mut self, words: &[&str]) -> Result<Message> {
        let total: usize = words.last().context("a message without length")?.parse()?;
        let mut content = vec![0; total + 2];
        self.stream.read_exact(&mut content).await?;
        content.truncate(total);
        let mut status = None;
        if words.first() == Some(&"HMSG") {
            let header: usize = words
                .iter()
                .rev()
                .nth(1)
                .context("no header length")?
                .parse()?;
            let payload = content.split_off(header.min(total));
            let text = String::from_utf8_lossy(&content).into_owned();
            status = text
                .split_whitespace()
                .nth(1)
                .and_then(|word| word.parse().ok());
            content = payload;
        }
        let subject = (*words.get(1).context("a message without subject")?).to_owned();
        Ok(Message {
            subject,
            status,
            payload: content,
        })
    }

    async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(
            self.stream.read_line(&mut line).await? > 0,
            "the server closed the connection"
        );
        Ok(line.trim_end().to_owned())
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.get_mut().write_all(bytes).await?)
    }
}

fn accepted(message: &Message) -> Result<Value> {
    ensure!(message.status.is_none(), "status {:?}", message.status);
    let answer: Value = serde_json::from_slice(&message.payload).context("not a JSON answer")?;
    match answer.get("error") {
        Some(error) => bail!("refused: {error}"),
        None => Ok(answer),
    }
}
