//! The shell around each core: it feeds what arrives, does what is ordered strictly in order, one write at a
//! time, and keeps the lead by writes alone.

use decision::{Announcement, Durable, Fresh, Input, Output, Persist};
use shared::id::SiteName;
use shared::stack::Mode;
use shared::wire::{AuditEvent, Command, Fitness, Unfit};

use super::Flaw;
use super::automatic::automatic_run;
use super::store::Written;
use super::world::{Event, World};

impl World {
    /// Feeds a core, unless its process is another by now; a paused process gets it later.
    pub(super) fn deliver(&mut self, site: &SiteName, life: u64, input: Input) {
        let time = self.time;
        let Some(seat) = self.seats.get_mut(site) else {
            return;
        };
        if !seat.up || seat.life != life || self.network.dark.contains(site) {
            return;
        }
        if time < seat.paused_until {
            let after = seat.paused_until - time;
            self.plan(
                after,
                Event::Input {
                    site: site.clone(),
                    life,
                    input: Box::new(input),
                },
            );
            return;
        }
        // A shell that was paused looks at its lease first: a lead that is over by then is not told as won.
        if let Input::Led { term, .. } = &input
            && seat.held.as_ref().map(|held| held.term) != Some(term.0)
        {
            return;
        }
        let found = if let Input::Led { durable, .. } = &input {
            durable.as_ref().and_then(|durable| durable.open_proposal())
        } else {
            seat.core.durable().and_then(Durable::open_proposal)
        };
        let found = found.map(|proposal| proposal.id);
        let before = if let Input::Led { durable, .. } = &input {
            durable.as_deref()
        } else {
            seat.core.durable()
        };
        let acted = before.and_then(automatic_run);
        seat.core.handle(seat.clock.now(time), input);
        let open = seat.core.durable().and_then(Durable::open_proposal);
        let open = open.map(|proposal| proposal.id);
        if open.is_some() && open != found && seat.core.leads() {
            self.check_proposal(site);
        }
        let core = &self.seats[site].core;
        let acts = core.durable().and_then(automatic_run);
        if acts.is_some() && acts != acted && core.leads() {
            self.check_automatic(site);
        }
        self.obey(site);
    }

    /// Does what the core ordered, up to the next write that must be waited for.
    pub(super) fn obey(&mut self, site: &SiteName) {
        loop {
            let time = self.time;
            let Some(seat) = self.seats.get_mut(site) else {
                return;
            };
            if !seat.up || seat.writing {
                break;
            }
            let lease_over = seat
                .held
                .as_ref()
                .is_some_and(|held| seat.clock.mono(time) > held.until);
            if lease_over {
                self.lose_lead(site, "the lease is over");
                continue;
            }
            let Some(output) = seat.core.poll_output() else {
                break;
            };
            if let Output::Persist(write) = output {
                self.begin_write(site, write);
            } else {
                self.perform(site, output);
            }
        }
        self.set_alarm(site);
    }

    fn begin_write(&mut self, site: &SiteName, write: Persist) {
        let Some(seat) = self.seats.get_mut(site) else {
            return;
        };
        if seat.held.is_none() {
            self.checker
                .violate(self.time, format!("{site} ordered a write without a lead"));
            return;
        }
        if self.flaw == Some(Flaw::WritesSkipped) && matches!(write, Persist::State(_)) {
            return;
        }
        seat.writing = true;
        let (session, known) = (seat.session, seat.known);
        let dies = seat.dies_at_write.take();
        let after = self.dice.between(1, 60);
        if dies != Some(false) {
            let event = Event::Write {
                site: site.clone(),
                session,
                write: Box::new(write),
                known,
            };
            self.plan(after, event);
        }
        if dies.is_some() {
            self.say(format_args!("{site} dies at a write"));
            self.crash_seat(site);
        }
    }

    pub(super) fn store_write(
        &mut self,
        site: &SiteName,
        session: u64,
        write: Persist,
        known: (u64, u64),
    ) {
        let answers = self.store_answers(site);
        let is_current = self.seats[site].session == session;
        if !answers {
            if is_current {
                self.plan(
                    500,
                    Event::Write {
                        site: site.clone(),
                        session,
                        write: Box::new(write),
                        known,
                    },
                );
            }
            return;
        }
        let before = matches!(write, Persist::Ticket { .. })
            .then(|| self.store.ticket.value.clone())
            .flatten();
        let written = self.store.persist(&write, known);
        if matches!(write, Persist::Ticket { .. }) {
            let trusted = !self.store_failed();
            let after = self.store.ticket.value.as_ref();
            self.checker
                .ticket(self.time, before.as_ref(), after, trusted);
        }
        if self.dice.permille(50) && is_current {
            // The answer is lost; the shell asks again, and what is there already counts as written.
            self.plan(
                700,
                Event::Write {
                    site: site.clone(),
                    session,
                    write: Box::new(write),
                    known,
                },
            );
            return;
        }
        let after = self.dice.between(1, 60);
        let (written, write) = (Box::new(written), Box::new(write));
        self.plan(
            after,
            Event::Acknowledged {
                site: site.clone(),
                session,
                written,
                write,
            },
        );
    }

    pub(super) fn acknowledged(
        &mut self,
        site: &SiteName,
        session: u64,
        written: Written,
        write: &Persist,
    ) {
        let Some(seat) = self.seats.get_mut(site) else {
            return;
        };
        if seat.session != session || !seat.up {
            return;
        }
        seat.writing = false;
        if let Persist::State(durable) = write {
            seat.written = Some((**durable).clone());
        }
        let life = seat.life;
        match (written, write) {
            (Written::Done { revision }, Persist::State(_)) => seat.known.0 = revision,
            (Written::Done { revision }, Persist::Stack { .. }) => seat.known.1 = revision,
            (Written::Done { .. }, Persist::Ticket { .. }) => {}
            (Written::Ticket(ticket, revision), _) => {
                self.deliver(site, life, Input::TicketWritten { ticket, revision });
            }
            (Written::Conflict(found), _) => {
                self.deliver(site, life, Input::TicketConflict { found });
            }
            (Written::Refused, _) => self.lose_lead(site, "another coordinator wrote"),
        }
        self.obey(site);
    }

    fn perform(&mut self, site: &SiteName, output: Output) {
        match output {
            Output::Persist(_) => {}
            Output::Record(event) => self.recorded(site, &event),
            Output::Send(command) => self.send(site, *command),
            Output::Announce(Announcement::Answer { answer, .. }) => {
                if self.tells() {
                    self.say(format_args!("{site} answers {answer:?}"));
                }
            }
            Output::Announce(Announcement::Progress(_)) => {}
        }
    }

    /// An event of the audit.
    fn recorded(&mut self, site: &SiteName, event: &AuditEvent) {
        if self.tells() {
            self.say(format_args!("{site} {}: {}", event.kind, event.summary));
        }
        self.events
            .entry(event.kind.clone())
            .and_modify(|n| *n += 1)
            .or_insert(1);
        self.rows.extend(event.row);
        if self.noise.is_some() {
            self.watch(&event.kind);
        }
        self.moved_at = self.time;
        let late = self.seats[site]
            .clock
            .wall(self.time)
            .0
            .abs_diff(event.at.0);
        let trusted = !self.store_failed();
        self.checker.recorded(self.time, event, trusted);
        self.note_run(&event.kind, late);
        // What an earlier leader decided and could not say is said again later.
        if event.kind == "proposal-raised" && late < 1_000 {
            self.check_regression(site);
        }
    }

    fn send(&mut self, site: &SiteName, command: Command) {
        let trusted = !self.store_failed();
        let Some(seat) = self.seats.get_mut(site) else {
            return;
        };
        self.checker.sends(self.time, seat, &command, trusted);
        if let Some((_, stack)) = seat.core.stack()
            && matches!(stack.policy.mode, Mode::Shadow | Mode::Observe)
        {
            let sentence = format!("I13: a command was sent in mode {:?}", stack.policy.mode);
            self.checker.violate(self.time, sentence);
        }
        if self.sent.len() < 64 {
            self.sent.push((command.clone(), site.clone(), seat.life));
        }
        seat.waiting.insert(command.id);
        let life = seat.life;
        let to = command.site.clone();
        self.plan(
            2_000,
            Event::NoReply {
                site: site.clone(),
                life,
                command: command.id,
            },
        );
        for delay in self.network.arrivals(&mut self.dice, site, &to) {
            let command = Box::new(command.clone());
            self.plan(
                delay,
                Event::Command {
                    command,
                    from: site.clone(),
                    asker: life,
                },
            );
        }
    }

    fn set_alarm(&mut self, site: &SiteName) {
        let time = self.time;
        let Some(seat) = self.seats.get_mut(site) else {
            return;
        };
        let Some((at, _)) = seat.core.poll_timeout() else {
            return;
        };
        let after = at.since(seat.clock.mono(time)).0.max(1);
        if seat
            .next_wake
            .is_none_or(|next| next <= time || time + after < next)
        {
            seat.next_wake = Some(time + after);
            let life = seat.life;
            self.plan(
                after,
                Event::Wake {
                    site: site.clone(),
                    life,
                },
            );
        }
    }

    pub(super) fn wake(&mut self, site: &SiteName, life: u64) {
        let time = self.time;
        let Some(seat) = self.seats.get_mut(site) else {
            return;
        };
        let is_due = seat
            .core
            .poll_timeout()
            .is_some_and(|(at, _)| at <= seat.clock.mono(time));
        if is_due {
            let fresh = Fresh(self.dice.uuid());
            self.deliver(site, life, Input::Tick(fresh));
        } else {
            self.set_alarm(site);
        }
    }

    /// Once a second: the lead, the own ears, time, and what is heard.
    pub(super) fn seat_beat(&mut self, site: &SiteName, life: u64) {
        let time = self.time;
        let Some(seat) = self.seats.get_mut(site) else {
            return;
        };
        if !seat.up || seat.life != life || self.network.dark.contains(site) {
            return;
        }
        if time < seat.paused_until {
            let after = seat.paused_until - time;
            seat.unfit_until = seat.paused_until + 3_000;
            self.plan(
                after,
                Event::SeatBeat {
                    site: site.clone(),
                    life,
                },
            );
            return;
        }
        let fitness = if self.network.is_off_bus(site) {
            Fitness::Unfit(vec![Unfit::NotConnected])
        } else if time < seat.unfit_until {
            Fitness::Unfit(vec![Unfit::LoopLag])
        } else {
            Fitness::Fit
        };
        self.look_at_store(site);
        self.deliver(site, life, Input::SelfFitness(fitness));
        let fresh = Fresh(self.dice.uuid());
        self.deliver(site, life, Input::Tick(fresh));
        self.publish(site);
        self.plan(
            1_000,
            Event::SeatBeat {
                site: site.clone(),
                life,
            },
        );
    }

    pub(super) fn crash_seat(&mut self, site: &SiteName) {
        if let Some(seat) = self.seats.get_mut(site) {
            seat.crash();
        }
        let after = self.dice.between(500, 6_000);
        self.plan(after, Event::SeatRestart { site: site.clone() });
    }

    pub(super) fn seat_restart(&mut self, site: &SiteName) {
        let (time, process) = (self.time, self.dice.uuid());
        let Some(seat) = self.seats.get_mut(site) else {
            return;
        };
        if seat.up || self.network.dark.contains(site) {
            return;
        }
        seat.restart(time, process);
        let life = seat.life;
        self.evidence.forget(self.index_of(site));
        self.say(format_args!("{site} coordinator starts"));
        self.plan(
            1,
            Event::SeatBeat {
                site: site.clone(),
                life,
            },
        );
    }
}
