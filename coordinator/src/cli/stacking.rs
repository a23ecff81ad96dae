//! Stack files: checked here first, compared with what is in force, applied by the leader.

use std::path::Path;
use std::process::ExitCode;

use coordinator::reply::CheckReply;
use coordinator::screen;
use serde_json::{Value, json};
use shared::stack::{STACK_FILE_BYTES_MAX, Stack};
use shared::subject::Verb;

use super::arguments::Options;
use super::changing;
use super::failure::Failure;
use super::link::Link;
use super::reading;
use super::terminal::Terminal;

struct Read {
    stack: Stack,
    file: String,
    text: String,
}

/// Checks a file; the comparison is left out when nobody answers.
pub(crate) async fn check(
    options: &Options,
    terminal: Terminal,
    file: &Path,
) -> Result<ExitCode, Failure> {
    let read = read(file)?;
    let compared = async {
        let link = Link::open(options, Some(&read.stack.name)).await?;
        link.ask(Verb::StackCheck, &body(&read)).await
    };
    match Box::pin(compared).await {
        Ok(value) => terminal.print(&reading::shown(Verb::StackCheck, &value, terminal)?),
        Err(failure @ (Failure::Unreachable(_) | Failure::Unauthorised(_))) => {
            if terminal.json {
                let timing = read.stack.forecast();
                let answer =
                    json!({ "schema": 1, "file": read.file, "good": true, "timing": timing });
                terminal.print(&answer.to_string());
            } else {
                let good = format!("{}: good", screen::text::clean(&read.file));
                let timing = screen::stack::timing(&read.stack.forecast());
                terminal.print(&format!("{good}\n{timing}"));
            }
            Terminal::say(&format!(
                "not compared with what is in force: {}",
                failure.words()
            ));
        }
        Err(failure) => return Err(failure),
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts a file in force.
pub(crate) async fn apply(
    options: &Options,
    terminal: Terminal,
    file: &Path,
    yes: bool,
) -> Result<ExitCode, Failure> {
    let read = read(file)?;
    let link = Link::open(options, Some(&read.stack.name)).await?;
    let check: CheckReply = link.get(Verb::StackCheck, &body(&read)).await?;
    if !yes {
        Terminal::say(&screen::stack::check(&check));
        Terminal::confirm("Put this in force?")?;
    }
    let mut body = body(&read);
    body["replaces"] = json!(check.in_force);
    changing::run(&link, terminal, Verb::StackApply, body).await?;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<Read, Failure> {
    let file = path.display().to_string();
    let cannot = |why: String| Failure::Usage(format!("{file}: cannot be read: {why}"));
    let size = std::fs::metadata(path)
        .map_err(|error| cannot(error.to_string()))?
        .len();
    if size > u64::try_from(STACK_FILE_BYTES_MAX).unwrap_or(u64::MAX) {
        return Err(cannot(format!(
            "found {size} bytes; allowed: at most {STACK_FILE_BYTES_MAX}"
        )));
    }
    let text = std::fs::read_to_string(path).map_err(|error| cannot(error.to_string()))?;
    let stack =
        Stack::parse(&file, &text).map_err(|problems| Failure::Usage(problems.to_string()))?;
    Ok(Read { stack, file, text })
}

fn body(read: &Read) -> Value {
    json!({ "file": read.file, "text": read.text })
}
