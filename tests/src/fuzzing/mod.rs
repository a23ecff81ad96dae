//! What must hold for any bytes that arrive from outside, one function a border.
//!
//! Each function returns or panics: a panic is a finding. `tests/fuzz` calls them with millions of inputs, and a test
//! replays the inputs that it kept. They must never depend on anything but the bytes.

mod configuration;
mod ledger;
mod request;
mod stack;
mod store;
mod wire;

use shared::config::Problem;

/// A border: the name of its corpus, and what must hold there.
pub type Border = (&'static str, fn(&[u8]));

/// Every border.
pub const BORDERS: [Border; 6] = [
    ("configuration", configuration::holds),
    ("ledger", ledger::holds),
    ("request", request::holds),
    ("stack", stack::holds),
    ("store", store::holds),
    ("wire", wire::holds),
];

/// Checks one border's property with one input.
///
/// # Panics
/// When the property does not hold, or there is no such border.
pub fn check(border: &str, bytes: &[u8]) {
    let found = BORDERS.iter().find(|(name, _)| *name == border);
    assert!(found.is_some(), "there is no border {border}");
    found.map_or_else(|| unreachable!(), |(_, holds)| holds(bytes));
}

/// A refusal of a file must say where, what was found and what is allowed.
fn explained(problems: &[Problem]) {
    assert!(!problems.is_empty(), "refused without a problem");
    for problem in problems {
        assert!(!problem.found.is_empty(), "nothing found: {problem:?}");
        assert!(!problem.allowed.is_empty(), "nothing allowed: {problem:?}");
    }
}

/// The input as text; inputs that are no text stop at reading the file.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
