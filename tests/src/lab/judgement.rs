//! Whether a failover was whole: every check is made from outside, none believes what the run says of itself.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use decision::{Run, RunState, Step, StepOutcome, Work};
use serde::Serialize;
use shared::wire::Action;

use super::cluster::Cluster;
use super::status;
use super::traffic::Traffic;
use super::workload::{LabWorkload, WORKLOADS};
use super::world::Lab;
use crate::kubernetes::LoggedRequest;
use crate::postgres::{MAINTENANCE, OWNER, Postgres};

const SOON: Duration = Duration::from_secs(20);
const FRESH: Duration = Duration::from_secs(2);
/// Rows that the client must be acknowledged after the run.
const MORE_ROWS: usize = 20;
const TIMELINE: &str =
    "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int";

/// One thing that had to be so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub what: &'static str,
    /// Whether it was.
    pub holds: bool,
    /// What was found.
    pub found: String,
}

/// Judges a run that has ended.
pub async fn judge(lab: &Lab, traffic: &Traffic, run: &Run) -> Vec<Check> {
    let (from, to) = (run.plan.from.as_str(), run.plan.to.as_str());
    let third = super::SITES
        .into_iter()
        .find(|site| *site != from && *site != to);
    vec![
        check("every step is done", steps(run)),
        check(
            "the client goes on in the new site",
            client(lab, traffic, to).await,
        ),
        check("no two sites were writable at once", overlap(traffic)),
        check("the new site is writable", writable(lab, traffic, to).await),
        check(
            "the third site follows the new timeline",
            follows(lab, traffic, to, third).await,
        ),
        check(
            "the workloads have their declared counts",
            counts(lab, to).await,
        ),
        check("the waves started in their order", waves(lab, to).await),
        check(
            "the right to be live is the new site's",
            right(lab, to).await,
        ),
    ]
}

fn check(what: &'static str, found: Result<String>) -> Check {
    match found {
        Ok(found) => Check {
            what,
            holds: true,
            found,
        },
        Err(error) => Check {
            what,
            holds: false,
            found: format!("{error:#}"),
        },
    }
}

/// The old site cannot be reached, so its fence may fail; nothing else may.
fn steps(run: &Run) -> Result<String> {
    anyhow::ensure!(
        matches!(run.state, RunState::Completed { .. }),
        "the run is {:?}",
        run.state
    );
    let mut done = 0_usize;
    for step in &run.plan.steps {
        match run.steps.get(&step.number).map(|record| &record.outcome) {
            Some(StepOutcome::Done { .. }) => done += 1,
            Some(StepOutcome::Failed { .. }) if is_fence(step) => {}
            other => anyhow::bail!("step {} ({}) is {other:?}", step.number, step.title),
        }
    }
    Ok(format!("{done} of {} done", run.plan.steps.len()))
}

fn is_fence(step: &Step) -> bool {
    matches!(
        &step.work,
        Work::Agent {
            action: Action::Fence { .. },
            ..
        }
    )
}

async fn client(lab: &Lab, traffic: &Traffic, to: &str) -> Result<String> {
    let route = lab.route.read()?;
    let wanted = lab.database(to)?.address();
    anyhow::ensure!(
        route == wanted,
        "the route leads to {route}, not to {wanted}"
    );
    traffic.wait_written_in(to, SOON).await?;
    traffic.wait_more(MORE_ROWS, SOON).await?;
    let record = traffic.record();
    let there = record
        .acknowledged
        .iter()
        .filter(|row| row.site == to)
        .count();
    let last = record.acknowledged.last().map(|row| row.site.as_str());
    anyhow::ensure!(
        last == Some(to),
        "the last row was acknowledged by {last:?}"
    );
    Ok(format!("{there} rows acknowledged in {to}"))
}

fn overlap(traffic: &Traffic) -> Result<String> {
    let overlap = traffic.overlap()?;
    anyhow::ensure!(overlap.is_zero(), "up to {overlap:?}");
    Ok("0 ms".to_owned())
}

async fn writable(lab: &Lab, traffic: &Traffic, to: &str) -> Result<String> {
    anyhow::ensure!(
        !lab.database(to)?.in_recovery().await?,
        "{to} is in recovery"
    );
    let accepted = traffic.accepted(to)?;
    let last = accepted.last().context("no write was accepted")?;
    let age = Instant::now().saturating_duration_since(last.acknowledged);
    anyhow::ensure!(age < FRESH, "the last write was accepted {age:?} ago");
    Ok(format!("{} writes of the probe accepted", accepted.len()))
}

async fn follows(lab: &Lab, traffic: &Traffic, to: &str, third: Option<&str>) -> Result<String> {
    let third = third.context("no third site")?;
    let (primary, replica) = (lab.database(to)?, lab.database(third)?);
    let wanted = timeline(primary).await?;
    let end = primary.current_lsn().await?;
    replica.wait_replayed(end, SOON).await?;
    let found = replica.received_timeline().await?;
    anyhow::ensure!(
        found == Some(wanted),
        "it receives timeline {found:?}, not {wanted}"
    );
    let written = traffic.accepted(third)?.len();
    anyhow::ensure!(written == 0, "{third} accepted {written} writes");
    Ok(format!(
        "{third} receives timeline {wanted} and has replayed what {to} wrote"
    ))
}

async fn timeline(database: &Postgres) -> Result<i32> {
    let session = database.connect(OWNER, MAINTENANCE).await?;
    Ok(session.one(TIMELINE, &[]).await?.try_get(0)?)
}

async fn counts(lab: &Lab, to: &str) -> Result<String> {
    let pods = lab.cluster(to)?.pods().await?;
    for workload in WORKLOADS {
        let declared = u64::from(workload.replicas);
        let found = pods.get(workload.object).copied().unwrap_or_default();
        anyhow::ensure!(
            found == (declared, declared),
            "{} has wanted and ready {found:?}, declared {declared}",
            workload.object
        );
    }
    Ok(format!("{} workloads at their counts", WORKLOADS.len()))
}

/// From the cluster's own request log: the last scaling of a wave comes before the first of the next.
async fn waves(lab: &Lab, to: &str) -> Result<String> {
    let cluster: &Cluster = lab.cluster(to)?;
    let requests = cluster.requests().await?;
    let mut order: Vec<(u32, u64)> = Vec::new();
    for workload in WORKLOADS {
        let scaled = scalings(&requests, &workload);
        anyhow::ensure!(!scaled.is_empty(), "{} was never scaled", workload.object);
        order.extend(scaled.into_iter().map(|sequence| (workload.wave, sequence)));
    }
    order.sort_by_key(|(_, sequence)| *sequence);
    let in_order = order.is_sorted_by_key(|(wave, _)| *wave);
    anyhow::ensure!(in_order, "scaled in the order (wave, request) {order:?}");
    let waves: Vec<String> = order.iter().map(|(wave, _)| wave.to_string()).collect();
    Ok(format!("scaled in the order of waves {}", waves.join(" ")))
}

/// The places in the log at which a workload was scaled.
pub fn scalings(requests: &[LoggedRequest], workload: &LabWorkload) -> Vec<u64> {
    let path = format!("{}/scale", workload.path());
    requests
        .iter()
        .filter(|request| request.is_write() && request.path == path)
        .filter(|request| request.status.is_some_and(|status| status < 300))
        .map(|request| request.sequence)
        .collect()
}

async fn right(lab: &Lab, to: &str) -> Result<String> {
    let view = status::ask(lab.watcher()?).await?;
    let live = view.live_site.as_ref().map(shared::id::SiteName::as_str);
    anyhow::ensure!(
        live == Some(to),
        "it is {live:?}'s: {}",
        status::summary(&view)
    );
    Ok(format!(
        "{to} holds epoch {}",
        view.epoch.map_or(0, |epoch| epoch.0)
    ))
}
