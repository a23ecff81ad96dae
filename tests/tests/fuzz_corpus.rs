//! Replays what fuzzing kept, and small spoilings of it, against the property of each border; no libFuzzer needed.

#![expect(
    clippy::unwrap_used,
    reason = "what these tests stand on must work, or the test has failed"
)]

use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tests::fuzzing::{BORDERS, check};

/// Spoilings of each kept input.
const SPOILINGS: usize = 8;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

/// The kept inputs of a border, in the order of their names.
fn kept(border: &str) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(corpus().join(border)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 20, "{border} has only {} inputs", paths.len());
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// One of: a byte changed, a piece cut out, a piece of another input put in.
fn spoiled(input: &[u8], other: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    if bytes.is_empty() {
        return other.to_vec();
    }
    let at = random.random_range(0..bytes.len());
    match random.random_range(0..3_u8) {
        0 => {
            for byte in bytes.iter_mut().skip(at).take(1) {
                *byte = random.random();
            }
        }
        1 => {
            let end = (at + random.random_range(1..32)).min(bytes.len());
            bytes.drain(at..end);
        }
        _ => {
            let from = random.random_range(0..=other.len());
            let piece = other.iter().skip(from).take(32).copied();
            bytes.splice(at..at, piece);
        }
    }
    bytes
}

#[test]
fn every_border_holds_for_what_fuzzing_kept() {
    for (border, _) in BORDERS {
        let inputs = kept(border);
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for (input, other) in inputs.iter().zip(inputs.iter().rev()) {
            check(border, input);
            for _ in 0..SPOILINGS {
                check(border, &spoiled(input, other, &mut random));
            }
        }
    }
}

#[test]
fn every_border_has_its_target_and_its_corpus_is_small() {
    const CORPUS_BYTES_MAX: u64 = 1024 * 1024;
    let mut size = 0;
    for (border, _) in BORDERS {
        let target = corpus()
            .with_file_name("targets")
            .join(format!("{border}.rs"));
        let text = std::fs::read_to_string(&target).unwrap();
        assert!(
            text.contains(&format!("check(\"{border}\"")),
            "{}",
            target.display()
        );
        for entry in std::fs::read_dir(corpus().join(border)).unwrap() {
            size += entry.unwrap().metadata().unwrap().len();
        }
    }
    assert!(size <= CORPUS_BYTES_MAX, "{size} bytes of corpus");
    let targets = std::fs::read_dir(corpus().with_file_name("targets")).unwrap();
    assert_eq!(targets.count(), BORDERS.len(), "a target without a border");
}
