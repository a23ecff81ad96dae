//! Kept bytes: what version 1 looked like when it was first written, which every later build must read.
//!
//! `POINTSMAN_GOLDEN=overwrite` writes the files of new messages. An existing file changes only before the
//! first release: afterwards a file that no longer decodes is a broken promise, not a stale file.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;

use shared::codec::{self, Message};

use crate::specimen;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wire/v1")
}

/// Compares each value with what its kept bytes decode to.
fn hold<M: Message + PartialEq + Debug>(specimens: Vec<(&'static str, M)>) {
    let overwrite = std::env::var("POINTSMAN_GOLDEN").is_ok_and(|word| word == "overwrite");
    for (name, value) in specimens {
        let file = directory().join(format!("{name}.bin"));
        if overwrite {
            std::fs::create_dir_all(directory()).unwrap();
            std::fs::write(&file, codec::encode(&value).unwrap()).unwrap();
        }
        let bytes = std::fs::read(&file).unwrap_or_else(|error| {
            panic!(
                "{name}: {error}; a new message's bytes are written with POINTSMAN_GOLDEN=overwrite"
            )
        });
        let decoded: M = codec::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(decoded, value, "{name}");
        let again: M = codec::decode(&codec::encode(&value).unwrap()).unwrap();
        assert_eq!(again, value, "{name} as this build writes it");
    }
}

#[test]
fn heartbeats_of_version_1_are_read() {
    hold(specimen::heartbeats());
}

#[test]
fn observations_of_version_1_are_read() {
    hold(specimen::observations());
}

#[test]
fn commands_of_version_1_are_read() {
    hold(specimen::commands());
}

#[test]
fn a_command_that_was_kept_still_has_its_digest() {
    for (name, command) in specimen::commands() {
        let bytes = std::fs::read(directory().join(format!("{name}.bin"))).unwrap();
        let kept: shared::wire::Command = codec::decode(&bytes).unwrap();
        assert_eq!(kept.content_digest(), kept.digest, "{name}");
        assert_eq!(kept.digest, command.digest, "{name}");
    }
}

#[test]
fn reports_of_version_1_are_read() {
    hold(specimen::reports());
}

#[test]
fn every_kept_file_is_one_of_a_message_above() {
    let names: BTreeSet<String> = specimen::heartbeats()
        .into_iter()
        .map(|(name, _)| name)
        .chain(specimen::observations().into_iter().map(|(name, _)| name))
        .chain(specimen::commands().into_iter().map(|(name, _)| name))
        .chain(specimen::reports().into_iter().map(|(name, _)| name))
        .map(|name| format!("{name}.bin"))
        .collect();
    let found: BTreeSet<String> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, names);
}
