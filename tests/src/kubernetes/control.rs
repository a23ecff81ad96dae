//! The control endpoint under `/standin/`: requests seen, sabotage, scripts.
//!
//! It needs no token, is never sabotaged and never logged, so that a test can always look and
//! always repair.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::endpoint::{Call, Reply};
use super::refusal::Refusal;
use super::saboteur::Sabotage;
use super::script::{Script, WorkloadName};
use super::world::{World, lock};

#[derive(Deserialize)]
struct ScriptOrder {
    #[serde(flatten)]
    workload: WorkloadName,
    script: Script,
}

/// Answers `GET`/`DELETE /standin/requests`, `POST /standin/sabotage`, `POST /standin/script`.
///
/// # Errors
/// 404 for another path, 400 for an order that cannot be read.
pub(super) fn answer(world: &World, call: &Call) -> Result<Reply, Refusal> {
    match (call.method.as_str(), call.path.as_str()) {
        ("GET", "/standin/requests") => {
            let entries = lock(&world.requests).entries();
            Ok(Reply::Object(200, json!(entries)))
        }
        ("DELETE", "/standin/requests") => {
            lock(&world.requests).clear();
            Ok(Reply::Object(200, json!({})))
        }
        ("POST", "/standin/sabotage") => {
            let orders: Vec<Sabotage> = one_or_many(&call.body)?;
            for order in &orders {
                world.sabotage(order);
            }
            Ok(Reply::Object(200, json!({"obeyed": orders.len()})))
        }
        ("POST", "/standin/script") => {
            let orders: Vec<ScriptOrder> = one_or_many(&call.body)?;
            let count = orders.len();
            for order in orders {
                world.set_script(order.workload, order.script);
            }
            Ok(Reply::Object(200, json!({"obeyed": count})))
        }
        _ => Err(Refusal::unknown_path()),
    }
}

fn one_or_many<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>, Refusal> {
    let unreadable = |error| Refusal::bad_request(format!("unreadable order: {error}"));
    let value: Value = serde_json::from_slice(body).map_err(unreadable)?;
    let many = if value.is_array() {
        value
    } else {
        json!([value])
    };
    serde_json::from_value(many).map_err(unreadable)
}
