//! Requests for objects: which verb a request is, and what is answered.
//!
//! It turns HTTP into reads and writes of the store; the rules of writing are in `write`.

use hyper::Method;
use serde_json::{Value, json};

use super::access;
use super::discovery;
use super::field::text;
use super::generation::Part;
use super::ownership::Author;
use super::patch;
use super::refusal::Refusal;
use super::route::{self, Query, Target};
use super::scale;
use super::selector::Selector;
use super::store::{Key, Store};
use super::watch::WatchPlan;
use super::world::{World, lock};
use super::write::{self, Deletion, Mode};

/// A request with its body read.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Query,
    pub(super) content_type: String,
    pub(super) user_agent: String,
    pub(super) body: Vec<u8>,
}

/// What is sent back.
#[derive(Debug)]
pub(super) enum Reply {
    /// A status code and a JSON body.
    Object(u16, Value),
    /// A status code and plain text.
    Text(u16, &'static str),
    /// A stream of events.
    Watch(WatchPlan),
}

/// Answers a request of an authenticated client.
///
/// # Errors
/// Whatever the API server would refuse with a `Status`.
pub(super) fn answer(world: &World, call: &Call) -> Result<Reply, Refusal> {
    if matches!(call.path.as_str(), "/readyz" | "/livez" | "/healthz") {
        return Ok(Reply::Text(200, "ok"));
    }
    if call.method == Method::POST
        && call.path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    {
        return Ok(Reply::Object(201, access::review(world, call.json()?)));
    }
    let Some(target) = route::target(&world.table, &call.path) else {
        if call.method != Method::GET {
            return Err(Refusal::unknown_path());
        }
        return discovery::answer(&world.table, &call.path)
            .map(|body| Reply::Object(200, body))
            .ok_or_else(Refusal::unknown_path);
    };
    let verb = call.verb(&target)?;
    access::authorize(world, verb, &target)?;
    match verb {
        "watch" => watch(world, call, &target),
        "list" => list(&lock(&world.store), call, &target),
        "create" => create(&mut lock(&world.store), call, &target),
        "deletecollection" => delete_all(&mut lock(&world.store), call, &target),
        verb => one(&mut lock(&world.store), call, &target, verb),
    }
}

impl Call {
    fn verb(&self, target: &Target) -> Result<&'static str, Refusal> {
        let watching = self.query.flag("watch");
        match (self.method.as_str(), &target.name) {
            ("GET", None) if watching => Ok("watch"),
            ("GET", None) => Ok("list"),
            ("GET", Some(_)) => Ok("get"),
            ("POST", None) => Ok("create"),
            ("PUT", Some(_)) => Ok("update"),
            ("PATCH", Some(_)) => Ok("patch"),
            ("DELETE", Some(_)) => Ok("delete"),
            ("DELETE", None) => Ok("deletecollection"),
            _ => Err(Refusal::method_not_allowed()),
        }
    }

    fn json(&self) -> Result<Value, Refusal> {
        if self.content_type.contains("protobuf") {
            return Err(Refusal::unsupported_media(&self.content_type));
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| Refusal::bad_request(format!("the body is not JSON: {error}")))
    }

    /// `DeleteOptions` from body and query.
    fn delete_options(&self) -> Result<Value, Refusal> {
        let mut options = if self.body.is_empty() {
            json!({})
        } else {
            self.json()?
        };
        if let (Ok(seconds), Some(fields)) = (
            self.query.get("gracePeriodSeconds").parse::<i64>(),
            options.as_object_mut(),
        ) {
            fields.insert("gracePeriodSeconds".to_owned(), json!(seconds));
        }
        Ok(options)
    }

    fn mode(&self, body: &Value) -> Mode {
        let asked = self.query.get("dryRun") == "All"
            || super::field::list(body, "/dryRun").contains(&json!("All"));
        if asked { Mode::DryRun } else { Mode::Real }
    }

    /// The field manager: the parameter, or the program that the user agent names.
    fn author(&self) -> Author {
        let manager = self.query.get("fieldManager");
        let program = self.user_agent.split('/').next().unwrap_or("");
        Author::of(if manager.is_empty() { program } else { manager })
    }

    fn selector(&self, target: &Target) -> Result<Selector, Refusal> {
        Selector::parse(
            &target.resource.plural,
            self.query.get("labelSelector"),
            self.query.get("fieldSelector"),
        )
    }
}

fn scope(target: &Target) -> Option<&str> {
    (!target.namespace.is_empty()).then_some(target.namespace.as_str())
}

fn watch(world: &World, call: &Call, target: &Target) -> Result<Reply, Refusal> {
    let version = call.query.get("resourceVersion");
    let since = if version.is_empty() {
        0
    } else {
        let refuse = |_| Refusal::bad_request(format!("invalid resource version {version:?}"));
        version.parse().map_err(refuse)?
    };
    let current = lock(&world.store).revision();
    if since > current {
        return Err(Refusal::from_the_future(since, current));
    }
    Ok(Reply::Watch(WatchPlan {
        resource: target.resource.clone(),
        namespace: target.namespace.clone(),
        selector: call.selector(target)?,
        since,
        initial_events: call.query.flag("sendInitialEvents"),
        bookmarks: call.query.flag("allowWatchBookmarks"),
        timeout_seconds: call.query.get("timeoutSeconds").parse().ok(),
    }))
}

fn list(store: &Store, call: &Call, target: &Target) -> Result<Reply, Refusal> {
    let selector = call.selector(target)?;
    let items: Vec<Value> = store
        .list(&target.resource.qualified(), scope(target))
        .into_iter()
        .filter(|(_, object)| selector.matches(object))
        .map(|(_, object)| Value::clone(&object))
        .collect();
    let body = json!({
        "kind": format!("{}List", target.resource.kind),
        "apiVersion": target.resource.api_version(),
        "metadata": {"resourceVersion": store.revision().to_string()},
        "items": items,
    });
    Ok(Reply::Object(200, body))
}

fn create(store: &mut Store, call: &Call, target: &Target) -> Result<Reply, Refusal> {
    let object = call.json()?;
    let mode = call.mode(&Value::Null);
    let created = write::create(
        store,
        &target.resource,
        &target.namespace,
        object,
        &call.author(),
        (mode, false),
    )?;
    Ok(Reply::Object(201, Value::clone(&created)))
}

fn delete_all(store: &mut Store, call: &Call, target: &Target) -> Result<Reply, Refusal> {
    let selector = call.selector(target)?;
    let options = call.delete_options()?;
    let mode = call.mode(&options);
    for (key, object) in store.list(&target.resource.qualified(), scope(target)) {
        if selector.matches(&object) {
            write::delete(store, &target.resource, &key, &options, mode)?;
        }
    }
    Ok(Reply::Object(200, success(target, "")))
}

fn one(store: &mut Store, call: &Call, target: &Target, verb: &str) -> Result<Reply, Refusal> {
    let name = target.name.as_deref().unwrap_or("");
    let key = Key::new(&target.resource.qualified(), &target.namespace, name);
    match target.subresource.as_deref() {
        None | Some("status") => {}
        Some("scale") if target.resource.scalable => {
            return scale_of(store, call, target, (verb, &key));
        }
        Some(_) => return Err(Refusal::unknown_path()),
    }
    let part = match target.subresource {
        Some(_) => Part::Status,
        None => Part::Desired,
    };
    let stored = store
        .get(&key)
        .ok_or_else(|| Refusal::not_found(&target.resource, name))?;
    let after = match verb {
        "get" => return Ok(Reply::Object(200, Value::clone(&stored))),
        "delete" => {
            let options = call.delete_options()?;
            let mode = call.mode(&options);
            let deletion = write::delete(store, &target.resource, &key, &options, mode)?;
            return Ok(deleted(target, deletion));
        }
        "update" => call.json()?,
        _ => patch::apply(&stored, &call.content_type, &call.body)?,
    };
    let (author, mode) = (call.author(), call.mode(&Value::Null));
    let written = write::update(store, &target.resource, &key, after, part, &author, mode)?;
    Ok(Reply::Object(200, Value::clone(&written)))
}

fn scale_of(
    store: &mut Store,
    call: &Call,
    target: &Target,
    (verb, key): (&str, &Key),
) -> Result<Reply, Refusal> {
    let stored = store
        .get(key)
        .ok_or_else(|| Refusal::not_found(&target.resource, &key.name))?;
    let present = scale::view(&stored);
    let wanted = match verb {
        "get" => return Ok(Reply::Object(200, present)),
        "update" => call.json()?,
        "patch" => patch::apply(&present, &call.content_type, &call.body)?,
        _ => return Err(Refusal::method_not_allowed()),
    };
    let after = scale::write(&target.resource, &stored, &wanted)?;
    let author = Author::scaling(&call.author().name);
    let mode = call.mode(&Value::Null);
    let part = Part::Desired;
    let written = write::update(store, &target.resource, key, after, part, &author, mode)?;
    Ok(Reply::Object(200, scale::view(&written)))
}

fn deleted(target: &Target, deletion: Deletion) -> Reply {
    match deletion {
        Deletion::Gone(last) if target.resource.plural == "pods" => {
            Reply::Object(200, Value::clone(&last))
        }
        Deletion::Gone(last) => Reply::Object(200, success(target, text(&last, "/metadata/uid"))),
        Deletion::Marked(marked) => Reply::Object(200, Value::clone(&marked)),
    }
}

fn success(target: &Target, uid: &str) -> Value {
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {
            "name": target.name,
            "group": target.resource.group,
            "kind": target.resource.plural,
            "uid": uid,
        },
    })
}
