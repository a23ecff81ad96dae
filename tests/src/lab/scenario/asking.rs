//! What a scenario does as an operator.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use shared::id::SiteName;
use tokio::time::sleep;

use super::staging::{LOOK, Stage};
use crate::lab::operator::{Ended, approval};
use crate::lab::status;

const COMMAND: Duration = Duration::from_secs(30);
/// A lease of five seconds, the taking over, and the work of a step.
const LEAD_CHANGE: Duration = Duration::from_secs(45);
/// The exit code of `pointsman` when nobody who leads answered.
const UNREACHABLE: i32 = 5;
/// Longest time for which elections of the NATS cluster keep an answer back.
const ELECTION: Duration = Duration::from_secs(40);
/// Exit code of what a safety rule refused.
const REFUSED: i32 = 6;
const REASON: &str = "the scenario took it away itself";

impl Stage {
    pub(super) async fn remember(&mut self, name: &str) -> Result<()> {
        let shown = self.lab.operator.show("latest").await?;
        self.narrative.say(format!(
            "{name} is proposal {} with digest {}",
            shown.proposal.id.short(),
            shown.proposal.digest.short()
        ));
        self.proposals.insert(name.to_owned(), shown.proposal);
        Ok(())
    }

    pub(super) async fn approve(
        &mut self,
        name: &str,
        digest_of: &str,
        refused: Option<&str>,
    ) -> Result<()> {
        let (proposal, other) = (self.proposal(name)?, self.proposal(digest_of)?);
        ensure!(
            name == digest_of || proposal.digest != other.digest,
            "{name} and {digest_of} have the same digest"
        );
        let words = approval(proposal, other.digest.as_str(), REASON);
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.push("--json");
        let deadline = Instant::now() + ELECTION;
        let mut ended = self.lab.operator.run(&words, COMMAND).await?;
        // While the store elects a leader nothing that it must keep is answered, and a coordinator may lose the lead;
        // a refusal may be asked for again.
        while refused.is_some() && is_leaderless(&ended) && Instant::now() < deadline {
            sleep(LOOK).await;
            ended = self.lab.operator.run(&words, COMMAND).await?;
        }
        let said = format!("{}{}", ended.out.trim(), ended.err.trim());
        match refused {
            None => ensure!(ended.code == Some(0), "exit code {:?}: {said}", ended.code),
            Some(rule) => {
                let reason = refusal(&ended, rule)?;
                self.narrative.say(format!("refused: {reason}"));
            }
        }
        Ok(())
    }

    /// Two operators approve at the same instant: one is obeyed, the other told that it is done.
    pub(super) async fn approve_twice(&mut self, name: &str) -> Result<()> {
        let proposal = self.proposal(name)?;
        let words = approval(proposal, proposal.digest.as_str(), REASON);
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.push("--json");
        let operators = ["first-operator", "second-operator"];
        let [one, other] = operators.map(|name| self.lab.operator.named(name));
        let (one, other) = tokio::join!(one.run(&words, COMMAND), other.run(&words, COMMAND));
        let ended = [one?, other?];
        let obeyed = ended.iter().position(|it| it.code == Some(0));
        let obeyed = obeyed.with_context(|| format!("neither was obeyed: {ended:#?}"))?;
        let refused = ended.get(1 - obeyed).context("two answers")?;
        let reason = refusal(refused, "proposal-approved")?;
        let winner = operators.get(obeyed).copied().unwrap_or_default();
        ensure!(
            reason.contains(winner),
            "the reason does not name {winner}: {reason}"
        );
        self.narrative.say(format!("refused: {reason}"));
        Ok(())
    }

    /// Runs a command of `pointsman`; `$NAME` in a word is the id of a remembered proposal.
    pub(super) async fn operate(&self, words: &[String], code: i32, text: &str) -> Result<()> {
        let mut arguments = Vec::new();
        for word in words {
            arguments.push(match word.strip_prefix('$') {
                Some(name) => self.proposal(name)?.id.to_string(),
                None => word.clone(),
            });
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let deadline = Instant::now() + ELECTION;
        let mut ended = self.lab.operator.run(&arguments, COMMAND).await?;
        while ended.code == Some(UNREACHABLE) && code != UNREACHABLE && Instant::now() < deadline {
            sleep(LOOK).await;
            ended = self.lab.operator.run(&arguments, COMMAND).await?;
        }
        let said = format!("{}{}", ended.out, ended.err);
        self.narrative.show(&said);
        ensure!(
            ended.code == Some(code),
            "exit code {:?}, not {code}: {said}",
            ended.code
        );
        // A sentence may be broken into lines.
        let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(flat.contains(text), "{text:?} is not in: {said}");
        Ok(())
    }

    pub(super) async fn kill_leader_after(&mut self, numbers: &[u32]) -> Result<()> {
        for number in numbers {
            self.await_outcome(*number, LEAD_CHANGE).await?;
            let watcher = self.lab.watcher()?;
            let leader = status::wait(watcher, "led", LEAD_CHANGE, |view| view.leads)
                .await?
                .answered_by;
            let coordinator = self.lab.coordinators.get_mut(leader.as_str());
            let coordinator = coordinator.context("an unknown leader")?;
            coordinator.kill().await?;
            self.narrative
                .say(format!("killed the leader, {leader}, after step {number}"));
            let another = |view: &decision::StatusView| view.leads && view.answered_by != leader;
            let next: SiteName = status::wait(watcher, "led by another", LEAD_CHANGE, another)
                .await?
                .answered_by;
            self.narrative.say(format!("{next} leads"));
            let coordinator = self.lab.coordinators.get_mut(leader.as_str());
            coordinator.context("an unknown leader")?.start()?;
        }
        Ok(())
    }
}

/// True when nobody who leads has decided: no answer, or one of a coordinator that only shows what it last saw.
fn is_leaderless(ended: &Ended) -> bool {
    let reply = serde_json::from_str::<Value>(&ended.out).unwrap_or_default();
    ended.code == Some(UNREACHABLE) || reply.get("leads") == Some(&Value::Bool(false))
}

/// The reason of a refusal by `rule`.
fn refusal(ended: &Ended, rule: &str) -> Result<String> {
    let said = format!("{}{}", ended.out.trim(), ended.err.trim());
    ensure!(
        ended.code == Some(REFUSED),
        "exit code {:?}, not {REFUSED}: {said}",
        ended.code
    );
    let reply: Value = serde_json::from_str(&ended.out).with_context(|| said.clone())?;
    let found = reply.pointer("/refused/rule").and_then(Value::as_str);
    ensure!(found == Some(rule), "refused by {found:?}: {said}");
    let reason = reply.pointer("/refused/reason").and_then(Value::as_str);
    let reason = reason.filter(|reason| !reason.is_empty());
    reason
        .map(ToOwned::to_owned)
        .context("refused without a reason")
}
