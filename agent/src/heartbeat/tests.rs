//! Size, ages and self-judgement.

use shared::clock::UnixMillis;
use shared::codec::{decode, encode};
use shared::id::{DatabaseName, SiteName};
use shared::lsn::{LagBytes, Lsn, SystemIdentifier, Timeline};
use shared::wire::{
    DatabaseRole, DatabaseState, HostSample, PeerChannel, PeerOutcome, ReceiverSample,
    ReceiverStatus, SenderSample,
};
use tokio::sync::watch;
use uuid::Uuid;

use super::*;

/// The aim for a database agent that looks at two other sites.
const BYTES_MAX: usize = 512;

fn reader<T>(value: T, at: Mono) -> crate::probe::Reader<T> {
    watch::channel(Some(Reading { at, value })).1
}

fn standby() -> DatabaseSample {
    DatabaseSample {
        database: DatabaseName::new("main").unwrap(),
        age_ms: Millis(0),
        state: DatabaseState::Up,
        role: Some(DatabaseRole::Standby),
        system_identifier: Some(SystemIdentifier("7439012345678901234".to_owned())),
        timeline: Some(Timeline(12)),
        received_lsn: Some(Lsn(0x1234_5678_9ABC)),
        replayed_lsn: Some(Lsn(0x1234_5678_9ABC)),
        receiver: Some(ReceiverSample {
            status: ReceiverStatus::Streaming,
            message_age_ms: Some(Millis(900)),
            sender: Some("db.dc1.example.org:5432".to_owned()),
        }),
        senders: Vec::new(),
        lag_bytes: Some(LagBytes(123_456)),
        lag_ms: Some(Millis(1_234)),
        obstacles: Vec::new(),
        application: None,
        sync: None,
    }
}

fn primary() -> DatabaseSample {
    let sender = |application: &str| SenderSample {
        application: application.to_owned(),
        streaming: true,
        flushed_lsn: Some(Lsn(0x1234_5678_9ABC)),
    };
    DatabaseSample {
        role: Some(DatabaseRole::Primary),
        replayed_lsn: None,
        receiver: None,
        senders: vec![sender("dc2-db"), sender("dc3-db")],
        lag_bytes: None,
        lag_ms: None,
        ..standby()
    }
}

fn readings(sample: DatabaseSample, at: Mono) -> Readings {
    let host = HostSample {
        cpu_permille: 1_000,
        memory_available_mib: 131_072,
        memory_total_mib: 131_072,
        load_centi: 12_345,
        disk_free_mib: Some(2_097_152),
    };
    let peer = |site: &str, channel| PeerReading {
        site: SiteName::new(site).unwrap(),
        channel,
        outcome: PeerOutcome::Answered,
        answered: Some(at),
    };
    Readings {
        host: Some(reader(host, at)),
        database: Some(reader(
            DatabaseReading {
                sample,
                still_since: at,
            },
            at,
        )),
        cluster: None,
        peers: vec![
            reader(peer("dc1", PeerChannel::Postgres), at),
            reader(peer("dc3", PeerChannel::Agent), at),
        ],
    }
}

fn pulse() -> Pulse {
    let mut pulse = Pulse::new(
        ProcessId::new(Uuid::from_u128(u128::MAX)),
        BootId::new(Uuid::from_u128(u128::MAX)),
    );
    pulse.sequence = 40_000_000;
    pulse.begun = Mono(1_000);
    pulse
}

fn moment() -> Moment {
    Moment {
        epoch: Epoch(1_000),
        connected: true,
        foreign_server: None,
        running: None,
        lease: None,
        glass: None,
    }
}

#[test]
fn a_database_agents_heartbeat_is_small() {
    let now = Mono(1_000_000_000);
    for (name, sample) in [("standby", standby()), ("primary", primary())] {
        let heartbeat = pulse().next(&readings(sample, now.before(Millis(950))), moment(), now);
        let bytes = encode(&heartbeat).unwrap();
        println!("heartbeat of a {name} with 2 peers: {} bytes", bytes.len());
        assert!(bytes.len() <= BYTES_MAX, "{name}: {} bytes", bytes.len());
        assert_eq!(decode::<Heartbeat>(&bytes).unwrap(), heartbeat);
    }
}

#[test]
fn ages_are_counted_at_sending() {
    let now = Mono(1_000_000);
    let heartbeat = pulse().next(&readings(standby(), now.before(Millis(700))), moment(), now);
    let database = heartbeat.database.unwrap();
    assert_eq!(database.age_ms, Millis(700));
    assert_eq!(
        database.receiver.unwrap().message_age_ms,
        Some(Millis(1_600))
    );
    assert_eq!(database.lag_ms, Some(Millis(1_934)));
    assert_eq!(heartbeat.peers[0].answered_ms, Some(Millis(700)));
    assert_ne!(heartbeat.sent_at, UnixMillis(0));
}

#[test]
fn an_agent_judges_itself() {
    let readings = Readings {
        host: None,
        database: None,
        cluster: None,
        peers: Vec::new(),
    };
    let mut pulse = pulse();
    let mut fitness = |at: u64, lag: u64, connected| {
        pulse.note_lag(Millis(lag), Mono(at));
        let moment = Moment {
            connected,
            ..moment()
        };
        pulse.next(&readings, moment, Mono(at)).fitness
    };
    assert_eq!(
        fitness(3_999, 0, true),
        Fitness::Unfit(vec![Unfit::JustStarted])
    );
    assert_eq!(fitness(4_000, 0, true), Fitness::Fit);
    assert_eq!(fitness(5_000, 1_000, true), Fitness::Fit);
    assert_eq!(
        fitness(6_000, 1_001, true),
        Fitness::Unfit(vec![Unfit::LoopLag])
    );
    assert_eq!(
        fitness(8_999, 0, true),
        Fitness::Unfit(vec![Unfit::LoopLag])
    );
    assert_eq!(
        fitness(9_000, 0, false),
        Fitness::Unfit(vec![Unfit::NotConnected])
    );
}

#[test]
fn the_worst_lag_is_told_once() {
    let readings = Readings {
        host: None,
        database: None,
        cluster: None,
        peers: Vec::new(),
    };
    let mut pulse = pulse();
    pulse.note_lag(Millis(300), Mono(10_000));
    pulse.note_lag(Millis(20), Mono(10_250));
    assert_eq!(
        pulse.next(&readings, moment(), Mono(10_250)).loop_lag_ms,
        Millis(300)
    );
    assert_eq!(
        pulse.next(&readings, moment(), Mono(11_250)).loop_lag_ms,
        Millis(0)
    );
}

#[test]
fn sequences_grow_also_when_nothing_is_sent() {
    let readings = Readings {
        host: None,
        database: None,
        cluster: None,
        peers: Vec::new(),
    };
    let mut pulse = pulse();
    let first = pulse.next(&readings, moment(), Mono(1)).sequence;
    assert_eq!(pulse.next(&readings, moment(), Mono(2)).sequence, first + 1);
}
