//! Samples the watched workloads.

use shared::clock::Millis;
use shared::wire::{ClusterSample, WorkloadSample};
use tokio::time::MissedTickBehavior;

use super::{Reading, Writer};
use crate::clock;
use crate::cluster::{Cluster, ClusterError};
use crate::config::{KubernetesConfig, Watched};

/// Samples for ever.
pub(crate) async fn run(config: KubernetesConfig, writer: Writer<ClusterSample>) {
    let mut cluster = None;
    let mut told = None;
    let mut ticks = tokio::time::interval(config.every.duration());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let workloads = sample(&config, &mut cluster).await;
        let reachable = workloads.is_ok();
        if told != Some(reachable) {
            match &workloads {
                Ok(_) => tracing::info!("the Kubernetes API answers"),
                Err(error) => tracing::warn!(%error, "the Kubernetes API does not answer"),
            }
            told = Some(reachable);
        }
        let sample = ClusterSample {
            reachable,
            age_ms: Millis(0),
            workloads: workloads.unwrap_or_default(),
        };
        writer.send_replace(Some(Reading {
            at: clock::mono(),
            value: sample,
        }));
    }
}

async fn sample(
    config: &KubernetesConfig,
    kept: &mut Option<Cluster>,
) -> Result<Vec<WorkloadSample>, ClusterError> {
    let cluster = match kept {
        Some(cluster) => cluster,
        None => kept.insert(Cluster::open(config).await?),
    };
    let mut workloads = Vec::with_capacity(config.watch.len());
    for watched in &config.watch {
        workloads.push(workload(cluster, watched).await?);
    }
    if config.watch.is_empty() {
        cluster.version().await?;
    }
    Ok(workloads)
}

async fn workload(cluster: &Cluster, watched: &Watched) -> Result<WorkloadSample, ClusterError> {
    let object = format!("{}/{}", watched.namespace, watched.object);
    let found = cluster
        .workload(watched.kind, &watched.namespace, &watched.object)
        .await;
    match found {
        Ok(workload) => Ok(WorkloadSample {
            object,
            wanted: Some(workload.wanted()),
            ready: workload.status.ready_replicas,
        }),
        Err(ClusterError::NotFound { .. }) => Ok(WorkloadSample {
            object,
            wanted: None,
            ready: 0,
        }),
        Err(error) => Err(error),
    }
}
