//! What a newer sender may add without breaking this reader, and what an older one may leave out.

use shared::codec;
use shared::refusal::Refusal;
use shared::wire::{
    Command, DatabaseRole, DatabaseState, Fitness, Heartbeat, Observation, PeerChannel,
    PeerOutcome, PromotionObstacle, ReceiverStatus, Report, ReportState, SightingChannel,
    SyncCommit, Unfit,
};

use crate::reread;
use crate::specimen;
use crate::tree::Tree;

/// The bytes of every message.
fn all() -> Vec<(&'static str, Vec<u8>)> {
    let mut all = Vec::new();
    all.extend(
        specimen::heartbeats()
            .into_iter()
            .map(|(name, m)| (name, codec::encode(&m).unwrap())),
    );
    all.extend(
        specimen::observations()
            .into_iter()
            .map(|(name, m)| (name, codec::encode(&m).unwrap())),
    );
    all.extend(
        specimen::commands()
            .into_iter()
            .map(|(name, m)| (name, codec::encode(&m).unwrap())),
    );
    all.extend(
        specimen::reports()
            .into_iter()
            .map(|(name, m)| (name, codec::encode(&m).unwrap())),
    );
    all
}

/// True for a map that stands for a variant with content, such as `{"Promote": {…}}`: it has one entry only.
fn is_variant(key: &str, entries: &[(String, Tree)]) -> bool {
    match entries {
        [(name, _)] => {
            matches!(key, "fit" | "fitness") || name.starts_with(|c: char| c.is_ascii_uppercase())
        }
        _ => false,
    }
}

#[test]
fn an_unknown_field_is_skipped_in_every_map() {
    let extra = Tree::Map(vec![
        (
            "deep".to_owned(),
            Tree::List(vec![Tree::Other(vec![0xc3]); 3]),
        ),
        ("text".to_owned(), Tree::Text("of a newer build".to_owned())),
    ]);
    for (name, bytes) in all() {
        let mut tree = Tree::read(&bytes);
        let mut added = 0;
        tree.each_map("", &mut |key, entries| {
            // The environment of a hook is content, not a message.
            if key != "environment" && !is_variant(key, entries) {
                entries.insert(0, ("zz".to_owned(), extra.clone()));
                entries.push(("zzz".to_owned(), extra.clone()));
                added += 1;
            }
        });
        assert!(added >= 2, "{name}");
        assert_eq!(reread(&tree.bytes()).unwrap(), bytes, "{name}");
    }
}

#[test]
fn an_optional_field_may_be_missing_as_well_as_nil() {
    let mut dropped = 0;
    for (name, bytes) in all() {
        let mut tree = Tree::read(&bytes);
        tree.each_map("", &mut |_, entries| {
            let before = entries.len();
            entries.retain(|(_, value)| !value.is_nil());
            dropped += before - entries.len();
        });
        assert_eq!(reread(&tree.bytes()).unwrap(), bytes, "{name}");
    }
    assert!(dropped > 5, "{dropped}");
}

#[test]
fn the_optional_fields_of_a_heartbeat_default_to_nothing() {
    let mut tree = Tree::read(&codec::encode(&specimen::heartbeats()[1].1).unwrap());
    let needed = ["p", "bt", "n", "at", "up", "lag", "e", "fit", "ver"];
    tree.at(&["b"])
        .entries()
        .retain(|(key, _)| needed.contains(&key.as_str()));
    let beat: Heartbeat = codec::decode(&tree.bytes()).unwrap();
    assert_eq!(beat.sequence, 86_401);
    assert_eq!((beat.host, beat.database, beat.cluster), (None, None, None));
    assert_eq!((beat.foreign_server, beat.running), (None, None));
    assert_eq!(beat.peers, []);
}

#[test]
fn the_optional_fields_of_a_database_sample_default_to_nothing() {
    let mut tree = Tree::read(&codec::encode(&specimen::standby()).unwrap());
    tree.at(&["b", "d"])
        .entries()
        .retain(|(key, _)| ["db", "age", "st"].contains(&key.as_str()));
    let beat: Heartbeat = codec::decode(&tree.bytes()).unwrap();
    let sample = beat.database.unwrap();
    assert_eq!(
        (sample.role, sample.timeline, sample.received_lsn),
        (None, None, None)
    );
    assert_eq!(
        (sample.receiver, sample.lag_bytes, sample.lag_ms),
        (None, None, None)
    );
    assert!(sample.senders.is_empty() && sample.obstacles.is_empty());
}

/// A heartbeat in which the text at `path` is one that this build does not know.
fn odd(beat: &Heartbeat, path: &[&str]) -> Heartbeat {
    let mut tree = Tree::read(&codec::encode(beat).unwrap());
    *tree.at(path) = Tree::Text("of-a-newer-build".to_owned());
    codec::decode(&tree.bytes()).unwrap()
}

#[test]
fn an_unknown_word_of_a_heartbeat_reads_as_unknown() {
    let standby = specimen::standby();
    let of_database = |path: &[&str]| odd(&standby, path).database.unwrap();
    assert_eq!(of_database(&["b", "d", "st"]).state, DatabaseState::Unknown);
    assert_eq!(
        of_database(&["b", "d", "r"]).role,
        Some(DatabaseRole::Unknown)
    );
    let receiver = of_database(&["b", "d", "wr", "st"]).receiver.unwrap();
    assert_eq!(receiver.status, ReceiverStatus::Unknown);
    assert_eq!(
        odd(&standby, &["b", "s", "0", "ch"]).peers[0].channel,
        PeerChannel::Unknown
    );
    assert_eq!(
        odd(&standby, &["b", "s", "1", "o"]).peers[1].outcome,
        PeerOutcome::Unknown
    );
    let bound = odd(&specimen::synchronous(), &["b", "d", "sy", "c"]).database;
    let level = bound.unwrap().sync.unwrap().commit;
    assert_eq!(level, SyncCommit::Unknown);
    let unfit = &specimen::heartbeats()[4].1;
    let Fitness::Unfit(reasons) = odd(unfit, &["b", "fit", "n", "1"]).fitness else {
        panic!("fit")
    };
    assert_eq!(reasons[..2], [Unfit::LoopLag, Unfit::Unknown]);
    let obstacles = odd(unfit, &["b", "d", "no", "0"])
        .database
        .unwrap()
        .obstacles;
    assert_eq!(obstacles[0], PromotionObstacle::Unknown);
}

#[test]
fn an_unknown_channel_of_an_observation_reads_as_unknown() {
    let mut tree = Tree::read(&codec::encode(&specimen::observations()[0].1).unwrap());
    *tree.at(&["b", "sites", "1", "by", "1"]) = Tree::Text("of_a_newer_build".to_owned());
    let observation: Observation = codec::decode(&tree.bytes()).unwrap();
    assert_eq!(
        observation.sites[1].by.clone().unwrap().1,
        SightingChannel::Unknown
    );
}

#[test]
fn an_unknown_reason_of_a_refusal_reads_as_unknown() {
    let (_, report) = specimen::reports()
        .into_iter()
        .find(|(name, _)| name.ends_with("wrong-digest"))
        .unwrap();
    let mut tree = Tree::read(&codec::encode(&report).unwrap());
    *tree.at(&["b", "state", "Refused"]) = Tree::Text("OfANewerBuild".to_owned());
    let read: Report = codec::decode(&tree.bytes()).unwrap();
    assert_eq!(read.state, ReportState::Refused(Refusal::Unknown));
}

#[test]
fn an_unknown_action_is_refused_not_guessed() {
    let mut tree = Tree::read(&codec::encode(&specimen::commands()[3].1).unwrap());
    tree.at(&["b", "action"]).entries()[0].0 = "Demote".to_owned();
    assert!(codec::decode::<Command>(&tree.bytes()).is_err());
}
