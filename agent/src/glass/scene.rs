//! What is true here at one moment, gathered for the judgement and for the operator's eyes.

use shared::clock::{Millis, UnixMillis};
use shared::epoch::{Epoch, StackVersion};
use shared::telemetry::Chain;
use shared::wire::{
    Contingency, ContingencyWork, DatabaseSample, PeerOutcome, ProofLine, ReceiverStatus,
};

use super::broken::Broken;
use super::judge::{self, Facts, Objection, Request, Rule, Sighting};
use super::speech::{Picture, StepLine};
use super::stage::{Place, place};
use super::store::{self, StoreAnswer};
use super::{Room, trust};
use crate::clock;
use crate::gate::Identity;
use crate::ledger::{Fenced, Seen};
use crate::rules;

/// Everything that was gathered.
pub(super) struct Gathered {
    identity: Identity,
    pub(super) plan: Contingency,
    plan_age: Millis,
    plan_age_max: Millis,
    store: StoreAnswer,
    sightings: Vec<Sighting>,
    looks: usize,
    database: Option<(DatabaseSample, Millis)>,
    epoch: Epoch,
    seen: Option<Seen>,
    stack_version: Option<StackVersion>,
    pub(super) broken: Option<Broken>,
    fenced: Option<Fenced>,
    promised: Option<Millis>,
}

/// The plan that is used, or why there is none.
fn plan_of(room: &Room, given: Option<&str>) -> Result<(Contingency, Millis), Objection> {
    let open = room.ledger.glass().filter(|broken| !broken.reconciled);
    let now: UnixMillis = clock::wall();
    match (given, open) {
        (Some(text), _) => {
            let (_, plan) =
                trust::read(text.as_bytes(), &room.config.trusted_keys).map_err(|e| {
                    Objection::new(Rule::Plan, format!("the plan given: {}", Chain(&e)))
                })?;
            let age = Millis(now.0.saturating_sub(plan.made_at.0));
            Ok((plan, age))
        }
        // What was begun is gone on with, however old it is by now.
        (None, Some(broken)) => Ok((broken.plan, Millis(0))),
        (None, None) => {
            let kept = room.cache.kept().ok_or_else(|| {
                let says = "this agent keeps no plan: none was made while a store and a protected stack were there; one of \
                            another host of this site may be given with --plan FILE";
                Objection::new(Rule::Plan, says)
            })?;
            let age = kept.age(now);
            Ok((kept.plan, age))
        }
    }
}

impl Room {
    /// Looks at everything once. The store is asked by a write that changes nothing.
    pub(super) async fn gather(&self, given: Option<&str>) -> Result<Gathered, Objection> {
        let (plan, plan_age) = plan_of(self, given)?;
        let store = store::ask(&self.scene.connection, &self.scene.identity.stack).await;
        let mut gathered = Gathered {
            identity: self.scene.identity.clone(),
            plan,
            plan_age,
            plan_age_max: self.config.plan_age_max,
            store,
            sightings: Vec::new(),
            looks: 0,
            database: None,
            epoch: self.ledger.epoch(),
            seen: self.ledger.seen(),
            stack_version: self.stack_version(),
            broken: self.ledger.glass(),
            fenced: self.ledger.fenced(),
            promised: self.vow_left(),
        };
        self.look_again(&mut gathered);
        Ok(gathered)
    }

    /// The newest version of the stack that was kept here, by itself or in a plan.
    fn stack_version(&self) -> Option<StackVersion> {
        let (config, stack) = (&self.scene.config, &self.scene.identity.stack);
        let stack = rules::kept(&config.state_dir, stack).map(|record| record.version);
        let plan = self.cache.kept().map(|kept| kept.plan.stack_version);
        stack.max(plan)
    }

    /// What is left of a vow not to promote.
    fn vow_left(&self) -> Option<Millis> {
        let left = self.vower.as_ref()?.left(clock::mono());
        left.map(|(_, left)| left)
    }

    /// Looks again at what may have come alive, without asking the store.
    pub(super) fn look_again(&self, gathered: &mut Gathered) {
        let now = clock::mono();
        gathered.sightings.clear();
        gathered.looks = 0;
        for peer in &self.peers {
            let reading = peer.borrow();
            let Some(reading) = reading.as_ref() else {
                continue;
            };
            if reading.value.site != gathered.plan.from {
                continue;
            }
            gathered.looks += 1;
            // A port that refuses is a living host as well, but no living service; only an answer is proof of life.
            let answered = reading.value.answered.map(|at| now.since(at));
            let age = match reading.value.outcome {
                PeerOutcome::Answered => answered.or(Some(Millis(0))),
                PeerOutcome::Refused
                | PeerOutcome::Silent
                | PeerOutcome::Unreachable
                | PeerOutcome::Unknown => answered,
            };
            if let Some(age) = age {
                let channel = reading.value.channel;
                gathered.sightings.push(Sighting { channel, age });
            }
        }
        gathered.database = self.scene.database.as_ref().and_then(|reader| {
            let reading = reader.borrow();
            let reading = reading.as_ref()?;
            Some((reading.value.sample.clone(), now.since(reading.at)))
        });
    }
}

impl Gathered {
    /// As the judgement takes it.
    pub(super) fn facts(&self) -> Facts<'_> {
        Facts {
            identity: &self.identity,
            plan: &self.plan,
            plan_age: self.plan_age,
            plan_age_max: self.plan_age_max,
            store: &self.store,
            sightings: &self.sightings,
            receiving: self.receiving(),
            epoch: self.epoch,
            seen: self.seen,
            stack_version: self.stack_version,
            broken: self.broken.as_ref(),
            fenced: self.fenced.as_ref(),
            promised: self.promised,
        }
    }

    fn receiving(&self) -> Option<Millis> {
        let (sample, age) = self.database.as_ref()?;
        let receiver = sample.receiver.as_ref()?;
        let streams = receiver.status == ReceiverStatus::Streaming;
        let message = receiver.message_age_ms.filter(|_| streams)?;
        Some(Millis(message.0.saturating_add(age.0)))
    }

    /// What an operator reads before vouching.
    pub(super) fn picture(&self, request: &Request, state_of: impl Fn(u32) -> String) -> Picture {
        let facts = self.facts();
        let plan = &self.plan;
        let steps = plan.steps.iter().map(|step| StepLine {
            number: step.number,
            title: step.title.clone(),
            place: match place(plan, &self.identity, step) {
                Place::Here(_) => "here".to_owned(),
                Place::Elsewhere(site, node) => format!("at {site}/{node}"),
                Place::Vouched => "not done: you vouch".to_owned(),
                Place::Wait => "here, on this host's clock".to_owned(),
            },
            state: state_of(step.number),
        });
        Picture {
            site: self.identity.site.clone(),
            node: self.identity.node.clone(),
            from: plan.from.clone(),
            to: plan.to.clone(),
            plan: format!(
                "{} of stack {} version {}, made {} ago by the coordinator in {} in epoch {}",
                plan.plan.short(),
                plan.stack,
                plan.stack_version,
                self.plan_age.human(),
                plan.made_by,
                plan.base_epoch
            ),
            loss: plan.loss.clone(),
            epoch: judge::epoch(&facts, request),
            wait_ms: plan.wait_ms(),
            steps: steps.collect(),
            truths: self.truths(),
            unknown: self.unknown(),
            objections: judge::circumstances(&facts, request),
        }
    }

    fn truths(&self) -> Vec<ProofLine> {
        let mut truths = vec![ProofLine::new("store", &self.store.words())];
        if let Some((sample, age)) = &self.database {
            let role = sample
                .role
                .map_or_else(|| "unknown".to_owned(), |r| format!("{r:?}").to_lowercase());
            let timeline = sample
                .timeline
                .map_or_else(String::new, |t| format!(" on timeline {t}"));
            let words = format!(
                "{:?}, {role}{timeline}, sampled {} ago",
                sample.state,
                age.human()
            );
            truths.push(ProofLine::new("database", &words));
            let lsn = |lsn: Option<shared::lsn::Lsn>| {
                lsn.map_or_else(|| "unknown".to_owned(), |l| l.to_string())
            };
            let words = format!(
                "received {}, replayed {}",
                lsn(sample.received_lsn),
                lsn(sample.replayed_lsn)
            );
            truths.push(ProofLine::new("position", &words));
            let last = self.receiving().map_or_else(
                || "no WAL is received".to_owned(),
                |age| format!("last message {} ago", age.human()),
            );
            truths.push(ProofLine::new("receiver", &last));
            for obstacle in &sample.obstacles {
                truths.push(ProofLine::new("obstacle", &format!("{obstacle:?}")));
            }
        }
        for sighting in &self.sightings {
            let what = format!("{} by {:?}", self.plan.from, sighting.channel);
            truths.push(ProofLine::new(
                &what,
                &format!("last answered {} ago", sighting.age.human()),
            ));
        }
        if let Some(broken) = &self.broken {
            let words = format!(
                "broken at {} by {} in epoch {}{}",
                broken.at.rfc3339(),
                broken.operator,
                broken.epoch,
                if broken.reconciled {
                    ", taken over by the ticket"
                } else {
                    ""
                }
            );
            truths.push(ProofLine::new("glass", &words));
        }
        truths
    }

    /// What only the store and the other sites could say.
    fn unknown(&self) -> Vec<String> {
        let from = &self.plan.from;
        let mut unknown = vec![
            format!("whether {from} is off: nobody has revoked its right to be live, and your word is the only fence"),
            format!(
                "whether the store decides without this host: if this site is the one that is cut off, {from} and the others \
                 have a quorum, {from} serves, and its writes from now on will be lost"
            ),
            "whether another site has broken its glass: then there are two histories, and one is lost".to_owned(),
            "what the other observers see: a proposal needs both other sites to agree, this needs nobody".to_owned(),
            "whether the stack file was changed after the plan was made".to_owned(),
        ];
        if self.looks == 0 {
            unknown.push(format!(
                "whether {from} answers from here: this agent's file has no [[peer]] of it"
            ));
        }
        let waits = |step: &shared::wire::ContingencyStep| matches!(step.work, ContingencyWork::Wait { for_ms } if for_ms.0 > 0);
        if self.plan.steps.iter().any(waits) {
            unknown.push(format!(
                "when {from} last renewed: if it lives cut off it has lost the store too, and with self-fencing it stops by \
                 itself within the wait; without self-fencing it does not"
            ));
        }
        unknown
    }
}
