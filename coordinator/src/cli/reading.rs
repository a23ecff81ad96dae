//! Commands that only read.

use std::process::ExitCode;

use coordinator::reply::{
    ExplainReply, HistoryReply, ProposalsReply, ShadowReply, ShowReply, StackReply,
};
use coordinator::screen::{self, json};
use decision::StatusView;
use serde_json::{Value, json};
use shared::clock::Millis;
use shared::subject::Verb;
use shared::wire::Severity;

use super::failure::Failure;
use super::link::{Link, read};
use super::terminal::Terminal;

/// Findings that somebody should look at.
const DEGRADED: u8 = 3;

/// One question, or one again and again.
pub(crate) async fn run(
    link: &Link,
    terminal: Terminal,
    verb: Verb,
    body: Value,
    watch: Option<Millis>,
) -> Result<ExitCode, Failure> {
    let Some(pause) = watch else {
        let value = link.ask(verb, &body).await?;
        terminal.print(&shown(verb, &value, terminal)?);
        return Ok(code(verb, &value));
    };
    loop {
        let round = link
            .ask(verb, &body)
            .await
            .and_then(|value| shown(verb, &value, terminal));
        terminal.begin_anew();
        match round {
            Ok(text) => terminal.print(&text),
            Err(Failure::Refused(reply)) => terminal.print(&screen::refusal::render(&reply)),
            // Whoever watches wants to see it come back.
            Err(failure) => Terminal::say(&failure.words()),
        }
        tokio::time::sleep(pause.duration().max(std::time::Duration::from_millis(200))).await;
    }
}

/// The body of a question about one proposal.
pub(crate) fn about(proposal: &str) -> Value {
    json!({ "proposal": proposal })
}

/// The answer for the operator.
pub(crate) fn shown(verb: Verb, value: &Value, terminal: Terminal) -> Result<String, Failure> {
    if terminal.json {
        return Ok(json::line(value));
    }
    Ok(match verb {
        Verb::Status => screen::status::render(&read::<StatusView>(value)?),
        Verb::Proposals => screen::proposals::render(&read::<ProposalsReply>(value)?),
        Verb::Show => {
            let reply: ShowReply = read(value)?;
            screen::proposal::render(&reply.proposal, reply.run.as_ref(), reply.from.as_of)
        }
        Verb::Shadow => screen::shadow::render(&read::<ShadowReply>(value)?),
        Verb::Explain => screen::explain::render(&read::<ExplainReply>(value)?),
        Verb::History => screen::history::render(&read::<HistoryReply>(value)?),
        Verb::StackShow => screen::stack::render(&read::<StackReply>(value)?),
        Verb::StackCheck => screen::stack::check(&read(value)?),
        Verb::Approve
        | Verb::Reject
        | Verb::Resume
        | Verb::Abandon
        | Verb::Hold
        | Verb::Release
        | Verb::Automatic
        | Verb::Acknowledge
        | Verb::StoreAccept
        | Verb::StackApply => screen::refusal::done(&read(value)?),
    })
}

/// Degraded, when the status says so: a warning, or a failover that would not work.
fn code(verb: Verb, value: &Value) -> ExitCode {
    let degraded = verb == Verb::Status
        && read::<StatusView>(value).is_ok_and(|view| {
            !view.readiness.protected || view.findings.iter().any(|f| f.severity > Severity::Info)
        });
    if degraded {
        ExitCode::from(DEGRADED)
    } else {
        ExitCode::SUCCESS
    }
}
