//! The stack file: accepted or explained, and what was accepted is a whole stack in the store and on every screen.

use shared::config::Problems;
use shared::stack::{Stack, difference};

use super::{explained, text};

const FILE: &str = "fuzz.toml";

/// A stack that is accepted survives the store, names only its own sites, and differs in nothing from itself.
pub(super) fn holds(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    match Stack::parse(FILE, text) {
        Ok(stack) => whole(&stack, text),
        Err(Problems { file, problems }) => {
            assert_eq!(file, FILE);
            explained(&problems);
        }
    }
}

fn whole(stack: &Stack, text: &str) {
    assert_eq!(
        Stack::parse(FILE, text).as_ref(),
        Ok(stack),
        "read twice, it is another"
    );
    let stored = match serde_json::to_string(stack) {
        Ok(stored) => stored,
        Err(error) => unreachable!("a stack that cannot be stored: {error}"),
    };
    match serde_json::from_str::<Stack>(&stored) {
        Ok(again) => {
            assert_eq!(again, *stack, "from the store it comes back as another");
            assert_eq!(again.digest(), stack.digest());
        }
        Err(error) => unreachable!("the store's own stack is refused: {error}: {stored}"),
    }
    assert!(difference(Some(stack), stack).is_empty());
    assert!(!difference(None, stack).is_empty());
    assert!(stack.sites.len() >= 3 && stack.sites.contains_key(stack.first_primary()));
    for (node, site) in stack.nodes() {
        assert!(
            stack.sites.contains_key(&site),
            "{node} is of no site of the stack"
        );
    }
    for database in &stack.databases {
        for member in database.members() {
            for site in stack.sites.keys() {
                assert!(!member.address_for(site).to_string().is_empty());
            }
        }
    }
    let waves: Vec<u32> = stack.workloads.iter().map(|w| w.wave).collect();
    assert!(waves.is_sorted(), "{waves:?}");
    assert!(waves.iter().all(|wave| stack.waves().contains(wave)));
}
