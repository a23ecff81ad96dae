//! A trace for people: one line an action, with what is worth knowing after it.

use shared::wire::ReportState;

use super::ground::{NODES, SITES, Tables};
use super::world::{Action, World};

/// Tells an action and what it came to.
pub(super) fn line(tables: &Tables, before: &World, action: Action, after: &World) -> String {
    let what = words(tables, before, action);
    let ticket = tables.tickets.get(after.store.ticket);
    let granted = if ticket.grant.is_some() {
        "granted"
    } else {
        "revoked"
    };
    let databases: Vec<&str> = after
        .hosts
        .iter()
        .map(|host| {
            let database = tables.hosts.get(*host).database;
            match (database.up, database.primary) {
                (false, _) => "down",
                (true, true) => "primary",
                (true, false) => "standby",
            }
        })
        .collect();
    format!(
        "{:>3} s  {what:<58} | epoch {} {} {granted}; {} {}",
        after.time,
        ticket.epoch,
        ticket.holder,
        databases.first().unwrap_or(&""),
        databases.last().unwrap_or(&""),
    )
}

fn words(tables: &Tables, before: &World, action: Action) -> String {
    let seat = |number: u8| SITES[usize::from(number) + 1];
    let host = |number: u8| NODES[usize::from(number)];
    match action {
        Action::Second => "a second passes".to_owned(),
        Action::Perform(number) => {
            format!("the coordinator in {} does its next order", seat(number))
        }
        Action::Arrive(number) => format!("the ticket of {} reaches the store", seat(number)),
        Action::Acknowledge(number) => format!("{} hears what became of its ticket", seat(number)),
        Action::Deliver(number, slot) => {
            let order = before.orders[usize::from(number)][usize::from(slot)];
            let (kind, epoch, term) = order.map_or(("nothing", 0, 0), |id| {
                let command = tables.commands.get(id);
                (command.action.kind(), command.epoch.0, command.term.0)
            });
            format!(
                "{} gets the order: {kind} (epoch {epoch}, term {term})",
                host(number)
            )
        }
        Action::Hear(number, from) => {
            let word = before.words[usize::from(from)]
                .map_or_else(String::new, |id| state_words(&tables.reports.get(id).state));
            format!("{} hears from {}: {word}", seat(number), host(from))
        }
        Action::Work(number) => format!("{} goes on with its order", host(number)),
        Action::Confirm(number) => format!("the store answers {} about its grant", host(number)),
        Action::Renew(number) => format!("a renewal of {} reaches the store", host(number)),
        Action::Renewed(number) => format!("{} hears what became of its renewal", host(number)),
        Action::Vouch(0) => "dc2-db promises dc1-db not to promote yet".to_owned(),
        Action::Vouch(_) => "the witness vouches to dc1-db".to_owned(),
        Action::Extend => "dc1-db hears its peers' promises".to_owned(),
        Action::Approve(number) => format!("an operator approves in {}", seat(number)),
        Action::Decide(number, true) => format!("an operator resumes the run in {}", seat(number)),
        Action::Decide(number, false) => {
            format!("an operator abandons the run in {}", seat(number))
        }
        Action::Crash(number) => format!("the coordinator in {} dies", seat(number)),
        Action::TakeOver(number) => format!("the coordinator in {} takes the lead", seat(number)),
        Action::Return => "dc1 is heard again".to_owned(),
        Action::Hang(number) => format!("the agent {} hangs", host(number)),
        Action::Resume(number) => format!("the agent {} goes on", host(number)),
        Action::Kill(number) => format!("the agent {} is killed", host(number)),
        Action::Start(number) => format!("the agent {} is started again", host(number)),
        Action::PowerOff => "dc1 loses power".to_owned(),
        Action::Pause => "the machine of dc1-db is paused".to_owned(),
        Action::Continue => "the machine of dc1-db goes on".to_owned(),
    }
}

fn state_words(state: &ReportState) -> String {
    match state {
        ReportState::Running { .. } => "running".to_owned(),
        ReportState::Done { .. } => "done".to_owned(),
        ReportState::Failed { reason, .. } => format!("failed: {reason}"),
        ReportState::Refused(refusal) => format!("refused: {refusal}"),
        ReportState::Interrupted { .. } => "interrupted".to_owned(),
    }
}
