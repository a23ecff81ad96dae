//! Asks all peers of the other sites for their vow, while the store does not answer.
//!
//! Every database agent of every other site has to give one: any of them could be the next primary, and no number
//! of others makes up for one that is silent. What it must never do: count an answer to another question.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::clock::Millis;
use shared::epoch::Epoch;
use shared::id::{NodeName, Nonce, SiteName};
use shared::stack::{Address, StackRecord};
use shared::wire::PeerChannel;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::config::AgentConfig;
use crate::gate::Identity;
use crate::vow::line::{Given, LINE_LEN_MAX, Question, Reply, Seal};

/// What is asked of whom.
pub(crate) struct Vouching {
    questions: Vec<(Address, Question)>,
    /// Who has to answer.
    wanted: BTreeSet<(SiteName, NodeName)>,
    seal: Seal,
}

impl Vouching {
    /// The questions that a stack and the agent's own file give.
    pub(crate) fn of(
        config: &AgentConfig,
        identity: &Identity,
        record: &StackRecord,
        epoch: Epoch,
        incarnation: Nonce,
        seal: Seal,
    ) -> Self {
        let stack = &record.stack;
        let members = stack
            .databases
            .iter()
            .flat_map(shared::stack::Database::members);
        let wanted = members
            .filter(|member| member.site != identity.site)
            .map(|member| (member.site.clone(), member.node.clone()))
            .collect();
        let lease = &stack.policy.lease;
        let question = |to: &SiteName| Question {
            stack: identity.stack.clone(),
            site: identity.site.clone(),
            node: identity.node.clone(),
            to: to.clone(),
            epoch,
            incarnation,
            span_ms: stack.policy.epoch_wait_ms.max(lease.wait_min_ms()),
            stack_version: record.version,
            nonce: Nonce::new(Uuid::new_v4()),
        };
        let agents = config
            .peers
            .iter()
            .filter(|peer| peer.channel == PeerChannel::Agent);
        let questions = agents
            .map(|peer| (peer.address.clone(), question(&peer.site)))
            .collect();
        Self {
            questions,
            wanted,
            seal,
        }
    }

    /// Asks all at once.
    ///
    /// # Errors
    /// A sentence about everybody who did not vow.
    pub(crate) async fn ask(self, within: Millis) -> Result<(), String> {
        if self.wanted.is_empty() {
            return Err("the stack names no database in another site".to_owned());
        }
        let mut asking = JoinSet::new();
        for (address, question) in self.questions {
            let seal = self.seal.clone();
            asking.spawn(async move {
                let site = question.to.clone();
                let asked =
                    tokio::time::timeout(within.duration(), ask_one(&address, &question, &seal));
                let answer = match asked.await {
                    Ok(answer) => answer,
                    Err(_elapsed) => Err("no answer in time".to_owned()),
                };
                answer.map_err(|why| format!("{site} at {address}: {why}"))
            });
        }
        let (mut missing, mut said) = (self.wanted, Vec::new());
        while let Some(answer) = asking.join_next().await {
            match answer {
                Ok(Ok(given)) => {
                    missing.remove(&(given.site, given.node));
                }
                Ok(Err(why)) => said.push(why),
                Err(error) => said.push(error.to_string()),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = missing
            .iter()
            .map(|(site, node)| format!("{site}/{node}"))
            .collect();
        said.sort();
        Err(format!(
            "no vow of {} ({})",
            names.join(", "),
            if said.is_empty() {
                "no [[peer]] with channel = \"agent\" leads there".to_owned()
            } else {
                said.join("; ")
            }
        ))
    }
}

async fn ask_one(address: &Address, question: &Question, seal: &Seal) -> Result<Given, String> {
    let told = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect((address.host(), address.port()))
        .await
        .map_err(told)?;
    stream
        .write_all(question.line(seal).as_bytes())
        .await
        .map_err(told)?;
    let mut line = String::new();
    let limit = u64::try_from(LINE_LEN_MAX).unwrap_or(u64::MAX);
    stream
        .take(limit)
        .read_to_string(&mut line)
        .await
        .map_err(told)?;
    match Reply::parse(&line, seal) {
        Some(Reply::Given(given)) if given.answers(question) => Ok(given),
        Some(Reply::Given(_)) => Err("it answers another question".to_owned()),
        Some(Reply::Denied(why)) => Err(why),
        None => {
            Err("what answers there is no agent of this version, or has another key".to_owned())
        }
    }
}

/// Longest wait for all vows: they are asked again with the next renewal.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
