//! What agents tell: the reply to the asker, and the report that all coordinators hear.

use decision::{Input, Unanswered};
use shared::id::{CommandId, NodeName, SiteName};
use shared::wire::{Command, Report, ReportState};

use super::world::{Event, World};

impl World {
    pub(super) fn answer(
        &mut self,
        command: &Command,
        from: &SiteName,
        asker: u64,
        state: ReportState,
    ) {
        let (node, time) = (command.node.clone(), self.time);
        let worker = &self.workers[&node];
        let site = worker.site.clone();
        let report = worker.report(time, command, state);
        for delay in self.network.arrivals(&mut self.dice, &site, from) {
            let (report, node) = (Box::new(report.clone()), node.clone());
            self.plan(
                delay,
                Event::Reply {
                    site: from.clone(),
                    life: asker,
                    node,
                    report,
                },
            );
        }
        for to in self.sites.clone() {
            for delay in self.network.arrivals(&mut self.dice, &site, &to) {
                let input = Input::Reported {
                    site: site.clone(),
                    node: node.clone(),
                    report: report.clone(),
                };
                let life = self.seats[&to].life;
                self.plan(
                    delay,
                    Event::Input {
                        site: to.clone(),
                        life,
                        input: Box::new(input),
                    },
                );
            }
        }
    }

    pub(super) fn reply(&mut self, site: &SiteName, life: u64, node: &NodeName, report: Report) {
        let home = self.workers[node].site.clone();
        if let Some(seat) = self.seats.get_mut(site) {
            seat.waiting.remove(&report.command);
        }
        self.deliver(
            site,
            life,
            Input::Reported {
                site: home,
                node: node.clone(),
                report,
            },
        );
    }

    pub(super) fn no_reply(&mut self, site: &SiteName, life: u64, command: CommandId) {
        let was_waiting = self
            .seats
            .get_mut(site)
            .is_some_and(|seat| seat.waiting.remove(&command));
        if was_waiting {
            self.deliver(
                site,
                life,
                Input::Unanswered {
                    command,
                    cause: Unanswered::TimedOut,
                },
            );
        }
    }
}
