//! Sets the workloads of a site to zero that another site has replaced: they would serve from an old database.
//!
//! It writes only counts of zero, and only once for an epoch: what an operator starts afterwards is reported, not
//! fought over.

use shared::stack::Workload;

use crate::cluster::{Cluster, ClusterError};
use crate::config::KubernetesConfig;

/// Sets every workload to zero that wants more; gives what was done, a line each.
///
/// # Errors
/// What could not be done; the rest was done all the same.
pub(super) async fn stop(
    config: &KubernetesConfig,
    workloads: &[Workload],
) -> Result<Vec<String>, Vec<String>> {
    let cluster = match Cluster::open(config).await {
        Ok(cluster) => cluster,
        Err(error) => return Err(vec![error.to_string()]),
    };
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for workload in workloads {
        let name = format!(
            "{} {}/{}",
            workload.kind.as_str(),
            workload.namespace,
            workload.object
        );
        match zero(&cluster, workload).await {
            Ok(Some(was)) => done.push(format!("{name} wanted {was}")),
            // One that is not there does not run.
            Ok(None) | Err(ClusterError::NotFound { .. }) => {}
            Err(error) => failed.push(format!("{name}: {error}")),
        }
    }
    if failed.is_empty() {
        Ok(done)
    } else {
        Err(failed)
    }
}

/// What it wanted before; nothing when it wanted none.
async fn zero(cluster: &Cluster, workload: &Workload) -> Result<Option<u32>, ClusterError> {
    let Workload {
        kind,
        namespace,
        object,
        ..
    } = workload;
    let scale = cluster.scale(*kind, namespace, object).await?;
    if scale.spec.replicas == 0 {
        return Ok(None);
    }
    let version = &scale.metadata.resource_version;
    cluster
        .set_replicas(*kind, namespace, object, 0, version)
        .await?;
    Ok(Some(scale.spec.replicas))
}
