//! Commands that change something, but for approvals and stack files.

use std::collections::BTreeMap;
use std::process::ExitCode;

use coordinator::reply::DoneReply;
use serde_json::{Value, json};
use shared::id::RunId;
use shared::subject::Verb;

use super::arguments::Past;
use super::failure::Failure;
use super::following;
use super::link::{Link, read};
use super::reading;
use super::terminal::Terminal;

/// Sends a change and prints what became of it.
pub(crate) async fn run(
    link: &Link,
    terminal: Terminal,
    verb: Verb,
    body: Value,
) -> Result<DoneReply, Failure> {
    let value = link.ask(verb, &body).await?;
    terminal.print(&reading::shown(verb, &value, terminal)?);
    read(&value)
}

/// Goes on with a halted run.
pub(crate) async fn resume(
    link: &Link,
    terminal: Terminal,
    id: &str,
    waive: Option<u32>,
    past: Past,
    reason: &str,
    follow: bool,
) -> Result<ExitCode, Failure> {
    let mut body = json!({ "run": id, "waive": waive, "reason": reason });
    if !past.overrides.is_empty() {
        let overrides: BTreeMap<String, String> = past.overrides.into_iter().collect();
        body["overrides"] = json!(overrides);
    }
    if let Some(site) = past.attest_site_off {
        body["attest_site_off"] = json!(site);
    }
    let done = run(link, terminal, Verb::Resume, body).await?;
    let Some(run) = done.run.filter(|_| follow) else {
        return Ok(ExitCode::SUCCESS);
    };
    let proposal = proposal_of(link, run).await?;
    following::run(link, terminal, &proposal).await
}

async fn proposal_of(link: &Link, run: RunId) -> Result<String, Failure> {
    let reply: coordinator::reply::ShowReply =
        link.get(Verb::Show, &reading::about("latest")).await?;
    match reply.run {
        Some(found) if found.id == run => Ok(found.proposal.to_string()),
        _ => Err(Failure::Failed(format!(
            "run {run} is not the latest proposal's; look with `pointsman show`"
        ))),
    }
}
