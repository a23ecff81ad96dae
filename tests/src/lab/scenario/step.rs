//! The steps of a scenario, and how each is written.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use shared::clock::Millis;

use crate::lab::log_watch::Allowance;
use crate::lab::loss::Loss;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `lose SITE by kill|freeze`
    Lose(String, Loss),
    /// `thaw SITE`: a frozen site comes back.
    Thaw(String),
    /// `cut SITE SITE`: silence between two sites.
    Cut(String, String),
    /// `heal SITE SITE`
    Heal(String, String),
    /// `isolate SITE`: silence around a site that runs on.
    Isolate(String),
    /// `rejoin SITE`
    Rejoin(String),
    /// `kill agent NODE`
    KillAgent(String),
    /// `start agent NODE`
    StartAgent(String),
    /// `kill nats SITE`
    KillNats(String),
    /// `start nats SITE`
    StartNats(String),
    /// `kill leader after steps N N …`: after each of these steps the leading coordinator is killed, and
    /// started again once another one leads.
    KillLeaderAfter(Vec<u32>),
    /// `duplicate commands`
    DuplicateCommands,
    /// `publish garbage`
    PublishGarbage,
    /// `await event KIND within SPAN`: after the last event that was awaited so.
    AwaitEvent(String, Duration),
    /// `await step started|done N within SPAN`
    AwaitStep(String, u32, Duration),
    /// `await finding CODE naming TEXT within SPAN`; the text may be left out with `naming`.
    AwaitFinding(String, String, Duration),
    /// `await phase WORD within SPAN`
    AwaitPhase(String, Duration),
    /// `await proposal NAME STATE within SPAN`: the state of a remembered one, as the store has it.
    AwaitProposal(String, String, Duration),
    /// `await protected within SPAN`
    AwaitProtected(Duration),
    /// `no event KIND for SPAN`
    NoEvent(String, Duration),
    /// `remember proposal NAME`: the latest one.
    Remember(String),
    /// `approve NAME`, with `digest of NAME` for another one's digest, and `refused RULE` when it must be.
    Approve {
        /// Which proposal.
        proposal: String,
        /// Whose digest.
        digest_of: String,
        /// The rule that must refuse it.
        refused: Option<String>,
    },
    /// `expect whole`: the latest run was a whole failover.
    ExpectWhole,
    /// `expect unmoved`: the first site is live in its first epoch and the client goes on there.
    ExpectUnmoved,
    /// `expect copies`: commands were delivered twice, and each workload was scaled once.
    ExpectCopies,
    /// `expect log N times PROGRAM TEXT`: in each program's log.
    ExpectLog(usize, Allowance),
}

/// Every form, for messages.
const FORMS: &str = "lose | thaw | cut | heal | isolate | rejoin | kill | start | duplicate commands | \
     publish garbage | await | no event | remember proposal | approve | expect";

impl Step {
    /// Reads one line.
    ///
    /// # Errors
    /// What was found and what is allowed.
    pub fn parse(line: &str) -> Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let text = |word: &&str| (*word).to_owned();
        Ok(match words.as_slice() {
            ["lose", site, "by", loss] => Self::Lose(text(site), loss.parse()?),
            ["thaw", site] => Self::Thaw(text(site)),
            ["cut", one, other] => Self::Cut(text(one), text(other)),
            ["heal", one, other] => Self::Heal(text(one), text(other)),
            ["isolate", site] => Self::Isolate(text(site)),
            ["rejoin", site] => Self::Rejoin(text(site)),
            ["kill", "agent", node] => Self::KillAgent(text(node)),
            ["start", "agent", node] => Self::StartAgent(text(node)),
            ["kill", "nats", site] => Self::KillNats(text(site)),
            ["start", "nats", site] => Self::StartNats(text(site)),
            ["kill", "leader", "after", "steps", numbers @ ..] if !numbers.is_empty() => {
                let numbers = numbers.iter().map(|word| number(word));
                Self::KillLeaderAfter(numbers.collect::<Result<_>>()?)
            }
            ["duplicate", "commands"] => Self::DuplicateCommands,
            ["publish", "garbage"] => Self::PublishGarbage,
            ["await", rest @ ..] => awaiting(rest)?,
            ["no", "event", kind, "for", time] => Self::NoEvent(text(kind), span(time)?),
            ["remember", "proposal", name] => Self::Remember(text(name)),
            ["approve", name, rest @ ..] => approving(name, rest)?,
            ["expect", rest @ ..] => expecting(rest)?,
            _ => bail!("found {line:?}; allowed: {FORMS}"),
        })
    }
}

fn awaiting(words: &[&str]) -> Result<Step> {
    let text = |word: &&str| (*word).to_owned();
    Ok(match words {
        ["event", kind, "within", time] => Step::AwaitEvent(text(kind), span(time)?),
        ["step", state @ ("started" | "done"), n, "within", time] => {
            Step::AwaitStep(text(state), number(n)?, span(time)?)
        }
        ["finding", code, "within", time] => {
            Step::AwaitFinding(text(code), String::new(), span(time)?)
        }
        ["finding", code, "naming", named @ .., "within", time] => {
            Step::AwaitFinding(text(code), named.join(" "), span(time)?)
        }
        ["phase", phase, "within", time] => Step::AwaitPhase(text(phase), span(time)?),
        ["proposal", name, state, "within", time] => {
            Step::AwaitProposal(text(name), text(state), span(time)?)
        }
        ["protected", "within", time] => Step::AwaitProtected(span(time)?),
        other => bail!(
            "found await {other:?}; allowed: event KIND | step started|done N | finding CODE [naming TEXT] | \
             phase WORD | proposal NAME STATE | protected, then within SPAN"
        ),
    })
}

fn approving(name: &str, words: &[&str]) -> Result<Step> {
    let (digest_of, rest) = match words {
        ["with", "digest", "of", other, rest @ ..] => (*other, rest),
        rest => (name, rest),
    };
    let refused = match rest {
        [] => None,
        ["refused", rule] => Some((*rule).to_owned()),
        other => bail!("found {other:?}; allowed: with digest of NAME | refused RULE"),
    };
    Ok(Step::Approve {
        proposal: name.to_owned(),
        digest_of: digest_of.to_owned(),
        refused,
    })
}

fn expecting(words: &[&str]) -> Result<Step> {
    Ok(match words {
        ["whole"] => Step::ExpectWhole,
        ["unmoved"] => Step::ExpectUnmoved,
        ["copies"] => Step::ExpectCopies,
        ["log", times, "times", program, text @ ..] if !text.is_empty() => Step::ExpectLog(
            times
                .parse()
                .with_context(|| format!("found {times:?}; allowed: a number"))?,
            Allowance {
                program: (*program).to_owned(),
                text: text.join(" "),
            },
        ),
        other => bail!(
            "found expect {other:?}; allowed: whole | unmoved | copies | log N times PROGRAM TEXT"
        ),
    })
}

fn number(word: &str) -> Result<u32> {
    word.parse()
        .with_context(|| format!("found {word:?}; allowed: a step's number"))
}

fn span(word: &str) -> Result<Duration> {
    let span: Millis = word
        .parse()
        .map_err(|error| anyhow::anyhow!("found {word:?} ({error}); allowed: a span like 5s"))?;
    Ok(span.duration())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_as_written() {
        let approve = Step::parse("approve second with digest of first refused digest").unwrap();
        let wanted = Step::Approve {
            proposal: "second".to_owned(),
            digest_of: "first".to_owned(),
            refused: Some("digest".to_owned()),
        };
        assert_eq!(approve, wanted);
        let finding =
            Step::parse("await finding link-lost naming dc2-dc1 is lost within 10s").unwrap();
        let wanted = "dc2-dc1 is lost".to_owned();
        let code = "link-lost".to_owned();
        assert_eq!(
            finding,
            Step::AwaitFinding(code, wanted, Duration::from_secs(10))
        );
    }

    #[test]
    fn what_is_not_a_step_is_named() {
        for bad in [
            "explode dc1",
            "lose dc1 by magic",
            "await event x within soon",
            "approve a b",
            "expect x",
        ] {
            let error = format!("{:#}", Step::parse(bad).unwrap_err());
            assert!(error.contains("allowed"), "{bad}: {error}");
        }
    }
}
