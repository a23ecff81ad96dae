//! One case of the corpus: an input that must be refused, and what the refusal must say.
//!
//! A case is a text file. Lines before `---` are its head, what follows is the input:
//!
//! ```text
//! # Why the input is wrong.
//! base: stack.toml                 the input begins with this file of tests/corpus/base …
//! replace: OLD => NEW              … in which the first OLD is replaced; \n is a line's end
//! absent: yes                      the input's file is not written
//! program: pointsman               which program gets the input as its arguments
//! message: hb                      which message the input shall be
//! problems: 2                      how many problems must be said, no more and no less
//! expect: PLACE || FOUND || ALLOWED  all three must stand in one problem's words
//! body: text                       how the input is written: text (the default), lines (one argument a line),
//!                                  hex, `repeat N` and `repeat-hex N` (the last line N times)
//! ```

use std::path::{Path, PathBuf};

/// One case.
#[derive(Debug)]
pub(crate) struct Case {
    /// Its file name.
    pub(crate) name: String,
    /// The input's bytes.
    pub(crate) input: Vec<u8>,
    /// The input, one argument a line.
    pub(crate) arguments: Vec<String>,
    /// The program that gets the arguments.
    pub(crate) program: Option<String>,
    /// The kind of message that the input shall be.
    pub(crate) message: Option<String>,
    /// True when the input's file must not be there.
    pub(crate) absent: bool,
    /// How many problems must be said.
    pub(crate) problems: Option<usize>,
    expects: Vec<[String; 3]>,
}

/// The directory of the corpus.
pub(crate) fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// Every case of a kind, by its name.
pub(crate) fn all(kind: &str) -> Vec<Case> {
    let directory = corpus().join(kind);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "case")
        })
        .collect();
    files.sort();
    files.iter().map(|file| Case::read(file)).collect()
}

impl Case {
    fn read(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let (head, body) = match text.split_once("\n---\n") {
            Some((head, body)) => (head, Some(body)),
            None => (text.trim_end(), None),
        };
        let fields: Vec<(&str, &str)> = head
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                line.split_once(": ")
                    .unwrap_or_else(|| panic!("{name}: {line}"))
            })
            .collect();
        let field = |key: &str| {
            fields
                .iter()
                .find(|(k, _)| *k == key)
                .map(|(_, value)| *value)
        };
        let mut input = field("base").map_or_else(String::new, |base| {
            std::fs::read_to_string(corpus().join("base").join(base)).unwrap()
        });
        for (_, change) in fields.iter().filter(|(key, _)| *key == "replace") {
            let (old, new) = change
                .split_once(" =>")
                .unwrap_or_else(|| panic!("{name}: {change}"));
            let (old, new) = (line_ends(old), line_ends(new.trim_start()));
            assert!(input.contains(&old), "{name}: the base lacks {old:?}");
            input = input.replacen(&old, &new, 1);
        }
        let expect = |value: &str| {
            let parts: Vec<String> = value
                .split("||")
                .map(|part| part.trim().to_owned())
                .collect();
            <[String; 3]>::try_from(parts).unwrap_or_else(|parts| panic!("{name}: {parts:?}"))
        };
        let expects: Vec<[String; 3]> = fields
            .iter()
            .filter(|(key, _)| *key == "expect")
            .map(|(_, value)| expect(value))
            .collect();
        assert!(!expects.is_empty(), "{name} expects nothing");
        let form = field("body").unwrap_or("text");
        Self {
            input: [
                input.into_bytes(),
                content(&name, form, body.unwrap_or_default()),
            ]
            .concat(),
            arguments: body
                .unwrap_or_default()
                .lines()
                .map(str::to_owned)
                .filter(|line| !line.is_empty())
                .collect(),
            program: field("program").map(str::to_owned),
            message: field("message").map(str::to_owned),
            absent: field("absent").is_some(),
            problems: field("problems").map(|number| number.parse().unwrap()),
            expects,
            name,
        }
    }

    /// What a list of problems lacks: each expectation must be met by one line.
    pub(crate) fn missing_lines(&self, text: &str) -> Vec<String> {
        let met = |expect: &&[String; 3]| {
            text.lines().any(|line| {
                let placed = expect[0].is_empty()
                    || line
                        .trim_start()
                        .starts_with(&format!("{}: found ", expect[0]))
                    || (line.contains(&expect[0]) && expect[0].contains("column"));
                placed && line.contains(&expect[1]) && line.contains(&expect[2])
            })
        };
        self.expects
            .iter()
            .filter(|expect| !met(expect))
            .map(|expect| format!("{}: lacks {expect:?} in:\n{text}", self.name))
            .collect()
    }

    /// What a message lacks: the parts of each expectation, anywhere.
    pub(crate) fn missing_parts(&self, text: &str) -> Vec<String> {
        let parts = self.expects.iter().flatten();
        parts
            .filter(|part| !text.contains(part.as_str()))
            .map(|part| format!("{}: lacks {part:?} in:\n{text}", self.name))
            .collect()
    }
}

fn line_ends(text: &str) -> String {
    text.replace("\\n", "\n")
}

fn content(name: &str, form: &str, body: &str) -> Vec<u8> {
    let times = |count: &str| {
        count
            .parse::<usize>()
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    match form.split_once(' ') {
        None if form == "text" || form == "lines" => body.as_bytes().to_vec(),
        None if form == "hex" => bytes(name, body),
        Some(("repeat", count)) => repeated(body, times(count)),
        Some(("repeat-hex", count)) => {
            let text = String::from_utf8(repeated(body, times(count))).unwrap();
            bytes(name, &text)
        }
        _ => panic!("{name}: no body is written as {form:?}"),
    }
}

/// The lines, the last one so many times.
fn repeated(body: &str, times: usize) -> Vec<u8> {
    let lines = body.trim_end();
    let start = lines.rfind('\n').map_or(0, |end| end + 1);
    let (before, last) = lines.split_at(start);
    format!("{before}{}", format!("{last}\n").repeat(times)).into_bytes()
}

fn bytes(name: &str, hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| {
            c.to_digit(16)
                .unwrap_or_else(|| panic!("{name}: {c:?} is no hexadecimal digit"))
        })
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
        .collect()
}
