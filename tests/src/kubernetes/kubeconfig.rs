//! The kubeconfig with which a client reaches a stand-in.

use serde_json::json;

/// A kubeconfig for one cluster at `url`, as JSON text, which is YAML as well.
///
/// `token` is a bearer token; `namespace` becomes the context's default.
pub fn kubeconfig(url: &str, token: Option<&str>, namespace: &str) -> String {
    let user = token.map_or_else(|| json!({}), |token| json!({"token": token}));
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "standin", "cluster": {"server": url}}],
        "users": [{"name": "standin", "user": user}],
        "contexts": [{
            "name": "standin",
            "context": {"cluster": "standin", "user": "standin", "namespace": namespace},
        }],
        "current-context": "standin",
    });
    format!("{config:#}\n")
}
