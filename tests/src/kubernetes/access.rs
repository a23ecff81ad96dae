//! Who may do what: the bearer token, denied accesses, and access reviews about them.
//!
//! Everything is allowed that no saboteur denied; roles are not modelled.

use serde_json::{Value, json};

use super::field::text;
use super::refusal::Refusal;
use super::route::Target;
use super::world::{World, lock};

/// Checks the `Authorization` header.
///
/// # Errors
/// 401 when a token is demanded and another or none was sent.
pub(super) fn authenticate(world: &World, authorization: Option<&str>) -> Result<(), Refusal> {
    let Some(token) = &world.token else {
        return Ok(());
    };
    let sent = authorization.and_then(|value| value.strip_prefix("Bearer "));
    if sent == Some(token) {
        Ok(())
    } else {
        Err(Refusal::unauthorized())
    }
}

/// Checks whether `verb` on `target` was denied.
///
/// # Errors
/// 403 with the text of the real server.
pub(super) fn authorize(world: &World, verb: &str, target: &Target) -> Result<(), Refusal> {
    let accessed = target.accessed();
    if !lock(&world.saboteur).forbids(verb, &accessed) {
        return Ok(());
    }
    let name = target.name.as_deref().unwrap_or("");
    Err(Refusal::forbidden(format!(
        "{} \"{name}\" is forbidden: User \"standin\" cannot {verb} resource \"{accessed}\" in API \
         group \"{}\" in the namespace \"{}\"",
        target.resource.qualified(),
        target.resource.group,
        target.namespace,
    )))
}

/// Answers a `SelfSubjectAccessReview`.
pub(super) fn review(world: &World, mut review: Value) -> Value {
    let attributes = "/spec/resourceAttributes";
    let resource = text(&review, &format!("{attributes}/resource"));
    let subresource = text(&review, &format!("{attributes}/subresource"));
    let accessed = if subresource.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource}/{subresource}")
    };
    let verb = text(&review, &format!("{attributes}/verb")).to_owned();
    let allowed = !lock(&world.saboteur).forbids(&verb, &accessed);
    let status = if allowed {
        json!({"allowed": true, "reason": "allowed by the stand-in"})
    } else {
        json!({"allowed": false})
    };
    if let Some(fields) = review.as_object_mut() {
        fields.insert("apiVersion".to_owned(), json!("authorization.k8s.io/v1"));
        fields.insert("kind".to_owned(), json!("SelfSubjectAccessReview"));
        fields.insert("status".to_owned(), status);
    }
    review
}
