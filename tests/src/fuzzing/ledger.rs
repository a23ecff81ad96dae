//! The agent's ledger: a file is read whole or refused, and nothing done to what was read lets it forget.

use agent::gate::Identity;
use agent::ledger::{Record, RecordError};
use shared::clock::UnixMillis;
use shared::id::{NodeName, ProcessId, SiteName, StackName};
use shared::sealed::{seal, unseal};
use shared::wire::{Command, ReportState};
use uuid::Uuid;

use super::text;

/// Entries that a record keeps here: few, so that dropping is reached.
const CAPACITY: usize = 3;

/// The input is tried as a whole file, and as the content of one.
pub(super) fn holds(bytes: &[u8]) {
    match unseal(bytes) {
        Ok(content) => assert_eq!(seal(content).as_bytes(), bytes),
        Err(why) => assert!(!why.is_empty()),
    }
    let Some(text) = text(bytes) else { return };
    let Some(identity) = identity() else { return };
    match Record::parse(text, &identity) {
        Ok(record) => whole(&record, &identity),
        Err(RecordError::Damaged(why)) => assert!(!why.is_empty()),
        Err(RecordError::OtherAgent { found, wanted }) => assert_ne!(found, wanted),
    }
}

fn identity() -> Option<Identity> {
    Some(Identity {
        stack: StackName::new("ess").ok()?,
        site: SiteName::new("dc2").ok()?,
        node: NodeName::new("dc2-db").ok()?,
        process: ProcessId::new(Uuid::from_u128(1)),
    })
}

fn whole(record: &Record, identity: &Identity) {
    let content = record.text();
    assert_eq!(
        Record::parse(&content, identity).as_ref(),
        Ok(record),
        "written and read, it is another"
    );
    let file = seal(&content);
    assert_eq!(unseal(file.as_bytes()), Ok(content.as_str()));
    for cut in [1, file.len() / 2, file.len() - 1] {
        let cut = file.as_bytes().get(..file.len() - cut);
        assert!(cut.is_some_and(|cut| unseal(cut).is_err()));
    }
    forgets_nothing(record);
}

/// Each of the record's own commands, begun and ended again: epoch and term never fall, nothing unfinished is dropped.
fn forgets_nothing(record: &Record) {
    let commands: Vec<Command> = record.entries().map(|e| e.command.clone()).collect();
    let mut changed = record.clone();
    for (number, command) in commands.iter().enumerate() {
        let (epoch, term) = (changed.epoch(), changed.term());
        let open: Vec<_> = changed.unfinished().map(|c| c.id).collect();
        changed.begin(command, UnixMillis(0), CAPACITY);
        assert!(changed.epoch() >= epoch, "the epoch fell");
        assert!(
            changed.epoch() > epoch || changed.term() >= term,
            "the term fell within its epoch"
        );
        if command.action.changes() {
            assert!((changed.epoch(), changed.term()) >= (command.epoch, command.term));
        }
        for id in open.iter().chain([&command.id]) {
            assert!(
                changed.unfinished().any(|c| c.id == *id),
                "{id} has no outcome and was dropped"
            );
        }
        if number % 2 == 0 {
            let outcome = ReportState::Interrupted {
                found: String::new(),
                repeatable: true,
            };
            changed.finish(command.id, outcome.clone());
            let known = changed.known(command.id);
            assert_eq!(known.and_then(|known| known.outcome), Some(outcome));
        }
    }
    assert_eq!(changed.seen(), record.seen());
    assert_eq!(changed.fenced(), record.fenced());
}
