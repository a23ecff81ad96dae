//! What an API server tells about itself: version, groups, resources.
//!
//! Enough for `kubectl` and client libraries to map kinds to paths; the aggregated form and `OpenAPI`
//! are not served.

use serde_json::{Value, json};

use super::resource::{Resource, ResourceTable};

/// The answer to a discovery path, or `None` when `path` is none.
pub(super) fn answer(table: &ResourceTable, path: &str) -> Option<Value> {
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match segments.as_slice() {
        ["version"] => Some(version()),
        ["api"] => Some(json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        })),
        ["apis"] => {
            let groups: Vec<Value> = table.groups().iter().map(group).collect();
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["apis", name] => table
            .groups()
            .iter()
            .find(|(known, _)| known == name)
            .map(|found| {
                let mut answer = group(found);
                answer["kind"] = json!("APIGroup");
                answer["apiVersion"] = json!("v1");
                answer
            }),
        ["api", version] => resources(table, "", version),
        ["apis", group, version] => resources(table, group, version),
        _ => None,
    }
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": "32",
        "gitVersion": "v1.32.0+standin",
        "gitCommit": "0000000000000000000000000000000000000000",
        "gitTreeState": "clean",
        "buildDate": "2024-12-11T00:00:00Z",
        "goVersion": "go1.23.3",
        "compiler": "gc",
        "platform": "linux/amd64",
    })
}

fn group((name, versions): &(&str, Vec<&str>)) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    json!({"name": name, "preferredVersion": versions.first(), "versions": versions})
}

fn resources(table: &ResourceTable, group: &str, version: &str) -> Option<Value> {
    let rows: Vec<&Resource> = table
        .rows()
        .iter()
        .filter(|row| row.group == group && row.version == version)
        .collect();
    let group_version = rows.first()?.api_version();
    let mut listed = Vec::new();
    for row in rows {
        listed.push(json!({
            "name": row.plural,
            "singularName": row.kind.to_lowercase(),
            "namespaced": row.namespaced,
            "kind": row.kind,
            "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update",
                "watch"],
            "shortNames": row.short_names,
        }));
        listed.push(subresource(row, "status", &row.kind));
        if row.scalable {
            let mut scale = subresource(row, "scale", "Scale");
            scale["group"] = json!("autoscaling");
            scale["version"] = json!("v1");
            listed.push(scale);
        }
    }
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": listed,
    }))
}

fn subresource(row: &Resource, name: &str, kind: &str) -> Value {
    json!({
        "name": format!("{}/{name}", row.plural),
        "singularName": "",
        "namespaced": row.namespaced,
        "kind": kind,
        "verbs": ["get", "patch", "update"],
    })
}
