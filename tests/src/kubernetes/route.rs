//! Which resource, object and sub-resource a request path names.
//!
//! It reads paths and queries only and knows nothing of what is stored.

use super::resource::{Resource, ResourceTable};

/// What a path under `/api` or `/apis` names.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) resource: Resource,
    /// Empty when the path names no namespace.
    pub(super) namespace: String,
    pub(super) name: Option<String>,
    pub(super) subresource: Option<String>,
}

impl Target {
    /// Resource and sub-resource as access rules name them, such as `deployments/scale`.
    pub(super) fn accessed(&self) -> String {
        match &self.subresource {
            Some(subresource) => format!("{}/{subresource}", self.resource.plural),
            None => self.resource.plural.clone(),
        }
    }
}

/// Reads a path such as `/apis/apps/v1/namespaces/ess/deployments/haproxy/scale`.
pub(super) fn target(table: &ResourceTable, path: &str) -> Option<Target> {
    let segments: Vec<String> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| decode(segment, false))
        .collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (group, version, rest) = match segments.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        ["namespaces", _, "status" | "finalize"] => ("", rest),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        _ => ("", rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (*plural, None, None),
        [plural, name] => (*plural, Some(*name), None),
        [plural, name, subresource] => (*plural, Some(*name), Some(*subresource)),
        _ => return None,
    };
    Some(Target {
        resource: table.by_plural(group, version, plural)?.clone(),
        namespace: namespace.to_owned(),
        name: name.map(str::to_owned),
        subresource: subresource.map(str::to_owned),
    })
}

/// The parameters of a request.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        let pairs = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(key, true), decode(value, true))
            });
        Self(pairs.collect())
    }

    /// The value of `key`, or the empty text.
    pub(super) fn get(&self, key: &str) -> &str {
        self.0
            .iter()
            .find(|(known, _)| known == key)
            .map_or("", |(_, value)| value)
    }

    /// Whether `key` is given as true.
    pub(super) fn flag(&self, key: &str) -> bool {
        matches!(self.get(key), "true" | "1")
    }
}

fn decode(encoded: &str, plus_is_space: bool) -> String {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                let byte = std::str::from_utf8(&digits)
                    .ok()
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok());
                if let Some(byte) = byte {
                    bytes.push(byte);
                    rest = after;
                } else {
                    bytes.push(b'%');
                }
            }
            (b'+', _) if plus_is_space => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_resource_namespace_and_subresource() {
        let table = ResourceTable::with(&[]);
        let scale = target(&table, "/apis/apps/v1/namespaces/ess/deployments/web/scale").unwrap();
        assert_eq!(scale.accessed(), "deployments/scale");
        assert_eq!(
            (scale.namespace.as_str(), scale.name.as_deref()),
            ("ess", Some("web"))
        );
        let one = target(&table, "/api/v1/namespaces/ess").unwrap();
        assert_eq!(
            (one.resource.kind.as_str(), one.name.as_deref()),
            ("Namespace", Some("ess"))
        );
        let pods = target(&table, "/api/v1/namespaces/ess/pods").unwrap();
        assert_eq!((pods.resource.kind.as_str(), pods.name), ("Pod", None));
        assert!(target(&table, "/apis/nope.example/v1/things").is_none());
    }

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("labelSelector=a%3Db%2Cc+in+(d)&watch=1");
        assert_eq!(query.get("labelSelector"), "a=b,c in (d)");
        assert!(query.flag("watch"));
    }
}
