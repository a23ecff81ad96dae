//! One term of the lead, from the taking over of the state to the dropping of what is not done.

use std::future::Future;
use std::pin::Pin;

use decision::{Announcement, Input, Now, Output, Persist};
use shared::epoch::Term;
use shared::subject::Subject;
use shared::telemetry::Chain;
use shared::wire::AuditEvent;

use super::{Runtime, fresh};
use crate::clock;
use crate::dispatch::Dispatch;
use crate::leadership::Order;
use crate::lease::Lease;
use crate::screen::json;
use crate::store::{Persisted, Snapshot, Store, StoreError};

/// A lead that is served.
pub(super) struct Leading {
    pub(super) term: Term,
    pub(super) lease: Lease,
    dispatch: Dispatch,
}

type Writing = Pin<Box<dyn Future<Output = (Store, Persisted)>>>;
type TakingOver = Pin<Box<dyn Future<Output = Result<(Store, Snapshot), StoreError>>>>;

/// What goes on with the store in this term.
pub(super) enum Work {
    /// Nothing: this process does not lead.
    None,
    /// The state is being read.
    TakingOver(TakingOver),
    /// Ready for the next write.
    Ready(Box<Store>),
    /// A write is on its way; no output is polled meanwhile.
    Writing(Writing),
}

/// What the work came to.
pub(super) enum Worked {
    TakenOver(Result<(Store, Snapshot), StoreError>),
    Written(Store, Persisted),
}

/// The end of the work that goes on; never, while none does.
pub(super) async fn worked(work: &mut Work) -> Worked {
    match work {
        Work::TakingOver(future) => Worked::TakenOver(future.await),
        Work::Writing(future) => {
            let (store, persisted) = future.await;
            Worked::Written(store, persisted)
        }
        Work::None | Work::Ready(_) => std::future::pending().await,
    }
}

impl Runtime {
    /// The lead was won: the state is read before anything is decided.
    pub(super) fn won(&mut self, term: Term, lease: Lease) {
        let (Some(bucket), Some(command)) = (&self.bucket, &self.command) else {
            return;
        };
        let dispatch = Dispatch::new(
            command.clone(),
            self.config.stack.clone(),
            self.sender.clone(),
        );
        self.work = Work::TakingOver(Box::pin(Store::take_over(bucket.clone(), lease.clone())));
        self.leading = Some(Leading {
            term,
            lease,
            dispatch,
        });
    }

    /// Takes up what the work came to.
    pub(super) fn worked(&mut self, worked: Worked) {
        let now = clock::now();
        self.work = Work::None;
        match worked {
            Worked::TakenOver(Ok((store, found))) => self.taken_over(now, store, found),
            Worked::TakenOver(Err(error)) => {
                tracing::error!(error = %Chain(&error), "the state cannot be taken over");
                self.resign(
                    now,
                    format!("the state cannot be taken over: {}", Chain(&error)),
                );
            }
            Worked::Written(store, Persisted::Done) => self.work = Work::Ready(Box::new(store)),
            Worked::Written(store, Persisted::TicketWritten { ticket, revision }) => {
                self.work = Work::Ready(Box::new(store));
                self.core
                    .handle(now, Input::TicketWritten { ticket, revision });
            }
            Worked::Written(store, Persisted::TicketConflict { found }) => {
                tracing::error!("the ticket in the store is not the one that was written last");
                self.work = Work::Ready(Box::new(store));
                self.core.handle(now, Input::TicketConflict { found });
            }
            Worked::Written(_, Persisted::LeadLost { reason }) => self.resign(now, reason),
        }
    }

    fn taken_over(&mut self, now: Now, store: Store, found: Snapshot) {
        let Some(leading) = &self.leading else { return };
        let term = leading.term;
        self.work = Work::Ready(Box::new(store));
        if let Some((_, record)) = found.stack {
            self.core.handle(
                now,
                Input::StackInForce {
                    version: record.version,
                    stack: record.stack,
                },
            );
        }
        let durable = found.durable.map(|(_, durable)| durable);
        let (revision, ticket) = found.ticket.unzip();
        self.core.handle(
            now,
            Input::Led {
                term,
                durable,
                ticket,
                revision: revision.unwrap_or_default(),
                fresh: fresh(),
            },
        );
    }

    /// Does what the core ordered, up to the next write that must be waited for. A leader does nothing by what it has
    /// seen of the store before that is on its own disk.
    pub(super) fn perform(&mut self) {
        while !matches!(self.work, Work::TakingOver(_) | Work::Writing(_)) {
            let kept = self.keeper.keep(self.core.memory(), clock::mono());
            if !kept && self.leading.is_some() {
                return;
            }
            let Some(output) = self.core.poll_output() else {
                return;
            };
            let now = clock::now();
            if self.leading.is_some() && self.check_lease(now) {
                return;
            }
            self.perform_one(now, output);
        }
    }

    fn perform_one(&mut self, now: Now, output: Output) {
        match output {
            Output::Persist(write) => self.write(write),
            Output::Send(command) => {
                if let Some(leading) = &mut self.leading {
                    leading.dispatch.send(*command);
                } else {
                    tracing::error!(command = %command.id, "a command was ordered without a lead; it is not sent");
                }
            }
            Output::Record(event) => self.record(*event),
            Output::Announce(Announcement::Answer { request, answer }) => {
                let situation = self.situation(now);
                if let Some(desk) = &mut self.desk {
                    desk.answer(request, answer, &self.core, now, &situation);
                }
            }
            Output::Announce(Announcement::Progress(event)) => self.announce(*event),
        }
    }

    fn write(&mut self, write: Persist) {
        let Work::Ready(mut store) = std::mem::replace(&mut self.work, Work::None) else {
            tracing::error!("a write was ordered without a lead; it is not done");
            return;
        };
        self.work = Work::Writing(Box::pin(async move {
            let persisted = store.persist(write).await;
            (*store, persisted)
        }));
    }

    fn record(&self, event: AuditEvent) {
        tracing::info!(
            kind = event.kind,
            summary = crate::screen::text::clean(&event.summary),
            "recorded"
        );
        if let Some((audit, _)) = &self.audit {
            audit.record(event);
        }
    }

    fn announce(&self, event: AuditEvent) {
        let connection = self.telemetry.clone();
        let subject = Subject::event(&self.config.stack, &event.kind);
        let body = json::cleaned(&event);
        tokio::spawn(async move {
            let sent = connection
                .publish_json(&subject, &body, &bus::Headers::new())
                .await;
            if let Err(error) = sent {
                tracing::warn!(error = %Chain(&error), "progress cannot be announced");
            }
        });
    }

    /// True when the lease was over, so that the lead is lost now.
    pub(super) fn check_lease(&mut self, now: Now) -> bool {
        let over = self
            .leading
            .as_ref()
            .is_some_and(|leading| !leading.lease.holds(now.mono));
        if over {
            self.lose(
                now,
                "the lease is over: the lead was not renewed in time".to_owned(),
            );
        }
        over
    }

    /// Gives the lead up because this process cannot serve it.
    pub(super) fn resign(&mut self, now: Now, reason: String) {
        if let Some(leading) = &self.leading {
            self.orders.send_replace(Order::Resign(leading.term));
        }
        self.lose(now, reason);
    }

    /// The lead is lost: what is ordered and not done is dropped, whoever waits is told.
    pub(super) fn lose(&mut self, now: Now, reason: String) {
        let Some(mut leading) = self.leading.take() else {
            return;
        };
        leading.lease.revoke();
        leading.dispatch.stop();
        self.work = Work::None;
        let mut dropped = 0_u32;
        while self.core.poll_output().is_some() {
            dropped += 1;
        }
        if self.stopping {
            tracing::info!(term = leading.term.0, dropped, "not leading any more");
        } else {
            tracing::warn!(
                term = leading.term.0,
                reason,
                dropped,
                "not leading any more; nothing further is done"
            );
        }
        self.core.handle(now, Input::LeadLost { reason });
        let situation = self.situation(now);
        if let Some(desk) = &mut self.desk {
            desk.lead_lost(now, &situation);
        }
    }
}
