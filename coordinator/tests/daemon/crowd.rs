//! What ten thousand agents cost. Run in release: `cargo test --release -p coordinator --test daemon crowd -- --ignored`.

use std::time::{Duration, Instant};

use bus::{Connection, Headers};
use shared::clock::{Millis, UnixMillis};
use shared::codec::encode;
use shared::epoch::Epoch;
use shared::id::{BootId, DatabaseName, NodeName, ProcessId, SiteName};
use shared::lsn::{LagBytes, Lsn, SystemIdentifier, Timeline};
use shared::subject::Subject;
use shared::wire::{
    DatabaseRole, DatabaseSample, DatabaseState, Fitness, Heartbeat, HostSample, PeerChannel,
    PeerOutcome, PeerSample, ReceiverSample, ReceiverStatus,
};
use uuid::Uuid;

use crate::rig::{Rig, SITES, stack, status_at};

/// Agents, spread over the sites.
const AGENTS: u64 = 10_000;
/// How long it is measured.
const SPAN: Duration = Duration::from_secs(20);
/// Processor time for one second, at most.
const CORES_MAX: f64 = 0.3;
/// Resident memory, at most.
const RSS_MAX: u64 = 100 << 20;

fn heartbeat(agent: u64, sequence: u64) -> Heartbeat {
    let peer = |site: &str, channel| PeerSample {
        site: SiteName::new(site).unwrap(),
        channel,
        outcome: PeerOutcome::Answered,
        answered_ms: Some(Millis(120)),
    };
    Heartbeat {
        process: ProcessId::new(Uuid::from_u128(u128::from(agent) + 1)),
        boot: BootId::new(Uuid::from_u128(u128::from(agent) + 1)),
        sequence,
        sent_at: UnixMillis(1_790_000_000_000 + sequence * 1_000),
        uptime_ms: Millis(sequence * 1_000),
        loop_lag_ms: Millis(1),
        epoch: Epoch(1),
        fitness: Fitness::Fit,
        version: "0.1.0".to_owned(),
        foreign_server: None,
        host: Some(HostSample {
            cpu_permille: 120,
            memory_available_mib: 3_000,
            memory_total_mib: 8_000,
            load_centi: 40,
            disk_free_mib: Some(20_000),
        }),
        database: Some(DatabaseSample {
            database: DatabaseName::new("main").unwrap(),
            age_ms: Millis(200),
            state: DatabaseState::Up,
            role: Some(DatabaseRole::Standby),
            system_identifier: Some(SystemIdentifier("7519862345678901234".to_owned())),
            timeline: Some(Timeline(1)),
            received_lsn: Some(Lsn(0x300_0000 + sequence * 100)),
            replayed_lsn: Some(Lsn(0x300_0000 + sequence * 100)),
            receiver: Some(ReceiverSample {
                status: ReceiverStatus::Streaming,
                message_age_ms: Some(Millis(300)),
                sender: Some("10.0.0.1:5432".to_owned()),
            }),
            senders: Vec::new(),
            lag_bytes: Some(LagBytes(0)),
            lag_ms: Some(Millis(300)),
            obstacles: Vec::new(),
            application: None,
            sync: None,
        }),
        cluster: None,
        peers: vec![
            peer("dc1", PeerChannel::Postgres),
            peer("dc3", PeerChannel::Agent),
        ],
        running: None,
        lease: None,
        glass: None,
    }
}

async fn send(connection: &Connection, agent: u64, sequence: u64) {
    let site = SiteName::new(SITES[usize::try_from(agent % 3).unwrap()]).unwrap();
    let subject = Subject::heartbeat(
        &stack(),
        &site,
        &NodeName::new(format!("n{agent}")).unwrap(),
    );
    let payload = encode(&heartbeat(agent, sequence)).unwrap();
    let _sent = connection
        .publish_raw(&subject, payload, &Headers::new())
        .await
        .unwrap();
}

/// Processor time used so far, and resident memory in bytes.
fn usage(pid: u32) -> (Duration, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().next().unwrap().parse().unwrap();
    // The kernel shows processor time in hundredths of a second.
    (Duration::from_millis(ticks * 10), kib << 10)
}

#[tokio::test]
#[ignore = "a measurement, meant for a release build on an idle machine"]
async fn ten_thousand_agents_are_heard_cheaply() {
    let rig = Rig::start("").await;
    let (connection, mut coordinators) = rig.with_stack().await;
    coordinators.truncate(1);
    let pid = coordinators[0].process.0.id();
    let started = Instant::now();
    let (mut before, mut heard_from) = (usage(pid), Instant::now());
    let mut sent = 0_u32;
    for sequence in 1.. {
        if sequence == 4 {
            (before, heard_from, sent) = (usage(pid), Instant::now(), 0);
        }
        for agent in 0..AGENTS {
            send(&connection, agent, sequence).await;
            sent += 1;
            if agent % 100 == 0 {
                let due = started
                    + Duration::from_millis((sequence - 1) * 1_000 + agent * 1_000 / AGENTS);
                tokio::time::sleep_until(due.into()).await;
            }
        }
        if heard_from.elapsed() > SPAN && sequence > 4 {
            break;
        }
    }
    let (after, span) = (usage(pid), heard_from.elapsed());
    let cores = after.0.saturating_sub(before.0).as_secs_f64() / span.as_secs_f64();
    let status = status_at(&connection, coordinators[0].site).await.unwrap();
    let rate = f64::from(sent) / span.as_secs_f64();
    println!(
        "{AGENTS} agents, {rate:.0} heartbeats a second: {cores:.3} cores, {} MiB resident",
        after.1 >> 20
    );
    assert!(
        rate > 9_000.0,
        "the machine was too busy to send them: {rate}"
    );
    let log = coordinators[0].log();
    assert!(!log.contains("ERROR"), "{log}");
    assert!(status.to_string().contains("sites"));
    if !cfg!(debug_assertions) {
        assert!(cores <= CORES_MAX, "{cores}");
        assert!(after.1 <= RSS_MAX, "{}", after.1);
    }
}
