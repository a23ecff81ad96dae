//! The queue of outputs: the state goes before everything that speaks of it.

use shared::wire::AuditEvent;
use uuid::Uuid;

use crate::core::Core;
use crate::input::Fresh;
use crate::output::{Output, Persist};

impl Core {
    /// Queues an output; the state and the events of this moment go before it.
    pub(crate) fn push(&mut self, output: Output) {
        self.flush_state();
        self.flush_events();
        self.outbox.push_back(output);
    }

    /// An event for the audit, said after the state that it speaks of is written, and kept in that state: when the
    /// lead is lost between the write and the saying, the next leader says it.
    pub(crate) fn record(&mut self, event: AuditEvent) {
        self.events.push(event);
        self.touch();
    }

    /// The state changed: it is written before anything else is said.
    pub(crate) const fn touch(&mut self) {
        self.dirty = true;
    }

    /// A fresh identity for a purpose.
    pub(crate) fn draw(&mut self, purpose: &str) -> Uuid {
        self.drawn += 1;
        self.fresh.derive(purpose, self.drawn)
    }

    pub(crate) fn draw_from(&mut self, fresh: Fresh) {
        self.fresh = fresh;
        self.drawn = 0;
    }

    pub(crate) fn flush_state(&mut self) {
        if self.dirty && self.leads() {
            self.durable.summary = self.durable_summary();
            let epoch = self.epoch();
            self.durable.epoch_max = self.durable.epoch_max.max(epoch);
            self.durable.unrecorded.clone_from(&self.events);
            self.outbox
                .push_back(Output::Persist(Persist::State(Box::new(
                    self.durable.clone(),
                ))));
        }
        self.dirty = false;
    }

    pub(crate) fn flush_events(&mut self) {
        let leads = self.leads();
        for event in self.events.drain(..) {
            if leads {
                self.outbox.push_back(Output::Record(Box::new(event)));
            }
        }
    }

    fn durable_summary(&self) -> String {
        let live = self
            .live_site()
            .map_or_else(|| "no site".to_owned(), |site| site.to_string());
        let run = self
            .durable
            .run
            .as_ref()
            .map(|run| format!("run {} to {} goes on", run.id.short(), run.plan.to));
        let open = self
            .durable
            .open_proposal()
            .map(|p| format!("proposal {} waits for an operator", p.id.short()));
        let what = run
            .or(open)
            .unwrap_or_else(|| "nothing is pending".to_owned());
        format!("{live} is live in epoch {}; {what}", self.epoch())
    }
}
