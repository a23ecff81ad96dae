//! The two daemons' own files: accepted or explained.

use std::fmt::Debug;

use agent::config::AgentConfig;
use coordinator::config::Config;
use shared::config::Problems;

use super::{explained, text};

const FILE: &str = "fuzz.toml";

/// Every refusal names its key, what was found and what is allowed; reading twice gives the same.
pub(super) fn holds(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    steady(AgentConfig::parse, text);
    steady(Config::parse, text);
}

fn steady<T: Debug>(parse: fn(&str, &str) -> Result<T, Problems>, text: &str) {
    let (first, second) = (parse(FILE, text), parse(FILE, text));
    match (first, second) {
        (Ok(first), Ok(second)) => assert_eq!(format!("{first:?}"), format!("{second:?}")),
        (Err(first), Err(second)) => {
            assert_eq!(first, second);
            assert_eq!(first.file, FILE);
            explained(&first.problems);
        }
        (first, second) => unreachable!("read twice: {first:?} and {second:?}"),
    }
}
