//! May the glass be broken now? Pure: facts in, objections out.
//!
//! An objection names its rule. Two rules may be overridden by name, with a reason: they are about what this host
//! cannot know better than a person. The others are not: they would make two sites live, or repeat an effect.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::clock::Millis;
use shared::epoch::{Epoch, StackVersion};
use shared::wire::{Contingency, PeerChannel};

use super::broken::{Broken, EPOCH_JUMP};
use super::stage::{Code, own, predecessor};
use super::store::StoreAnswer;
use crate::gate::Identity;
use crate::ledger::{Fenced, Seen};

/// An answer of the old site, or a message of its WAL, younger than this is proof of life.
pub(crate) const ALIVE_WITHIN: Millis = Millis::seconds(10);

/// A rule that can object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The agent's file trusts nobody.
    NotConfigured,
    /// No plan is kept, or the one given is not signed by a trusted key.
    Plan,
    /// The plan is older than the file allows.
    PlanAge,
    /// The plan is of an earlier epoch or of another store.
    PlanEpoch,
    /// The plan gives this node nothing to do.
    Node,
    /// The site typed is not the one that the plan leaves.
    Attestation,
    /// Who and why are missing.
    Words,
    /// The store answers with a quorum.
    StoreAnswers,
    /// The old site lives.
    Sighted,
    /// The standby still receives WAL.
    Receiving,
    /// This agent promised a peer not to promote.
    Promise,
    /// This agent's database is kept down because another site holds the right to be live.
    Quarantined,
    /// Another node's part comes first.
    Continues,
    /// The glass was broken with another plan.
    OtherBreak,
    /// What a step did before it was cut off cannot be seen.
    UnknownOutcome,
    /// A precondition of the promotion does not hold.
    Precondition,
    /// An override names a rule that has none.
    Override,
    /// Another session is at work, or a command runs.
    Busy,
    /// The ledger cannot be written.
    Ledger,
}

impl Rule {
    /// The rule's word, as operators type it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotConfigured => "not-configured",
            Self::Plan => "plan",
            Self::PlanAge => "plan-age",
            Self::PlanEpoch => "plan-epoch",
            Self::Node => "node",
            Self::Attestation => "attestation",
            Self::Words => "words",
            Self::StoreAnswers => "store-answers",
            Self::Sighted => "sighted",
            Self::Receiving => "receiving",
            Self::Promise => "promise",
            Self::Quarantined => "quarantined",
            Self::Continues => "continues",
            Self::OtherBreak => "other-break",
            Self::UnknownOutcome => "unknown-outcome",
            Self::Precondition => "precondition",
            Self::Override => "override",
            Self::Busy => "busy",
            Self::Ledger => "ledger",
        }
    }

    /// The rules that an operator may override by name.
    pub(crate) const OVERRIDABLE: [Self; 3] = [Self::PlanAge, Self::Sighted, Self::UnknownOutcome];
}

/// Why the glass may not be broken now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objection {
    /// Which rule.
    pub rule: Rule,
    /// A whole sentence: what was found and what is needed.
    pub says: String,
}

impl Objection {
    pub(crate) fn new(rule: Rule, says: impl Into<String>) -> Self {
        Self {
            rule,
            says: says.into(),
        }
    }
}

/// A look at the old site that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// By what.
    pub channel: PeerChannel,
    /// How old.
    pub age: Millis,
}

/// What is true here.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Who judges.
    pub identity: &'a Identity,
    /// The plan to act by.
    pub plan: &'a Contingency,
    /// Since it was made.
    pub plan_age: Millis,
    /// The oldest plan that the agent's file allows.
    pub plan_age_max: Millis,
    /// What the store said.
    pub store: &'a StoreAnswer,
    /// The newest answer of each look at the old site.
    pub sightings: &'a [Sighting],
    /// Age of the last message that the standby beside the agent received, while it streams.
    pub receiving: Option<Millis>,
    /// The highest epoch that was obeyed here.
    pub epoch: Epoch,
    /// What the store showed this agent last.
    pub seen: Option<Seen>,
    /// The newest version of the stack that this agent knows.
    pub stack_version: Option<StackVersion>,
    /// That the glass was broken here.
    pub broken: Option<&'a Broken>,
    /// Why the database here is kept down.
    pub fenced: Option<&'a Fenced>,
    /// Time left of a promise not to promote.
    pub promised: Option<Millis>,
}

/// What an operator asks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Request {
    /// The site vouched to be off, as it was typed.
    pub attest_site_off: String,
    /// Who asks.
    pub operator: String,
    /// How they know that the site is off.
    pub reason: String,
    /// Rules to pass, by name, each with a reason.
    pub overrides: BTreeMap<String, String>,
    /// The code that another node printed.
    pub continues: Option<String>,
}

/// Everything that speaks against acting on the request now.
pub fn judge(facts: &Facts<'_>, request: &Request) -> Vec<Objection> {
    let mut objections = words(facts, request);
    objections.extend(circumstances(facts, request));
    objections
}

/// What was typed.
fn words(facts: &Facts<'_>, request: &Request) -> Vec<Objection> {
    let mut objections = Vec::new();
    let typed = request.attest_site_off.trim();
    if typed != facts.plan.from.as_str() {
        let says = format!(
            "the site typed is {typed:?}, the plan leaves {}: vouch for that one or stop",
            facts.plan.from
        );
        objections.push(Objection::new(Rule::Attestation, says));
    }
    if request.reason.trim().is_empty() || request.operator.trim().is_empty() {
        let says = "who vouches, and how they know that the site is off: both are needed (--operator, --reason)";
        objections.push(Objection::new(Rule::Words, says));
    }
    objections
}

/// Everything but what was typed: this is judged before anybody is asked.
pub(crate) fn circumstances(facts: &Facts<'_>, request: &Request) -> Vec<Objection> {
    let mut objections = unknown_overrides(request);
    objections.extend(plan(facts));
    objections.extend(life(facts));
    objections.extend(own_state(facts));
    objections.extend(order(facts, request));
    objections.retain(|objection| {
        let overridable = Rule::OVERRIDABLE.contains(&objection.rule);
        !(overridable && request.overrides.contains_key(objection.rule.word()))
    });
    objections
}

fn unknown_overrides(request: &Request) -> Vec<Objection> {
    let can: Vec<&str> = Rule::OVERRIDABLE.iter().map(|rule| rule.word()).collect();
    let wrong = |(rule, reason): (&String, &String)| {
        if !can.contains(&rule.as_str()) {
            let says = format!(
                "rule {rule:?} cannot be overridden; those that can: {}",
                can.join(", ")
            );
            return Some(Objection::new(Rule::Override, says));
        }
        let says = format!("overriding {rule} needs a reason");
        reason
            .trim()
            .is_empty()
            .then(|| Objection::new(Rule::Override, says))
    };
    request.overrides.iter().filter_map(wrong).collect()
}

fn plan(facts: &Facts<'_>) -> Vec<Objection> {
    let mut objections = Vec::new();
    if facts.plan_age > facts.plan_age_max {
        let says = format!(
            "the plan is {} old, allowed are {}: what it was made from may be over",
            facts.plan_age.human(),
            facts.plan_age_max.human()
        );
        objections.push(Objection::new(Rule::PlanAge, says));
    }
    let known = facts.stack_version;
    if let Some(known) = known.filter(|known| *known > facts.plan.stack_version && !resumes(facts))
    {
        let says = format!(
            "the plan is of stack version {}, this agent knows version {known}: what was changed is not in it",
            facts.plan.stack_version
        );
        objections.push(Objection::new(Rule::PlanAge, says));
    }
    if let Some(why) = outdated(facts).filter(|_| !resumes(facts)) {
        let says = format!(
            "the plan was made in epoch {}, and {why}",
            facts.plan.base_epoch
        );
        objections.push(Objection::new(Rule::PlanEpoch, says));
    }
    if let Some(seen) = facts
        .seen
        .filter(|seen| seen.incarnation != facts.plan.incarnation)
    {
        let says = format!(
            "the plan is of another store than the one that this agent saw last (epoch {})",
            seen.epoch
        );
        objections.push(Objection::new(Rule::PlanEpoch, says));
    }
    objections
}

/// A right that is newer than the plan: who is live by now is not the site that the plan leaves.
fn outdated(facts: &Facts<'_>) -> Option<String> {
    let base = facts.plan.base_epoch;
    if facts.epoch > base {
        return Some(format!("this agent has obeyed epoch {}", facts.epoch));
    }
    let seen = facts.seen.filter(|seen| seen.epoch > base)?;
    Some(format!(
        "the store has shown this agent epoch {}: the right to be live has moved since",
        seen.epoch
    ))
}

fn life(facts: &Facts<'_>) -> Vec<Objection> {
    let mut objections = Vec::new();
    let from = &facts.plan.from;
    if let StoreAnswers::Yes(words) = StoreAnswers::of(facts.store) {
        let says = format!(
            "the store answers with a quorum ({words}): use `pointsman show latest` and `pointsman approve`, which fence, wait and \
             grant. If no coordinator runs, start one: any site will do. There is no override"
        );
        objections.push(Objection::new(Rule::StoreAnswers, says));
    }
    let newest = facts.sightings.iter().min_by_key(|sighting| sighting.age);
    if let Some(sighting) = newest.filter(|sighting| sighting.age < ALIVE_WITHIN) {
        let says = format!(
            "{from} answered this host {} ago ({}): it lives",
            sighting.age.human(),
            channel_words(sighting.channel)
        );
        objections.push(Objection::new(Rule::Sighted, says));
    }
    if let Some(age) = facts.receiving.filter(|age| *age < ALIVE_WITHIN) {
        let says = format!(
            "the standby here received a message from its primary {} ago: the primary lives",
            age.human()
        );
        objections.push(Objection::new(Rule::Receiving, says));
    }
    objections
}

/// Whether the store can still decide.
enum StoreAnswers {
    Yes(String),
    No,
}

impl StoreAnswers {
    fn of(answer: &StoreAnswer) -> Self {
        match answer {
            StoreAnswer::Quorum {
                ticket: Some(ticket),
            } => Self::Yes(format!("epoch {} of {}", ticket.epoch, ticket.holder)),
            StoreAnswer::Quorum { ticket: None } => Self::Yes("it has no ticket".to_owned()),
            StoreAnswer::Silent { .. } | StoreAnswer::NoQuorum { .. } => Self::No,
        }
    }
}

fn own_state(facts: &Facts<'_>) -> Vec<Objection> {
    let mut objections = Vec::new();
    if let Some(left) = facts.promised.filter(|left| left.0 > 0) {
        let says = format!(
            "this agent has promised the primary's agent not to promote: the promise binds for another {}",
            left.human()
        );
        objections.push(Objection::new(Rule::Promise, says));
    }
    if let Some(fenced) = facts.fenced {
        let says = format!(
            "the database here is kept down since epoch {}: {}",
            fenced.epoch, fenced.reason
        );
        objections.push(Objection::new(Rule::Quarantined, says));
    }
    if let Some(broken) = open(facts).filter(|_| !resumes(facts)) {
        let says = format!(
            "the glass was broken here already, in epoch {} by {}, with another plan: that one is gone on with, not this one",
            broken.epoch, broken.operator
        );
        objections.push(Objection::new(Rule::OtherBreak, says));
    }
    objections
}

/// Whether another node's part comes first.
fn order(facts: &Facts<'_>, request: &Request) -> Vec<Objection> {
    let Some((first, _)) = own(facts.plan, facts.identity).find(|(_, action)| action.changes())
    else {
        let says = format!(
            "the plan to make {} live has no step for {}/{} that changes anything",
            facts.plan.to, facts.identity.site, facts.identity.node
        );
        return vec![Objection::new(Rule::Node, says)];
    };
    let object = |says: String| vec![Objection::new(Rule::Continues, says)];
    let code = match request.continues.as_deref().map(str::parse::<Code>) {
        Some(Err(error)) => return object(error.to_string()),
        Some(Ok(code)) => Some(code),
        None => None,
    };
    if let Some(code) = &code {
        if !code.is_for(facts.plan) {
            return object(format!(
                "code {code} was not printed for this plan: the other host ran another one; give both the same file with --plan"
            ));
        }
        let known = open(facts).map(|broken| broken.epoch);
        let fits = known.map_or(code.epoch > facts.epoch, |epoch| epoch == code.epoch);
        if !fits {
            return object(format!(
                "code {code} is of epoch {}, this agent has obeyed epoch {}",
                code.epoch, facts.epoch
            ));
        }
    }
    let begun = open(facts).is_some();
    match predecessor(facts.plan, facts.identity, first) {
        Some(before) if !begun && code.is_none_or(|code| code.step < before.number) => {
            object(format!(
                "step {} here comes after step {} ({}): break the glass there first, and give the code that it prints \
                 with --continues",
                first.number, before.number, before.title
            ))
        }
        Some(_) | None => Vec::new(),
    }
}

/// A break that no ticket has taken over.
fn open<'a>(facts: &Facts<'a>) -> Option<&'a Broken> {
    facts.broken.filter(|broken| !broken.reconciled)
}

/// True when the request goes on with a break that was begun here.
pub(crate) fn resumes(facts: &Facts<'_>) -> bool {
    open(facts).is_some_and(|broken| broken.plan.shape() == facts.plan.shape())
}

/// The epoch that is taken: above everything that was seen here, or the one that another node has taken.
pub fn epoch(facts: &Facts<'_>, request: &Request) -> Epoch {
    let code = request
        .continues
        .as_deref()
        .and_then(|text| text.parse::<Code>().ok());
    if let Some(broken) = open(facts) {
        return broken.epoch;
    }
    if let Some(code) = code {
        return code.epoch;
    }
    let seen = facts.seen.map_or(Epoch(0), |seen| seen.epoch);
    let highest = facts.epoch.max(seen).max(facts.plan.base_epoch);
    Epoch(highest.0.saturating_add(EPOCH_JUMP))
}

fn channel_words(channel: PeerChannel) -> &'static str {
    match channel {
        PeerChannel::Postgres => "its database port",
        PeerChannel::Http => "its ingress",
        PeerChannel::Agent => "its agent",
        PeerChannel::Unknown => "a look",
    }
}
