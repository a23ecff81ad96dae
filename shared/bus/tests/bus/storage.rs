//! Buckets and journals: provisioned, compared and set, read, watched, and without a majority.

use std::time::{Duration, Instant};

use bus::{
    Bucket, BucketError, BucketSpec, Change, Connection, Journal, JournalError, Manner,
    ProvisionError, ProvisionNote, StreamSpec, provision,
};
use serde_json::json;

use crate::server::Server;
use crate::{DEADLINE, connected, settings, subject, until};

fn bucket(replicas: u8) -> BucketSpec {
    BucketSpec {
        name: "POINTSMAN_ess".to_owned(),
        description: "What is decided.".to_owned(),
        history: 10,
        max_age: None,
        marker_age: None,
        max_value_bytes: 256 * 1024,
        max_bytes: 16 * 1024 * 1024,
        replicas,
    }
}

fn stream(replicas: u8) -> StreamSpec {
    StreamSpec {
        name: "POINTSMAN_ess_AUDIT".to_owned(),
        description: "Every move.".to_owned(),
        subjects: vec!["pointsman.ess.event.>".to_owned()],
        max_age: Some(Duration::from_hours(24)),
        max_record_bytes: 64 * 1024,
        max_bytes: 16 * 1024 * 1024,
        duplicate_window: Duration::from_mins(2),
        replicas,
    }
}

fn created(stream: &str) -> ProvisionNote {
    ProvisionNote::Created {
        stream: stream.to_owned(),
    }
}

fn unchanged(stream: &str) -> ProvisionNote {
    ProvisionNote::Unchanged {
        stream: stream.to_owned(),
    }
}

#[tokio::test]
async fn provisioning_is_repeatable_and_reports_drift() {
    let server = Server::start();
    let connection = connected("c", &server.url, Manner::Command).await;
    let open = async || Bucket::open(&connection, "POINTSMAN_ess").await;
    assert_eq!(
        open().await.unwrap_err(),
        BucketError::Missing {
            bucket: "POINTSMAN_ess".to_owned()
        }
    );
    let run =
        async |bucket: BucketSpec| provision(&connection, &[bucket], &[stream(1)], None).await;
    let both = ["KV_POINTSMAN_ess", "POINTSMAN_ess_AUDIT"];
    assert_eq!(run(bucket(1)).await.unwrap(), both.map(created));
    assert_eq!(run(bucket(1)).await.unwrap(), both.map(unchanged));
    assert!(open().await.is_ok());

    let other = BucketSpec {
        history: 20,
        ..bucket(1)
    };
    let notes = run(other).await.unwrap();
    assert!(
        matches!(&notes[0], ProvisionNote::Drift { setting, wanted, found, .. }
            if setting == "max_msgs_per_subject" && wanted == "20" && found == "10"),
        "{notes:?}"
    );
    assert_eq!(
        run(bucket(1)).await.unwrap(),
        both.map(unchanged),
        "drift must not be overwritten"
    );
    let copies = run(bucket(3)).await.unwrap_err();
    assert!(
        matches!(
            copies,
            ProvisionError::Replicas {
                wanted: 3,
                found: 1,
                ..
            }
        ),
        "{copies}"
    );
}

/// A bucket that somebody made with the usual tools lets any replica answer reads.
#[tokio::test]
async fn a_bucket_with_direct_reads_is_refused_until_corrected() {
    let server = Server::start();
    let connection = connected("c", &server.url, Manner::Command).await;
    provision(&connection, &[bucket(1)], &[], None)
        .await
        .unwrap();
    let api = async |what: &str, body: serde_json::Value| {
        let subject = subject(&format!("$JS.API.{what}.KV_POINTSMAN_ess"));
        let none = bus::Headers::new();
        let answer = connection
            .request_raw(&subject, body.to_string(), &none, DEADLINE)
            .await
            .unwrap();
        serde_json::from_slice::<serde_json::Value>(&answer.payload).unwrap()
    };
    let mut config = api("STREAM.INFO", json!({})).await["config"].clone();
    config["allow_direct"] = true.into();
    assert!(api("STREAM.UPDATE", config).await["error"].is_null());
    let refused = Bucket::open(&connection, "POINTSMAN_ess")
        .await
        .unwrap_err();
    assert!(
        matches!(refused, BucketError::Misconfigured { .. }),
        "{refused}"
    );
    let notes = provision(&connection, &[bucket(1)], &[], None)
        .await
        .unwrap();
    assert_eq!(
        notes,
        [ProvisionNote::DirectReadsOff {
            stream: "KV_POINTSMAN_ess".to_owned()
        }]
    );
    assert!(Bucket::open(&connection, "POINTSMAN_ess").await.is_ok());
}

#[tokio::test]
async fn only_the_expected_revision_is_replaced() {
    let server = Server::start();
    let connection = connected("c", &server.url, Manner::Command).await;
    provision(&connection, &[bucket(1)], &[], None)
        .await
        .unwrap();
    let bucket = Bucket::open(&connection, "POINTSMAN_ess").await.unwrap();
    assert_eq!(bucket.entry("ticket").await.unwrap(), None);
    let first = bucket.create("ticket", "one").await.unwrap();
    let again = bucket.create("ticket", "uno").await.unwrap_err();
    assert!(
        matches!(again, BucketError::WrongRevision { .. }),
        "{again}"
    );
    let second = bucket.update("ticket", "two", first).await.unwrap();
    assert!(second > first);
    let stale = bucket.update("ticket", "three", first).await.unwrap_err();
    assert!(
        matches!(stale, BucketError::WrongRevision { .. }) && !stale.outcome_unknown(),
        "{stale}"
    );
    let entry = bucket.entry("ticket").await.unwrap().unwrap();
    assert_eq!((&entry.value[..], entry.revision), (&b"two"[..], second));

    bucket.put("stack/1", "x").await.unwrap();
    assert_eq!(bucket.keys().await.unwrap(), ["stack/1", "ticket"]);
    bucket.delete("ticket", second).await.unwrap();
    assert_eq!(bucket.entry("ticket").await.unwrap(), None);
    assert_eq!(bucket.keys().await.unwrap(), ["stack/1"]);
    bucket.create("ticket", "again").await.unwrap();
    assert_eq!(
        bucket.entry("ticket").await.unwrap().unwrap().value,
        "again"
    );
    assert!(matches!(
        bucket.put("a b", "x").await.unwrap_err(),
        BucketError::BadName { .. }
    ));
}

#[tokio::test]
async fn a_watch_begins_with_what_is_there_and_survives_a_restart() {
    let mut server = Server::start();
    let connection = connected("c", &server.url, Manner::Command).await;
    provision(&connection, &[bucket(1)], &[], None)
        .await
        .unwrap();
    let bucket = Bucket::open(&connection, "POINTSMAN_ess").await.unwrap();
    let first = bucket.put("a", "1").await.unwrap();
    let mut watch = bucket.watch(">").await.unwrap();
    let mut next = async || {
        tokio::time::timeout(DEADLINE, watch.next())
            .await
            .unwrap()
            .unwrap()
    };
    let put = |value: &'static str, revision| Change::Put {
        key: "a".to_owned(),
        value: value.into(),
        revision,
    };
    assert_eq!(next().await, put("1", first));
    let second = bucket.update("a", "2", first).await.unwrap();
    assert_eq!(next().await, put("2", second));
    let third = bucket.delete("a", second).await.unwrap();
    assert_eq!(
        next().await,
        Change::Deleted {
            key: "a".to_owned(),
            revision: third
        }
    );

    server.restart();
    let fourth = loop {
        match bucket.put("a", "4").await {
            Ok(revision) => break revision,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    while next().await != put("4", fourth) {}
}

#[tokio::test]
async fn a_journal_keeps_order_and_drops_repeats() {
    let server = Server::start();
    let connection = connected("c", &server.url, Manner::Command).await;
    let name = "POINTSMAN_ess_AUDIT";
    let missing = Journal::open(&connection, name).await.unwrap_err();
    assert_eq!(
        missing,
        JournalError::Missing {
            stream: name.to_owned()
        }
    );
    provision(&connection, &[], &[stream(1)], None)
        .await
        .unwrap();
    let journal = Journal::open(&connection, name).await.unwrap();
    assert!(journal.read_last(5).await.unwrap().is_empty());
    let here = subject("pointsman.ess.event.raised");
    for number in 1..=5_u64 {
        assert_eq!(
            journal
                .append(&here, &json!({ "n": number }), &format!("id-{number}"))
                .await
                .unwrap(),
            number
        );
    }
    assert_eq!(
        journal
            .append(&here, &json!({ "n": 3 }), "id-3")
            .await
            .unwrap(),
        3,
        "a repeat changes nothing"
    );
    let last = journal.read_last(2).await.unwrap();
    assert_eq!(
        last.iter()
            .map(|record| record.sequence)
            .collect::<Vec<_>>(),
        [4, 5]
    );
    assert_eq!(
        (last[1].id.as_deref(), &last[1].payload[..]),
        (Some("id-5"), &br#"{"n":5}"#[..])
    );
    assert_eq!(journal.read_from(2, 100).await.unwrap().len(), 4);
    let elsewhere = journal
        .append(&subject("pointsman.other.event.x"), &json!({}), "x")
        .await
        .unwrap_err();
    assert_eq!(
        elsewhere,
        JournalError::NoQuorum {
            stream: name.to_owned()
        }
    );
}

/// Two of three servers lost: the writer must not conclude that the bucket is missing.
#[tokio::test]
async fn lost_quorum_is_named_and_heals() {
    let mut servers = Server::cluster(3);
    // The lone survivor is the only server this client knows.
    let mut patient = settings("c", vec![servers[2].url.clone()]);
    patient.request_timeout = Duration::from_secs(3);
    let connection = Connection::connect(patient, Manner::Command).await.unwrap();
    let started = Instant::now();
    let mut notes = provision(&connection, &[bucket(3)], &[stream(3)], Some("n3")).await;
    while notes.is_err() && started.elapsed() < DEADLINE {
        tokio::time::sleep(Duration::from_millis(300)).await;
        notes = provision(&connection, &[bucket(3)], &[stream(3)], Some("n3")).await;
    }
    let notes = notes.unwrap();
    let elsewhere = notes
        .iter()
        .find(|note| matches!(note, ProvisionNote::LeaderElsewhere { .. }));
    assert_eq!(elsewhere, None, "the lead must be movable: {notes:?}");
    let bucket = Bucket::open(&connection, "POINTSMAN_ess").await.unwrap();
    let revision = bucket.create("ticket", "one").await.unwrap();

    servers[0].kill();
    servers[1].kill();
    let (mut named, mut unknown) = (false, false);
    let lost = Instant::now();
    while !named && lost.elapsed() < DEADLINE {
        let started = Instant::now();
        let error = bucket.update("ticket", "two", revision).await.unwrap_err();
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "a write took {:?}",
            started.elapsed()
        );
        let underway = matches!(error, BucketError::Underway { .. });
        named = matches!(error, BucketError::NoQuorum { .. });
        unknown |= matches!(error, BucketError::TimedOut { .. });
        // The leader compares with what it has proposed and not yet agreed upon: the own earlier write.
        assert!(
            named || unknown && (underway || error.outcome_unknown()),
            "must not be said without a majority: {error}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(named, "lost quorum was never named");

    servers[0].restart();
    until("writable again", async || {
        let standing = bucket.entry("ticket").await.ok().flatten();
        match standing {
            Some(entry) => bucket
                .update("ticket", "three", entry.revision)
                .await
                .is_ok(),
            None => false,
        }
    })
    .await;
}
