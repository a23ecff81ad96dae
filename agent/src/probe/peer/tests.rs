//! What counts as an answer.

use std::io::Write as _;
use std::net::TcpListener;

use shared::clock::Millis;
use shared::id::{NodeName, ProcessId, SiteName, StackName};
use uuid::Uuid;

use super::super::responder;
use super::*;

fn identity(site: &str) -> Identity {
    Identity {
        stack: StackName::new("ess").unwrap(),
        site: SiteName::new(site).unwrap(),
        node: NodeName::new("n").unwrap(),
        process: ProcessId::new(Uuid::from_u128(1)),
    }
}

fn config(channel: PeerChannel, address: SocketAddr) -> PeerConfig {
    PeerConfig {
        site: SiteName::new("dc1").unwrap(),
        channel,
        address: address.to_string().parse().unwrap(),
        every: Millis(1_000),
        timeout: Millis(400),
    }
}

/// A server that sends `answer` to everybody, or nothing; it reads nothing and keeps its connections.
fn server(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            drop(stream.write_all(answer));
            kept.push(stream);
        }
    });
    address
}

async fn outcome(channel: PeerChannel, address: SocketAddr) -> PeerOutcome {
    look(&config(channel, address), &identity("dc2"), address).await
}

#[tokio::test]
async fn an_accepted_connection_is_no_answer() {
    let silent = server(b"");
    for channel in [PeerChannel::Postgres, PeerChannel::Http, PeerChannel::Agent] {
        assert_eq!(
            outcome(channel, silent).await,
            PeerOutcome::Silent,
            "{channel:?}"
        );
    }
}

#[tokio::test]
async fn each_channel_knows_its_answer() {
    let cases: [(PeerChannel, &'static [u8], PeerOutcome); 7] = [
        (PeerChannel::Postgres, b"N", PeerOutcome::Answered),
        (PeerChannel::Postgres, b"S", PeerOutcome::Answered),
        (PeerChannel::Postgres, b"HTTP/1.1 400", PeerOutcome::Silent),
        (
            PeerChannel::Http,
            b"HTTP/1.1 503 Service Unavailable\r\n",
            PeerOutcome::Answered,
        ),
        (PeerChannel::Http, b"SSH-2.0-x", PeerOutcome::Silent),
        (PeerChannel::Agent, b"hello\n", PeerOutcome::Silent),
        (PeerChannel::Unknown, b"N", PeerOutcome::Silent),
    ];
    for (channel, answer, expected) in cases {
        assert_eq!(
            outcome(channel, server(answer)).await,
            expected,
            "{channel:?} {answer:?}"
        );
    }
}

#[tokio::test]
async fn nobody_there_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(
        outcome(PeerChannel::Postgres, address).await,
        PeerOutcome::Refused
    );
}

#[tokio::test]
async fn only_an_agent_of_the_wanted_site_answers() {
    for (site, expected) in [("dc1", PeerOutcome::Answered), ("dc3", PeerOutcome::Silent)] {
        let listener = responder::bind("127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(responder::run(listener, identity(site), None));
        assert_eq!(outcome(PeerChannel::Agent, address).await, expected);
        serving.abort();
    }
}

#[test]
fn the_responders_line_is_read_back() {
    let Identity {
        stack,
        site,
        node,
        process,
    } = identity("dc1");
    let answer = Answer {
        stack,
        site,
        node,
        process,
    };
    assert_eq!(
        Answer::parse(answer.line().as_bytes()),
        Some(answer.clone())
    );
    for bad in [
        "",
        "pointsman\n",
        "pointsman a b c d\n",
        "pointsman ess dc1 n\n",
    ] {
        assert_eq!(Answer::parse(bad.as_bytes()), None, "{bad:?}");
    }
    let longer = format!("{} x\n", answer.line().trim_end());
    assert_eq!(Answer::parse(longer.as_bytes()), None);
    let name = "x".repeat(63);
    let longest = Answer {
        stack: StackName::new(&name).unwrap(),
        site: SiteName::new(&name).unwrap(),
        node: NodeName::new(&name).unwrap(),
        process: answer.process,
    };
    assert!(longest.line().len() <= ANSWER_LEN_MAX);
}
