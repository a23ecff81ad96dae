//! What operators send: a verb's token, a line end, and the payload.

use coordinator::request::{self, Wrong};
use shared::id::StackName;
use shared::subject::Verb;

use super::explained;

/// A request is read or explained, and reading it twice gives the same.
pub(super) fn holds(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let (Some(token), Some(payload)) = (parts.next(), parts.next()) else {
        return;
    };
    let named = Verb::ALL
        .iter()
        .find(|verb| verb.token().as_bytes() == token);
    let Some(verb) = named else { return };
    let Ok(stack) = StackName::new("ess") else {
        return;
    };
    let read = request::read(*verb, payload, &stack, None);
    match &read {
        Ok(_) => {}
        Err(Wrong::Problems(problems)) => explained(problems),
        Err(Wrong::Unknown { rule, reason }) => {
            assert!(!rule.is_empty() && !reason.is_empty());
        }
    }
    assert_eq!(read, request::read(*verb, payload, &stack, None));
    drop(request::operator(payload));
}
