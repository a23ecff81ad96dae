//! Who set `spec.replicas`: the `managedFields` entry that names a writer.
//!
//! Only this one field is tracked. Server-side apply and its conflicts are not modelled.

use serde_json::{Value, json};

use super::field::{member, number, text, timestamp};

/// Who writes, and through which door.
#[derive(Debug, Clone)]
pub(super) struct Author {
    /// `fieldManager` of the request, or the program named in its user agent.
    pub(super) name: String,
    /// `scale` or `status` when the write came through a sub-resource.
    pub(super) subresource: Option<&'static str>,
}

impl Author {
    /// A writer of whole objects.
    pub(super) fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            subresource: None,
        }
    }

    /// A writer through the scale sub-resource.
    pub(super) fn scaling(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            subresource: Some("scale"),
        }
    }
}

/// Makes `author` the owner of `spec.replicas` in `after` if its value differs from `before`.
pub(super) fn claim_replicas(before: Option<&Value>, after: &mut Value, author: &Author) {
    let now = number(after, "/spec/replicas");
    let was = before.and_then(|before| number(before, "/spec/replicas"));
    if now.is_none() || now == was {
        return;
    }
    let mut entry = json!({
        "manager": author.name,
        "operation": "Update",
        "apiVersion": text(after, "/apiVersion"),
        "time": timestamp(),
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
    });
    if let (Some(subresource), Some(fields)) = (author.subresource, entry.as_object_mut()) {
        fields.insert("subresource".to_owned(), json!(subresource));
    }
    let Some(metadata) = member(after, "metadata") else {
        return;
    };
    let entries = metadata.entry("managedFields").or_insert_with(|| json!([]));
    if let Some(entries) = entries.as_array_mut() {
        entries.retain(|entry| entry.pointer("/fieldsV1/f:spec/f:replicas").is_none());
        // A scale leaves a zero out on the wire, so the real server finds no field to be owned.
        if author.subresource != Some("scale") || now != Some(0) {
            entries.push(entry);
        }
    }
}
