//! The workloads of the lab's service, as its stack file declares them.

/// One workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabWorkload {
    /// Its name in the stack file.
    pub name: &'static str,
    /// `Deployment` or `StatefulSet`.
    pub kind: &'static str,
    /// Its object name.
    pub object: &'static str,
    /// Replicas in the live site.
    pub replicas: u32,
    /// Its wave.
    pub wave: u32,
}

/// Namespace of all of them.
pub const NAMESPACE: &str = "ess";

/// All of them, lowest wave first.
pub const WORKLOADS: [LabWorkload; 4] = [
    LabWorkload {
        name: "synapse-main",
        kind: "StatefulSet",
        object: "ess-synapse-main",
        replicas: 1,
        wave: 1,
    },
    LabWorkload {
        name: "authentication",
        kind: "Deployment",
        object: "ess-matrix-authentication-service",
        replicas: 1,
        wave: 1,
    },
    LabWorkload {
        name: "haproxy",
        kind: "Deployment",
        object: "ess-haproxy",
        replicas: 2,
        wave: 2,
    },
    LabWorkload {
        name: "element-web",
        kind: "Deployment",
        object: "ess-element-web",
        replicas: 2,
        wave: 3,
    },
];

impl LabWorkload {
    /// Its path in the Kubernetes API.
    pub fn path(&self) -> String {
        let plural = if self.kind == "StatefulSet" {
            "statefulsets"
        } else {
            "deployments"
        };
        format!(
            "/apis/apps/v1/namespaces/{NAMESPACE}/{plural}/{}",
            self.object
        )
    }
}
