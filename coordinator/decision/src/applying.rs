//! A stack comes in force: compared with the one that the operator saw, and never during a run.

use shared::epoch::{Epoch, StackVersion};
use shared::id::{Actor, Nonce};
use shared::stack::{Stack, difference};
use shared::wire::{Severity, Ticket};

use crate::approval::refused;
use crate::core::Core;
use crate::input::Now;
use crate::journal::About;
use crate::output::{Answer, Output, Persist};
use crate::requests::accepted_answer;

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
        let have = self.stack.as_ref().map(|(version, _)| *version);
        if have != replaces {
            let text = |version: Option<StackVersion>| {
                version.map_or_else(|| "none".to_owned(), |v| v.to_string())
            };
            let reason = format!(
                "version {} is in force, the file was compared with {}",
                text(have),
                text(replaces)
            );
            return Err(refused("stack-version", reason, false));
        }
        if let Some(reason) = self.unfit_stack(&stack) {
            return Err(refused("stack", reason, true));
        }
        let differences = difference(self.stack.as_ref().map(|(_, stack)| stack), &stack);
        if differences.is_empty() {
            return Ok(accepted_answer(
                "nothing changes: the same stack is in force".to_owned(),
            ));
        }
        let version = StackVersion(have.unwrap_or_default().0 + 1);
        self.withdraw(now, "another stack version came in force");
        self.stack = Some((version, stack.clone()));
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

    /// The first epoch belongs to the stack's primary site.
    pub(crate) fn first_ticket(&mut self, now: Now, stack: &Stack) {
        let holder = stack.first_primary().clone();
        let to = Ticket {
            summary: format!("{holder} holds the right to be live in epoch 1"),
            incarnation: Nonce::new(self.draw("incarnation")),
            epoch: Epoch(1),
            holder,
            grant: Some(Nonce::new(self.draw("grant"))),
            changed_at: now.wall,
            confirmed_by: None,
            confirmations: 0,
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
        let eligible = stack
            .sites
            .get(&live)
            .is_some_and(|role| *role != shared::stack::SiteRole::Witness);
        (!eligible).then(|| {
            format!("{live} is live, and the file does not have it as a site that may be live")
        })
    }
}
