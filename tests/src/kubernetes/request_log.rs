//! Every request that arrived, kept for assertions.
//!
//! It never holds credentials: the authorization header is not among its fields.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One request as it arrived, and how it was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedRequest {
    /// Counts from 1 in order of arrival.
    pub sequence: u64,
    /// HTTP method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// The query as sent.
    pub query: String,
    /// `User-Agent` header, or empty.
    pub user_agent: String,
    /// `Content-Type` header, or empty.
    pub content_type: String,
    /// The body, when it was JSON.
    pub body: Option<Value>,
    /// Status code of the answer; absent while, or because, no answer was sent.
    pub status: Option<u16>,
}

impl LoggedRequest {
    /// Whether the request could change an object.
    pub fn is_write(&self) -> bool {
        matches!(self.method.as_str(), "PUT" | "POST" | "PATCH" | "DELETE")
    }
}

/// The last requests, oldest first.
#[derive(Debug, Default)]
pub(super) struct RequestLog {
    entries: VecDeque<LoggedRequest>,
    arrived: u64,
}

const KEPT_REQUESTS: usize = 10_000;

impl RequestLog {
    /// Notes an arrival; `entry.sequence` is set here and returned.
    pub(super) fn arrive(&mut self, mut entry: LoggedRequest) -> u64 {
        self.arrived = self.arrived.saturating_add(1);
        entry.sequence = self.arrived;
        self.entries.push_back(entry);
        if self.entries.len() > KEPT_REQUESTS {
            self.entries.pop_front();
        }
        self.arrived
    }

    /// Notes the status code with which request `sequence` was answered.
    pub(super) fn answer(&mut self, sequence: u64, status: u16) {
        if let Some(entry) = self
            .entries
            .iter_mut()
            .rev()
            .find(|entry| entry.sequence == sequence)
        {
            entry.status = Some(status);
        }
    }

    pub(super) fn entries(&self) -> Vec<LoggedRequest> {
        self.entries.iter().cloned().collect()
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}
