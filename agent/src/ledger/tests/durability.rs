//! What is on the disk when a call returns, and what a disk that refuses leaves behind.

use super::*;
use crate::glass::example::{broken, plan};

/// So large a file is read; one byte more is not.
const LARGEST: u64 = 67_108_864;

#[test]
fn what_was_seen_of_the_store_survives() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path()).unwrap();
    block(ledger.see(&ticket(1, 5), 7)).unwrap();
    drop(ledger);
    let ledger = open(directory.path()).unwrap();
    assert_eq!((ledger.epoch(), ledger.epoch_known()), (Epoch(0), Epoch(5)));
    assert_eq!(ledger.seen().unwrap().revision, 7);
    assert_eq!(ledger.regression(&ticket(1, 5), 7), None);
    let reason = ledger.regression(&ticket(1, 4), 99).unwrap();
    assert!(reason.contains("seen epoch 5"), "{reason}");
}

#[test]
fn a_renewal_that_is_no_news_is_kept_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path()).unwrap();
    block(ledger.see(&ticket(1, 5), 7)).unwrap();
    refuse(directory.path());
    block(ledger.see(&ticket(1, 5), 8)).unwrap();
    assert_eq!(ledger.seen().unwrap().revision, 8);
    assert!(block(ledger.see(&ticket(1, 6), 9)).is_err());
    assert_eq!(
        ledger.seen().unwrap().epoch,
        Epoch(6),
        "in memory all the same"
    );
}

#[test]
fn a_broken_glass_survives_and_so_does_its_reconciliation() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path()).unwrap();
    block(ledger.break_glass(broken(plan(), 1_001))).unwrap();
    drop(ledger);
    let ledger = open(directory.path()).unwrap();
    assert_eq!(ledger.glass(), Some(broken(plan(), 1_001)));
    assert_eq!(ledger.epoch(), Epoch(1_001));
    block(ledger.reconcile_glass()).unwrap();
    drop(ledger);
    assert!(open(directory.path()).unwrap().glass().unwrap().reconciled);
}

#[test]
fn that_a_database_is_kept_down_survives_until_it_is_let_go() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path()).unwrap();
    block(ledger.keep_fenced(Some(fenced()))).unwrap();
    drop(ledger);
    let ledger = open(directory.path()).unwrap();
    assert_eq!(ledger.fenced(), Some(fenced()));
    block(ledger.keep_fenced(None)).unwrap();
    drop(ledger);
    assert_eq!(open(directory.path()).unwrap().fenced(), None);
}

#[test]
fn a_disk_that_refuses_takes_no_broken_glass_and_no_promise() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path()).unwrap();
    refuse(directory.path());
    let promised = Promised {
        epoch: Epoch(2),
        span_ms: Millis::seconds(45),
    };
    for attempt in 0..2 {
        assert!(block(ledger.break_glass(broken(plan(), 1_001))).is_err());
        assert_eq!((ledger.glass(), ledger.epoch()), (None, Epoch(0)));
        assert!(block(ledger.keep_promise(Some(promised))).is_err());
        assert_eq!(ledger.promised(), None, "attempt {attempt}");
    }
    assert!(block(ledger.reconcile_glass()).is_err());
    assert!(block(ledger.keep_fenced(Some(fenced()))).is_err());
    assert_eq!(ledger.fenced(), Some(fenced()), "in memory all the same");
}

#[test]
fn a_disk_that_refuses_is_found_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    refuse(directory.path());
    let error = open(directory.path()).unwrap_err();
    assert!(matches!(error, LedgerError::Unwritable { .. }), "{error}");
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = open(&file.join("state")).unwrap_err();
    assert!(matches!(error, LedgerError::Unwritable { .. }), "{error}");
}

#[test]
fn whoever_looks_from_beside_sees_what_is_on_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let seen = |path: &Path| peek(path, &identity()).map(|record| record.epoch());
    assert_eq!(seen(&directory.path().join("none")).unwrap(), Epoch(0));
    let ledger = open(directory.path()).unwrap();
    block(ledger.begin(&command(1, 5, 2), UnixMillis(9))).unwrap();
    assert_eq!(seen(directory.path()).unwrap(), Epoch(5));
    // What cannot be looked at is not taken for a first start.
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = seen(&file).unwrap_err();
    assert!(matches!(error, LedgerError::Unreadable { .. }), "{error}");
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()).unwrap());
    let file = std::fs::File::options()
        .write(true)
        .open(directory.path().join("ledger"))
        .unwrap();
    for (length, too_large) in [(LARGEST, false), (LARGEST + 1, true)] {
        file.set_len(length).unwrap();
        let LedgerError::Corrupt { why, .. } = open(directory.path()).unwrap_err() else {
            panic!("{length}")
        };
        assert_eq!(why == "it is too large", too_large, "{length}: {why}");
    }
}
