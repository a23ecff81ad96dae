//! What reaches a core, as the real messages.

use decision::{ApprovalRequest, Core, Fresh, Input};
use shared::clock::Millis;
use shared::epoch::Epoch;
use shared::lsn::{Lsn, SystemIdentifier, Timeline};
use shared::wire::{
    Command, DatabaseRole, DatabaseSample, DatabaseState, Fitness, Heartbeat, Report, ReportState,
};
use uuid::Uuid;

use super::ground::WALL;
use super::host::{Role, View};

/// An agent's word that its command is done.
pub(super) fn done(command: &Command) -> Input {
    let report = Report {
        command: command.id,
        run: command.run,
        step: command.step,
        process: command.anchor.process,
        epoch: command.epoch,
        sent_at: WALL,
        state: ReportState::Done {
            took_ms: Millis(0),
            proof: Vec::new(),
        },
    };
    Input::Reported {
        site: command.site.clone(),
        node: command.node.clone(),
        report,
    }
}

/// Randomness that never comes twice with the same purpose, and is the same in states that are the same.
pub(super) fn fresh(core: &Core, salt: u128) -> Fresh {
    let Some(durable) = core.durable() else {
        return Fresh(Uuid::nil());
    };
    let count = |number: usize| u128::try_from(number).unwrap_or(u128::MAX);
    let steps = durable.run.as_ref().map_or(0, |run| count(run.steps.len()));
    let resumed = durable.run.as_ref().is_some_and(|run| run.resumed);
    let parts = [
        u128::from(durable.term.0),
        count(durable.past_runs.len()),
        count(durable.proposals.len()),
        steps,
        u128::from(resumed),
        salt,
    ];
    let number = parts.iter().fold(1, |number, part| number << 12 | part);
    Fresh(Uuid::from_u128(number))
}

/// An approval of the newest proposal, with everything that it needs.
pub(super) fn approval(core: &Core) -> Option<ApprovalRequest> {
    let proposal = core.durable()?.proposals.last()?;
    let overrides = proposal.needs.overrides.iter();
    Some(ApprovalRequest {
        proposal: proposal.id,
        digest: proposal.digest.as_str().to_owned(),
        attest_site_off: proposal
            .needs
            .attest_site_off
            .as_ref()
            .map(ToString::to_string),
        overrides: overrides
            .map(|needed| (needed.rule.clone(), "known".to_owned()))
            .collect(),
        reason: "the operator says so".to_owned(),
    })
}

pub(super) fn heartbeat(view: View, time: u8, uptime_ms: Millis) -> Heartbeat {
    let (state, role) = match view.role {
        Role::Primary => (DatabaseState::Up, Some(DatabaseRole::Primary)),
        Role::Standby => (DatabaseState::Up, Some(DatabaseRole::Standby)),
        Role::Down => (DatabaseState::Down, None),
    };
    let sample = DatabaseSample {
        database: shared::id::DatabaseName::new("main").expect("a name"),
        age_ms: Millis(0),
        state,
        role,
        system_identifier: Some(SystemIdentifier("7500000000000000001".to_owned())),
        timeline: Some(Timeline(view.timeline.into())),
        received_lsn: Some(Lsn(0x300_0000)),
        replayed_lsn: Some(Lsn(0x300_0000)),
        receiver: None,
        senders: Vec::new(),
        lag_bytes: None,
        lag_ms: None,
        obstacles: Vec::new(),
        application: None,
        sync: None,
    };
    Heartbeat {
        process: super::host::process(view.process),
        boot: shared::id::BootId::new(Uuid::from_u128(1)),
        sequence: u64::from(time) + 1,
        sent_at: WALL,
        uptime_ms,
        loop_lag_ms: Millis(1),
        epoch: Epoch(view.epoch.into()),
        fitness: Fitness::Fit,
        version: "0.1.0".to_owned(),
        foreign_server: None,
        host: None,
        database: Some(sample),
        cluster: None,
        peers: Vec::new(),
        running: None,
        lease: None,
        glass: None,
    }
}
