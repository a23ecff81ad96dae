//! A stack comes in force: compared with the one that the operator saw, and never during a run.

use serde::{Deserialize, Serialize};
use shared::epoch::StackVersion;
use shared::id::{Actor, Nonce};
use shared::stack::{Database, Member, Stack, difference};
use shared::wire::{DatabaseSample, Severity, Ticket};

use crate::approval::refused;
use crate::core::Core;
use crate::input::Now;
use crate::journal::About;
use crate::output::{Answer, Output, Persist};
use crate::requests::accepted_answer;

/// What was in force before this leader put its first stack in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Applied {
    before: Option<(StackVersion, Stack)>,
}

impl Core {
    pub(crate) fn apply(
        &mut self,
        now: Now,
        actor: &Actor,
        stack: Stack,
        replaces: Option<StackVersion>,
    ) -> Result<Answer, Answer> {
        if let Some(run) = &self.durable.run {
            let reason = format!(
                "run {} goes on; a stack is changed when it is over",
                run.id.short()
            );
            return Err(refused("run", reason, true));
        }
        if self.stopping_halt().is_some() {
            self.trusts_store(now)?;
        }
        if self.ticket.is_none() && self.clocks.ticket_pending {
            let reason = "the first ticket is being written";
            return Err(refused("ticket", reason, false));
        }
        let have = self.stack.as_ref().map(|(version, _)| *version);
        compared(have, replaces)?;
        if let Some(reason) = self.unfit_stack(&stack) {
            return Err(refused("stack", reason, true));
        }
        let elsewhere = self
            .ticket
            .is_none()
            .then(|| self.live_elsewhere(now, &stack));
        if let Some(reason) = elsewhere.flatten() {
            return Err(refused("live-elsewhere", reason, true));
        }
        let differences = difference(self.stack.as_ref().map(|(_, stack)| stack), &stack);
        // A store that was made anew lacks the stack and the ticket, whatever this process remembers.
        if differences.is_empty() && self.ticket.is_some() {
            return Ok(accepted_answer(
                "nothing changes: the same stack is in force".to_owned(),
            ));
        }
        let version = StackVersion(have.unwrap_or_default().0 + 1);
        self.withdraw(now, "another stack version came in force");
        self.end_shadow(now, "another stack version came in force");
        self.automatic.clear_since = None;
        let before = self.stack.replace((version, stack.clone()));
        self.applied.get_or_insert(Applied { before });
        if self.ticket.is_none() {
            self.first_ticket(now, &stack);
        }
        self.push(Output::Persist(Persist::Stack {
            version,
            stack: Box::new(stack),
        }));
        self.touch();
        let summary = format!(
            "{actor} put stack version {version} in force, {} changes",
            differences.len()
        );
        let mut event = self
            .scene(now)
            .event("stack-applied", Severity::Info, summary.clone())
            .by(actor);
        for change in differences.iter().take(50) {
            event = event.with(&change.key, change);
        }
        self.record(event);
        Ok(Answer::Accepted {
            summary,
            differences,
        })
    }

    /// The lead is lost: whether the stack that this leader put in force was written is for the store to show. Nobody
    /// leads by a change that only its own process knows. The very first stack stays: without a ticket it allows
    /// nothing, and a store that forgets everything must not make the coordinators forget what they guard.
    pub(crate) fn forget_applied(&mut self) {
        if let Some(Applied {
            before: Some(before),
        }) = self.applied.take()
        {
            self.stack = Some(before);
        }
    }

    /// Why a first ticket may not be made: a store that is made anew must not name one site while another is live.
    fn live_elsewhere(&self, now: Now, stack: &Stack) -> Option<String> {
        let holder = stack.first_primary();
        let members = stack.databases.iter().flat_map(Database::members);
        let mut others = members.filter(|member| member.site != *holder);
        let writes = |member: &&Member| {
            let agent = self.inventory.agent(&member.site, &member.node);
            let fresh = agent.filter(|agent| agent.age(now.mono) <= stack.policy.silence_ms);
            fresh
                .and_then(|agent| agent.heartbeat.database.as_ref())
                .is_some_and(DatabaseSample::writes)
        };
        others.find(writes).map(|member| {
            format!(
                "the file has {holder} as primary, and {} says that its database in {} writes: name the live site as \
                 primary, or stop that database",
                member.node, member.site
            )
        })
    }

    /// The first epoch belongs to the stack's primary site; it is above every epoch that any agent has obeyed, so
    /// that a store made anew does not give orders that agents must refuse.
    pub(crate) fn first_ticket(&mut self, now: Now, stack: &Stack) {
        let holder = stack.first_primary().clone();
        let epoch = self.next_epoch();
        let to = Ticket {
            summary: format!("{holder} holds the right to be live in epoch {epoch}"),
            incarnation: Nonce::new(self.draw("incarnation")),
            epoch,
            holder,
            grant: Some(Nonce::new(self.draw("grant"))),
            changed_at: now.wall,
            confirmed_by: None,
            confirmations: 0,
            accepted: self.memory().accepted,
            leases: std::collections::BTreeMap::new(),
            automatic_off: self.automatic_off(),
        };
        self.durable.incarnation = Some(to.incarnation);
        self.clocks.ticket_pending = true;
        self.push(Output::Persist(Persist::Ticket { from: None, to }));
    }

    pub(crate) fn unfit_stack(&self, stack: &Stack) -> Option<String> {
        let (_, have) = self.stack.as_ref()?;
        if have.name != stack.name {
            return Some(format!(
                "the stack is named {}, the one in force {}",
                stack.name, have.name
            ));
        }
        let live = self.live_site()?;
        (!stack.is_eligible(&live)).then(|| {
            format!("{live} is live, and the file does not have it as a site that may be live")
        })
    }
}

/// A file is put in force over the version that it was compared with, and no other.
fn compared(have: Option<StackVersion>, replaces: Option<StackVersion>) -> Result<(), Answer> {
    if have == replaces {
        return Ok(());
    }
    let text = |version: Option<StackVersion>| {
        version.map_or_else(|| "none".to_owned(), |v| v.to_string())
    };
    let reason = format!(
        "version {} is in force, the file was compared with {}",
        text(have),
        text(replaces)
    );
    Err(refused("stack-version", reason, false))
}
