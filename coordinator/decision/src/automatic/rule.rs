//! The table of rules that must hold before automatic mode acts.

/// A rule that automatic mode keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AutomaticRule {
    /// Its number in the table: it goes into the audit.
    pub row: u16,
    /// Its name.
    pub name: &'static str,
    /// What must hold.
    pub means: &'static str,
}

const fn rule(row: u16, name: &'static str, means: &'static str) -> AutomaticRule {
    AutomaticRule { row, name, means }
}

/// Everything that must hold, in the order in which it is told.
pub const AUTOMATIC_RULES: [AutomaticRule; 16] = [
    rule(1, "mode", "the stack's mode is automatic"),
    rule(2, "switch", "no operator has switched it off"),
    rule(3, "run", "no other run goes on or is halted"),
    rule(4, "cool-down", "the last run is long over, or acknowledged"),
    rule(5, "hold", "no operator has suspended proposals"),
    rule(6, "flapping", "the live site does not come and go"),
    rule(7, "store", "the store shows what was written"),
    rule(
        8,
        "observers",
        "every observer of the live site is fit and heard, the leader too",
    ),
    rule(9, "findings", "nothing that is found forbids a proposal"),
    rule(
        10,
        "coordinators",
        "every other site's coordinator is heard",
    ),
    rule(
        11,
        "stack-version",
        "coordinators, agents and promises are of the same stack version",
    ),
    rule(
        12,
        "self-fence",
        "databases stop themselves, or commits provably wait for the standby",
    ),
    rule(
        13,
        "fence-grade",
        "what will be proved of the old site reaches the grade asked for automatic mode",
    ),
    rule(14, "overrides", "no rule would have to be overridden"),
    rule(
        15,
        "window",
        "all of this, and the loss, have held for the whole window on the leader's clock",
    ),
    rule(
        16,
        "leader",
        "the coordinator leads, so that it renews its lead by writes to the store",
    ),
];
