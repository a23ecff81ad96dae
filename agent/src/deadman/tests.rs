//! The guard with the kernel's real packet filter, in a network namespace that each test makes for itself.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Instant;

use shared::id::{NodeName, StackName};

use super::*;

const INSIDE: &str = "POINTSMAN_TEST_NAMESPACE";
const PORT: u16 = 5432;
/// A packet that is dropped shows only by what does not come.
const SILENCE: Duration = Duration::from_millis(300);
const PATIENT: Duration = Duration::from_secs(20);

/// Runs the calling test again in a new network namespace; true inside of it.
fn in_own_namespace(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        let up = Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status();
        assert!(up.unwrap().success());
        return true;
    }
    if !rustix::process::geteuid().is_root() {
        println!("skipped: {test} makes a network namespace, which needs root");
        return false;
    }
    let ended = Command::new("unshare")
        .args(["--net", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("deadman::tests::{test}"), "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    assert!(said.contains("1 passed"), "{said}");
    false
}

fn guard() -> Guard {
    let stack = StackName::new("ess").unwrap();
    let node = NodeName::new("dc1-db").unwrap();
    Guard::open(&stack, &node, PORT).unwrap()
}

/// Something that answers each byte with itself.
fn echo(address: &str) {
    let listener = TcpListener::bind((address, PORT)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = stream;
                let mut byte = [0; 1];
                while let Ok(1) = stream.read(&mut byte) {
                    if stream.write_all(&byte).is_err() {
                        break;
                    }
                }
            });
        }
    });
}

fn connect(address: &str) -> Option<TcpStream> {
    let address = std::net::SocketAddr::new(address.parse().unwrap(), PORT);
    let stream = TcpStream::connect_timeout(&address, SILENCE).ok()?;
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    Some(stream)
}

fn passes(stream: &mut TcpStream) -> bool {
    let mut byte = [0; 1];
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut byte).is_ok()
}

fn nft(arguments: &[&str]) -> String {
    let output = Command::new("nft").args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Waits for a condition; what time it takes is not judged.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENT, "{what}: not within {PATIENT:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_port_is_open_only_while_it_is_armed() {
    if !in_own_namespace("a_port_is_open_only_while_it_is_armed") {
        return;
    }
    for address in ["127.0.0.1", "::1"] {
        echo(address);
        let mut guard = guard();
        let mut before = connect(address).unwrap();
        assert!(passes(&mut before));
        guard.install().unwrap();
        assert!(
            connect(address).is_none(),
            "closed before it is armed: {address}"
        );
        assert!(!passes(&mut before), "for established connections, too");
        guard.arm(Millis::seconds(600)).unwrap();
        let mut open = connect(address).unwrap();
        assert!(passes(&mut open));
        guard.cut().unwrap();
        assert!(!passes(&mut open) && connect(address).is_none());
        assert_eq!(guard.left().unwrap(), None);
        guard.cut().unwrap();
        guard.remove().unwrap();
        assert!(
            connect(address).is_some(),
            "without a table nothing is guarded"
        );
    }
}

#[test]
fn the_kernel_closes_the_port_by_itself_and_a_later_time_replaces_an_earlier_one() {
    if !in_own_namespace(
        "the_kernel_closes_the_port_by_itself_and_a_later_time_replaces_an_earlier_one",
    ) {
        return;
    }
    echo("127.0.0.1");
    let mut guard = guard();
    guard.install().unwrap();
    guard.arm(Millis::seconds(600)).unwrap();
    assert!(guard.left().unwrap().unwrap() > Millis::seconds(500));
    guard.arm(Millis::seconds(60)).unwrap();
    assert!(
        guard.left().unwrap().unwrap() <= Millis::seconds(60),
        "shorter, too"
    );
    guard.arm(Millis::seconds(300)).unwrap();
    assert!(guard.left().unwrap().unwrap() > Millis::seconds(200));
    let mut stream = connect("127.0.0.1").unwrap();
    guard.arm(Millis(300)).unwrap();
    // The socket of the guard is not used any more from here: the kernel is alone.
    eventually("the port closes", || !passes(&mut stream));
    assert!(connect("127.0.0.1").is_none());
    assert_eq!(guard.left().unwrap(), None);
    guard.arm(Millis::seconds(600)).unwrap();
    assert!(
        connect("127.0.0.1").is_some(),
        "an element that ran out can be set again"
    );
}

#[test]
fn a_table_that_others_change_is_found_altered() {
    if !in_own_namespace("a_table_that_others_change_is_found_altered") {
        return;
    }
    let mut guard = guard();
    let table = "pointsman_ess_dc1-db";
    assert_eq!(guard.check().unwrap(), Standing::Altered, "never made");
    guard.install().unwrap();
    let whole = |guard: &mut Guard| {
        guard.install().unwrap();
        guard.arm(Millis::seconds(60)).unwrap();
        assert_eq!(guard.check().unwrap(), Standing::Whole);
    };
    whole(&mut guard);
    nft(&["add", "table", "inet", "another"]);
    assert_eq!(
        guard.check().unwrap(),
        Standing::Whole,
        "another table is none of ours"
    );
    let changes: [&[&str]; 6] = [
        &["flush", "ruleset"],
        &["flush", "chain", "inet", table, "input"],
        &["delete", "table", "inet", table],
        &["insert", "rule", "inet", table, "output", "accept"],
        &["add", "table", "inet", table, "{ flags dormant; }"],
        &["add", "chain", "inet", table, "input", "{ policy drop; }"],
    ];
    for change in changes {
        nft(change);
        assert_eq!(guard.check().unwrap(), Standing::Altered, "{change:?}");
        whole(&mut guard);
    }
    let listed = nft(&["list", "table", "inet", table]);
    for line in [
        "tcp dport 5432",
        "tcp sport 5432",
        "@open drop",
        "priority raw; policy accept;",
    ] {
        assert!(listed.contains(line), "{line}: {listed}");
    }
    assert_eq!(listed.matches("drop").count(), 2, "{listed}");
}

#[test]
fn a_new_agent_takes_over_the_time_that_is_left() {
    if !in_own_namespace("a_new_agent_takes_over_the_time_that_is_left") {
        return;
    }
    echo("127.0.0.1");
    let mut first = guard();
    first.install().unwrap();
    first.arm(Millis::seconds(60)).unwrap();
    drop(first);
    let mut stream = connect("127.0.0.1").unwrap();
    let mut second = guard();
    second.install().unwrap();
    assert!(second.left().unwrap().unwrap() <= Millis::seconds(60));
    assert!(
        passes(&mut stream),
        "a restart of the agent interrupts nobody"
    );
    // Something else under its name, and of another shape.
    nft(&["delete", "table", "inet", "pointsman_ess_dc1-db"]);
    nft(&["add", "table", "inet", "pointsman_ess_dc1-db"]);
    nft(&[
        "add",
        "set",
        "inet",
        "pointsman_ess_dc1-db",
        "open",
        "{ type ipv4_addr; }",
    ]);
    second.install().unwrap();
    assert!(!passes(&mut stream), "what is made anew is closed");
    second.arm(Millis::seconds(60)).unwrap();
    assert!(passes(&mut stream));
}

#[test]
fn the_deadman_mends_what_others_removed_with_the_time_that_is_left() {
    if !in_own_namespace("the_deadman_mends_what_others_removed_with_the_time_that_is_left") {
        return;
    }
    let mut worker = Worker {
        guard: Some(guard()),
        watchdog: None,
        armed: None,
    };
    worker.install().unwrap();
    worker
        .arm(clock::mono().after(Millis::seconds(60)))
        .unwrap();
    assert_eq!(worker.check().unwrap(), Checked::Whole);
    nft(&["flush", "ruleset"]);
    assert_eq!(worker.check().unwrap(), Checked::Mended);
    let left = worker.guard.as_mut().unwrap().left().unwrap().unwrap();
    assert!(left <= Millis::seconds(60) && left > Millis::seconds(1));
    assert_eq!(worker.check().unwrap(), Checked::Whole);
    worker.cut().unwrap();
    nft(&["flush", "ruleset"]);
    assert_eq!(worker.check().unwrap(), Checked::Mended);
    assert_eq!(
        worker.guard.as_mut().unwrap().left().unwrap(),
        None,
        "closed stays closed"
    );
    worker.arm(clock::mono()).unwrap();
    assert_eq!(
        worker.guard.as_mut().unwrap().left().unwrap(),
        None,
        "no time left is closed"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn without_a_deadman_nothing_is_guarded_and_nothing_fails() {
    let none = Deadman::none();
    none.install().await.unwrap();
    none.arm(Millis::seconds(1)).await.unwrap();
    none.cut().await.unwrap();
    assert_eq!(none.check().await.unwrap(), Checked::Whole);
    assert_eq!(none.kind(), DeadmanKind::None);
}
