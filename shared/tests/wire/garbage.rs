//! Bytes that nobody meant as a message: always an error or a value, never a panic, never much memory.

use proptest::prelude::*;
use shared::codec::{self, MESSAGE_BYTES_MAX};
use shared::wire::{Command, Heartbeat, Observation, Report};

use crate::reread;
use crate::specimen;

fn read_as_everything(bytes: &[u8]) {
    drop(codec::peek(bytes));
    drop(codec::decode::<Heartbeat>(bytes));
    drop(codec::decode::<Observation>(bytes));
    drop(codec::decode::<Command>(bytes));
    drop(codec::decode::<Report>(bytes));
}

/// The envelope of kind `kind`, up to where its body begins.
fn envelope(kind: &str) -> Vec<u8> {
    let mut bytes = vec![
        0x83,
        0xa1,
        b'v',
        1,
        0xa1,
        b'k',
        0xa0 | u8::try_from(kind.len()).unwrap(),
    ];
    bytes.extend(kind.as_bytes());
    bytes.extend([0xa1, b'b']);
    bytes
}

fn kind() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["hb", "obs", "cmd", "rep"])
}

fn written() -> impl Strategy<Value = Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    all.extend(
        specimen::heartbeats()
            .iter()
            .map(|(_, m)| codec::encode(m).unwrap()),
    );
    all.extend(
        specimen::observations()
            .iter()
            .map(|(_, m)| codec::encode(m).unwrap()),
    );
    all.extend(
        specimen::commands()
            .iter()
            .map(|(_, m)| codec::encode(m).unwrap()),
    );
    all.extend(
        specimen::reports()
            .iter()
            .map(|(_, m)| codec::encode(m).unwrap()),
    );
    prop::sample::select(all)
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        read_as_everything(&bytes);
    }

    #[test]
    fn a_random_body_never_panics(kind in kind(), body in prop::collection::vec(any::<u8>(), 0..500)) {
        let bytes = [envelope(kind), body].concat();
        read_as_everything(&bytes);
    }

    #[test]
    fn changed_bytes_never_panic_and_what_is_read_can_be_written(
        mut bytes in written(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        for (place, byte) in changes {
            let at = place.index(bytes.len());
            bytes[at] = byte;
        }
        read_as_everything(&bytes);
        if let Ok(again) = reread(&bytes) {
            // Read and written once more, nothing changes: what was read is a whole value.
            prop_assert_eq!(reread(&again).unwrap(), again);
        }
    }
}

#[test]
fn deep_nesting_is_refused_without_using_up_the_stack() {
    for opening in [0x91_u8, 0xdd, 0x81] {
        let level: &[u8] = match opening {
            0x91 => &[0x91],
            0xdd => &[0xdd, 0, 0, 0, 1],
            _ => &[0x81, 0xa1, b'x'],
        };
        let room = MESSAGE_BYTES_MAX - 20;
        let nest = level.repeat(room / level.len());
        for kind in ["hb", "obs", "cmd", "rep"] {
            let bytes = [envelope(kind), nest.clone()].concat();
            assert!(reread(&bytes).is_err());
            // As a field that nobody knows, where a reader only skips.
            let inside = [
                envelope(kind),
                vec![0x81, 0xa2, b'z', b'z'],
                nest[..room - room % 8 - 64].to_vec(),
            ]
            .concat();
            assert!(reread(&inside).is_err());
        }
    }
}

#[test]
fn a_length_that_the_message_cannot_have_is_refused_at_once() {
    let lengths: [&[u8]; 5] = [
        &[0xdd, 0xff, 0xff, 0xff, 0xff],
        &[0xdf, 0xff, 0xff, 0xff, 0xff],
        &[0xdb, 0xff, 0xff, 0xff, 0xff],
        &[0xc6, 0xff, 0xff, 0xff, 0xff],
        &[0xc9, 0xff, 0xff, 0xff, 0xff, 1],
    ];
    for length in lengths {
        for kind in ["hb", "obs", "cmd", "rep"] {
            assert!(reread(&[&envelope(kind), length].concat()).is_err());
        }
        read_as_everything(length);
        let field = [&envelope("hb")[..], &[0x81, 0xa1, b's'], length].concat();
        assert!(reread(&field).is_err());
    }
}
