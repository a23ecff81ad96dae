//! What cannot be read is counted and told once; who does not hear itself says that it is unfit.

use bus::{Headers, Publication};
use shared::id::{NodeName, SiteName};
use shared::subject::Subject;
use shared::wire::{Fitness, Observation, Unfit};

use crate::rig::{Rig, stack, status_at, until};

#[tokio::test]
async fn garbage_is_told_once_a_sender_and_harms_nobody() {
    let rig = Rig::start("").await;
    let connection = rig.connect().await;
    rig.provision(&connection).await;
    let only = rig.coordinator("dc2", "");
    until("a coordinator", async || {
        status_at(&connection, "dc2").await
    })
    .await;
    let site = SiteName::new("dc1").unwrap();
    let node = NodeName::new("dc1-db").unwrap();
    let subjects = [
        Subject::heartbeat(&stack(), &site, &node),
        Subject::report(&stack(), &site, &node),
        Subject::observation(&stack(), &site),
        Subject::received("pointsman.ess.hb.DC1.x"),
    ];
    let payloads: [&[u8]; 5] = [
        b"",
        b"\xc1\xff\x00",
        b"{\"v\":1}",
        &[0x93; 4_096],
        b"\x83\xa1v\x01\xa1k\xa2hb\xa1b\x80",
    ];
    for subject in &subjects {
        for payload in payloads {
            for _ in 0..10 {
                let sent = connection
                    .publish_raw(subject, payload.to_vec(), &Headers::new())
                    .await
                    .unwrap();
                assert_eq!(sent, Publication::Published);
            }
        }
    }
    until("the complaint about the last sender", async || {
        only.log().contains("hb.DC1.x").then_some(())
    })
    .await;
    assert!(
        status_at(&connection, "dc2").await.is_some(),
        "it still answers"
    );
    let log = only.log();
    for subject in &subjects {
        let told = log
            .lines()
            .filter(|line| line.contains("WARN") && line.contains(subject.as_str()))
            .count();
        assert_eq!(told, 1, "{subject}: {log}");
    }
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn a_denied_subscription_makes_an_observer_unfit() {
    let users = "authorization { users: [ { user: whole, password: p }, { user: deaf, password: p, \
                 permissions: { publish: { allow: [\">\"] }, subscribe: { allow: [\">\"], deny: [\"pointsman.ess.hb.>\"] } } } ] \
                 }\nno_auth_user: whole";
    let rig = Rig::start(users).await;
    let connection = rig.connect().await;
    rig.provision(&connection).await;
    let secret = rig.path().join("password");
    std::fs::write(&secret, "p\n").unwrap();
    let as_user = |user: &str| {
        format!(
            "user = \"{user}\"\npassword_file = \"{}\"",
            secret.display()
        )
    };
    let _deaf = rig.coordinator("dc1", &as_user("deaf"));
    let _whole = rig.coordinator("dc2", &as_user("whole"));
    let mut observations = connection
        .subscribe::<Observation>(&Subject::observations(&stack()))
        .await
        .unwrap();
    let (mut deaf_told, mut whole_fit) = (false, false);
    let both = async {
        while !(deaf_told && whole_fit) {
            let heard = observations.next().await.unwrap();
            let fitness = heard.body.unwrap().fitness;
            if heard.subject.ends_with("dc1") {
                assert!(
                    matches!(fitness, Fitness::Unfit(_)),
                    "a deaf observer called itself fit"
                );
                let Fitness::Unfit(reasons) = fitness else {
                    unreachable!()
                };
                deaf_told |= reasons == [Unfit::NoCanary];
            } else {
                whole_fit |= fitness == Fitness::Fit;
            }
        }
    };
    tokio::time::timeout(crate::rig::PATIENCE, both)
        .await
        .unwrap_or_else(|_| {
            panic!("deaf told: {deaf_told}, whole fit: {whole_fit}");
        });
}
