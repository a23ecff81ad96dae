//! One leads, and only one; it is followed by another within the lease; without a server nobody leads.

use std::time::Instant;

use shared::subject::{Subject, Verb};

use crate::rig::{LEASE, RENEW, Rig, SITES, ask, json, leader, stack, status_at, until};

#[tokio::test]
async fn another_leads_within_the_lease_after_a_kill_and_at_once_after_a_stop() {
    let rig = Rig::start("").await;
    let connection = rig.connect().await;
    rig.provision(&connection).await;
    let mut coordinators: Vec<_> = SITES
        .into_iter()
        .map(|site| rig.coordinator(site, ""))
        .collect();
    let (first, term) = leader(&connection).await;

    let place = coordinators
        .iter()
        .position(|one| one.site == first)
        .unwrap();
    let killed = Instant::now();
    coordinators.remove(place).kill();
    let (second, next_term) = until("another leader", async || {
        let found = leader(&connection).await;
        (found.0 != first).then_some(found)
    })
    .await;
    // The lease counts from the last renewal seen; the looks of a busy machine are given two seconds more.
    let took = killed.elapsed();
    assert!(
        took < LEASE + RENEW + std::time::Duration::from_secs(2),
        "took {took:?}"
    );
    assert!(next_term > term, "{next_term} after {term}");

    let place = coordinators
        .iter()
        .position(|one| one.site == second)
        .unwrap();
    let stopped = Instant::now();
    let (code, log) = coordinators.remove(place).stop().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("the lead was given up"), "{log}");
    assert!(!log.contains("ERROR"), "{log}");
    let (third, last_term) = leader(&connection).await;
    assert!(
        stopped.elapsed() < LEASE,
        "a lead that is given up is free at once"
    );
    assert!(third != second && last_term > next_term);
}

#[tokio::test]
async fn without_the_server_the_lead_is_lost_by_the_own_clock_and_won_again_later() {
    let mut rig = Rig::start("").await;
    let connection = rig.connect().await;
    rig.provision(&connection).await;
    let only = rig.coordinator("dc2", "");
    let (_, term) = leader(&connection).await;
    rig.stop_server();
    let stopped = Instant::now();
    until("the loss of the lead", async || {
        only.log()
            .contains("the lead was not renewed in time")
            .then_some(())
    })
    .await;
    assert!(
        stopped.elapsed() < LEASE,
        "its validity ends before its lease: {:?}",
        stopped.elapsed()
    );
    rig.start_server().await;
    let again = until("a lead in a higher term", async || {
        let status = status_at(&connection, "dc2").await?;
        (status["leads"] == true).then(|| status["term"].as_u64().unwrap())
    })
    .await;
    assert!(again > term, "{again} after {term}");
    assert!(!only.log().contains("ERROR"), "{}", only.log());
}

#[tokio::test]
async fn a_stack_survives_every_change_of_the_leader() {
    let rig = Rig::start("").await;
    let (connection, mut coordinators) = rig.with_stack().await;
    let (first, _) = leader(&connection).await;
    let place = coordinators
        .iter()
        .position(|one| one.site == first)
        .unwrap();
    coordinators.remove(place).kill();
    until("a leader with the stack", async || {
        let answer = ask(
            &connection,
            &Subject::operator_json(&stack(), Verb::Status),
            "",
        )
        .await
        .ok()?;
        let status = json(&answer);
        let whole = status["leads"] == true && status["stack_version"] == 1 && status["epoch"] == 1;
        whole.then_some(())
    })
    .await;
}
