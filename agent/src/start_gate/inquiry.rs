//! Asks disk and store what the start gate judges by, until it is decided or the time is over.
//!
//! It runs beside the agent, or instead of it, so it takes no lock and writes nothing but the ticket, unchanged.

use std::path::Path;
use std::time::Duration;

use bus::{Connection, Manner};
use shared::clock::Millis;
use shared::id::ProcessId;
use shared::stack::LeasePolicy;
use shared::subject::key;
use shared::telemetry::Chain;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Admission, Circumstances, Store, judge};
use crate::config::AgentConfig;
use crate::gate::Identity;
use crate::ledger::{Record, peek};
use crate::pgdata::DataDirectory;
use crate::proof::{self, Unshown};

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest time for one question: connecting, two reads and a write.
const QUESTION: Duration = Duration::from_secs(10);

/// What the gate decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether the database may be started.
    pub open: bool,
    /// Why, as one sentence.
    pub reason: String,
}

/// Decides whether the database beside this agent may be started, within `wait` and one more question of the store.
pub async fn decide(config: &AgentConfig, wait: Millis) -> Decision {
    let deadline = Instant::now() + wait.duration();
    loop {
        let circumstances = match circumstances(config).await {
            Ok(circumstances) => circumstances,
            Err(reason) => {
                return Decision {
                    open: false,
                    reason,
                };
            }
        };
        let silent = matches!(circumstances.store, Store::Silent(_));
        let over = Instant::now() + PAUSE >= deadline;
        match judge(&circumstances) {
            // A store that does not answer is waited for before it is done without.
            Admission::Open(reason) if !silent || over || circumstances.is_standby() => {
                return Decision { open: true, reason };
            }
            Admission::Shut(reason) => {
                return Decision {
                    open: false,
                    reason,
                };
            }
            Admission::Wait(reason) if over => {
                return Decision {
                    open: false,
                    reason,
                };
            }
            Admission::Open(_) | Admission::Wait(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn circumstances(config: &AgentConfig) -> Result<Circumstances, String> {
    let pgdata = config.postgres.as_ref().and_then(|p| p.pgdata.as_ref());
    let pgdata = pgdata.ok_or("the agent's file names no postgres.pgdata")?;
    let startup = DataDirectory::open(pgdata)?.startup()?;
    let identity = Identity {
        stack: config.stack.clone(),
        site: config.site.clone(),
        node: config.node.clone(),
        process: ProcessId::new(Uuid::now_v7()),
    };
    let record = peek(&config.state_dir, &identity).map_err(|error| Chain(&error).to_string())?;
    let mut found = Circumstances {
        site: identity.site.clone(),
        startup,
        fenced: record.fenced().cloned(),
        vouched: record
            .glass()
            .filter(|broken| !broken.reconciled && broken.plan.to == identity.site)
            .map(|broken| broken.epoch),
        enforced: kept_policy(&config.state_dir).is_some_and(|policy| policy.enforces()),
        store: Store::Silent("not asked".to_owned()),
    };
    if found.is_standby() {
        return Ok(found);
    }
    let asking = tokio::time::timeout(QUESTION, ask(config, &record));
    match asking.await {
        Ok((store, policy)) => {
            found.store = store;
            found.enforced = policy.map_or(found.enforced, |policy| policy.enforces());
        }
        Err(_elapsed) => {
            found.store = Store::Silent(format!("no answer within {} s", QUESTION.as_secs()));
        }
    }
    Ok(found)
}

impl Circumstances {
    fn is_standby(&self) -> bool {
        self.startup == crate::pgdata::Startup::Standby
    }
}

async fn ask(config: &AgentConfig, record: &Record) -> (Store, Option<LeasePolicy>) {
    let settings = config.nats.settings(&config.site, &config.node);
    let connection = match Connection::connect(settings, Manner::Command).await {
        Ok(connection) => connection,
        Err(error) => return (Store::Silent(Chain(&error).to_string()), None),
    };
    let bucket = match proof::bucket(&connection, &config.stack).await {
        Ok(bucket) => bucket,
        Err(why) => return (store(why, record), None),
    };
    let policy = bucket.entry(key::STACK).await.ok().flatten();
    let policy = policy.and_then(|entry| lease_policy(&entry.value));
    let store = match proof::prove(&bucket).await {
        Ok(shown) => match record.regression(&shown.ticket, shown.revision) {
            Some(less) => Store::Regressed(less),
            None => Store::Proved(Box::new(shown.ticket)),
        },
        Err(why) => store(why, record),
    };
    (store, policy)
}

/// A store without a ticket is a new one, unless this agent has seen one there.
fn store(why: Unshown, record: &Record) -> Store {
    match why {
        Unshown::Absent(why) if record.seen().is_some() => {
            Store::Regressed(format!("{why}, and this agent has seen one"))
        }
        Unshown::Absent(why) => Store::Absent(why),
        Unshown::Unanswered(why) | Unshown::Unfit(why) => Store::Silent(why),
    }
}

/// The policy that the agent has kept of the stack; nothing when there is none.
fn kept_policy(state_dir: &Path) -> Option<LeasePolicy> {
    lease_policy(&std::fs::read(state_dir.join("stack.json")).ok()?)
}

/// Only this part of the stack's record is read, so that a newer schema of the rest does not shut the gate.
fn lease_policy(record: &[u8]) -> Option<LeasePolicy> {
    let record: serde_json::Value = serde_json::from_slice(record).ok()?;
    let policy = record.get("stack")?.get("policy")?.get("lease")?;
    serde_json::from_value(policy.clone()).ok()
}
