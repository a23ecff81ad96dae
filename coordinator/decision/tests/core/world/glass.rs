//! An operator at a site's own hosts, while the store is lost.

use decision::{Alarm, Ask};
use shared::clock::{Millis, UnixMillis};
use shared::digest::ContentDigest;
use shared::epoch::Epoch;
use shared::id::Actor;
use shared::wire::{BrokenGlass, DatabaseRole, GlassSample};

use super::{World, site};

impl World {
    /// The database beside an agent was made live without the store, in an epoch of its own.
    pub(crate) fn break_glass(&mut self, name: &str, epoch: u64) {
        let agent = self.agent(name);
        agent.epoch = Epoch(epoch);
        let broken = BrokenGlass {
            epoch: Epoch(epoch),
            plan: ContentDigest::of_bytes(b"plan"),
            operator: Actor::new("bob"),
            reason: "NATS and dc1 are gone".to_owned(),
            to: agent.site.clone(),
            site_off: site("dc1"),
            at: UnixMillis(1_790_000_000_000),
            reconciled: false,
        };
        agent.glass = Some(GlassSample {
            plan_age_ms: Some(Millis::seconds(30)),
            broken: Some(Box::new(broken)),
        });
        if let Some(database) = agent.database.as_mut().filter(|_| epoch > 1) {
            database.role = DatabaseRole::Primary;
            database.timeline += 1;
            database.follows = None;
        }
    }

    /// An operator has looked at it.
    pub(crate) fn acknowledge_glass(&mut self) {
        self.ask(Ask::Acknowledge {
            alarm: Alarm::BreakGlass,
            reason: "looked at".to_owned(),
        });
        self.pass(Millis::seconds(2));
    }
}
