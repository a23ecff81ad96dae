//! Looks at other sites without NATS: does anything there still answer?
//!
//! An accepted connection alone is no answer: a kernel accepts for a frozen process, and so does a relay. A
//! `PostgreSQL` server must answer an `SSLRequest`, a web server must send a status line, an agent its line.

use std::io::{Error, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use shared::clock::Mono;
use shared::stack::Address;
use shared::wire::{PeerChannel, PeerOutcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::responder::{ANSWER_LEN_MAX, Answer, QUESTION};
use super::{PeerReading, Reading, Writer};
use crate::clock;
use crate::config::PeerConfig;
use crate::gate::Identity;

/// Length 8, code 80877103 (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F];
/// Names are looked up again after so long.
const LOOKUP_EVERY: Duration = Duration::from_secs(30);

/// Looks for ever.
pub(crate) async fn run(config: PeerConfig, identity: Identity, writer: Writer<PeerReading>) {
    let mut names = Names::new(config.address.clone());
    let mut reading = PeerReading {
        site: config.site.clone(),
        channel: config.channel,
        outcome: PeerOutcome::Unknown,
        answered: None,
    };
    let mut ticks = tokio::time::interval(config.every.duration());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let outcome = match names.address().await {
            Some(address) => look(&config, &identity, address).await,
            None => PeerOutcome::Unreachable,
        };
        if outcome != reading.outcome {
            tracing::info!(site = %config.site, channel = ?config.channel, ?outcome, "peer");
        }
        reading.outcome = outcome;
        if outcome == PeerOutcome::Answered {
            reading.answered = Some(clock::mono());
        }
        writer.send_replace(Some(Reading {
            at: clock::mono(),
            value: reading.clone(),
        }));
    }
}

async fn look(config: &PeerConfig, identity: &Identity, address: SocketAddr) -> PeerOutcome {
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        match config.channel {
            PeerChannel::Postgres => ask_postgres(&mut stream).await,
            PeerChannel::Http => ask_http(&mut stream, &config.address).await,
            PeerChannel::Agent => ask_agent(&mut stream, config, identity).await,
            PeerChannel::Unknown => Ok(false),
        }
    };
    match tokio::time::timeout(config.timeout.duration(), asking).await {
        Ok(Ok(true)) => PeerOutcome::Answered,
        Ok(Ok(false)) | Err(_) => PeerOutcome::Silent,
        Ok(Err(error)) => outcome_of(&error),
    }
}

fn outcome_of(error: &Error) -> PeerOutcome {
    const NO_WAY: [ErrorKind; 3] = [
        ErrorKind::HostUnreachable,
        ErrorKind::NetworkUnreachable,
        ErrorKind::NetworkDown,
    ];
    let kind = error.kind();
    if kind == ErrorKind::ConnectionRefused {
        PeerOutcome::Refused
    } else if NO_WAY.contains(&kind) {
        PeerOutcome::Unreachable
    } else {
        PeerOutcome::Silent
    }
}

async fn ask_postgres(stream: &mut TcpStream) -> Result<bool, Error> {
    stream.write_all(&SSL_REQUEST).await?;
    let answer = stream.read_u8().await?;
    Ok(matches!(answer, b'S' | b'N'))
}

async fn ask_http(stream: &mut TcpStream, address: &Address) -> Result<bool, Error> {
    let question = format!("HEAD / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).await?;
    let mut start = [0; 7];
    stream.read_exact(&mut start).await?;
    Ok(&start == b"HTTP/1.")
}

/// The line must name this stack and the site that is looked at: something else that answers there is no proof.
async fn ask_agent(
    stream: &mut TcpStream,
    config: &PeerConfig,
    identity: &Identity,
) -> Result<bool, Error> {
    stream.write_all(QUESTION).await?;
    let mut line = Vec::with_capacity(ANSWER_LEN_MAX);
    let limit = u64::try_from(ANSWER_LEN_MAX).unwrap_or(u64::MAX);
    stream.take(limit).read_to_end(&mut line).await?;
    let answer = Answer::parse(&line);
    Ok(answer.is_some_and(|answer| answer.stack == identity.stack && answer.site == config.site))
}

/// The address behind a name. A lookup can hang: at most one is under way, and nobody waits for it.
struct Names {
    address: Address,
    found: Option<SocketAddr>,
    looked_up: Option<Mono>,
    lookup: Option<JoinHandle<Option<SocketAddr>>>,
}

impl Names {
    fn new(address: Address) -> Self {
        let found = address
            .host()
            .parse::<IpAddr>()
            .ok()
            .map(|ip| SocketAddr::new(ip, address.port()));
        Self {
            address,
            found,
            looked_up: None,
            lookup: None,
        }
    }

    async fn address(&mut self) -> Option<SocketAddr> {
        if self.address.host().parse::<IpAddr>().is_ok() {
            return self.found;
        }
        if let Some(lookup) = self.lookup.take_if(|lookup| lookup.is_finished()) {
            self.found = lookup.await.ok().flatten().or(self.found);
        }
        let due = self
            .looked_up
            .is_none_or(|at| clock::mono().since(at).duration() >= LOOKUP_EVERY);
        if self.lookup.is_none() && due {
            self.looked_up = Some(clock::mono());
            let (host, port) = (self.address.host().to_owned(), self.address.port());
            self.lookup = Some(tokio::spawn(async move {
                tokio::net::lookup_host((host, port)).await.ok()?.next()
            }));
        }
        self.found
    }
}

#[cfg(test)]
mod tests;
