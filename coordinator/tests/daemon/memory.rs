//! A NATS server that comes back with an older store: everything automatic halts, over restarts too, until an operator
//! accepts the store.

use std::path::Path;

use bus::Bucket;
use shared::epoch::Epoch;
use shared::subject::{self, Subject, Verb, key};
use shared::wire::Ticket;

use crate::rig::{Rig, SITES, STACK, ask, json, leader, stack, status_at, until};

/// Copies a directory whole.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What a coordinator has on its disk of the ticket's epoch.
fn kept_epoch(rig: &Rig, site: &str) -> Option<u64> {
    let text = std::fs::read_to_string(rig.state_dir(site).join("store-seen")).ok()?;
    let content: serde_json::Value = serde_json::from_str(text.lines().next()?).ok()?;
    content["memory"]["seen"]["epoch"].as_u64()
}

/// Every coordinator has this epoch on its disk.
async fn all_keep(rig: &Rig, epoch: u64) {
    until("the epoch on every disk", async || {
        let keeps = |site: &&str| kept_epoch(rig, site) == Some(epoch);
        SITES.iter().all(keeps).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_older_store_halts_everything_until_it_is_accepted() {
    let mut rig = Rig::start("").await;
    let (connection, mut coordinators) = rig.with_stack().await;
    all_keep(&rig, 1).await;
    rig.stop_server();
    let (store, older) = (rig.path().join("js"), rig.path().join("older"));
    copy(&store, &older);
    rig.start_server().await;
    leader(&connection).await;

    // Another epoch was granted since.
    let bucket = until("the bucket", async || {
        Box::pin(Bucket::open(&connection, &subject::bucket(&stack())))
            .await
            .ok()
    })
    .await;
    until("the ticket of epoch 2", async || {
        let entry = bucket.entry(key::TICKET).await.ok()??;
        let mut ticket: Ticket = serde_json::from_slice(&entry.value).unwrap();
        ticket.epoch = Epoch(2);
        let value = serde_json::to_vec(&ticket).unwrap();
        bucket.update(key::TICKET, value, entry.revision).await.ok()
    })
    .await;
    all_keep(&rig, 2).await;

    rig.stop_server();
    std::fs::remove_dir_all(&store).unwrap();
    copy(&older, &store);
    rig.start_server().await;
    let halted = async |site: &str| {
        let status = status_at(&connection, site).await?;
        status["store"]["since"].is_number().then_some(status)
    };
    let (first, _) = leader(&connection).await;
    let status = until("the halt", async || halted(&first).await).await;
    assert_eq!(status["store"]["remembered"]["epoch"], 2, "{status}");
    assert_eq!(status["store"]["shown"]["epoch"], 1, "{status}");
    for one in &coordinators {
        until("a loud word in every log", async || {
            let log = one.log();
            let line = log
                .lines()
                .find(|line| line.contains("the store shows less"))?;
            line.contains("ERROR").then_some(())
        })
        .await;
    }

    // It outlasts every process.
    while let Some(one) = coordinators.pop() {
        one.kill();
    }
    for site in SITES {
        coordinators.push(rig.coordinator(site, ""));
    }
    let (second, _) = leader(&connection).await;
    until("the halt after a restart", async || halted(&second).await).await;
    let apply = serde_json::json!({ "text": STACK, "replaces": 1 }).to_string();
    let subject = Subject::operator_json(&stack(), Verb::StackApply);
    let refused = json(&ask(&connection, &subject, &apply).await.unwrap());
    assert_eq!(refused["refused"]["rule"], "store-regressed", "{refused}");

    accept(&rig, &connection).await;
}

/// An operator accepts, after some attempts that are wrong.
async fn accept(rig: &Rig, connection: &bus::Connection) {
    let cli = |live: &str, confirm: &str, reason: &str| {
        let line = [
            "store",
            "accept",
            "--live",
            live,
            "--confirm",
            confirm,
            "--reason",
            reason,
        ];
        let output = rig.cli(&line);
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), text)
    };
    let shown = rig.cli(&["status"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("STORE since ") && shown.contains("seen was epoch 2 at"),
        "{shown}"
    );
    let (code, text) = cli("dc2", "prod", "restored");
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("confirm: found \"prod\"; allowed: \"ess\""),
        "{text}"
    );
    assert_eq!(cli("dc3", "ess", "restored").0, Some(6), "a witness");
    assert_eq!(cli("dc9", "ess", "restored").0, Some(6), "no site");
    assert_eq!(cli("dc2", "ess", " ").0, Some(2), "no reason");
    let (code, text) = cli("dc2", "ess", "restored from a copy");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("dc2 is given epoch 3"), "{text}");
    for site in SITES {
        until("a store that is believed", async || {
            let status = status_at(connection, site).await?;
            (status["store"].is_null() && status["epoch"] == 3 && status["live_site"] == "dc2")
                .then_some(())
        })
        .await;
    }
    assert_eq!(cli("dc2", "ess", "again").0, Some(1), "nothing to accept");
    let history = rig.cli(&["history"]);
    let history = String::from_utf8(history.stdout).unwrap();
    assert!(
        history.contains("store-regressed") && history.contains("store-accepted"),
        "{history}"
    );
}

#[tokio::test]
async fn a_coordinator_that_cannot_know_what_it_saw_does_not_start() {
    let rig = Rig::start("").await;
    let home = rig.state_dir("dc2");
    std::fs::create_dir_all(&home).unwrap();
    std::fs::write(home.join("store-seen"), "{\"schema\":1").unwrap();
    let mut one = rig.coordinator("dc2", "");
    let status = until("its end", async || one.process.0.try_wait().unwrap()).await;
    assert_eq!(status.code(), Some(1));
    let log = one.log();
    assert!(
        log.contains("store-seen is damaged: it is cut short"),
        "{log}"
    );
}
