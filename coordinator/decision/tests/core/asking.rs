//! What an operator asks in a script: of the stack, of the store, and past a rule.

use std::collections::BTreeMap;

use decision::Ask;
use shared::stack::Mode;

use crate::world::{World, site};

/// The rules that a line overrides.
pub(crate) fn overrides(words: &[&str]) -> BTreeMap<String, String> {
    let rules = [
        ("overriding-rpo", "rpo", "we accept the loss"),
        ("overriding-grade", "fence-grade", "the hall is flooded"),
    ];
    let said = rules.iter().filter(|(word, ..)| words.contains(word));
    said.map(|(_, rule, reason)| ((*rule).to_owned(), (*reason).to_owned()))
        .collect()
}

/// What a line asks of the stack, the store, or automatic mode; nothing when it asks something else.
pub(crate) fn of_stack_and_store(world: &World, words: &[&str]) -> Option<Ask> {
    let reason = words.get(2..).unwrap_or_default().join(" ");
    let mut stack = Box::new(world.stack.clone());
    match words {
        ["accept-store", live, ..] => {
            let live = site(live);
            return Some(Ask::AcceptStore { live, reason });
        }
        ["automatic", word, ..] => {
            let on = *word == "on";
            return Some(Ask::Automatic { on, reason });
        }
        ["apply", "again"] => {}
        ["apply", "confirm", span] => stack.policy.confirm_ms = span.parse().unwrap(),
        ["apply", "mode", "approval"] => stack.policy.mode = Mode::Approval,
        _ => return None,
    }
    Some(Ask::ApplyStack {
        stack,
        replaces: world.core().stack().map(|(version, _)| version),
    })
}
