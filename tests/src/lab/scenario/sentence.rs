//! How the steps of a scenario are written.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use shared::clock::Millis;

use super::step::{Deed, LinkStep, Step, StoreStep, Target};
use crate::lab::log_watch::Allowance;
use crate::relay::Flow;

/// Every form, for messages.
const FORMS: &str = "lose | thaw | return | freeze | cut | heal | isolate | rejoin | drop | slow | kill | start | \
     block | unblock | sabotage | stores | store | fill | empty | clock | loop | duplicate | record | replay | \
     apply policy | publish garbage | break glass | await | wait | \
     no event | remember proposal | approve | operator | expect";

impl Step {
    /// Reads one line.
    ///
    /// # Errors
    /// What was found and what is allowed.
    pub fn parse(line: &str) -> Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some(step) = link(&words)? {
            return Ok(Self::Do(Deed::Link(step)));
        }
        if let Some(deed) = deed(&words)? {
            return Ok(Self::Do(deed));
        }
        Ok(match words.as_slice() {
            ["kill", "leader", "after", "steps", numbers @ ..] if !numbers.is_empty() => {
                let numbers = numbers.iter().map(|word| number(word));
                Self::KillLeaderAfter(numbers.collect::<Result<_>>()?)
            }
            ["await", rest @ ..] => awaiting(rest)?,
            ["break", "glass", "at", node, "vouching", off, rest @ ..] => {
                breaking(node, off, rest)?
            }
            ["wait", time] => Self::Wait(span(time)?),
            ["no", "event", kind, "for", time] => Self::NoEvent(own(kind), span(time)?),
            ["remember", "proposal", name] => Self::Remember(own(name)),
            ["approve", name, "twice", "at", "once"] => Self::ApproveTwice(own(name)),
            ["approve", name, rest @ ..] => approving(name, rest)?,
            ["operator", rest @ ..] => operating(rest)?,
            ["expect", rest @ ..] => expecting(rest)?,
            _ => bail!("found {line:?}; allowed: {FORMS}"),
        })
    }
}

fn deed(words: &[&str]) -> Result<Option<Deed>> {
    Ok(Some(match words {
        ["kill", "leader", "after", ..] => return Ok(None),
        ["lose", site, "by", loss] => Deed::Lose(own(site), loss.parse()?),
        ["return", site] => Deed::Return(own(site)),
        ["thaw", site] if *site != "leader" => Deed::Thaw(own(site)),
        ["freeze", "host", site] => Deed::FreezeHost(own(site)),
        ["kill", rest @ ..] => Deed::Kill(target(rest)?),
        ["start", rest @ ..] => Deed::Start(target(rest)?),
        ["freeze", rest @ ..] => Deed::Freeze(target(rest)?),
        ["thaw", rest @ ..] => Deed::ThawOne(target(rest)?),
        ["block", site, "from", from] => Deed::Block(own(site), own(from)),
        ["unblock", site] => Deed::Unblock(own(site)),
        ["sabotage", site, order @ ..] => Deed::Sabotage(own(site), order.join(" ")),
        ["stores", "copied"] => Deed::Store(StoreStep::Copied),
        ["stores", "restored"] => Deed::Store(StoreStep::Restored),
        ["store", "made", "anew"] => Deed::Store(StoreStep::MadeAnew),
        ["fill", "disk", kind, name] => Deed::Fill(format!("{kind}-{name}")),
        ["empty", "disk", kind, name] => Deed::Empty(format!("{kind}-{name}")),
        ["clock", "of", kind, name, offset] => Deed::Clock(format!("{kind}-{name}"), own(offset)),
        ["loop", "backend", site] => Deed::LoopBackend(own(site)),
        ["duplicate", "commands"] => Deed::DuplicateCommands,
        ["record", "commands"] => Deed::RecordCommands,
        ["replay", "commands"] => Deed::ReplayCommands,
        ["apply", "policy", key, value] => Deed::ApplyPolicy(own(key), own(value)),
        ["publish", "garbage"] => Deed::PublishGarbage,
        _ => return Ok(None),
    }))
}

fn link(words: &[&str]) -> Result<Option<LinkStep>> {
    Ok(Some(match words {
        ["cut", one, other] => LinkStep::Cut(own(one), own(other)),
        ["heal", "all"] => LinkStep::HealAll,
        ["heal", one, other] => LinkStep::Heal(own(one), own(other)),
        ["isolate", site] => LinkStep::Isolate(own(site)),
        ["rejoin", site] => LinkStep::Rejoin(own(site)),
        ["drop", from, "to", to] => LinkStep::Drop(own(from), own(to)),
        [
            "slow",
            "all",
            "delay",
            delay,
            "jitter",
            jitter,
            "loss",
            loss,
        ] => LinkStep::SlowAll(Flow::Open {
            delay: span(delay)?,
            jitter: span(jitter)?,
            loss_per_mille: loss
                .parse()
                .with_context(|| format!("found {loss:?}; allowed: packets of a thousand"))?,
        }),
        _ => return Ok(None),
    }))
}

fn target(words: &[&str]) -> Result<Target> {
    Ok(match words {
        ["agent", node] => Target::Agent(own(node)),
        ["coordinator", site] => Target::Coordinator(own(site)),
        ["nats", site] => Target::Nats(own(site)),
        ["database", site] => Target::Database(own(site)),
        ["cluster", site] => Target::Cluster(own(site)),
        ["receiver", site] => Target::Receiver(own(site)),
        ["postmaster", site] => Target::Postmaster(own(site)),
        ["leader"] => Target::Leader,
        ["store", "leader"] => Target::StoreLeader,
        other => bail!(
            "found {other:?}; allowed: agent NODE | coordinator SITE | nats SITE | database SITE | cluster SITE | \
             receiver SITE | postmaster SITE | leader | store leader"
        ),
    })
}

fn awaiting(words: &[&str]) -> Result<Step> {
    Ok(match words {
        ["event", kind, "within", time] => Step::AwaitEvent(own(kind), span(time)?),
        ["step", state @ ("started" | "done"), n, "within", time] => {
            Step::AwaitStep(own(state), number(n)?, span(time)?)
        }
        ["finding", code, "within", time] => {
            Step::AwaitFinding(own(code), String::new(), span(time)?)
        }
        ["finding", code, "naming", named @ .., "within", time] => {
            Step::AwaitFinding(own(code), named.join(" "), span(time)?)
        }
        ["phase", phase, "within", time] => Step::AwaitPhase(own(phase), span(time)?),
        ["proposal", name, state, "within", time] => {
            Step::AwaitProposal(own(name), own(state), span(time)?)
        }
        ["protected", "within", time] => Step::AwaitProtected(span(time)?),
        ["stopped", site, "within", time] => Step::AwaitStopped(own(site), span(time)?),
        ["rows", "in", site, "within", time] => Step::AwaitRows(own(site), span(time)?),
        ["closed", site, "within", time] => Step::AwaitClosed(own(site), span(time)?),
        ["log", program, text @ .., "within", time] if !text.is_empty() => {
            Step::AwaitLog(allowance(program, text), span(time)?)
        }
        other => bail!(
            "found await {other:?}; allowed: event KIND | step started|done N | finding CODE [naming TEXT] | \
             phase WORD | proposal NAME STATE | protected | stopped SITE | closed SITE | rows in SITE | log PROGRAM TEXT, \
             then \
             within SPAN"
        ),
    })
}

fn breaking(node: &str, off: &str, words: &[&str]) -> Result<Step> {
    let (node, off) = (own(node), own(off));
    Ok(match words {
        ["within", time] => Step::BreakGlass {
            node,
            off,
            within: span(time)?,
            text: String::new(),
        },
        ["within", time, "saying", text @ ..] => Step::BreakGlass {
            node,
            off,
            within: span(time)?,
            text: text.join(" "),
        },
        ["refused", rule] => Step::RefuseGlass {
            node,
            off,
            rule: own(rule),
        },
        other => bail!("found {other:?}; allowed: within SPAN [saying TEXT] | refused RULE"),
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
        other => {
            bail!("found {other:?}; allowed: with digest of NAME | refused RULE | twice at once")
        }
    };
    Ok(Step::Approve {
        proposal: name.to_owned(),
        digest_of: digest_of.to_owned(),
        refused,
    })
}

fn operating(words: &[&str]) -> Result<Step> {
    let place = words.iter().rposition(|word| *word == "exits");
    let place =
        place.context("found no exit code; allowed: operator WORD… exits N [saying TEXT]")?;
    let (command, rest) = words.split_at(place);
    let command = command.iter().map(own).collect();
    Ok(match rest {
        [_, code] => Step::Operator(command, exit_code(code)?, String::new()),
        [_, code, "saying", text @ ..] => Step::Operator(command, exit_code(code)?, text.join(" ")),
        other => bail!("found {other:?}; allowed: exits N [saying TEXT]"),
    })
}

fn expecting(words: &[&str]) -> Result<Step> {
    Ok(match words {
        ["whole"] => Step::ExpectWhole,
        ["unmoved"] => Step::ExpectUnmoved,
        ["no", "overlap"] => Step::ExpectNoOverlap,
        ["silence", "of", site] => Step::ExpectClosed(own(site)),
        ["loss", "of", name, "within", "bound"] => Step::ExpectLossWithin(own(name)),
        ["nothing", "lost"] => Step::ExpectNothingLost,
        ["loss", "shown", "in", name] => Step::ExpectLossShown(own(name)),
        ["halted", "saying", text @ ..] => Step::ExpectHalted(text.join(" ")),
        ["copies"] => Step::ExpectCopies,
        ["log", times, "times", program, text @ ..] if !text.is_empty() => Step::ExpectLog(
            times
                .parse()
                .with_context(|| format!("found {times:?}; allowed: a number"))?,
            allowance(program, text),
        ),
        other => bail!(
            "found expect {other:?}; allowed: whole | unmoved | no overlap | silence of SITE | \
             loss of NAME within bound | nothing lost | loss shown in NAME | halted saying TEXT | copies | \
             log N times PROGRAM TEXT"
        ),
    })
}

fn allowance(program: &str, text: &[&str]) -> Allowance {
    Allowance {
        program: program.to_owned(),
        text: text.join(" "),
    }
}

fn own(word: impl AsRef<str>) -> String {
    word.as_ref().to_owned()
}

fn exit_code(word: &str) -> Result<i32> {
    word.parse()
        .with_context(|| format!("found {word:?}; allowed: an exit code"))
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
        let operator = Step::parse("operator abandon latest exits 0 saying over").unwrap();
        let words = vec!["abandon".to_owned(), "latest".to_owned()];
        assert_eq!(operator, Step::Operator(words, 0, "over".to_owned()));
        assert_eq!(
            Step::parse("thaw leader").unwrap(),
            Step::Do(Deed::ThawOne(Target::Leader))
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
            "kill everything",
            "operator status",
            "slow all delay 1s jitter 1s loss many",
        ] {
            let error = format!("{:#}", Step::parse(bad).unwrap_err());
            assert!(error.contains("allowed"), "{bad}: {error}");
        }
    }
}
