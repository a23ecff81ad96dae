//! A message to oneself, so that deafness is not taken for silence.
//!
//! The server accepts a subscription that permissions forbid, and then delivers nothing: for a
//! listener that looks exactly like everybody being dead. Who does not hear itself may not judge.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use shared::subject::Subject;

use crate::connection::Connection;
use crate::health::Denied;
use crate::message::{CANARY_HEADER, Headers};

/// Why a client did not hear itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanaryError {
    /// No server is connected.
    #[error("not connected to the bus")]
    NotConnected,
    /// The server denies the subscription: this client is deaf on it.
    #[error("the bus denies the subscription to {pattern}")]
    SubscriptionDenied {
        /// The pattern.
        pattern: String,
    },
    /// The server denies the message itself; the subscription was not denied.
    #[error("the bus denies publishing to {subject}")]
    PublishDenied {
        /// Where the message was to go.
        subject: String,
    },
    /// Nothing came back in time.
    #[error("no echo on {pattern} within {} ms", waited.as_millis())]
    Silent {
        /// The pattern.
        pattern: String,
        /// How long the echo was waited for.
        waited: Duration,
    },
}

impl Connection {
    /// Subscribes to a pattern, sends a message to itself through the server, and says how long it took.
    /// Wildcards are filled with the token `canary`; ordinary subscriptions skip the message.
    ///
    /// # Errors
    /// [`CanaryError`].
    pub async fn canary(&self, pattern: &Subject) -> Result<Duration, CanaryError> {
        self.canary_through(pattern, &Subject::received(filled(pattern.as_str())))
            .await
    }

    /// As [`Connection::canary`], with the subject to send to: one that the pattern matches and that
    /// this client may publish to.
    ///
    /// # Errors
    /// [`CanaryError`].
    pub async fn canary_through(
        &self,
        pattern: &Subject,
        probe: &Subject,
    ) -> Result<Duration, CanaryError> {
        let (pattern, probe) = (pattern.as_str(), probe.as_str());
        let patience = self.settings().request_timeout;
        let link = self.link().ok_or(CanaryError::NotConnected)?;
        let mut denials = self.tally().watch_denials();
        let before = *denials.borrow_and_update();
        let nonce = format!("{:016x}", rand::random::<u64>());
        let headers = Headers::new()
            .with(CANARY_HEADER, nonce.as_str())
            .to_library()
            .unwrap_or_default();
        let started = Instant::now();
        let echo = async {
            let mut hearing = link
                .client
                .subscribe(pattern.to_owned())
                .await
                .map_err(|_gone| CanaryError::NotConnected)?;
            link.client
                .publish_with_headers(probe.to_owned(), headers, nonce.clone().into())
                .await
                .map_err(|_gone| CanaryError::NotConnected)?;
            loop {
                tokio::select! {
                    message = hearing.next() => match message {
                        None => return Err(CanaryError::NotConnected),
                        Some(message) if message.payload == nonce.as_bytes() => return Ok(started.elapsed()),
                        Some(_) => {}
                    },
                    changed = denials.changed() => {
                        let denied = |what, subject| self.tally().denied_since(before, what, subject);
                        if changed.is_err() {
                            return Err(CanaryError::NotConnected);
                        } else if denied(Denied::Subscription, pattern) {
                            return Err(CanaryError::SubscriptionDenied { pattern: pattern.to_owned() });
                        } else if denied(Denied::Publish, probe) {
                            return Err(CanaryError::PublishDenied { subject: probe.to_owned() });
                        }
                    }
                }
            }
        };
        tokio::time::timeout(patience, echo)
            .await
            .unwrap_or_else(|_elapsed| {
                Err(CanaryError::Silent {
                    pattern: pattern.to_owned(),
                    waited: patience,
                })
            })
    }
}

fn filled(pattern: &str) -> String {
    let tokens = pattern.split('.').map(|token| {
        if matches!(token, "*" | ">") {
            "canary"
        } else {
            token
        }
    });
    tokens.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_filled() {
        assert_eq!(filled("p.ess.hb.*.*"), "p.ess.hb.canary.canary");
        assert_eq!(filled("p.ess.event.>"), "p.ess.event.canary");
        assert_eq!(filled("p.ess.cmd.dc1.db1"), "p.ess.cmd.dc1.db1");
    }
}
