//! The ground on which the small world stands: its stack, names, clocks, and the tables of its values.

use decision::{Core, Durable};
use shared::clock::{Millis, Mono, UnixMillis};
use shared::epoch::StackVersion;
use shared::id::{NodeName, ProposalId, RunId, SiteName};
use shared::stack::Stack;
use shared::wire::{Command, Report, Ticket};

use super::host::Host;
use super::setup::Setup;
use super::table::Table;

/// A service that is one database: what a move must order is all there, and nothing else.
const STACK: &str = r#"
schema = 1
name = "small"

[sites.dc1]
role = "primary"
[sites.dc2]
role = "standby"
[sites.dc3]
role = "witness"

[[database]]
name = "main"
[[database.member]]
site = "dc1"
node = "dc1-db"
address = "db.dc1.example.org:5432"
[[database.member]]
site = "dc2"
node = "dc2-db"
address = "db.dc2.example.org:5432"

[policy]
"#;

/// One second in milliseconds: what a tick of the world is on an exact clock.
const TICK_MS: u64 = 1_000;
/// Every clock shows this at the world's beginning.
const CLOCK_START_MS: u64 = 1_000_000;
/// The wall clock stands still: no decision may depend on it, and a state must not differ by it.
pub(super) const WALL: UnixMillis = UnixMillis(1_790_000_000_000);

/// The version of the stack.
pub(super) const VERSION: StackVersion = StackVersion(1);
/// The sites: the old primary's, the target's, the witness's.
pub(super) const SITES: [&str; 3] = ["dc1", "dc2", "dc3"];
/// The database agents: the old primary's and the target's.
pub(super) const NODES: [&str; 2] = ["dc1-db", "dc2-db"];

/// Every value of the world, each once.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) cores: Table<Core>,
    pub(super) durables: Table<Durable>,
    pub(super) tickets: Table<Ticket>,
    pub(super) commands: Table<Command>,
    pub(super) reports: Table<Report>,
    pub(super) hosts: Table<Host>,
    /// Runs, each with the proposal that it came from.
    pub(super) runs: Table<(RunId, ProposalId)>,
}

/// The stack of a search.
///
/// # Panics
/// Never: the text is a valid stack.
pub(super) fn stack(setup: &Setup) -> Stack {
    let mut stack = Stack::parse("small.toml", STACK).expect("a valid stack");
    stack.policy = setup.policy();
    stack
}

/// A site by its number.
///
/// # Panics
/// Never for a number of [`SITES`].
pub(super) fn site(number: usize) -> SiteName {
    SiteName::new(SITES[number]).expect("a name")
}

/// A database agent by its site's number.
///
/// # Panics
/// Never for a number of [`NODES`].
pub(super) fn node(number: usize) -> NodeName {
    NodeName::new(NODES[number]).expect("a name")
}

/// What a clock shows after so many ticks, running at so many thousandths of an exact one.
pub(super) fn clock(ticks: u8, rate: u64) -> Mono {
    Mono(CLOCK_START_MS + u64::from(ticks) * TICK_MS * rate / 1_000)
}

/// A span of ticks as a clock shows it.
pub(super) fn span(ticks: u8, rate: u64) -> Millis {
    clock(ticks, rate).since(clock(0, rate))
}
