//! Messages that arrive: typed, garbled, answered, too many, and offered as a service.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bus::{Connection, Endpoint, Headers, Manner, RequestError, Service, ServiceSpec};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::server::Server;
use crate::{Beat, DEADLINE, connected, settings, subject, until};

#[tokio::test]
async fn a_beat_arrives_promptly() {
    let server = Server::start();
    let ears = connected("ears", &server.url, Manner::Observer).await;
    let agent = connected("agent", &server.url, Manner::Telemetry).await;
    let mut heard = ears.subscribe::<Beat>(&subject("t.hb.*")).await.unwrap();
    assert!(ears.canary(&subject("t.hb.*")).await.is_ok());
    let mut worst = Duration::ZERO;
    for number in 0..50 {
        let started = Instant::now();
        let _ = agent
            .publish(&subject("t.hb.a"), &Beat { number })
            .await
            .unwrap();
        let received = tokio::time::timeout(DEADLINE, heard.next())
            .await
            .unwrap()
            .unwrap();
        worst = worst.max(started.elapsed());
        assert_eq!(
            (received.subject.as_str(), received.body.unwrap()),
            ("t.hb.a", Beat { number })
        );
    }
    assert!(worst < Duration::from_millis(500), "a beat took {worst:?}");
}

#[tokio::test]
async fn garbage_is_reported_and_the_next_message_is_read() {
    let server = Server::start();
    let connection = connected("c", &server.url, Manner::Observer).await;
    let here = subject("t.hb");
    let mut heard = connection.subscribe::<Beat>(&here).await.unwrap();
    let none = Headers::new();
    for payload in [
        &b""[..],
        b"\xff\x00garbage that is longer than the log will keep",
        b"{\"number\":1}",
    ] {
        let _ = connection.publish_raw(&here, payload, &none).await.unwrap();
        let received = tokio::time::timeout(DEADLINE, heard.next())
            .await
            .unwrap()
            .unwrap();
        let garbage = received.body.unwrap_err();
        assert_eq!(garbage.size, payload.len());
        assert!(payload.starts_with(&garbage.first) && garbage.first.len() <= 24);
    }
    let _ = connection
        .publish(&here, &Beat { number: 4 })
        .await
        .unwrap();
    let received = tokio::time::timeout(DEADLINE, heard.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(received.body.unwrap(), Beat { number: 4 });
    assert_eq!(connection.health().garbage, 3);
}

#[tokio::test]
async fn requests_are_answered_or_classified() {
    let server = Server::start();
    let leader = connected("leader", &server.url, Manner::Command).await;
    let agent = connected("agent", &server.url, Manner::Telemetry).await;
    let order = subject("t.cmd");
    let ask = |number| {
        let (leader, order) = (leader.clone(), order.clone());
        async move {
            leader
                .request::<Beat, Beat>(&order, &Beat { number }, Duration::from_millis(700))
                .await
        }
    };
    assert!(matches!(
        ask(0).await,
        Err(RequestError::NoResponder { .. })
    ));

    let mut orders = agent.subscribe::<Beat>(&order).await.unwrap();
    assert!(agent.canary(&order).await.is_ok());
    let answering = tokio::spawn(async move {
        while let Some(received) = orders.next().await {
            let (number, reply) = (received.body.unwrap().number, received.reply.unwrap());
            match number {
                1 => drop(agent.respond(&reply, &Beat { number: 10 }).await.unwrap()),
                2 => drop(
                    agent
                        .publish_raw(&reply, &b"what?"[..], &Headers::new())
                        .await
                        .unwrap(),
                ),
                _ => {}
            }
        }
    });
    assert_eq!(ask(1).await.unwrap(), Beat { number: 10 });
    assert!(matches!(ask(2).await, Err(RequestError::Garbage { .. })));
    let started = Instant::now();
    let unanswered = ask(3).await.unwrap_err();
    assert!(
        matches!(unanswered, RequestError::TimedOut { .. }) && unanswered.outcome_unknown(),
        "{unanswered}"
    );
    assert!(started.elapsed() < Duration::from_secs(3));
    answering.abort();
}

#[tokio::test]
async fn what_a_slow_subscription_loses_is_counted() {
    let server = Server::start();
    let mut few = settings("ears", vec![server.url.clone()]);
    few.subscription_capacity = 10;
    let ears = Connection::connect(few, Manner::Observer).await.unwrap();
    assert!(ears.wait_connected(DEADLINE).await);
    let mut heard = ears.subscribe::<Beat>(&subject("t.hb")).await.unwrap();
    assert!(ears.canary(&subject("t.hb")).await.is_ok());
    let agent = connected("agent", &server.url, Manner::Observer).await;
    for number in 0..2_000 {
        let _ = agent
            .publish(&subject("t.hb"), &Beat { number })
            .await
            .unwrap();
    }
    until("drops counted", async || {
        ears.health().slow_consumer_drops > 0
    })
    .await;
    assert_eq!(
        heard.next().await.unwrap().body.unwrap(),
        Beat { number: 0 }
    );
}

/// A service with two endpoints, of which one answers and one refuses, and its id.
async fn serve(coordinator: &Connection) -> (JoinHandle<()>, String) {
    let spec = ServiceSpec {
        name: "pointsman".to_owned(),
        version: "0.1.0".to_owned(),
        description: "Moves a stack.".to_owned(),
        metadata: BTreeMap::from([("site".to_owned(), "dc1".to_owned())]),
    };
    let endpoint = |name: &str, group: Option<&str>| Endpoint {
        name: name.to_owned(),
        subject: subject(&format!("pointsman.ess.{name}")),
        queue_group: group.map(str::to_owned),
    };
    let endpoints = vec![endpoint("status", Some("q")), endpoint("approve", None)];
    let mut service = Service::start(coordinator, spec, endpoints).await.unwrap();
    let id = service.id().to_owned();
    assert!(
        coordinator
            .canary(&subject("pointsman.ess.approve"))
            .await
            .is_ok()
    );
    let serving = tokio::spawn(async move {
        while let Some(request) = service.next().await {
            if request.endpoint == "status" {
                let json = request.message.headers.get("accept") == Some("application/json");
                let body = if json { "{}" } else { "all well" };
                let headers = Headers::new().with("Role", "leader");
                let _ = request.respond(body, &headers).await.unwrap();
            } else {
                let _ = request
                    .respond_error(409, "not the leader", "ask dc2")
                    .await
                    .unwrap();
            }
        }
    });
    (serving, id)
}

#[tokio::test]
async fn a_service_answers_and_refuses() {
    let server = Server::start();
    let coordinator = connected("coordinator", &server.url, Manner::Observer).await;
    let (serving, _) = serve(&coordinator).await;
    let cli = connected("cli", &server.url, Manner::Command).await;
    let ask = async |text: &str, headers: &Headers| {
        cli.request_raw(&subject(text), &b""[..], headers, DEADLINE)
            .await
            .unwrap()
    };
    let answer = ask("pointsman.ess.status", &Headers::new()).await;
    assert_eq!(&answer.payload[..], b"all well");
    assert_eq!(answer.headers.get("role"), Some("leader"));
    let json = Headers::new().with("Accept", "application/json");
    assert_eq!(&ask("pointsman.ess.status", &json).await.payload[..], b"{}");
    let answer = ask("pointsman.ess.approve", &Headers::new()).await;
    assert_eq!(&answer.payload[..], b"ask dc2");
    assert_eq!(answer.headers.get("Nats-Service-Error-Code"), Some("409"));
    assert_eq!(
        answer.headers.get("Nats-Service-Error"),
        Some("not the leader")
    );
    serving.abort();
}

/// The subjects that `nats micro ls`, `info` and `stats` ask.
#[tokio::test]
async fn a_service_is_announced_also_after_a_restart() {
    let mut server = Server::start();
    let coordinator = connected("coordinator", &server.url, Manner::Observer).await;
    let (serving, id) = serve(&coordinator).await;
    let cli = connected("cli", &server.url, Manner::Observer).await;
    let ask = async |text: &str| {
        let answer = cli
            .request_raw(&subject(text), &b""[..], &Headers::new(), DEADLINE)
            .await
            .ok()?;
        serde_json::from_slice::<Value>(&answer.payload).ok()
    };
    let ping = ask("$SRV.PING").await.unwrap();
    assert_eq!(ping["type"], "io.nats.micro.v1.ping_response");
    assert_eq!(ping["name"], "pointsman");
    assert_eq!(ping["id"], id.as_str());
    assert_eq!(ping["metadata"]["site"], "dc1");
    let info = ask("$SRV.INFO.pointsman").await.unwrap();
    assert_eq!(info["endpoints"].as_array().unwrap().len(), 2);
    assert_eq!(info["endpoints"][0]["subject"], "pointsman.ess.status");
    let none = Headers::new();
    let _ = cli
        .request_raw(&subject("pointsman.ess.approve"), &b""[..], &none, DEADLINE)
        .await;
    let stats = ask(&format!("$SRV.STATS.pointsman.{id}")).await.unwrap();
    assert_eq!(stats["endpoints"][0]["num_requests"], 0);
    assert_eq!(stats["endpoints"][1]["num_errors"], 1);
    assert_eq!(stats["endpoints"][1]["last_error"], "not the leader");

    server.restart();
    until("announced again", async || ask("$SRV.PING").await.is_some()).await;
    serving.abort();
}

#[tokio::test]
async fn dropping_the_last_handle_ends_its_subscriptions() {
    let server = Server::start();
    let connection = connected("c", &server.url, Manner::Observer).await;
    let other = connection.clone();
    let mut heard = connection
        .subscribe::<Beat>(&subject("t.hb"))
        .await
        .unwrap();
    drop(connection);
    let _ = other
        .publish(&subject("t.hb"), &Beat { number: 1 })
        .await
        .unwrap();
    assert!(
        tokio::time::timeout(DEADLINE, heard.next())
            .await
            .unwrap()
            .is_some()
    );
    drop(other);
    assert!(
        tokio::time::timeout(DEADLINE, heard.next())
            .await
            .unwrap()
            .is_none()
    );
}
