//! Rules of the tree that no compiler keeps: lengths, words, documents and samples.
//!
//! Every rule gathers all its breaches before it fails, and each breach names its file and line.

#![expect(
    clippy::unwrap_used,
    reason = "what these tests stand on must work, or the test has failed"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use shared::stack::Stack;
use shared::subject::key;

/// Longest source file, in lines.
const LINES_MAX: usize = 500;
/// Directories that are not of the project's making.
const NOT_OURS: [&str; 3] = [".git", "target", "node_modules"];
/// Kinds of files that are read as text.
const TEXTS: [&str; 16] = [
    "case", "conf", "css", "html", "js", "json", "md", "proto", "rs", "service", "sh", "sql",
    "toml", "txt", "yaml", "yml",
];
/// Words that name a place for everything instead of one concept.
const EMPTY_NAMES: [&str; 5] = ["util", "common", "helper", "manager", "misc"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// A file of the project, with its path below the root.
#[derive(Debug)]
struct Source {
    path: String,
    text: String,
}

/// Every text file of the project.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    gather(&root(), &mut found);
    assert!(found.len() > 100, "only {} files found", found.len());
    found
}

fn gather(directory: &Path, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && !NOT_OURS.contains(&name.as_str()) {
            gather(&entry.path(), found);
        }
        let text = entry
            .path()
            .extension()
            .is_some_and(|e| TEXTS.iter().any(|t| e == *t));
        // Another program may be writing a file of its own just now: what has gone is no breach.
        if kind.is_file()
            && (text || name == "run")
            && let Ok(text) = std::fs::read_to_string(entry.path())
        {
            let path = entry
                .path()
                .strip_prefix(root())
                .unwrap()
                .display()
                .to_string();
            found.push(Source { path, text });
        }
    }
}

fn rust() -> Vec<Source> {
    sources()
        .into_iter()
        .filter(|source| is(source, "rs"))
        .collect()
}

fn is(source: &Source, extension: &str) -> bool {
    Path::new(&source.path)
        .extension()
        .is_some_and(|found| found == extension)
}

/// True for the tests' corpus of wrong inputs, and for this file, which both name what is wrong.
fn names_breaches(source: &Source) -> bool {
    source.path.starts_with("tests/corpus/") || source.path == "tests/tests/tidy.rs"
}

/// Every line in which `breach` sees one.
fn lines(sources: &[Source], breach: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| !names_breaches(source)) {
        for (number, line) in source
            .text
            .lines()
            .enumerate()
            .filter(|(_, line)| breach(line))
        {
            found.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
        }
    }
    found
}

fn none(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}:\n{}", breaches.join("\n"));
}

/// True when `word` stands in `line` with no letter, digit or '_' beside it.
fn has_word(line: &str, word: &str) -> bool {
    let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line
            .get(at + word.len()..)
            .and_then(|text| text.chars().next());
        !joins(before) && !joins(after)
    })
}

/// The pieces of a name: `FieldManager` and `field_manager` are both field and manager.
fn pieces(name: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for c in name.chars() {
        if c.is_uppercase() || !c.is_alphanumeric() {
            pieces.push(String::new());
        }
        if c.is_alphanumeric() {
            pieces.last_mut().unwrap().extend(c.to_lowercase());
        }
    }
    pieces
}

fn says_nothing(name: &str) -> bool {
    let singular = |piece: &String| {
        piece
            .strip_suffix('s')
            .map_or_else(|| piece.clone(), str::to_owned)
    };
    pieces(name).iter().any(|piece| {
        EMPTY_NAMES.contains(&piece.as_str()) || EMPTY_NAMES.contains(&singular(piece).as_str())
    })
}

#[test]
fn no_source_file_is_longer_than_one_concept() {
    let long = rust()
        .into_iter()
        .map(|source| (source.text.lines().count(), source.path));
    let breaches: Vec<String> = long
        .filter(|(lines, _)| *lines > LINES_MAX)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    none("at most 500 lines a file", &breaches);
}

#[test]
fn files_and_directories_are_named_by_their_concept() {
    let breaches: Vec<String> = sources()
        .into_iter()
        .map(|source| source.path)
        .filter(|path| path.split('/').any(says_nothing))
        .collect();
    none("named by what it holds", &breaches);
}

#[test]
fn types_and_modules_are_named_by_their_concept() {
    let declared = |line: &str| {
        let bare = line
            .trim_start()
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub ");
        ["struct ", "enum ", "trait ", "mod "]
            .iter()
            .any(|keyword| {
                bare.strip_prefix(keyword)
                    .and_then(|rest| {
                        rest.split(|c: char| !c.is_alphanumeric() && c != '_')
                            .next()
                    })
                    .is_some_and(says_nothing)
            })
    };
    none("named by what it is", &lines(&rust(), declared));
}

#[test]
fn nothing_unfinished_is_left_behind() {
    // Written in two pieces, so that this list is no breach itself.
    let marks = [
        ("to", "do!"),
        ("unimple", "mented!"),
        ("d", "bg!"),
        ("FIX", "ME"),
        ("X", "XX"),
        ("HA", "CK"),
    ];
    let marks = marks.map(|(first, second)| format!("{first}{second}"));
    let unfinished = |line: &str| {
        marks
            .iter()
            .any(|mark| line.contains(mark.as_str()) && has_word(line, mark.trim_end_matches('!')))
            || has_word(line, concat!("TO", "DO"))
    };
    none("finished or not there", &lines(&rust(), unfinished));
}

#[test]
fn a_test_that_is_not_run_says_why() {
    let breaches = lines(&rust(), |line| line.trim_start().starts_with("#[ignore]"));
    none(
        "a reason for each test that is not run by itself",
        &breaches,
    );
}

#[test]
fn sites_are_called_by_their_role() {
    let words = ["master", "slave", "masters", "slaves"];
    let breach = |line: &str| {
        // Kubernetes' own name of its administrators.
        let ours = line.to_lowercase().replace("system:masters", "");
        words.iter().any(|word| has_word(&ours, word))
    };
    none("primary and standby", &lines(&sources(), breach));
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let places = ["/root", "/work", "/home/user", "/Users"];
    let breach = |line: &str| {
        places.iter().any(|place| {
            line.match_indices(place).any(|(at, _)| {
                let before = line.get(..at).and_then(|text| text.chars().next_back());
                let after = line
                    .get(at + place.len()..)
                    .and_then(|text| text.chars().next());
                let begins = before.is_none_or(|c| !(c.is_alphanumeric() || ".*_-}~".contains(c)));
                begins
                    && after
                        .is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == '-' || c == '{'))
            })
        })
    };
    none("no path of one machine", &lines(&sources(), breach));
}

#[test]
fn texts_hold_no_control_characters() {
    let odd = |c: char| {
        let hidden =
            ('\u{200b}'..='\u{200f}').contains(&c) || ('\u{202a}'..='\u{202e}').contains(&c);
        (c.is_control() && c != '\t')
            || hidden
            || c == '\u{feff}'
            || ('\u{2066}'..='\u{2069}').contains(&c)
    };
    none(
        "only what can be seen",
        &lines(&sources(), |line| line.chars().any(odd)),
    );
}

#[test]
fn every_module_says_what_it_is() {
    let breaches: Vec<String> = rust()
        .into_iter()
        // The tests of a module are said by the module.
        .filter(|source| !source.path.ends_with("/tests.rs"))
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path)
        .collect();
    none("a module begins with //! and what it decides", &breaches);
}

#[test]
fn the_page_of_the_wire_names_every_key_of_the_store() {
    let page = std::fs::read_to_string(root().join("shared/WIRE.md")).unwrap();
    for key in [key::LEAD, key::TICKET, key::STATE, key::STACK] {
        assert!(
            page.contains(&format!("`{key}`")),
            "shared/WIRE.md lacks the key {key}"
        );
    }
}

#[test]
fn the_sample_of_a_stack_file_is_good() {
    let text = std::fs::read_to_string(root().join("deploy/config/stack.toml")).unwrap();
    Stack::parse("deploy/config/stack.toml", &text).unwrap();
}

#[test]
fn the_samples_of_the_programs_files_are_good_and_name_every_key() {
    for (program, file) in [
        ("pointsman-agent", "agent.toml"),
        ("pointsman-coordinator", "coordinator.toml"),
    ] {
        let sample = root().join("deploy/config").join(file);
        assert_eq!(check(program, &sample), "", "{}", sample.display());
        let text = std::fs::read_to_string(&sample).unwrap();
        let known = known_keys(program);
        assert!(known.len() >= 4, "{program} says only {known:?}");
        for key in known {
            let named = text.lines().any(|line| {
                let bare = line.trim_start_matches(['#', ' ', '[']);
                bare.strip_prefix(key.as_str())
                    .is_some_and(|rest| rest.trim_start().starts_with(['=', ']', '.']))
            });
            assert!(named, "{file} does not name the key {key}");
        }
    }
}

/// What a program says against a file.
fn check(program: &str, file: &Path) -> String {
    let this = std::env::current_exe().unwrap();
    let binary = this.ancestors().nth(2).unwrap().join(program);
    let output = Command::new(&binary)
        .arg("--check-config")
        .arg("--config")
        .arg(file)
        .env_clear()
        .output();
    let output = output.unwrap_or_else(|_| unreachable_program(&binary));
    String::from_utf8(output.stderr).unwrap()
}

fn unreachable_program(binary: &Path) -> std::process::Output {
    assert!(
        binary.is_file(),
        "{} is not built: cargo build -p agent -p coordinator",
        binary.display()
    );
    Command::new(binary).output().unwrap()
}

/// The keys that a program knows at the top of its file, as it says itself.
fn known_keys(program: &str) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("unknown.toml");
    std::fs::write(&file, "no-such-key = 1\n").unwrap();
    let said = check(program, &file);
    let line = said
        .lines()
        .find(|line| line.contains("no-such-key: found an unknown key; allowed: "));
    let (_, keys) = line.unwrap().split_once("allowed: ").unwrap();
    keys.split(" | ").map(str::to_owned).collect()
}
