//! Following a run, step by step, until it is over; it goes on without anybody looking.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use coordinator::reply::ShowReply;
use coordinator::screen::{self, json};
use decision::{Run, RunState};
use serde_json::json;
use shared::subject::Verb;

use super::failure::Failure;
use super::link::Link;
use super::reading;
use super::terminal::Terminal;

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// A change of the leader is shorter than this.
const SILENCE_MAX: Duration = Duration::from_secs(90);

/// Follows the run of a proposal.
pub(crate) async fn run(
    link: &Link,
    terminal: Terminal,
    proposal: &str,
) -> Result<ExitCode, Failure> {
    let mut told: BTreeMap<u32, String> = BTreeMap::new();
    let mut heard = Instant::now();
    let mut complained = false;
    loop {
        match link
            .get::<ShowReply>(Verb::Show, &reading::about(proposal))
            .await
        {
            Ok(reply) => {
                heard = Instant::now();
                complained = false;
                if let Some(run) = &reply.run {
                    tell(terminal, run, &mut told);
                    if let Some(code) = over(terminal, run) {
                        return Ok(code);
                    }
                }
            }
            Err(failure @ Failure::Unreachable(_)) if heard.elapsed() < SILENCE_MAX => {
                if !std::mem::replace(&mut complained, true) {
                    Terminal::say(&format!("{}; going on asking", failure.words()));
                }
            }
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Prints what changed since the last look.
fn tell(terminal: Terminal, run: &Run, told: &mut BTreeMap<u32, String>) {
    for step in &run.plan.steps {
        let Some(record) = run.steps.get(&step.number) else {
            continue;
        };
        let word = record.outcome.word();
        if told.get(&step.number).is_some_and(|before| before == word) {
            continue;
        }
        told.insert(step.number, word.to_owned());
        if terminal.json {
            let line = json!({ "run": run.id, "step": step.number, "title": step.title, "record": record });
            terminal.print(&json::line(&line));
        } else {
            terminal.print(&screen::text::paragraph(
                "",
                "        ",
                &screen::run::step_line(step, record),
            ));
        }
    }
}

/// The exit code, once the run will not go on by itself.
fn over(terminal: Terminal, run: &Run) -> Option<ExitCode> {
    let code = match &run.state {
        RunState::Running => return None,
        RunState::Completed { .. } => ExitCode::SUCCESS,
        RunState::Halted { .. } | RunState::Abandoned { .. } => ExitCode::FAILURE,
    };
    if terminal.json {
        terminal.print(&json::line(run));
    } else {
        terminal.print(&format!("\n{}", screen::run::render(run)));
    }
    Some(code)
}
