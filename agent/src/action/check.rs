//! Looks whether a precondition of the plan still holds. Changes nothing.

use std::time::Duration;

use shared::clock::Millis;
use shared::lsn::Lsn;
use shared::wire::{CheckExpectation, ProofLine, ScaleTarget};

use super::{Job, Result, failed, promote};
use crate::clock;
use crate::database::Session;
use crate::probe::postgres::look as look_at;

/// A position must have stood still for so long: longer than a living primary's beat.
const STILL: Millis = Millis(1_500);
const PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(250);

pub(super) async fn perform(job: &Job<'_>, expect: &CheckExpectation) -> Result<Vec<ProofLine>> {
    match expect {
        CheckExpectation::Promotable {
            system_identifier,
            timeline,
            min_lsn,
            ..
        } => {
            let wanted = promote::Wanted {
                system_identifier,
                timeline: *timeline,
                min_lsn: *min_lsn,
                slots: &[],
            };
            promotable(job, &wanted).await
        }
        CheckExpectation::WorkloadsPresent { targets } => workloads_present(job, targets).await,
    }
}

async fn promotable(job: &Job<'_>, wanted: &promote::Wanted<'_>) -> Result<Vec<ProofLine>> {
    let config = job.postgres()?;
    let unreachable = |error| failed(format!("the database does not answer: {error}"));
    let session = Session::open(config, PATIENCE).await.map_err(unreachable)?;
    let mut position = None;
    let mut since = clock::mono();
    loop {
        let observed = look_at(&session).await.map_err(unreachable)?;
        promote::check(&observed, wanted)?;
        if position != observed.position {
            position = observed.position;
            since = probed_since(job, position).unwrap_or_else(clock::mono);
        }
        let still = clock::mono().since(since);
        if still >= STILL {
            return Ok(vec![
                ProofLine::new("role", &observed.role_words()),
                ProofLine::new("position", &position.unwrap_or_default().to_string()),
                ProofLine::new("position has stood still for", &still.human()),
                ProofLine::new("obstacles", "none"),
            ]);
        }
        if job.is_over() {
            let reason = format!(
                "its position moves (now {}): the primary lives",
                position.unwrap_or_default()
            );
            return Err(failed(reason));
        }
        job.progress.set("watching whether its position moves");
        tokio::time::sleep(POLL).await;
    }
}

/// Since when the probe has seen this same position.
fn probed_since(job: &Job<'_>, position: Option<Lsn>) -> Option<shared::clock::Mono> {
    let reading = job.scene.database.as_ref()?.borrow();
    let value = &reading.as_ref()?.value;
    (value.sample.received_lsn == position).then_some(value.still_since)
}

async fn workloads_present(job: &Job<'_>, targets: &[ScaleTarget]) -> Result<Vec<ProofLine>> {
    let cluster = job.cluster().await?;
    let mut proof = Vec::with_capacity(targets.len());
    for target in targets {
        let name = format!(
            "{} {}/{}",
            target.kind.as_str(),
            target.namespace,
            target.object
        );
        job.progress.set(format!("looking at {name}"));
        let found = cluster
            .workload(target.kind, &target.namespace, &target.object)
            .await;
        let workload = found.map_err(|error| failed(error.to_string()))?;
        let paused = if workload.spec.paused { ", paused" } else { "" };
        let words = format!(
            "wants {}, ready {}{paused}",
            workload.wanted(),
            workload.status.ready_replicas
        );
        proof.push(ProofLine::new(&name, &words));
    }
    Ok(proof)
}
