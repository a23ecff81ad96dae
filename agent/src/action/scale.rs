//! Scales the workloads of a wave together, and waits until each is what `kubectl rollout status` calls done.
//!
//! Stopped means more: no replica and no pod left, terminating ones included, for a terminating pod still
//! writes. A count that somebody sets back is said with that somebody's name, not waited out.

mod rollout;
mod trouble;

use std::time::Duration;

use serde_json::Value;
use shared::wire::{ProofLine, ScaleTarget};

use self::rollout::Rollout;
use super::{Job, Result, Seen, failed};
use crate::cluster::{Cluster, ClusterError, Workload};

const POLL: Duration = Duration::from_millis(300);
/// Pause after a call that got no answer.
const PAUSE: Duration = Duration::from_millis(500);

pub(super) async fn perform(job: &Job<'_>, targets: &[ScaleTarget]) -> Result<Vec<ProofLine>> {
    let cluster = job.cluster().await?;
    let mut proof = Vec::new();
    for target in targets {
        proof.push(ProofLine::new(
            &words(target),
            &write(job, &cluster, target).await?,
        ));
    }
    let mut open: Vec<&ScaleTarget> = targets.iter().collect();
    loop {
        let mut waiting = Vec::new();
        let mut left = Vec::new();
        for target in open {
            match judge(&cluster, target).await {
                Ok(Rollout::Done(found)) => proof.push(ProofLine::new(&words(target), &found)),
                Ok(Rollout::Waiting(why)) => {
                    waiting.push(format!("{}: {why}", words(target)));
                    left.push(target);
                }
                Ok(Rollout::Failed(why)) => {
                    return Err(failed(format!("{}: {why}", words(target))));
                }
                Err(error) => {
                    waiting.push(format!("{}: {error}", words(target)));
                    left.push(target);
                }
            }
        }
        if left.is_empty() {
            return Ok(proof);
        }
        open = left;
        if job.is_over() {
            return Err(failed(format!("not in time: {}", waiting.join("; "))));
        }
        job.progress.set(waiting.join("; "));
        tokio::time::sleep(POLL).await;
    }
}

/// Whether a scaling that was cut off has had its effect.
pub(super) async fn look(job: &Job<'_>, targets: &[ScaleTarget]) -> Seen {
    let Ok(cluster) = job.cluster().await else {
        return Seen::NotDone("the cluster's API cannot be asked".to_owned());
    };
    let mut proof = Vec::new();
    for target in targets {
        match judge(&cluster, target).await {
            Ok(Rollout::Done(found)) => proof.push(ProofLine::new(&words(target), &found)),
            Ok(Rollout::Waiting(why) | Rollout::Failed(why)) => {
                return Seen::NotDone(format!("{}: {why}", words(target)));
            }
            Err(error) => return Seen::NotDone(format!("{}: {error}", words(target))),
        }
    }
    Seen::Done(proof)
}

/// Writes the count unless it is already there. After a call without answer it is read again.
async fn write(job: &Job<'_>, cluster: &Cluster, target: &ScaleTarget) -> Result<String> {
    let mut confirmed = None;
    loop {
        match write_once(job, cluster, target, &mut confirmed).await? {
            Ok(found) => return Ok(found),
            Err(ClusterError::NotFound { object }) => {
                return Err(failed(format!("{object} does not exist")));
            }
            Err(
                error @ ClusterError::Refused {
                    code: 400..=428, ..
                },
            ) => return Err(failed(error.to_string())),
            Err(error) => {
                if job.is_over() {
                    return Err(super::Stop::Failed {
                        reason: format!("{} cannot be written in time: {error}", words(target)),
                        pending: false,
                    });
                }
                job.progress.set(format!("{}: {error}", words(target)));
                tokio::time::sleep(if matches!(error, ClusterError::Conflict { .. }) {
                    POLL
                } else {
                    PAUSE
                })
                .await;
            }
        }
    }
}

async fn write_once(
    job: &Job<'_>,
    cluster: &Cluster,
    target: &ScaleTarget,
    confirmed: &mut Option<crate::grant::Confirmed>,
) -> Result<std::result::Result<String, ClusterError>> {
    let ScaleTarget {
        kind,
        namespace,
        object,
        replicas,
    } = target;
    let scale = match cluster.scale(*kind, namespace, object).await {
        Ok(scale) => scale,
        Err(error) => return Ok(Err(error)),
    };
    if scale.spec.replicas == *replicas {
        return Ok(Ok(format!("wants {replicas} already")));
    }
    // Only more than nothing makes this site live.
    if *replicas > 0 && confirmed.is_none_or(|confirmed| !confirmed.is_fresh()) {
        *confirmed = Some(job.confirm_grant().await?);
    }
    job.progress
        .set(format!("{}: writing the count", words(target)));
    let written = cluster
        .set_replicas(
            *kind,
            namespace,
            object,
            *replicas,
            &scale.metadata.resource_version,
        )
        .await;
    Ok(written.map(|_| format!("was {}, set to {replicas}", scale.spec.replicas)))
}

async fn judge(
    cluster: &Cluster,
    target: &ScaleTarget,
) -> std::result::Result<Rollout, ClusterError> {
    let ScaleTarget {
        kind,
        namespace,
        object,
        replicas,
    } = target;
    let workload = cluster.workload(*kind, namespace, object).await?;
    if workload.wanted() != *replicas {
        let who = last_writer(&workload, cluster.field_manager());
        return Ok(Rollout::Failed(format!(
            "reverted to {} by {who}",
            workload.wanted()
        )));
    }
    let rollout = rollout::judge(*kind, &workload);
    let is_waiting = matches!(rollout, Rollout::Waiting(_));
    if *replicas > 0 && !is_waiting {
        return Ok(rollout);
    }
    let scale = cluster.scale(*kind, namespace, object).await?;
    let pods = cluster.pods(namespace, &scale.status.selector).await?;
    Ok(match rollout {
        Rollout::Waiting(why) => Rollout::Waiting(match trouble::reason(&workload, &pods) {
            Some(reason) => format!("{why} ({reason})"),
            None => why,
        }),
        Rollout::Done(_) if scale.status.selector.is_empty() => {
            Rollout::Failed("its scale has no selector, so its pods cannot be counted".to_owned())
        }
        Rollout::Done(_) if scale.status.replicas > 0 || !pods.is_empty() => {
            let terminating = pods
                .iter()
                .filter(|pod| pod.metadata.deletion_timestamp.is_some())
                .count();
            Rollout::Waiting(format!(
                "{} pods are left, {terminating} of them terminating",
                pods.len()
            ))
        }
        rest @ (Rollout::Done(_) | Rollout::Failed(_)) => rest,
    })
}

/// Who wrote the count last, besides the agent.
fn last_writer(workload: &Workload, own: &str) -> String {
    let fields = workload.metadata.managed_fields.iter();
    let writers = fields.filter(|entry| {
        let written = &entry.fields_v1["f:spec"]["f:replicas"];
        *written != Value::Null && entry.manager != own
    });
    writers.max_by(|a, b| a.time.cmp(&b.time)).map_or_else(
        || "somebody unknown".to_owned(),
        |entry| format!("{:?}", entry.manager),
    )
}

fn words(target: &ScaleTarget) -> String {
    format!(
        "{} {}/{}",
        target.kind.as_str(),
        target.namespace,
        target.object
    )
}
