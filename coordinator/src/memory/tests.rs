use std::os::unix::fs::PermissionsExt;

use decision::{Halt, Less, Seen};
use shared::clock::UnixMillis;
use shared::digest::ContentDigest;
use shared::epoch::Epoch;
use shared::id::Nonce;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;

fn stack() -> StackName {
    StackName::new("ess").unwrap()
}

fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

fn memory(revision: u64) -> Memory {
    let seen = |epoch| Seen {
        incarnation: Nonce::new(Uuid::from_u128(7)),
        epoch: Epoch(epoch),
        revision,
    };
    Memory {
        seen: Some(seen(5)),
        epoch_max: Epoch(6),
        accepted: 3,
        halt: Some(Halt {
            at: UnixMillis(1_790_000_000_000),
            less: Less::Epoch,
            remembered: Some(seen(5)),
            shown: Some(seen(4)),
        }),
    }
}

fn open(home: &TempDir) -> Result<Keeper, MemoryError> {
    Keeper::open(home.path(), &stack(), &site("dc2"))
}

/// Keeps a memory, to the end of the write.
async fn keep(keeper: &mut Keeper, memory: &Memory) {
    assert!(!keeper.keep(memory, Mono(1_000)));
    keeper.written().await;
}

#[tokio::test]
async fn what_was_seen_outlasts_the_process() {
    let home = tempfile::tempdir().unwrap();
    let mut keeper = open(&home).unwrap();
    assert_eq!(*keeper.memory(), Memory::default());
    assert!(keeper.keep(&Memory::default(), Mono(1_000)));
    for revision in [91, 92] {
        keep(&mut keeper, &memory(revision)).await;
        assert!(
            keeper.keep(&memory(revision), Mono(1_000)),
            "it is on the disk"
        );
        assert!(!keeper.keep(&memory(90), Mono(1_000)), "this is not");
        keeper.written().await;
        keep(&mut keeper, &memory(revision)).await;
    }
    drop(keeper);
    assert_eq!(*open(&home).unwrap().memory(), memory(92));
}

#[tokio::test]
async fn a_write_that_a_crash_cut_short_leaves_the_old() {
    let home = tempfile::tempdir().unwrap();
    let mut keeper = open(&home).unwrap();
    keep(&mut keeper, &memory(91)).await;
    drop(keeper);
    std::fs::write(home.path().join("store-seen.new"), "{\"schema\":1,").unwrap();
    assert_eq!(*open(&home).unwrap().memory(), memory(91));
}

#[tokio::test]
async fn a_damaged_file_is_an_error_and_never_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut keeper = open(&home).unwrap();
    keep(&mut keeper, &memory(91)).await;
    drop(keeper);
    let path = home.path().join(FILE);
    let whole = std::fs::read(&path).unwrap();
    // Every way in which its end may be missing, and every byte changed.
    let mut damaged: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole[..end].to_vec()).collect();
    damaged.extend((0..whole.len()).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    }));
    damaged.push(vec![0; whole.len()]);
    damaged.push(vec![b'x'; 70_000]);
    for bytes in damaged {
        std::fs::write(&path, &bytes).unwrap();
        let error = open(&home).unwrap_err();
        assert!(matches!(error, MemoryError::Corrupt { .. }), "{error}");
        let words = error.to_string();
        assert!(
            words.contains("store-seen is damaged: ") && words.contains("does not start"),
            "{words}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "it is left as it is");
    }
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(*open(&home).unwrap().memory(), memory(91));
}

fn content(of: &str, line: &str) -> Vec<u8> {
    let line = line.replace("dc2", of);
    let digest = ContentDigest::of_bytes(line.as_bytes());
    format!("{line}\n{digest}\n").into_bytes()
}

#[test]
fn a_file_of_another_coordinator_or_build_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(FILE);
    let known = "{\"schema\":1,\"stack\":\"ess\",\"site\":\"dc2\",\"memory\":{\"seen\":null}}";
    std::fs::write(&path, content("dc2", known)).unwrap();
    assert_eq!(*open(&home).unwrap().memory(), Memory::default());
    std::fs::write(&path, content("dc3", known)).unwrap();
    let words = open(&home).unwrap_err().to_string();
    assert!(words.contains("is of ess/dc3, not of ess/dc2"), "{words}");
    let newer = known.replace("\"schema\":1", "\"schema\":2");
    std::fs::write(&path, content("dc2", &newer)).unwrap();
    let words = open(&home).unwrap_err().to_string();
    assert!(words.contains("it is of version 2"), "{words}");
    std::fs::write(&path, content("dc2", "{\"schema\":1}")).unwrap();
    let words = open(&home).unwrap_err().to_string();
    assert!(words.contains("missing field"), "{words}");
}

#[test]
fn a_directory_belongs_to_one_process() {
    let home = tempfile::tempdir().unwrap();
    let first = open(&home).unwrap();
    let error = open(&home).unwrap_err();
    assert!(matches!(error, MemoryError::Locked { .. }), "{error}");
    drop(first);
    open(&home).unwrap();
}

#[test]
fn a_directory_that_takes_nothing_is_an_error_of_the_start() {
    let home = tempfile::tempdir().unwrap();
    // A directory where the file is written beside: it stops root, too.
    std::fs::create_dir(home.path().join("store-seen.new")).unwrap();
    let error = open(&home).unwrap_err();
    assert!(matches!(error, MemoryError::Unwritable { .. }), "{error}");
    std::fs::remove_dir(home.path().join("store-seen.new")).unwrap();
    open(&home).unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o500)).unwrap();
    // Root writes all the same: then there is nothing to see.
    let writable = std::fs::write(home.path().join("probe"), "").is_ok();
    let opened = open(&home);
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(opened.is_ok(), writable);
}

#[tokio::test]
async fn a_disk_that_fails_later_is_tried_again_and_makes_unfit_to_lead() {
    let home = tempfile::tempdir().unwrap();
    let mut keeper = open(&home).unwrap();
    let obstacle = home.path().join("store-seen.new");
    std::fs::create_dir(&obstacle).unwrap();
    keep(&mut keeper, &memory(91)).await;
    assert_eq!(*keeper.memory(), Memory::default());
    assert_eq!(keeper.stuck(Mono(1_000)), None);
    // Not before its time.
    assert!(!keeper.keep(&memory(91), Mono(1_500)));
    assert!(keeper.writing.is_none());
    assert!(!keeper.keep(&memory(91), Mono(2_000)));
    keeper.written().await;
    assert_eq!(keeper.stuck(Mono(10_999)), None);
    let why = keeper.stuck(Mono(11_000)).unwrap();
    assert!(why.contains("has taken nothing for 10 s"), "{why}");
    std::fs::remove_dir(&obstacle).unwrap();
    assert!(!keeper.keep(&memory(91), Mono(12_000)));
    keeper.written().await;
    assert_eq!(
        (keeper.stuck(Mono(60_000)), keeper.memory()),
        (None, &memory(91))
    );
}
