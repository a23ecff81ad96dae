//! Reads the logs of agents and coordinators for lines that somebody would be woken by.
//!
//! Every WARN and ERROR counts, and so does every line that is no log line at all, such as a panic's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A line that may stand in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// A program's name; `*` at its end stands for any rest.
    pub program: String,
    /// A text that the line holds.
    pub text: String,
}

/// A line that needs an allowance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Whose log it stands in.
    pub program: String,
    /// The line.
    pub line: String,
}

impl Allowance {
    /// Whether it is about this program.
    pub fn is_about(&self, program: &str) -> bool {
        match self.program.strip_suffix('*') {
            Some(start) => program.starts_with(start),
            None => self.program == program,
        }
    }

    fn covers(&self, complaint: &Complaint) -> bool {
        self.is_about(&complaint.program) && complaint.line.contains(&self.text)
    }
}

/// How many lines each program had logged at some moment.
pub type Marks = BTreeMap<String, usize>;

/// Marks this moment.
///
/// # Errors
/// When a log cannot be read.
pub fn mark(logs: &[(String, PathBuf)]) -> Result<Marks> {
    let counted = |(program, path): &(String, PathBuf)| {
        let count = lines(path)?.len();
        Ok((program.clone(), count))
    };
    logs.iter().map(counted).collect()
}

/// Every complaint in the logs since a moment.
///
/// # Errors
/// When a log cannot be read.
pub fn complaints(logs: &[(String, PathBuf)], since: &Marks) -> Result<Vec<Complaint>> {
    let mut all = Vec::new();
    for (program, path) in logs {
        let new = lines(path)?.into_iter();
        let new = new.skip(since.get(program).copied().unwrap_or(0));
        for line in new.filter(|line| complains(line)) {
            let program = program.clone();
            all.push(Complaint { program, line });
        }
    }
    Ok(all)
}

/// The complaints that nothing allows.
pub fn unexpected(complaints: &[Complaint], allowed: &[Allowance]) -> Vec<Complaint> {
    let covered = |complaint: &&Complaint| allowed.iter().any(|it| it.covers(complaint));
    let rest = complaints.iter().filter(|complaint| !covered(complaint));
    rest.cloned().collect()
}

/// How many lines of each program of `about` hold its text, since a moment.
///
/// # Errors
/// When a log cannot be read.
pub fn count(
    logs: &[(String, PathBuf)],
    about: &Allowance,
    since: &Marks,
) -> Result<Vec<(String, usize)>> {
    let mut counts = Vec::new();
    for (program, path) in logs.iter().filter(|(program, _)| about.is_about(program)) {
        let fitting = lines(path)?;
        let fitting = fitting
            .iter()
            .skip(since.get(program).copied().unwrap_or(0));
        let fitting = fitting.filter(|line| line.contains(&about.text));
        counts.push((program.clone(), fitting.count()));
    }
    Ok(counts)
}

fn lines(path: &Path) -> Result<Vec<String>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        // A program that was never started has said nothing.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().map(ToOwned::to_owned).collect())
}

/// A log line is `TIME LEVEL …`; whatever is not INFO or below complains.
fn complains(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let Some(time) = words.next() else {
        return false;
    };
    let quiet = matches!(words.next(), Some("INFO" | "DEBUG" | "TRACE"));
    !(quiet && time.ends_with('Z'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_information_complains() {
        assert!(!complains("2026-01-01T00:00:00Z  INFO agent started"));
        assert!(!complains(""));
        assert!(complains("2026-01-01T00:00:00Z  WARN odd"));
        assert!(complains("2026-01-01T00:00:00Z ERROR bad"));
        assert!(complains("thread 'main' panicked at src/main.rs:1:1:"));
        assert!(complains("INFO without a time"));
    }

    #[test]
    fn an_allowance_is_for_its_programs_and_text_alone() {
        let complaint = |program: &str| Complaint {
            program: program.to_owned(),
            line: "t WARN the store is gone".to_owned(),
        };
        let allowance = |program: &str, text: &str| Allowance {
            program: program.to_owned(),
            text: text.to_owned(),
        };
        let all = [complaint("agent-dc1-db"), complaint("coordinator-dc1")];
        assert_eq!(
            unexpected(&all, &[allowance("agent-*", "store is gone")]),
            all[1..]
        );
        assert_eq!(unexpected(&all, &[allowance("*", "store is gone")]), []);
        assert_eq!(unexpected(&all, &[allowance("*", "else")]), all);
        assert_eq!(unexpected(&all, &[allowance("agent", "store")]), all);
    }
}
