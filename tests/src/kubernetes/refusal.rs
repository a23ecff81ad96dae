//! The `Status` bodies with which an API server refuses.
//!
//! Code, reason and text follow the real server, because clients branch on them.

use serde_json::{Value, json};
use thiserror::Error;

use super::resource::Resource;

/// A refused request: an HTTP status code and the fields of its `Status` body.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{message}")]
pub(super) struct Refusal {
    pub(super) code: u16,
    reason: &'static str,
    message: String,
    details: Value,
    /// Seconds for the `Retry-After` header.
    pub(super) retry_after: Option<u32>,
}

impl Refusal {
    fn new(code: u16, reason: &'static str, message: String) -> Self {
        Self {
            code,
            reason,
            message,
            details: json!({}),
            retry_after: None,
        }
    }

    fn about(mut self, resource: &Resource, name: &str) -> Self {
        self.details = json!({"name": name, "group": resource.group, "kind": resource.plural});
        self
    }

    pub(super) fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", resource.qualified());
        Self::new(404, "NotFound", message).about(resource, name)
    }

    pub(super) fn unknown_path() -> Self {
        let message = "the server could not find the requested resource".to_owned();
        Self::new(404, "NotFound", message)
    }

    pub(super) fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", resource.qualified());
        Self::new(409, "AlreadyExists", message).about(resource, name)
    }

    pub(super) fn conflict(resource: &Resource, name: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the object has been modified; \
             please apply your changes to the latest version and try again",
            resource.qualified()
        );
        Self::new(409, "Conflict", message).about(resource, name)
    }

    pub(super) fn invalid(resource: &Resource, name: &str, field: &str, why: &str) -> Self {
        let message = format!(
            "{}.{} \"{name}\" is invalid: {field}: {why}",
            resource.kind, resource.group
        );
        let mut refusal = Self::new(422, "Invalid", message).about(resource, name);
        if let Some(details) = refusal.details.as_object_mut() {
            let cause = json!({"reason": "FieldValueInvalid", "message": why, "field": field});
            details.insert("causes".to_owned(), json!([cause]));
        }
        refusal
    }

    /// The same for a scale, which is judged as an object of its own kind.
    pub(super) fn invalid_scale(name: &str, field: &str, why: &str) -> Self {
        let message = format!("Scale.autoscaling \"{name}\" is invalid: {field}: {why}");
        let cause = json!({"reason": "FieldValueInvalid", "message": why, "field": field});
        let mut refusal = Self::new(422, "Invalid", message);
        refusal.details =
            json!({"name": name, "group": "autoscaling", "kind": "Scale", "causes": [cause]});
        refusal
    }

    /// A patch that cannot be applied to the object it names.
    pub(super) fn patch_rejected(why: &str) -> Self {
        let message =
            format!("the server rejected our request due to an error in our request: {why}");
        Self::new(422, "Invalid", message)
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message.into())
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized".to_owned())
    }

    pub(super) fn forbidden(message: String) -> Self {
        Self::new(403, "Forbidden", message)
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource".to_owned();
        Self::new(405, "MethodNotAllowed", message)
    }

    pub(super) fn unsupported_media(content_type: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - got {content_type:?}, \
             accepted media types include: application/json-patch+json, \
             application/merge-patch+json"
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    pub(super) fn gone(asked: u64, oldest: u64) -> Self {
        let message = format!("too old resource version: {asked} ({oldest})");
        Self::new(410, "Expired", message)
    }

    pub(super) fn from_the_future(asked: u64, current: u64) -> Self {
        let message = format!("Too large resource version: {asked}, current: {current}");
        Self::new(504, "Timeout", message)
    }

    /// What an overloaded or failing server answers with `code`.
    pub(super) fn stormy(code: u16, retry_after: Option<u32>) -> Self {
        let (reason, message) = match code {
            429 => (
                "TooManyRequests",
                "Too many requests, please try again later.",
            ),
            503 => (
                "ServiceUnavailable",
                "the server is currently unable to handle the request",
            ),
            504 => (
                "Timeout",
                "Timeout: request did not complete within requested timeout",
            ),
            403 => ("Forbidden", "forbidden"),
            422 => (
                "Invalid",
                "the server rejected our request due to an error in our request",
            ),
            _ => ("InternalError", "Internal error occurred"),
        };
        let mut refusal = Self::new(code, reason, message.to_owned());
        refusal.retry_after = retry_after;
        refusal
    }

    /// The `Status` object of the body.
    pub(super) fn body(&self) -> Value {
        json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": self.details,
            "code": self.code,
        })
    }
}
