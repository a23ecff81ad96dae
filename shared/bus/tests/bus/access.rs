//! Who may do what, and how a denial is told from silence.

use bus::{CanaryError, ConnectError, Connection, Credentials, DialError, Manner};

use crate::server::Server;
use crate::{Beat, DEADLINE, settings, subject, until};

const USERS: &str = r#"
authorization { users: [
  { user: watcher, password: "s3cret", permissions: {
      publish: { allow: ["t.>", "_INBOX.>"], deny: ["t.mute"] },
      subscribe: { allow: ["_INBOX.watcher.>", "t.open.>", "t.mute"] } } },
  { nkey: UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4 }
] }
"#;
const SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";

#[tokio::test]
async fn a_denied_subscription_is_told_from_silence() {
    let mut server = Server::with(USERS);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "s3cret\n").unwrap();
    let mut settings = settings("watcher", vec![server.url.clone()]);
    settings.credentials = Credentials::UserPassword {
        user: "watcher".to_owned(),
        password_file: file,
    };
    let watcher = Connection::connect(settings, Manner::Observer)
        .await
        .unwrap();
    assert!(watcher.wait_connected(DEADLINE).await);

    assert!(watcher.canary(&subject("t.open.>")).await.is_ok());
    assert!(
        watcher
            .canary_through(&subject("t.open.*"), &subject("t.open.dc1"))
            .await
            .is_ok()
    );
    let denied = watcher.canary(&subject("t.closed.>")).await.unwrap_err();
    assert_eq!(
        denied,
        CanaryError::SubscriptionDenied {
            pattern: "t.closed.>".to_owned()
        }
    );
    let mute = watcher.canary(&subject("t.mute")).await.unwrap_err();
    assert_eq!(
        mute,
        CanaryError::PublishDenied {
            subject: "t.mute".to_owned()
        }
    );
    until("denials counted", async || {
        watcher.health().permission_errors >= 2
    })
    .await;

    let elsewhere = watcher
        .canary_through(&subject("t.open.a"), &subject("t.open.b"))
        .await
        .unwrap_err();
    assert!(
        matches!(elsewhere, CanaryError::Silent { .. }),
        "{elsewhere}"
    );
    server.kill();
    until("loss noticed", async || !watcher.is_connected()).await;
    assert_eq!(
        watcher.canary(&subject("t.open.>")).await.unwrap_err(),
        CanaryError::NotConnected
    );
}

#[tokio::test]
async fn an_ordinary_listener_does_not_see_canaries() {
    let server = Server::start();
    let connection = Connection::connect(settings("c", vec![server.url.clone()]), Manner::Observer)
        .await
        .unwrap();
    assert!(connection.wait_connected(DEADLINE).await);
    let mut heard = connection.subscribe::<Beat>(&subject("t.>")).await.unwrap();
    assert!(connection.canary(&subject("t.*.*")).await.is_ok());
    let _ = connection
        .publish(&subject("t.a.b"), &Beat { number: 1 })
        .await
        .unwrap();
    let first = tokio::time::timeout(DEADLINE, heard.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.body.unwrap(), Beat { number: 1 });
}

#[tokio::test]
async fn credentials_are_used_and_wrong_ones_named() {
    let server = Server::with(USERS);
    let dir = tempfile::tempdir().unwrap();
    let (seed, password) = (dir.path().join("seed"), dir.path().join("password"));
    std::fs::write(&seed, format!("{SEED}\n")).unwrap();
    std::fs::write(&password, "wrong").unwrap();
    let open = async |credentials: Credentials| {
        let mut settings = settings("c", vec![server.url.clone()]);
        settings.credentials = credentials;
        Connection::connect(settings, Manner::Command).await
    };
    let connection = open(Credentials::NkeySeedFile(seed)).await.unwrap();
    assert!(
        connection.server_version().is_ok(),
        "{:?}",
        connection.server_version()
    );
    for refused in [
        Credentials::None,
        Credentials::UserPassword {
            user: "watcher".to_owned(),
            password_file: password,
        },
    ] {
        let ConnectError::NoServer(reasons) = open(refused).await.unwrap_err() else {
            panic!("must be refused")
        };
        assert!(
            matches!(reasons.as_slice(), [DialError::Refused { .. }]),
            "{reasons:?}"
        );
    }
    let missing = open(Credentials::NkeySeedFile(dir.path().join("none")))
        .await
        .unwrap_err();
    assert!(matches!(missing, ConnectError::Credentials(_)), "{missing}");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_at_once() {
    let good = settings("c", vec!["nats://127.0.0.1:4222".to_owned()]);
    let mut cases = vec![good.clone(); 4];
    cases[0].servers.clear();
    cases[1].servers.push("http://x".to_owned());
    cases[2].inbox_prefix = "_INBOX.>".to_owned();
    cases[3].subscription_capacity = 0;
    for case in cases {
        for manner in [Manner::Telemetry, Manner::Command, Manner::Observer] {
            let refused = Connection::connect(case.clone(), manner).await.unwrap_err();
            assert!(matches!(refused, ConnectError::Settings(_)), "{refused}");
        }
    }
}
