//! Replies on their way: as a screen or as JSON, with what the NATS command shows of a refusal.

use bus::{Connection, Headers, Journal, ServiceRequest};
use shared::telemetry::Chain;
use shared::wire::AuditEvent;

use crate::answer;
use crate::reply::{Answerer, HistoryEntry, HistoryReply, Refused, Reply};
use crate::screen::{self, json};

/// How a reply is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// A screen.
    Text,
    /// The value.
    Json,
}

/// A reply, ready to be sent.
pub(super) struct Written {
    payload: String,
    error: Option<(u16, String)>,
    format: Format,
}

impl Written {
    pub(super) fn new(reply: &Reply, format: Format) -> Self {
        let payload = match format {
            Format::Text => screen::render(reply),
            Format::Json => json::line(reply),
        };
        let error = if let Reply::Refused(reply) = reply {
            let refused = &reply.refused;
            let code = if refused.problems.is_empty() {
                409
            } else {
                400
            };
            Some((
                code,
                screen::text::clean(&format!("{}: {}", refused.rule, refused.reason)),
            ))
        } else {
            None
        };
        Self {
            payload,
            error,
            format,
        }
    }

    pub(super) async fn send(self, asked: ServiceRequest) {
        let endpoint = asked.endpoint.clone();
        let sent = if let Some((code, text)) = self.error {
            asked.respond_error(code, &text, self.payload).await
        } else {
            let kind = match self.format {
                Format::Text => "text/plain; charset=utf-8",
                Format::Json => "application/json",
            };
            asked
                .respond(self.payload, &Headers::new().with("Content-Type", kind))
                .await
        };
        match sent {
            Ok(bus::Publication::Published) => {}
            Ok(bus::Publication::Dropped(why)) => {
                tracing::debug!(endpoint, ?why, "an answer was dropped");
            }
            Err(error) => {
                tracing::warn!(endpoint, error = %Chain(&error), "an answer cannot be sent");
            }
        }
    }
}

/// The end of the audit trail.
pub(super) async fn history(
    connection: &Connection,
    stream: &str,
    limit: u64,
    from: Answerer,
) -> Reply {
    let records = async {
        Journal::open(connection, stream)
            .await?
            .read_last(limit)
            .await
    }
    .await;
    match records {
        Err(error) => answer::refused(from, Refused::new("no-history", Chain(&error).to_string())),
        Ok(records) => {
            let mut events: Vec<HistoryEntry> = Vec::new();
            let mut unreadable = 0;
            let mut seen = std::collections::BTreeSet::new();
            for record in records {
                // The same event twice: appended again after the stream's own window.
                if record.id.is_some_and(|id| !seen.insert(id)) {
                    continue;
                }
                match serde_json::from_slice::<AuditEvent>(&record.payload) {
                    Ok(event) => events.push(HistoryEntry {
                        sequence: record.sequence,
                        event,
                    }),
                    Err(_) => unreadable += 1,
                }
            }
            Reply::History(HistoryReply {
                from,
                events,
                unreadable,
            })
        }
    }
}
