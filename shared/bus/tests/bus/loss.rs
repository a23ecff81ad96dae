//! What happens to messages when the server goes away, freezes, or comes back.

use std::time::{Duration, Instant};

use bus::{Connection, ConnectionState, DropReason, Headers, Manner, Publication, RequestError};

use crate::gate::{Gate, State};
use crate::server::Server;
use crate::{Beat, DEADLINE, connected, settings, subject, until};

#[tokio::test]
async fn what_is_published_while_disconnected_is_never_delivered() {
    let server = Server::start();
    let gate = Gate::to(&server.url).await;
    let here = subject("t.hb");
    let ears = connected("ears", &server.url, Manner::Observer).await;
    let mut heard = ears.subscribe::<Beat>(&here).await.unwrap();
    assert!(ears.canary(&here).await.is_ok());
    let agent = connected("agent", &gate.url, Manner::Telemetry).await;
    let sent = agent.publish(&here, &Beat { number: 0 }).await.unwrap();
    assert_eq!(sent, Publication::Published);
    let first = tokio::time::timeout(DEADLINE, heard.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.body.unwrap(), Beat { number: 0 });

    gate.set(State::Closed);
    until("loss noticed", async || {
        agent.state() == ConnectionState::Disconnected
    })
    .await;
    let started = Instant::now();
    for number in 1..=1000 {
        let outcome = agent.publish(&here, &Beat { number }).await.unwrap();
        assert_eq!(outcome, Publication::Dropped(DropReason::NotConnected));
    }
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "drops must not wait: {:?}",
        started.elapsed()
    );
    assert_eq!(agent.health().publish_drops, 1000);

    gate.set(State::Open);
    assert!(agent.wait_connected(DEADLINE).await);
    let sent = agent.publish(&here, &Beat { number: 5000 }).await.unwrap();
    assert_eq!(sent, Publication::Published);
    let next = tokio::time::timeout(DEADLINE, heard.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(next.body.unwrap(), Beat { number: 5000 });
    assert_eq!(agent.health().reconnects, 1);
}

#[tokio::test]
async fn an_agent_starts_before_its_server() {
    let mut server = Server::start();
    server.kill();
    let agent = Connection::connect(
        settings("agent", vec![server.url.clone()]),
        Manner::Telemetry,
    )
    .await
    .unwrap();
    let mut orders = agent.subscribe::<Beat>(&subject("t.cmd")).await.unwrap();
    let dropped = agent
        .publish(&subject("t.hb"), &Beat { number: 1 })
        .await
        .unwrap();
    assert_eq!(dropped, Publication::Dropped(DropReason::NotConnected));
    server.restart();
    let listening = tokio::spawn(async move { orders.next().await });
    let sender = connected("sender", &server.url, Manner::Command).await;
    until("order arrives", async || {
        let _ = sender
            .publish(&subject("t.cmd"), &Beat { number: 2 })
            .await
            .unwrap();
        listening.is_finished()
    })
    .await;
    assert_eq!(
        listening.await.unwrap().unwrap().body.unwrap(),
        Beat { number: 2 }
    );
}

#[tokio::test]
async fn a_command_connection_does_not_start_without_a_server() {
    let mut server = Server::start();
    server.kill();
    let refused = Connection::connect(settings("c", vec![server.url.clone()]), Manner::Command)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains(&server.url), "{refused}");
}

/// Commands given in the moment of the loss and after it are refused or unknown, never kept for later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_given_around_a_loss_are_never_delivered_later() {
    let server = Server::start();
    let gate = Gate::to(&server.url).await;
    let order = subject("t.cmd");
    let agent = connected("agent", &server.url, Manner::Observer).await;
    let mut orders = agent.subscribe::<Beat>(&order).await.unwrap();
    assert!(agent.canary(&order).await.is_ok());
    let leader = connected("leader", &gate.url, Manner::Command).await;
    for round in 0..5 {
        let hurried: Vec<_> = (0..8)
            .map(|_| {
                let (leader, order) = (leader.clone(), order.clone());
                tokio::spawn(async move {
                    let patience = Duration::from_millis(20);
                    loop {
                        let asked = leader
                            .request::<Beat, Beat>(&order, &Beat { number: 1 }, patience)
                            .await;
                        if let Err(RequestError::NotConnected) = asked {
                            return;
                        }
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        gate.set(State::Closed);
        for task in hurried {
            tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap();
        }
        for _ in 0..3 {
            let started = Instant::now();
            let refused = leader
                .request::<Beat, Beat>(&order, &Beat { number: 2 }, Duration::from_secs(2))
                .await;
            assert!(
                matches!(refused, Err(RequestError::NotConnected)),
                "{refused:?}"
            );
            assert!(
                started.elapsed() < Duration::from_millis(500),
                "refusal must be at once"
            );
        }
        // What was on the wire before the cut arrives now or never.
        while tokio::time::timeout(Duration::from_millis(300), orders.next())
            .await
            .is_ok()
        {}

        gate.set(State::Open);
        assert!(leader.wait_connected(DEADLINE).await);
        let _ = leader
            .publish(
                &order,
                &Beat {
                    number: 100 + round,
                },
            )
            .await
            .unwrap();
        let first = tokio::time::timeout(DEADLINE, orders.next())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            first.body.unwrap(),
            Beat {
                number: 100 + round
            },
            "an order from before the loss was delivered"
        );
    }
}

/// A client whose socket takes nothing fills its own queue. None of that may outlive the connection.
#[tokio::test]
async fn what_a_stalled_client_has_queued_dies_with_its_connection() {
    let server = Server::start();
    let gate = Gate::to(&server.url).await;
    let here = subject("t.hb");
    let ears = connected("ears", &server.url, Manner::Observer).await;
    let mut heard = ears.subscribe::<Beat>(&here).await.unwrap();
    assert!(ears.canary(&here).await.is_ok());
    for manner in [Manner::Telemetry, Manner::Command] {
        let client = connected("client", &gate.url, manner).await;
        gate.set(State::Stalled);
        let large = vec![7_u8; 50_000];
        let mut taken = 0_u32;
        while client
            .publish_raw(&here, large.clone(), &Headers::new())
            .await
            .unwrap()
            == Publication::Published
        {
            taken += 1;
            assert!(
                taken < 2_000,
                "100 MB cannot have been taken by a stalled link"
            );
        }
        let before = client.health().connects;
        gate.cut();
        until("reconnected", async || client.health().connects > before).await;
        assert!(client.wait_connected(DEADLINE).await);
        let sent = client.publish(&here, &Beat { number: 7 }).await.unwrap();
        assert_eq!(sent, Publication::Published);
        let first = tokio::time::timeout(DEADLINE, heard.next())
            .await
            .unwrap()
            .unwrap();
        let beat = first
            .body
            .expect("something queued before the loss was delivered");
        assert_eq!(beat, Beat { number: 7 });
    }
}

#[tokio::test]
async fn a_frozen_server_is_noticed_and_blocks_nobody() {
    let server = Server::start();
    let agent = connected("agent", &server.url, Manner::Telemetry).await;
    let leader = connected("leader", &server.url, Manner::Command).await;
    server.signal("STOP");
    let frozen = Instant::now();
    let unanswered = leader
        .request::<Beat, Beat>(
            &subject("t.cmd"),
            &Beat { number: 1 },
            Duration::from_secs(1),
        )
        .await
        .unwrap_err();
    assert!(unanswered.outcome_unknown(), "{unanswered}");
    assert!(
        frozen.elapsed() < Duration::from_secs(3),
        "{:?}",
        frozen.elapsed()
    );

    // More than socket buffers and queues can take: every call must return all the same.
    let large = vec![7_u8; 50_000];
    let mut congested = 0;
    for _ in 0..1000 {
        let started = Instant::now();
        let outcome = agent
            .publish_raw(&subject("t.big"), large.clone(), &Headers::new())
            .await
            .unwrap();
        assert!(
            started.elapsed() < Duration::from_secs(2),
            "a publish took {:?}",
            started.elapsed()
        );
        congested += u32::from(outcome == Publication::Dropped(DropReason::Congested));
        if congested == 3 {
            break;
        }
    }
    assert_eq!(
        congested, 3,
        "50 MB cannot have been taken by a frozen server"
    );
    until("both notice", async || {
        !agent.is_connected() && !leader.is_connected()
    })
    .await;
    assert!(
        frozen.elapsed() < Duration::from_secs(10),
        "noticed after {:?}",
        frozen.elapsed()
    );
    server.signal("CONT");
    assert!(agent.wait_connected(DEADLINE).await && leader.wait_connected(DEADLINE).await);
}

#[tokio::test]
async fn reconnects_are_spread_out() {
    let mut server = Server::start();
    let mut agents = Vec::new();
    for number in 0..60 {
        agents.push(connected(&format!("a{number}"), &server.url, Manner::Telemetry).await);
    }
    server.kill();
    until("all lost", async || {
        agents.iter().all(|agent| !agent.is_connected())
    })
    .await;
    server.restart();
    let watches = agents.iter().map(|agent| {
        let agent = agent.clone();
        tokio::spawn(async move {
            assert!(agent.wait_connected(DEADLINE).await);
            Instant::now()
        })
    });
    let mut times = Vec::new();
    for watch in watches.collect::<Vec<_>>() {
        times.push(watch.await.unwrap());
    }
    times.sort();
    // The middle nine tenths, so that a straggler alone cannot pass for a spread.
    let spread = times[57] - times[3];
    assert!(
        spread > Duration::from_millis(800),
        "60 clients came back within {spread:?}"
    );
}

#[tokio::test]
async fn a_lame_duck_is_left_before_it_dies() {
    let servers = Server::cluster(2);
    let urls = servers.iter().map(|server| server.url.clone()).collect();
    let agent = Connection::connect(settings("agent", urls), Manner::Telemetry)
        .await
        .unwrap();
    assert!(agent.wait_connected(DEADLINE).await);
    assert_eq!(
        agent.state(),
        ConnectionState::Connected {
            server_name: "n1".to_owned()
        }
    );
    servers[0].signal("USR2");
    until("moved", async || {
        agent.state()
            == ConnectionState::Connected {
                server_name: "n2".to_owned(),
            }
    })
    .await;
}

#[tokio::test]
async fn the_next_server_is_used_when_the_first_is_lost() {
    let mut servers = Server::cluster(2);
    let urls = servers.iter().map(|server| server.url.clone()).collect();
    let ears = Connection::connect(settings("ears", urls), Manner::Observer)
        .await
        .unwrap();
    assert!(ears.wait_connected(DEADLINE).await);
    let mut heard = ears.subscribe::<Beat>(&subject("t.hb")).await.unwrap();
    servers[0].kill();
    let agent = connected("agent", &servers[1].url, Manner::Telemetry).await;
    let listening = tokio::spawn(async move { heard.next().await });
    until("subscription moved", async || {
        let _ = agent
            .publish(&subject("t.hb"), &Beat { number: 3 })
            .await
            .unwrap();
        listening.is_finished()
    })
    .await;
    assert_eq!(
        listening.await.unwrap().unwrap().body.unwrap(),
        Beat { number: 3 }
    );
    assert_eq!(
        ears.state(),
        ConnectionState::Connected {
            server_name: "n2".to_owned()
        }
    );
}
