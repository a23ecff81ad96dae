//! The site's Kubernetes API: few calls, each with a bound, no retries behind the caller's back.
//!
//! A write that got no answer is unknown, not failed: the caller reads before it decides again.

mod object;

use std::time::Duration;

use hyper::{Method, Request};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::de::DeserializeOwned;
use serde_json::json;
use shared::stack::WorkloadKind;

pub(crate) use self::object::{ContainerStatus, Pod, Scale, Workload};
use crate::config::KubernetesConfig;

/// Pods read at once; more than a wave of one workload ever has.
const PODS_MAX: u32 = 500;

/// Why the API did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(String),
    /// There is no such object.
    #[error("{object} does not exist")]
    NotFound {
        /// What was asked for.
        object: String,
    },
    /// Somebody else wrote the object since it was read.
    #[error("{object} was changed by somebody else meanwhile")]
    Conflict {
        /// What was to be written.
        object: String,
    },
    /// The API said no.
    #[error("the API refuses {object}: {message} ({code})")]
    Refused {
        /// What was asked for.
        object: String,
        /// The HTTP status.
        code: u16,
        /// What it said.
        message: String,
    },
    /// No answer in time; a write may have been done.
    #[error("no answer from the API within {} ms", .0.as_millis())]
    Silent(Duration),
    /// The API cannot be reached, or the connection broke; a write may have been done.
    #[error("the API cannot be reached: {0}")]
    Unreachable(String),
}

/// One workload's address.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    path: String,
    name: String,
}

/// A client of the site's API.
#[derive(Clone)]
pub(crate) struct Cluster {
    client: Client,
    timeout: Duration,
    field_manager: String,
}

impl Cluster {
    /// Reads the kubeconfig. Nothing is asked of the API yet.
    pub(crate) async fn open(config: &KubernetesConfig) -> Result<Self, ClusterError> {
        let unfit = |error: &dyn std::error::Error| ClusterError::Kubeconfig(error.to_string());
        let kubeconfig =
            Kubeconfig::read_from(&config.kubeconfig).map_err(|error| unfit(&error))?;
        let options = KubeConfigOptions {
            context: config.context.clone(),
            ..KubeConfigOptions::default()
        };
        let loading = Box::pin(kube::Config::from_custom_kubeconfig(kubeconfig, &options));
        let mut settings = loading.await.map_err(|error| unfit(&error))?;
        let timeout = config.timeout.duration();
        settings.connect_timeout = Some(timeout);
        settings.read_timeout = Some(timeout);
        settings.write_timeout = Some(timeout);
        settings.reset_reader_on_write = true;
        settings.default_retry = false;
        let client = Client::try_from(settings).map_err(|error| unfit(&error))?;
        Ok(Self {
            client,
            timeout,
            field_manager: config.field_manager.clone(),
        })
    }

    /// Whether the API answers at all.
    pub(crate) async fn version(&self) -> Result<(), ClusterError> {
        let _: serde_json::Value = self
            .call(Method::GET, "/version", None, "the API's version")
            .await?;
        Ok(())
    }

    /// A workload.
    pub(crate) async fn workload(
        &self,
        kind: WorkloadKind,
        namespace: &str,
        name: &str,
    ) -> Result<Workload, ClusterError> {
        let place = place(kind, namespace, name)?;
        self.call(Method::GET, &place.path, None, &place.name).await
    }

    /// A workload's scale.
    pub(crate) async fn scale(
        &self,
        kind: WorkloadKind,
        namespace: &str,
        name: &str,
    ) -> Result<Scale, ClusterError> {
        let place = place(kind, namespace, name)?;
        self.call(
            Method::GET,
            &format!("{}/scale", place.path),
            None,
            &place.name,
        )
        .await
    }

    /// Sets a workload's replicas, if it is still at the revision that was read.
    pub(crate) async fn set_replicas(
        &self,
        kind: WorkloadKind,
        namespace: &str,
        name: &str,
        replicas: u32,
        resource_version: &str,
    ) -> Result<Scale, ClusterError> {
        let place = place(kind, namespace, name)?;
        let manager: String = self
            .field_manager
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        let path = format!("{}/scale?fieldManager={manager}", place.path);
        let patch = json!({"metadata": {"resourceVersion": resource_version}, "spec": {"replicas": replicas}});
        self.call(Method::PATCH, &path, Some(patch.to_string()), &place.name)
            .await
    }

    /// The pods of a selector, terminating ones included.
    pub(crate) async fn pods(
        &self,
        namespace: &str,
        selector: &str,
    ) -> Result<Vec<Pod>, ClusterError> {
        let what = format!("pods of {namespace}");
        if !is_object_name(namespace) {
            return Err(ClusterError::NotFound { object: what });
        }
        let query = escaped(selector);
        let path =
            format!("/api/v1/namespaces/{namespace}/pods?limit={PODS_MAX}&labelSelector={query}");
        let list: object::PodList = self.call(Method::GET, &path, None, &what).await?;
        Ok(list.items)
    }

    /// The name under which the agent's writes are recorded.
    pub(crate) fn field_manager(&self) -> &str {
        &self.field_manager
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        patch: Option<String>,
        object: &str,
    ) -> Result<T, ClusterError> {
        let mut request = Request::builder().method(method).uri(path);
        if patch.is_some() {
            request = request.header("content-type", "application/merge-patch+json");
        }
        let request = request
            .body(patch.unwrap_or_default().into_bytes())
            .map_err(|error| ClusterError::Unreachable(error.to_string()))?;
        match tokio::time::timeout(self.timeout, Box::pin(self.client.request(request))).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(explain(error, object)),
            Err(_elapsed) => Err(ClusterError::Silent(self.timeout)),
        }
    }
}

fn explain(error: kube::Error, object: &str) -> ClusterError {
    let object = object.to_owned();
    if let kube::Error::Api(status) = error {
        return match status.code {
            404 => ClusterError::NotFound { object },
            409 => ClusterError::Conflict { object },
            code => ClusterError::Refused {
                object,
                code,
                message: status.message,
            },
        };
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    ClusterError::Unreachable(text)
}

fn place(kind: WorkloadKind, namespace: &str, name: &str) -> Result<Place, ClusterError> {
    let object = format!("{} {namespace}/{name}", kind.as_str());
    // A name that is none must not choose another path.
    if !is_object_name(namespace) || !is_object_name(name) {
        return Err(ClusterError::NotFound { object });
    }
    let plural = match kind {
        WorkloadKind::Deployment => "deployments",
        WorkloadKind::StatefulSet => "statefulsets",
    };
    Ok(Place {
        path: format!("/apis/apps/v1/namespaces/{namespace}/{plural}/{name}"),
        name: object,
    })
}

/// Whether a text is a name as Kubernetes gives them to objects (RFC 1123 subdomain).
pub(crate) fn is_object_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    text.len() <= 253
        && text.chars().all(fits)
        && ends(text.chars().next())
        && ends(text.chars().last())
}

/// A query value.
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_choose_another_path() {
        assert!(is_object_name("ess-synapse.main-0"));
        for bad in ["", "-a", "a-", "a/b", "A", "a%2f", "..", "a b"] {
            assert!(!is_object_name(bad), "{bad}");
        }
        let error = place(WorkloadKind::Deployment, "ess", "../secrets").unwrap_err();
        assert!(error.to_string().contains("does not exist"));
    }

    #[test]
    fn selectors_are_escaped() {
        assert_eq!(escaped("a=b,c in (d)"), "a%3Db%2Cc%20in%20%28d%29");
    }
}
