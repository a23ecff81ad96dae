//! Bounds that keep one agent small and its answers timely.

use shared::clock::Millis;
use shared::config::Section;

/// The bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A command that answers to an older heartbeat is refused, whatever validity it claims.
    pub command_age_max: Millis,
    /// Finished commands that the ledger keeps.
    pub ledger_commands: usize,
    /// Between two progress reports of a running command.
    pub report_every: Millis,
}

pub(super) fn read(section: Section<'_>) -> Option<Limits> {
    let age = section.span(
        "command_age_max",
        Millis::seconds(30),
        Millis::seconds(2)..=Millis::seconds(120),
    );
    let commands = section.number("ledger_commands", Some(64), 8..=1_000);
    let every = section.span(
        "report_every",
        Millis(500),
        Millis(250)..=Millis::seconds(10),
    );
    section.finish();
    Some(Limits {
        command_age_max: age?,
        ledger_commands: usize::try_from(commands?).unwrap_or(64),
        report_every: every?,
    })
}
