//! Who sent what cannot be read: counted for each, logged once for each.

use std::collections::BTreeMap;

use bus::Garbage;
use shared::subject::Subject;
use shared::telemetry::Chain;

/// Senders told apart; the rest are counted together.
const SENDERS_MAX: usize = 64;

/// Counts of unreadable messages.
#[derive(Debug, Default)]
pub(crate) struct Senders {
    counts: BTreeMap<String, u64>,
}

impl Senders {
    /// Notes a message. Its sender is told by the reply subject's site and node, the only name that it carries.
    pub(crate) fn note_garbage(&mut self, reply: Option<&Subject>, garbage: &Garbage) {
        let sender = self.place(&sender(reply));
        let count = self.counts.entry(sender.clone()).or_default();
        *count += 1;
        if *count == 1 {
            tracing::warn!(sender, error = %Chain(garbage), "a message cannot be read");
        } else {
            tracing::debug!(sender, count = *count, error = %Chain(garbage), "a message cannot be read");
        }
    }

    fn place(&self, sender: &str) -> String {
        let full = self.counts.len() >= SENDERS_MAX && !self.counts.contains_key(sender);
        if full {
            "(others)".to_owned()
        } else {
            sender.to_owned()
        }
    }
}

/// `site.node` of `_INBOX.<site>.<node>.…`; what does not look so is unnamed.
fn sender(reply: Option<&Subject>) -> String {
    let tokens: Vec<&str> = reply
        .map(|subject| subject.as_str().split('.').collect())
        .unwrap_or_default();
    match tokens.as_slice() {
        ["_INBOX", site, node, _, ..] => format!("{site}.{node}")
            .chars()
            .filter(|c| !c.is_control())
            .take(128)
            .collect(),
        _ => "(unnamed)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use shared::codec::DecodeError;

    use super::*;

    fn garbage() -> Garbage {
        Garbage {
            error: DecodeError::OtherVersion { found: 9 },
            first: vec![1],
            size: 1,
        }
    }

    #[test]
    fn garbage_is_counted_for_its_sender() {
        let mut senders = Senders::default();
        let one = Subject::received("_INBOX.dc1.coordinator.abc.1");
        senders.note_garbage(Some(&one), &garbage());
        senders.note_garbage(Some(&one), &garbage());
        senders.note_garbage(None, &garbage());
        assert_eq!(senders.counts["dc1.coordinator"], 2);
        assert_eq!(senders.counts["(unnamed)"], 1);
    }

    #[test]
    fn invented_senders_do_not_fill_memory() {
        let mut senders = Senders::default();
        for n in 0..1_000 {
            let subject = Subject::received(format!("_INBOX.x.{n}.y"));
            senders.note_garbage(Some(&subject), &garbage());
        }
        assert!(senders.counts.len() <= SENDERS_MAX + 1);
        assert_eq!(senders.counts.values().sum::<u64>(), 1_000);
    }
}
