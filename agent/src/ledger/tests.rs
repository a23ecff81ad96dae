//! Crashes, damage and strangers.

mod durability;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use shared::clock::Millis;
use shared::digest::ContentDigest;
use shared::id::{HookName, NodeName, Nonce, ProcessId, RunId, SiteName, StackName};
use shared::wire::{Action, Anchor, ProbeRequest};
use uuid::Uuid;

use super::*;

fn identity() -> Identity {
    Identity {
        stack: StackName::new("ess").unwrap(),
        site: SiteName::new("dc2").unwrap(),
        node: NodeName::new("dc2-db").unwrap(),
        process: ProcessId::new(Uuid::from_u128(1)),
    }
}

fn command(n: u128, epoch: u64, term: u64) -> Command {
    let hook = HookName::new("x").unwrap();
    Command {
        id: CommandId::new(Uuid::from_u128(n)),
        stack: identity().stack,
        site: identity().site,
        node: identity().node,
        run: RunId::new(Uuid::from_u128(3)),
        step: 1,
        epoch: Epoch(epoch),
        term: Term(term),
        plan: ContentDigest::of_bytes(b""),
        approval: None,
        grant: None,
        anchor: Anchor {
            process: identity().process,
            sequence: 1,
        },
        valid_for_ms: Millis(1),
        deadline_ms: Millis(1),
        action: Action::Hook {
            hook,
            environment: BTreeMap::from([("A".to_owned(), "b\u{1}".to_owned())]),
        },
        digest: ContentDigest::of_bytes(b""),
    }
    .sealed()
}

fn done() -> ReportState {
    ReportState::Done {
        took_ms: Millis(1),
        proof: Vec::new(),
    }
}

fn fenced() -> Fenced {
    Fenced {
        epoch: Epoch(6),
        at: UnixMillis(1),
        reason: "another site holds epoch 6".to_owned(),
    }
}

/// From here on nothing can be written: the file beside cannot be made where a directory stands, also for root.
fn refuse(directory: &Path) {
    std::fs::create_dir(directory.join("ledger.new")).unwrap();
}

fn open(directory: &Path) -> Result<Ledger, LedgerError> {
    open_as(directory, &identity())
}

/// Opens a directory that nobody has open: a child forked by another test of this process holds a copy of an old
/// lock until it has become another program.
fn open_as(directory: &Path, identity: &Identity) -> Result<Ledger, LedgerError> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match Ledger::open(directory, identity, 8) {
            Err(LedgerError::Locked { .. }) if Instant::now() < deadline => {
                std::thread::yield_now();
            }
            opened => return opened,
        }
    }
}

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn what_was_begun_and_finished_survives() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path()).unwrap();
    block(async {
        ledger
            .begin(&command(1, 5, 2), UnixMillis(9))
            .await
            .unwrap();
        ledger.finish(&command(1, 5, 2), done()).await.unwrap();
        ledger
            .begin(&command(2, 6, 1), UnixMillis(9))
            .await
            .unwrap();
    });
    drop(ledger);
    let ledger = open(directory.path()).unwrap();
    assert_eq!((ledger.epoch(), ledger.term()), (Epoch(6), Term(1)));
    let known = ledger.known(command(1, 5, 2).id).unwrap();
    assert_eq!(
        known,
        Known {
            digest: command(1, 5, 2).digest,
            outcome: Some(done())
        }
    );
    assert_eq!(ledger.unfinished(), [command(2, 6, 1)]);
}

#[test]
fn a_term_grows_within_its_epoch() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path()).unwrap();
    block(async {
        for (n, epoch, term, expected) in [(1, 5, 4, 4), (2, 5, 3, 4), (3, 5, 6, 6), (4, 6, 1, 1)] {
            ledger
                .begin(&command(n, epoch, term), UnixMillis(0))
                .await
                .unwrap();
            assert_eq!(ledger.term(), Term(expected));
        }
    });
    assert_eq!(ledger.epoch(), Epoch(6));
}

#[test]
fn what_changes_nothing_leaves_epoch_and_disk_alone() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path()).unwrap();
    let before = std::fs::read(directory.path().join("ledger")).unwrap();
    let probe = ProbeRequest::Sql {
        statement: String::new(),
        equals: String::new(),
    };
    let asking = Command {
        action: Action::Verify {
            probe,
            site: identity().site,
        },
        ..command(1, 9, 9)
    };
    block(async {
        ledger.begin(&asking, UnixMillis(0)).await.unwrap();
        ledger.finish(&asking, done()).await.unwrap();
    });
    assert_eq!(ledger.epoch(), Epoch(0));
    assert_eq!(ledger.known(asking.id).unwrap().outcome, Some(done()));
    assert_eq!(
        std::fs::read(directory.path().join("ledger")).unwrap(),
        before
    );
}

#[test]
fn a_refused_command_is_forgotten_and_its_epoch_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path()).unwrap();
    block(async {
        ledger
            .begin(&command(1, 5, 1), UnixMillis(0))
            .await
            .unwrap();
        ledger.forget(&command(1, 5, 1)).await.unwrap();
    });
    drop(ledger);
    let ledger = open(directory.path()).unwrap();
    assert_eq!(ledger.known(command(1, 5, 1).id), None);
    assert_eq!(ledger.epoch(), Epoch(5));
}

#[test]
fn two_agents_do_not_share_a_ledger() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path()).unwrap();
    let error = Ledger::open(directory.path(), &identity(), 8).unwrap_err();
    assert!(matches!(error, LedgerError::Locked { .. }), "{error}");
    drop(first);
    open(directory.path()).unwrap();
}

#[test]
fn every_cut_of_the_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path()).unwrap();
    block(async {
        ledger
            .begin(&command(1, 5, 2), UnixMillis(9))
            .await
            .unwrap();
    });
    drop(ledger);
    let path = directory.path().join("ledger");
    let whole = std::fs::read(&path).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = open(directory.path()).unwrap_err();
        assert!(
            matches!(error, LedgerError::Corrupt { .. }),
            "{length}: {error}"
        );
    }
    let mut flipped = whole.clone();
    flipped[10] ^= 1;
    std::fs::write(&path, &flipped).unwrap();
    assert!(matches!(
        open(directory.path()).unwrap_err(),
        LedgerError::Corrupt { .. }
    ));
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(open(directory.path()).unwrap().epoch(), Epoch(5));
}

#[test]
fn a_write_that_was_cut_off_leaves_the_old_content() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path()).unwrap();
    block(async {
        ledger
            .begin(&command(1, 5, 2), UnixMillis(9))
            .await
            .unwrap();
    });
    drop(ledger);
    // A crash before the rename leaves the half-written file beside.
    std::fs::write(directory.path().join("ledger.new"), "{\"format\":1,\"sta").unwrap();
    assert_eq!(open(directory.path()).unwrap().epoch(), Epoch(5));
}

#[test]
fn a_lost_ledger_is_not_a_first_start() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()).unwrap());
    std::fs::remove_file(directory.path().join("ledger")).unwrap();
    let error = open(directory.path()).unwrap_err();
    assert!(matches!(error, LedgerError::Lost { .. }), "{error}");
    std::fs::remove_file(directory.path().join("ledger.begun")).unwrap();
    open(directory.path()).unwrap();
}

#[test]
fn the_ledger_of_another_agent_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()).unwrap());
    let other = Identity {
        node: NodeName::new("other").unwrap(),
        ..identity()
    };
    let error = open_as(directory.path(), &other).unwrap_err().to_string();
    assert!(
        error.contains("ess/dc2/dc2-db") && error.contains("ess/dc2/other"),
        "{error}"
    );
}

#[test]
fn a_disk_that_refuses_leaves_nothing_begun() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path()).unwrap();
    refuse(directory.path());
    let error = block(ledger.begin(&command(1, 5, 2), UnixMillis(0))).unwrap_err();
    assert!(matches!(error, LedgerError::Unwritable { .. }), "{error}");
    assert_eq!(ledger.epoch(), Epoch(0));
    assert_eq!(ledger.known(command(1, 5, 2).id), None);
}

#[test]
fn old_commands_go_and_unfinished_ones_stay() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path()).unwrap();
    block(async {
        ledger
            .begin(&command(1, 5, 1), UnixMillis(0))
            .await
            .unwrap();
        for n in 2..40 {
            ledger
                .begin(&command(n, 5, 1), UnixMillis(0))
                .await
                .unwrap();
            ledger.finish(&command(n, 5, 1), done()).await.unwrap();
        }
    });
    assert_eq!(ledger.content().entries().count(), 8);
    assert!(ledger.known(command(1, 5, 1).id).is_some());
    assert!(ledger.known(command(39, 5, 1).id).is_some());
    assert!(ledger.known(command(2, 5, 1).id).is_none());
}

fn ticket(incarnation: u128, epoch: u64) -> Ticket {
    Ticket {
        summary: String::new(),
        incarnation: Nonce::new(Uuid::from_u128(incarnation)),
        epoch: Epoch(epoch),
        holder: SiteName::new("dc1").unwrap(),
        grant: None,
        changed_at: UnixMillis(0),
        confirmed_by: None,
        confirmations: 0,
        accepted: 0,
        leases: BTreeMap::new(),
        automatic_off: None,
    }
}

fn words(record: &Record, ticket: Ticket, revision: u64) -> String {
    record.regression(&ticket, revision).unwrap()
}

#[test]
fn a_store_that_shows_less_than_was_seen_is_told_by_what_it_lacks() {
    let mut record = Record::empty(&identity());
    assert_eq!(
        record.regression(&ticket(1, 0), 0),
        None,
        "nothing was seen"
    );
    assert!(record.see(&ticket(1, 4), 10));
    assert!(!record.see(&ticket(1, 4), 11), "a renewal is no news");
    assert!(record.see(&ticket(1, 5), 12));
    assert_eq!(record.regression(&ticket(1, 5), 12), None);
    assert_eq!(record.regression(&ticket(1, 6), 13), None);
    assert!(words(&record, ticket(2, 9), 99).contains("made anew"));
    assert!(words(&record, ticket(1, 4), 99).contains("seen epoch 5"));
    assert!(words(&record, ticket(1, 5), 11).contains("revision 12"));
    record.begin(&command(7, 8, 1), UnixMillis(0), 8);
    assert!(words(&record, ticket(1, 7), 99).contains("obeyed epoch 8"));
}

#[test]
fn an_operators_word_lets_a_store_show_less_than_was_seen_but_not_than_was_obeyed() {
    let accepted = |incarnation, epoch, accepted| Ticket {
        accepted,
        ..ticket(incarnation, epoch)
    };
    let mut record = Record::empty(&identity());
    record.see(&accepted(1, 5, 3), 40);
    for (incarnation, epoch, revision) in [(1, 5, 39), (1, 4, 50), (2, 6, 50)] {
        let older = [0, 2, 3].map(|number| accepted(incarnation, epoch, number));
        for ticket in older {
            assert!(record.regression(&ticket, revision).is_some(), "{ticket:?}");
        }
        let newer = accepted(incarnation, epoch, 4);
        assert_eq!(record.regression(&newer, revision), None);
    }
    record.begin(&command(7, 8, 1), UnixMillis(0), 8);
    assert!(words(&record, accepted(2, 7, 4), 50).contains("obeyed epoch 8"));
    assert!(record.see(&accepted(1, 9, 4), 12), "it is news");
    let again = Record::parse(&record.text(), &identity()).unwrap();
    assert_eq!(
        again.regression(&accepted(1, 9, 4), 12),
        None,
        "also after a restart"
    );
    assert!(again.regression(&accepted(1, 9, 3), 11).is_some());
}

#[test]
fn a_promise_is_kept_over_a_restart_until_it_has_run_out() {
    let directory = tempfile::tempdir().unwrap();
    let promised = |epoch, seconds| Promised {
        epoch: Epoch(epoch),
        span_ms: Millis::seconds(seconds),
    };
    let ledger = open(directory.path()).unwrap();
    assert_eq!(ledger.promised(), None);
    block(async { ledger.keep_promise(Some(promised(2, 45))).await.unwrap() });
    // One that binds for less is no news: the longer one stands.
    block(async { ledger.keep_promise(Some(promised(2, 10))).await.unwrap() });
    drop(ledger);
    let ledger = open(directory.path()).unwrap();
    assert_eq!(ledger.promised(), Some(promised(2, 45)));
    block(async { ledger.keep_promise(None).await.unwrap() });
    drop(ledger);
    assert_eq!(open(directory.path()).unwrap().promised(), None);
}

#[test]
fn what_was_seen_of_the_store_is_said_as_it_was_seen() {
    let mut record = Record::empty(&identity());
    assert_eq!(record.seen(), None);
    record.see(&ticket(1, 5), 7);
    let seen = Seen {
        incarnation: ticket(1, 5).incarnation,
        epoch: Epoch(5),
        revision: 7,
        accepted: 0,
    };
    assert_eq!(record.seen(), Some(seen));
}

#[test]
fn a_database_that_is_kept_down_is_so_until_it_is_let_go() {
    let fenced = fenced();
    let mut record = Record::empty(&identity());
    assert_eq!(record.fenced(), None);
    record.keep_fenced(Some(fenced.clone()));
    assert_eq!(record.fenced(), Some(&fenced));
    let again = Record::parse(&record.text(), &identity()).unwrap();
    assert_eq!(again.fenced(), Some(&fenced), "also after a restart");
    record.keep_fenced(None);
    assert_eq!(record.fenced(), None);
}
