//! What the coordinators say of the stack, asked as `nats req` asks.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use decision::{FindingCode, Phase, StatusView};
use tokio::time::sleep;

use super::STACK;
use crate::nats_wire::Wire;

const ANSWER: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(250);

/// Asks once.
///
/// # Errors
/// When nobody answers in three seconds.
pub async fn ask(address: SocketAddr) -> Result<StatusView> {
    let mut wire = Wire::connect(address, ANSWER).await?;
    let subject = format!("pointsman.{STACK}.status.json");
    let answer = wire.request(&subject, b"", ANSWER).await?;
    if let Some(status) = answer.status.filter(|status| *status >= 400) {
        bail!("{subject}: status {status}");
    }
    let text = String::from_utf8_lossy(&answer.payload);
    serde_json::from_str(&text).with_context(|| format!("an unreadable status: {text}"))
}

/// Asks until the answer is as wanted.
///
/// # Errors
/// When it is not `within`; says what the last answer was.
pub async fn wait(
    address: SocketAddr,
    what: &str,
    within: Duration,
    wanted: impl Fn(&StatusView) -> bool,
) -> Result<StatusView> {
    let deadline = Instant::now() + within;
    loop {
        let answer = ask(address).await;
        let last = match answer {
            Ok(view) if wanted(&view) => return Ok(view),
            Ok(view) => summary(&view),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() > deadline {
            bail!("not {what} after {within:?}: {last}");
        }
        sleep(POLL).await;
    }
}

/// True when the leader watches and a failover would work now; that the site came and went before is no
/// obstacle, and is said for ten minutes.
pub fn is_protected(view: &StatusView) -> bool {
    view.leads
        && view.phase == Phase::Watching
        && view.readiness.protected
        && view
            .findings
            .iter()
            .all(|it| it.code == FindingCode::Flapping)
}

/// The sentences of one kind of finding.
pub fn sentences(view: &StatusView, code: FindingCode) -> Vec<&str> {
    let of_code = view.findings.iter().filter(|f| f.code == code);
    of_code.map(|finding| finding.sentence.as_str()).collect()
}

/// What matters of a status, in one line.
pub fn summary(view: &StatusView) -> String {
    let findings: Vec<String> = view
        .findings
        .iter()
        .map(|finding| format!("{}: {}", finding.code, finding.sentence))
        .collect();
    format!(
        "{} (phase {:?}, leads {}, protected {}, in the way {:?}, findings {findings:?})",
        view.summary, view.phase, view.leads, view.readiness.protected, view.readiness.obstacles
    )
}
