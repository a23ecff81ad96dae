//! An approval: what is approved is shown first, the site that must be off is typed by hand.

use std::process::ExitCode;

use coordinator::reply::ShowReply;
use coordinator::screen;
use decision::{ApprovalRequest, Proposal, StatusView};
use serde_json::{Value, json};
use shared::subject::Verb;

use super::arguments::Approve;
use super::failure::Failure;
use super::link::Link;
use super::terminal::Terminal;
use super::{changing, following, reading};

/// Approves.
pub(crate) async fn run(
    link: &Link,
    terminal: Terminal,
    approve: Approve,
) -> Result<ExitCode, Failure> {
    let shown: ShowReply = link.get(Verb::Show, &reading::about(&approve.id)).await?;
    let proposal = &shown.proposal;
    let attest_site_off = if approve.yes {
        approve.attest_site_off.clone()
    } else {
        consider(link, &shown, &approve).await?
    };
    let request = ApprovalRequest {
        proposal: proposal.id,
        digest: approve
            .digest
            .clone()
            .unwrap_or_else(|| proposal.digest.to_string()),
        attest_site_off,
        overrides: approve.overrides.iter().cloned().collect(),
        reason: approve.reason.clone(),
    };
    changing::run(link, terminal, Verb::Approve, json!(request)).await?;
    if approve.follow {
        return following::run(link, terminal, &proposal.id.to_string()).await;
    }
    if !terminal.json {
        let status: StatusView = link.get(Verb::Status, &Value::Null).await?;
        terminal.print(&format!("\n{}", screen::status::render(&status)));
        Terminal::say(&format!(
            "follow it with: pointsman show {} --watch",
            proposal.id.short()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows everything to the operator, and gets their word.
async fn consider(
    link: &Link,
    shown: &ShowReply,
    approve: &Approve,
) -> Result<Option<String>, Failure> {
    let proposal = &shown.proposal;
    let status: StatusView = link.get(Verb::Status, &Value::Null).await?;
    Terminal::say(&screen::status::render(&status));
    Terminal::say(&screen::proposal::render(
        proposal,
        shown.run.as_ref(),
        shown.from.as_of,
    ));
    same_digest(proposal, approve)?;
    let attested = match (&proposal.needs.attest_site_off, &approve.attest_site_off) {
        (Some(site), None) => {
            Terminal::say(&format!(
                "Nothing proves that {site} is stopped. If it still writes, data will be lost."
            ));
            Some(Terminal::ask(
                "Type the name of the site that you vouch is off:",
            )?)
        }
        (_, given) => given.clone(),
    };
    let question = format!(
        "Approve the move of {} from {} to {} (digest {})?",
        proposal.plan.stack,
        proposal.plan.from,
        proposal.plan.to,
        proposal.digest.short()
    );
    Terminal::confirm(&question)?;
    Ok(attested)
}

fn same_digest(proposal: &Proposal, approve: &Approve) -> Result<(), Failure> {
    match &approve.digest {
        Some(digest) if !proposal.digest.matches(digest) => Err(Failure::Usage(format!(
            "the digest given is {digest:?}, the proposal's is {}: read it again above",
            proposal.digest.short()
        ))),
        _ => Ok(()),
    }
}
