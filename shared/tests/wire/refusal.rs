//! What a reader refuses, and what it says of it: what was found and what is allowed.

use shared::codec::{self, DecodeError, EncodeError, Kind, MESSAGE_BYTES_MAX, WIRE_VERSION};
use shared::wire::{Command, Heartbeat, Observation, ProofLine, Report, ReportState};

use crate::reread;
use crate::specimen;
use crate::tree::Tree;

/// The aim of issue and wire alike: ten thousand agents send one each second.
const HEARTBEAT_BYTES_AIM: usize = 512;

fn heartbeat() -> Vec<u8> {
    codec::encode(&specimen::standby()).unwrap()
}

/// The bytes of one message of each kind.
fn one_of_each() -> Vec<Vec<u8>> {
    vec![
        heartbeat(),
        codec::encode(&specimen::observations()[0].1).unwrap(),
        codec::encode(&specimen::commands()[3].1).unwrap(),
        codec::encode(&specimen::reports()[1].1).unwrap(),
    ]
}

#[test]
fn a_database_agents_heartbeat_with_two_peers_keeps_to_512_bytes() {
    let standby = specimen::standby();
    assert_eq!(standby.peers.len(), 2);
    assert!(standby.database.is_some() && standby.host.is_some());
    let primary = &specimen::heartbeats()[1].1;
    for beat in [&standby, primary] {
        let size = codec::encode(beat).unwrap().len();
        assert!(size <= HEARTBEAT_BYTES_AIM, "{size} bytes");
    }
}

#[test]
fn bytes_after_a_message_are_refused_with_their_number() {
    for mut bytes in one_of_each() {
        bytes.extend([0xc0, 0xc0, 0xc0]);
        let error = reread(&bytes).unwrap_err();
        assert!(
            matches!(error, DecodeError::Trailing { trailing: 3, .. }),
            "{error:?}"
        );
        assert!(error.to_string().starts_with("3 bytes follow"), "{error}");
    }
}

#[test]
fn two_messages_in_one_are_refused() {
    let bytes = [heartbeat(), heartbeat()].concat();
    assert!(matches!(
        codec::decode::<Heartbeat>(&bytes),
        Err(DecodeError::Trailing { .. })
    ));
}

#[test]
fn another_version_is_refused_before_the_body_is_looked_at() {
    for version in [0_u8, 2, 127] {
        let mut tree = Tree::read(&heartbeat());
        *tree.at(&["v"]) = Tree::Other(vec![version]);
        *tree.at(&["b"]) = Tree::Text("another body".to_owned());
        let error = codec::decode::<Heartbeat>(&tree.bytes()).unwrap_err();
        assert!(
            matches!(error, DecodeError::OtherVersion { found } if found == u16::from(version)),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(
            text.contains(&version.to_string()) && text.contains(&WIRE_VERSION.to_string()),
            "{text}"
        );
    }
}

#[test]
fn another_kind_is_refused_with_both_named() {
    let error = codec::decode::<Command>(&heartbeat()).unwrap_err();
    assert!(matches!(
        error,
        DecodeError::OtherKind {
            found: Kind::Heartbeat,
            expected: Kind::Command
        }
    ));
    assert_eq!(
        error.to_string(),
        "message is of kind hb, allowed here is cmd"
    );
}

#[test]
fn a_kind_of_a_newer_build_is_refused_as_unknown() {
    let mut tree = Tree::read(&heartbeat());
    *tree.at(&["k"]) = Tree::Text("zz".to_owned());
    let bytes = tree.bytes();
    assert_eq!(codec::peek(&bytes).unwrap(), (WIRE_VERSION, Kind::Unknown));
    assert!(matches!(
        codec::decode::<Heartbeat>(&bytes),
        Err(DecodeError::OtherKind { .. })
    ));
    assert!(matches!(
        codec::decode::<Report>(&bytes),
        Err(DecodeError::OtherKind { .. })
    ));
}

#[test]
fn a_message_over_the_limit_is_neither_written_nor_read() {
    let (_, mut report) = specimen::reports().remove(1);
    let line = ProofLine::new("log", &"x".repeat(900));
    report.state = ReportState::Done {
        took_ms: shared::clock::Millis(1),
        proof: vec![line; 60],
    };
    let error = codec::encode(&report).unwrap_err();
    assert!(
        matches!(error, EncodeError::TooLarge { kind: Kind::Report, found } if found > MESSAGE_BYTES_MAX)
    );
    assert!(
        error.to_string().contains(&MESSAGE_BYTES_MAX.to_string()),
        "{error}"
    );
    let error = codec::decode::<Report>(&vec![0xc0; MESSAGE_BYTES_MAX + 1]).unwrap_err();
    assert!(matches!(error, DecodeError::TooLarge { found } if found == MESSAGE_BYTES_MAX + 1));
    // At the limit it is looked at, and refused for what it is.
    assert!(matches!(
        codec::decode::<Report>(&vec![0xc0; MESSAGE_BYTES_MAX]),
        Err(DecodeError::NoEnvelope { .. })
    ));
}

#[test]
fn a_message_cut_at_any_byte_is_refused() {
    for bytes in one_of_each() {
        for end in 0..bytes.len() {
            assert!(reread(&bytes[..end]).is_err(), "cut at {end}");
        }
        assert_eq!(reread(&bytes).unwrap(), bytes);
    }
}

#[test]
fn a_field_of_another_type_is_refused_as_a_body_that_does_not_fit() {
    let mut tree = Tree::read(&heartbeat());
    *tree.at(&["b", "n"]) = Tree::Text("many".to_owned());
    let error = codec::decode::<Heartbeat>(&tree.bytes()).unwrap_err();
    assert!(
        matches!(
            error,
            DecodeError::Body {
                kind: Kind::Heartbeat,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn a_missing_field_that_is_not_optional_is_refused() {
    for (kind, path) in [("heartbeat", "n"), ("heartbeat", "p"), ("heartbeat", "fit")] {
        let mut tree = Tree::read(&heartbeat());
        tree.at(&["b"]).entries().retain(|(key, _)| key != path);
        assert!(
            matches!(
                codec::decode::<Heartbeat>(&tree.bytes()),
                Err(DecodeError::Body { .. })
            ),
            "{kind} without {path}"
        );
    }
}

#[test]
fn a_name_that_could_leave_its_subject_is_refused() {
    for name in ["dc1.db1", "*", ">", "", "DC1"] {
        let mut tree = Tree::read(&codec::encode(&specimen::observations()[0].1).unwrap());
        *tree.at(&["b", "sites", "0", "site"]) = Tree::Text(name.to_owned());
        assert!(
            codec::decode::<Observation>(&tree.bytes()).is_err(),
            "{name:?}"
        );
    }
}

#[test]
fn bodies_as_lists_are_what_other_encoders_write_and_are_not_written_here() {
    for bytes in one_of_each() {
        let mut tree = Tree::read(&bytes);
        assert!(matches!(tree.at(&["b"]), Tree::Map(_)));
    }
}
