//! What databases write, acknowledge and send to their standbys, twice a second.

use shared::id::{NodeName, SiteName};
use shared::stack::Replication;

use super::world::{Event, World};

/// Between two steps.
pub(super) const EVERY: u64 = 500;

/// What a primary has to send.
struct Stream {
    node: NodeName,
    site: SiteName,
    lsn: u64,
    timeline: u32,
    /// Where standbys that have it stand, highest first counted.
    confirmed: u64,
}

impl World {
    pub(super) fn replicate(&mut self) {
        let mut streams = self.write();
        self.receive(&mut streams);
        self.acknowledge(&streams);
        self.check_bounds();
        self.plan(EVERY, Event::Replicate);
    }

    /// Clients write where they can.
    fn write(&mut self) -> Vec<Stream> {
        let time = self.time;
        let mut streams = Vec::new();
        for worker in self.workers.values_mut() {
            let serves = worker.serves(time);
            let here =
                time >= worker.host_paused_until && !self.network.dark.contains(&worker.site);
            let (node, site) = (worker.node.clone(), worker.site.clone());
            let Some(database) = worker.database.as_mut().filter(|d| d.writable() && here) else {
                continue;
            };
            // Who cannot be reached by clients still writes a little by itself.
            database.lsn += self.dice.between(0, if serves { 8_192 } else { 64 });
            streams.push(Stream {
                node,
                site,
                lsn: database.lsn,
                timeline: database.timeline,
                confirmed: 0,
            });
        }
        streams
    }

    fn receive(&mut self, streams: &mut [Stream]) {
        let time = self.time;
        for worker in self.workers.values_mut() {
            let now = worker.clock.mono(time);
            let here = time >= worker.host_paused_until;
            let able = |d: &&mut super::database::Database| {
                d.up && !d.primary && !d.hangs && d.receives && here
            };
            let Some(database) = worker.database.as_mut().filter(able) else {
                continue;
            };
            let Some((source, _)) = &database.follows else {
                continue;
            };
            let stream = streams.iter_mut().find(|stream| stream.site == *source);
            let Some(stream) = stream.filter(|stream| stream.timeline >= database.timeline) else {
                continue;
            };
            if !self.network.connects(source, &worker.site) {
                continue;
            }
            database.message_at = Some(now);
            database.lsn = database.lsn.max(stream.lsn);
            database.timeline = stream.timeline;
            if self.stack.is_eligible(&worker.site) {
                stream.confirmed = stream.confirmed.max(stream.lsn);
            }
        }
    }

    /// A client is told that its commit stands: at once, or only with the standby that would become live.
    fn acknowledge(&mut self, streams: &[Stream]) {
        let time = self.time;
        let synchronous = self.stack.policy.replication == Replication::Synchronous;
        let mut told = Vec::new();
        for stream in streams {
            let Some(worker) = self.workers.get_mut(&stream.node) else {
                continue;
            };
            if !worker.serves(time) {
                continue;
            }
            let Some(database) = &mut worker.database else {
                continue;
            };
            let waits = synchronous && !database.names_cleared;
            let upto = if waits { stream.confirmed } else { stream.lsn };
            if upto > database.acknowledged {
                database.acknowledged = upto;
                told.push((stream.node.clone(), stream.timeline));
            }
        }
        if synchronous {
            self.check_acknowledged(&told);
        }
    }
}
