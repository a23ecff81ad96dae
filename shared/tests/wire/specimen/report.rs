//! One report for every state, and for every reason of a refusal.

use shared::clock::{Millis, UnixMillis};
use shared::epoch::{Epoch, StackVersion, Term};
use shared::id::{Actor, CommandId, ProcessId, RunId};
use shared::refusal::Refusal;
use shared::wire::{ProofLine, Report, ReportState};

use super::{node, site, uuid};

/// Every report.
pub(crate) fn reports() -> Vec<(&'static str, Report)> {
    let states = vec![
        (
            "report-running",
            ReportState::Running {
                for_ms: Millis(1_500),
                progress: "waiting for the end of recovery".to_owned(),
            },
        ),
        (
            "report-done",
            ReportState::Done {
                took_ms: Millis(842),
                proof: vec![
                    ProofLine::new("timeline", "13"),
                    ProofLine::new("canary write", "read back"),
                ],
            },
        ),
        (
            "report-failed",
            ReportState::Failed {
                took_ms: Millis(120_000),
                reason: "still in recovery at the deadline".to_owned(),
                pending: true,
            },
        ),
        (
            "report-interrupted",
            ReportState::Interrupted {
                found: "in recovery, timeline 12".to_owned(),
                repeatable: true,
            },
        ),
    ];
    let refused = refusals()
        .into_iter()
        .map(|(name, refusal)| (name, ReportState::Refused(refusal)));
    states
        .into_iter()
        .chain(refused)
        .map(|(name, state)| (name, report(state)))
        .collect()
}

fn report(state: ReportState) -> Report {
    Report {
        command: CommandId::new(uuid(33)),
        run: RunId::new(uuid(34)),
        step: 4,
        process: ProcessId::new(uuid(1)),
        epoch: Epoch(8),
        sent_at: UnixMillis(1_790_000_061_500),
        state,
    }
}

fn refusals() -> Vec<(&'static str, Refusal)> {
    let orders = vec![
        (
            "report-refused-other-target",
            Refusal::OtherTarget {
                site: site("dc1"),
                node: node("dc1-db"),
            },
        ),
        (
            "report-refused-old-epoch",
            Refusal::OldEpoch {
                found: Epoch(7),
                highest: Epoch(8),
            },
        ),
        (
            "report-refused-old-term",
            Refusal::OldTerm {
                found: Term(2),
                highest: Term(3),
            },
        ),
        (
            "report-refused-past-deadline",
            Refusal::PastDeadline {
                age_ms: Millis(9_001),
                valid_for_ms: Millis(5_000),
            },
        ),
        ("report-refused-other-process", Refusal::OtherProcess),
        (
            "report-refused-other-content",
            Refusal::OtherContent {
                command: CommandId::new(uuid(33)),
            },
        ),
        ("report-refused-wrong-digest", Refusal::WrongDigest),
        ("report-refused-no-approval", Refusal::NoApproval),
        ("report-refused-other-approval", Refusal::OtherApproval),
        ("report-refused-no-grant", Refusal::NoGrant),
    ];
    orders.into_iter().chain(refusals_by_state()).collect()
}

/// Refusals that come from what the agent finds, not from what the command says.
fn refusals_by_state() -> Vec<(&'static str, Refusal)> {
    let text = str::to_owned;
    vec![
        (
            "report-refused-grant-not-confirmed",
            Refusal::GrantNotConfirmed {
                reason: text("wrong last sequence"),
            },
        ),
        (
            "report-refused-busy",
            Refusal::Busy {
                running: CommandId::new(uuid(35)),
            },
        ),
        (
            "report-refused-no-module",
            Refusal::NoModule {
                module: text("[postgres]"),
            },
        ),
        (
            "report-refused-wrong-role",
            Refusal::WrongRole {
                found: text("a primary"),
                needed: text("a standby"),
            },
        ),
        (
            "report-refused-ledger-unwritable",
            Refusal::LedgerUnwritable {
                reason: text("no space left on device"),
            },
        ),
        (
            "report-refused-store-regressed",
            Refusal::StoreRegressed {
                reason: text("the store shows epoch 6, this agent has seen epoch 7"),
            },
        ),
        (
            "report-refused-promised",
            Refusal::Promised {
                epoch: Epoch(7),
                left_ms: Millis(41_250),
            },
        ),
        ("report-refused-automatic", Refusal::AutomaticRefused),
        (
            "report-refused-automatic-version",
            Refusal::AutomaticNotAllowed {
                ordered: Some(StackVersion(12)),
                known: None,
            },
        ),
        (
            "report-refused-automatic-off",
            Refusal::AutomaticOff {
                by: Actor::new("alice"),
            },
        ),
    ]
}
