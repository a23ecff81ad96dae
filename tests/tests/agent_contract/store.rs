//! What a test puts into the store besides the ticket, and who leads it.

use std::time::Duration;

use anyhow::Result;
use bus::Bucket;
use shared::clock::Millis;
use shared::epoch::StackVersion;
use shared::stack::{LeasePolicy, Mode, STACK_SCHEMA, Stack, StackRecord};
use shared::subject::{self, key};

use crate::stage::{Stage, stack};
use crate::{LONG, SITES};

impl Stage {
    /// Puts a stack in force: one database, with the agents of all sites beside its members.
    pub(crate) async fn store_stack(&self, version: u64, lease: LeasePolicy) -> Result<()> {
        self.store_stack_in(version, lease, Mode::Approval).await
    }

    /// The same in a mode.
    pub(crate) async fn store_stack_in(
        &self,
        version: u64,
        lease: LeasePolicy,
        mode: Mode,
    ) -> Result<()> {
        let site = |(site, role): (&str, &str)| format!("[sites.{site}]\nrole = \"{role}\"\n");
        let member = |site: &str| {
            format!(
                "[[database.member]]\nsite = \"{site}\"\nnode = \"{site}-agent\"\n\
                 address = \"127.0.0.1:5432\"\n"
            )
        };
        let sites = SITES.into_iter().zip(["primary", "standby", "witness"]);
        let text = [
            "schema = 1\nname = \"ess\"\n".to_owned(),
            sites.map(site).collect(),
            "[[database]]\nname = \"main\"\n".to_owned(),
            SITES.into_iter().map(member).collect(),
        ]
        .concat();
        let mut parsed = Stack::parse("stack.toml", &text)?;
        parsed.policy.lease = lease;
        parsed.policy.mode = mode;
        parsed.policy.epoch_wait_ms = Millis::seconds(60);
        let record = StackRecord {
            schema: STACK_SCHEMA,
            summary: format!("version {version}"),
            version: StackVersion(version),
            stack: Box::new(parsed),
        };
        let bucket = Bucket::open(&self.connection, &subject::bucket(&stack())).await?;
        bucket.put(key::STACK, serde_json::to_vec(&record)?).await?;
        Ok(())
    }

    /// Moves the bucket's leader to a site that is none of `sites`, and names it.
    pub(crate) async fn move_leader_from(&mut self, sites: &[&str]) -> Result<String> {
        let stream = format!("KV_{}", subject::bucket(&stack()));
        let deadline = std::time::Instant::now() + LONG;
        loop {
            let path = "/jsz?streams=1&config=1";
            let shown = self.nats.monitoring("dc3", path).await.unwrap_or_default();
            let found = leader_of(&shown, &stream);
            let Some(site) = found.and_then(|name| name.strip_prefix("nats-").map(str::to_owned))
            else {
                anyhow::ensure!(std::time::Instant::now() < deadline, "no leader: {shown}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            if !sites.contains(&site.as_str()) {
                return Ok(site);
            }
            // An orderly end hands the lead over.
            self.nats.stop(&site).await?;
            self.nats.start(&site)?;
            self.nats.wait_ready(LONG).await?;
        }
    }
}

fn leader_of(shown: &serde_json::Value, stream: &str) -> Option<String> {
    let accounts = shown["account_details"].as_array()?;
    let streams = accounts
        .iter()
        .filter_map(|account| account["stream_detail"].as_array())
        .flatten();
    let mut named = streams.filter(|found| found["name"] == stream);
    Some(named.next()?["cluster"]["leader"].as_str()?.to_owned())
}
