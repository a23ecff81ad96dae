//! Every input of the corpus is refused by the real programs, with the place, what was found and what is allowed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what these tests stand on must work, or the test has failed"
)]

mod case;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use shared::codec::{self, DecodeError};
use shared::stack::Stack;
use shared::telemetry::Chain;
use shared::wire::{Command as Order, Heartbeat, Observation, Report};

use crate::case::Case;

/// Exit code of a wrong command line or file.
const USAGE: i32 = 2;

/// A program of this build.
fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let directory = this.ancestors().nth(2).unwrap();
    let found = directory.join(name);
    assert!(
        found.is_file(),
        "{} is not built: cargo build -p agent -p coordinator",
        found.display()
    );
    found
}

/// A command without anything of this environment that could change its answer.
fn command(name: &str, directory: &Path) -> Command {
    let mut command = Command::new(program(name));
    command
        .env_clear()
        .current_dir(directory)
        .stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What is wrong with how a program ended: it must say why on standard error, and nothing else anywhere.
fn ending(case: &Case, output: &Output, code: i32) -> Vec<String> {
    let stderr = text(&output.stderr);
    let mut wrong = Vec::new();
    if output.status.code() != Some(code) {
        wrong.push(format!(
            "{}: ended with {}, wanted {code}:\n{stderr}",
            case.name, output.status
        ));
    }
    if !output.stdout.is_empty() {
        wrong.push(format!(
            "{}: standard output has {:?}",
            case.name,
            text(&output.stdout)
        ));
    }
    if stderr.contains("panicked") {
        wrong.push(format!("{}: a panic:\n{stderr}", case.name));
    }
    if stderr.chars().any(|c| c.is_control() && c != '\n') {
        wrong.push(format!("{}: control characters in {stderr:?}", case.name));
    }
    wrong
}

/// What is wrong with a list of problems: its number, and each one's words.
fn problems(case: &Case, file: &str, text: &str) -> Vec<String> {
    let mut wrong = case.missing_lines(text);
    if !text.contains(file) {
        wrong.push(format!(
            "{}: the file {file} is not named in:\n{text}",
            case.name
        ));
    }
    if let Some(wanted) = case.problems {
        let found = text
            .lines()
            .filter(|line| line.starts_with("  ") && line.contains(": found "))
            .count();
        if found != wanted {
            wrong.push(format!(
                "{}: {found} problems, wanted {wanted}:\n{text}",
                case.name
            ));
        }
    }
    wrong
}

/// Fails with everything that was wrong, over all cases.
fn judge(kind: &str, cases: usize, least: usize, wrong: &[String]) {
    assert!(
        cases >= least,
        "{cases} cases of {kind}, at least {least} belong here"
    );
    assert!(
        wrong.is_empty(),
        "{} of the checks of {cases} cases of {kind} failed:\n\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

/// Writes a case's file and hands it to a program.
fn with_file(case: &Case, name: &str, arguments: impl Fn(&str) -> Vec<String>) -> (String, Output) {
    let directory = tempfile::tempdir().unwrap();
    let file = "input-of-the-case.toml";
    if !case.absent {
        std::fs::write(directory.path().join(file), &case.input).unwrap();
    }
    let output = command(name, directory.path())
        .args(arguments(file))
        .output()
        .unwrap();
    (file.to_owned(), output)
}

#[test]
fn stack_files_are_refused_by_their_reader() {
    let cases = case::all("stack");
    let mut wrong = Vec::new();
    for case in &cases {
        // Bytes that are no text never reach the reader.
        let Ok(text) = std::str::from_utf8(&case.input) else {
            continue;
        };
        match Stack::parse("case.toml", text) {
            Ok(_) => wrong.push(format!("{}: accepted", case.name)),
            Err(found) => wrong.extend(problems(case, "case.toml", &found.to_string())),
        }
    }
    judge("stack", cases.len(), 60, &wrong);
}

#[test]
fn stack_files_are_refused_by_the_operators_program() {
    let cases = case::all("stack");
    let mut wrong = Vec::new();
    for case in &cases {
        let check = |file: &str| ["stack", "check", file].map(str::to_owned).to_vec();
        let (file, output) = with_file(case, "pointsman", check);
        wrong.extend(ending(case, &output, USAGE));
        wrong.extend(problems(case, &file, &text(&output.stderr)));
    }
    judge("stack", cases.len(), 60, &wrong);
}

#[test]
fn agent_files_are_refused_by_the_agent() {
    refused_by("agent", "pointsman-agent", 30);
}

#[test]
fn coordinator_files_are_refused_by_the_coordinator() {
    refused_by("coordinator", "pointsman-coordinator", 15);
}

fn refused_by(kind: &str, name: &str, least: usize) {
    let cases = case::all(kind);
    let mut wrong = Vec::new();
    for case in &cases {
        let check = |file: &str| {
            ["--check-config", "--config", file]
                .map(str::to_owned)
                .to_vec()
        };
        let (file, output) = with_file(case, name, check);
        wrong.extend(ending(case, &output, USAGE));
        wrong.extend(problems(case, &file, &text(&output.stderr)));
    }
    judge(kind, cases.len(), least, &wrong);
}

#[test]
fn the_files_that_the_cases_begin_with_are_good() {
    let base = case::corpus().join("base");
    let stack = std::fs::read_to_string(base.join("stack.toml")).unwrap();
    Stack::parse("stack.toml", &stack).unwrap();
    for (name, file) in [
        ("pointsman-agent", "agent.toml"),
        ("pointsman-coordinator", "coordinator.toml"),
    ] {
        let output = command(name, &base)
            .args(["--check-config", "--config", file])
            .output()
            .unwrap();
        assert!(output.status.success(), "{file}: {}", text(&output.stderr));
    }
}

/// Decodes bytes as one kind of message.
fn decode(kind: &str, bytes: &[u8]) -> Result<(), DecodeError> {
    match kind {
        "hb" => codec::decode::<Heartbeat>(bytes).map(drop),
        "obs" => codec::decode::<Observation>(bytes).map(drop),
        "cmd" => codec::decode::<Order>(bytes).map(drop),
        "rep" => codec::decode::<Report>(bytes).map(drop),
        _ => panic!("no message of kind {kind}"),
    }
}

#[test]
fn messages_are_refused_with_what_was_found_and_what_is_allowed() {
    let cases = case::all("wire");
    let mut wrong = Vec::new();
    for case in &cases {
        match decode(case.message.as_deref().unwrap_or_default(), &case.input) {
            Ok(()) => wrong.push(format!("{}: accepted", case.name)),
            Err(error) => wrong.extend(case.missing_parts(&Chain(&error).to_string())),
        }
    }
    judge("wire", cases.len(), 20, &wrong);
}

#[test]
fn messages_that_no_build_understands_do_not_break_the_decoding_program() {
    let cases = case::all("wire");
    let mut wrong = Vec::new();
    for case in &cases {
        // It takes every kind, so a message that is only of another kind than this subject's is shown.
        if case.name == "kind-other.case" {
            continue;
        }
        let mut child = command("pointsman-agent", &case::corpus())
            .arg("decode")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may stop reading before the end of a message that is too large.
        drop(child.stdin.take().unwrap().write_all(&case.input));
        let output = child.wait_with_output().unwrap();
        wrong.extend(ending(case, &output, 1));
        if output.stderr.is_empty() {
            wrong.push(format!("{}: refused without a word", case.name));
        }
    }
    judge("wire", cases.len(), 20, &wrong);
}

#[test]
fn arguments_are_refused_by_the_programs() {
    let cases = case::all("arguments");
    let mut wrong = Vec::new();
    let empty = tempfile::tempdir().unwrap();
    for case in &cases {
        let name = case.program.as_deref().unwrap_or_default();
        let output = command(name, empty.path())
            .args(&case.arguments)
            .output()
            .unwrap();
        wrong.extend(ending(case, &output, USAGE));
        wrong.extend(case.missing_parts(&text(&output.stderr)));
    }
    judge("arguments", cases.len(), 30, &wrong);
}
