//! Standard output for results, standard error for talk, standard input for answers.

use std::io::{BufRead, IsTerminal, Write};

use super::arguments::Color;
use super::failure::Failure;

/// The operator's terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    colored: bool,
    /// JSON instead of tables.
    pub(crate) json: bool,
}

impl Terminal {
    pub(crate) fn new(color: Color, json: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colored = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => !plain && std::io::stdout().is_terminal(),
        };
        Self {
            colored: colored && !json,
            json,
        }
    }

    /// A result. A reader that went away ends the program quietly.
    pub(crate) fn print(self, text: &str) {
        let text = if self.colored {
            painted(text)
        } else {
            text.to_owned()
        };
        let mut out = std::io::stdout().lock();
        let newline = if text.ends_with('\n') { "" } else { "\n" };
        if write!(out, "{text}{newline}")
            .and_then(|()| out.flush())
            .is_err()
        {
            std::process::exit(0);
        }
    }

    /// Talk; a closed standard error is no reason to stop.
    pub(crate) fn say(text: &str) {
        let _written = writeln!(std::io::stderr(), "{text}");
    }

    /// Begins a screen anew, between two rounds of `--watch`.
    pub(crate) fn begin_anew(self) {
        if !self.json && std::io::stdout().is_terminal() {
            let _written = write!(std::io::stdout(), "\u{1b}[H\u{1b}[2J");
        }
    }

    /// Asks for a line.
    pub(crate) fn ask(question: &str) -> Result<String, Failure> {
        let _written =
            write!(std::io::stderr(), "{question} ").and_then(|()| std::io::stderr().flush());
        let mut line = String::new();
        match std::io::stdin().lock().read_line(&mut line) {
            Ok(0) => Err(Failure::Usage(
                "nobody answered on standard input; nothing was done (see --yes)".to_owned(),
            )),
            Ok(_) => Ok(line.trim().to_owned()),
            Err(error) => Err(Failure::Failed(format!(
                "standard input cannot be read: {error}"
            ))),
        }
    }

    /// Only the word `yes` counts.
    pub(crate) fn confirm(question: &str) -> Result<(), Failure> {
        if Self::ask(&format!("{question} Only the word yes counts:"))? == "yes" {
            Ok(())
        } else {
            Err(Failure::Failed(
                "not confirmed; nothing was done".to_owned(),
            ))
        }
    }
}

fn painted(text: &str) -> String {
    text.replace("CRITICAL", "\u{1b}[1;31mCRITICAL\u{1b}[0m")
        .replace("WARNING", "\u{1b}[1;33mWARNING\u{1b}[0m")
        .replace("UNPROTECTED", "\u{1b}[1;31mUNPROTECTED\u{1b}[0m")
}
