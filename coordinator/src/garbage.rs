//! What could not be read: counted for its sender, logged once, forgotten never, and bounded.

use std::collections::BTreeMap;

use shared::codec::DecodeError;
use shared::telemetry::Chain;

use crate::screen::text::clean;

/// Senders counted each for itself; the rest is counted together.
const SENDERS_MAX: usize = 1_024;

/// Characters of a sender's subject that are kept.
const SENDER_LEN_MAX: usize = 160;

/// The counts.
#[derive(Debug, Default)]
pub struct Garbage {
    senders: BTreeMap<String, u64>,
    others: u64,
}

impl Garbage {
    /// Counts one message, and logs it when its sender sends garbage for the first time.
    pub fn note(&mut self, subject: &str, size: usize, error: &DecodeError) {
        if self.count(subject) {
            let sender = shortened(subject);
            let error = clean(&Chain(error).to_string());
            tracing::warn!(
                sender,
                size,
                error,
                "a message cannot be read; further ones of this sender are counted only"
            );
        }
    }

    /// Counts a message whose subject names no sender.
    pub fn note_subject(&mut self, subject: &str) {
        if self.count(subject) {
            let sender = shortened(subject);
            tracing::warn!(
                sender,
                "a subject names no sender; further messages there are counted only"
            );
        }
    }

    /// All messages counted.
    pub fn total(&self) -> u64 {
        self.senders
            .values()
            .sum::<u64>()
            .saturating_add(self.others)
    }

    /// True when this sender is worth a log line.
    fn count(&mut self, subject: &str) -> bool {
        let sender = shortened(subject);
        if let Some(count) = self.senders.get_mut(&sender) {
            *count = count.saturating_add(1);
            return false;
        }
        if self.senders.len() < SENDERS_MAX {
            self.senders.insert(sender, 1);
            return true;
        }
        self.others = self.others.saturating_add(1);
        self.others == 1
    }
}

fn shortened(subject: &str) -> String {
    clean(&subject.chars().take(SENDER_LEN_MAX).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_bounded_and_each_sender_is_told_once() {
        let mut garbage = Garbage::default();
        assert!(garbage.count("a"));
        assert!(!garbage.count("a"));
        let told = (0..5_000)
            .filter(|n| garbage.count(&format!("x{n}")))
            .count();
        assert_eq!(
            told,
            SENDERS_MAX - 1 + 1,
            "each of the first ones, and once for all others"
        );
        assert_eq!(garbage.total(), 5_002);
        assert_eq!(garbage.senders.len(), SENDERS_MAX);
    }
}
