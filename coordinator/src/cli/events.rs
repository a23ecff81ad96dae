//! Events as they happen.

use std::collections::VecDeque;

use coordinator::screen::{history, json};
use shared::subject::Subject;
use shared::wire::AuditEvent;

use super::failure::Failure;
use super::link::Link;
use super::terminal::Terminal;

/// Ids remembered, so that an event that was sent twice is told once.
const REMEMBERED: usize = 256;

/// Tells every event until the connection is closed or the operator ends it.
pub(crate) async fn watch(link: &Link, terminal: Terminal) -> Result<(), Failure> {
    let mut events = link
        .connection
        .subscribe_raw(&Subject::events(&link.stack), None)
        .await?;
    let mut told: VecDeque<String> = VecDeque::new();
    Terminal::say(&format!("watching the events of {}", link.stack));
    while let Some(message) = events.next().await {
        if let Some(id) = message.headers.get("Nats-Msg-Id") {
            if told.iter().any(|known| known == id) {
                continue;
            }
            if told.len() == REMEMBERED {
                told.pop_front();
            }
            told.push_back(id.to_owned());
        }
        match serde_json::from_slice::<AuditEvent>(&message.payload) {
            Ok(event) if terminal.json => terminal.print(&json::line(&event)),
            Ok(event) => terminal.print(&history::line(&event)),
            Err(error) => Terminal::say(&format!(
                "a message there is no event of this version: {error}"
            )),
        }
    }
    Err(Failure::Unreachable("the connection ended".to_owned()))
}
