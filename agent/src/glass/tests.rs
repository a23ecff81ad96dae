//! What refuses, what is overridden, whose turn it is, and what the ledger keeps.

use std::collections::BTreeMap;

use shared::clock::{Millis, UnixMillis};
use shared::epoch::{Epoch, StackVersion, Term};
use shared::id::Nonce;
use shared::wire::{Action, Contingency, PeerChannel, ReportState, Ticket};
use uuid::Uuid;

use super::example::{broken, identity, plan, site};
use super::judge::{ALIVE_WITHIN, Facts, Request, Rule, Sighting, epoch, judge, resumes};
use super::stage::{Code, own, predecessor};
use super::store::StoreAnswer;
use super::{Broken, EPOCH_JUMP};
use crate::gate::Identity;
use crate::ledger::{Fenced, Record, Seen};

/// Everything that a judgement needs, whole, to be spoilt.
struct Ground {
    identity: Identity,
    plan: Contingency,
    age: Millis,
    store: StoreAnswer,
    sightings: Vec<Sighting>,
    receiving: Option<Millis>,
    epoch: Epoch,
    seen: Option<Seen>,
    stack_version: Option<StackVersion>,
    broken: Option<Broken>,
    fenced: Option<Fenced>,
    promised: Option<Millis>,
    request: Request,
}

impl Ground {
    fn at(node: &str) -> Self {
        Self {
            identity: identity(node),
            plan: plan(),
            age: Millis(60_000),
            store: StoreAnswer::Silent {
                why: "cut".to_owned(),
            },
            sightings: vec![Sighting {
                channel: PeerChannel::Postgres,
                age: ALIVE_WITHIN,
            }],
            receiving: Some(ALIVE_WITHIN),
            epoch: Epoch(2),
            seen: Some(Seen {
                incarnation: plan().incarnation,
                epoch: Epoch(3),
                revision: 7,
                accepted: 0,
            }),
            stack_version: Some(plan().stack_version),
            broken: None,
            fenced: None,
            promised: Some(Millis(0)),
            request: Request {
                attest_site_off: "dc1".to_owned(),
                operator: "alice".to_owned(),
                reason: "it burns".to_owned(),
                overrides: BTreeMap::new(),
                continues: None,
            },
        }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            identity: &self.identity,
            plan: &self.plan,
            plan_age: self.age,
            plan_age_max: Millis::seconds(3_600),
            store: &self.store,
            sightings: &self.sightings,
            receiving: self.receiving,
            epoch: self.epoch,
            seen: self.seen,
            stack_version: self.stack_version,
            broken: self.broken.as_ref(),
            fenced: self.fenced.as_ref(),
            promised: self.promised,
        }
    }

    fn rules(&self) -> Vec<Rule> {
        let objections = judge(&self.facts(), &self.request);
        for objection in &objections {
            assert!(objection.says.len() > 20, "{objection:?}");
        }
        objections.iter().map(|o| o.rule).collect()
    }
}

/// A database agent's ground with one thing spoilt.
fn spoilt(change: impl FnOnce(&mut Ground)) -> Ground {
    let mut ground = Ground::at("dc2-db");
    change(&mut ground);
    ground
}

fn quorum() -> StoreAnswer {
    StoreAnswer::Quorum {
        ticket: Some(Ticket {
            summary: String::new(),
            incarnation: plan().incarnation,
            epoch: Epoch(3),
            holder: site("dc1"),
            grant: None,
            changed_at: UnixMillis(0),
            confirmed_by: None,
            confirmations: 0,
            accepted: 0,
            leases: BTreeMap::new(),
            automatic_off: None,
        }),
    }
}

#[test]
fn nothing_objects_when_all_is_dark_and_the_words_are_right() {
    assert_eq!(Ground::at("dc2-db").rules(), []);
    let no_quorum = spoilt(|g| {
        g.store = StoreAnswer::NoQuorum {
            why: "one of three".to_owned(),
        };
    });
    assert_eq!(no_quorum.rules(), []);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one case a rule, read as a table")]
fn each_rule_objects_to_one_thing_and_only_three_can_be_overridden() {
    let cases: Vec<(Rule, Ground)> = vec![
        (
            Rule::Attestation,
            spoilt(|g| g.request.attest_site_off = "dc3".to_owned()),
        ),
        (
            Rule::Attestation,
            spoilt(|g| g.request.attest_site_off.clear()),
        ),
        (Rule::Words, spoilt(|g| g.request.reason = "  ".to_owned())),
        (Rule::Words, spoilt(|g| g.request.operator.clear())),
        (Rule::StoreAnswers, spoilt(|g| g.store = quorum())),
        (
            Rule::StoreAnswers,
            spoilt(|g| g.store = StoreAnswer::Quorum { ticket: None }),
        ),
        (
            Rule::Sighted,
            spoilt(|g| g.sightings[0].age = Millis(ALIVE_WITHIN.0 - 1)),
        ),
        (
            Rule::Receiving,
            spoilt(|g| g.receiving = Some(Millis(ALIVE_WITHIN.0 - 1))),
        ),
        (Rule::PlanAge, spoilt(|g| g.age = Millis(3_600_001))),
        (
            Rule::PlanAge,
            spoilt(|g| g.stack_version = Some(StackVersion(3))),
        ),
        (Rule::PlanEpoch, spoilt(|g| g.epoch = Epoch(4))),
        (
            Rule::PlanEpoch,
            spoilt(|g| {
                g.seen = Some(Seen {
                    epoch: Epoch(4),
                    ..g.seen.unwrap()
                });
            }),
        ),
        (
            Rule::PlanEpoch,
            spoilt(|g| {
                g.seen = Some(Seen {
                    incarnation: Nonce::new(Uuid::from_u128(2)),
                    epoch: Epoch(1),
                    revision: 1,
                    accepted: 0,
                });
            }),
        ),
        (Rule::Promise, spoilt(|g| g.promised = Some(Millis(1)))),
        (
            Rule::Quarantined,
            spoilt(|g| {
                g.fenced = Some(Fenced {
                    epoch: Epoch(3),
                    at: UnixMillis(0),
                    reason: "dc1 is live".to_owned(),
                });
            }),
        ),
        (Rule::Node, spoilt(|g| g.identity = identity("dc2-route"))),
        (Rule::Continues, Ground::at("dc2-k8s")),
        (
            Rule::Continues,
            spoilt(|g| g.request.continues = Some("soon".to_owned())),
        ),
    ];
    for (rule, mut ground) in cases {
        assert_eq!(ground.rules(), [rule], "{rule:?}");
        let word = rule.word().to_owned();
        ground.request.overrides.insert(word, "I know".to_owned());
        let left = ground.rules();
        if Rule::OVERRIDABLE.contains(&rule) {
            assert_eq!(left, [], "{rule:?}");
        } else {
            assert!(
                left.contains(&rule) && left.contains(&Rule::Override),
                "{rule:?}: {left:?}"
            );
        }
    }
    let empty = spoilt(|g| {
        g.age = Millis(u64::MAX);
        g.request
            .overrides
            .insert("plan-age".to_owned(), " ".to_owned());
    });
    assert_eq!(empty.rules(), [Rule::Override]);
}

#[test]
fn a_node_goes_on_only_with_the_code_of_the_step_before() {
    let shape = plan();
    let with = |node: &str, epoch: u64, step: u32| {
        let mut ground = Ground::at(node);
        ground.request.continues = Some(Code::of(&shape, Epoch(epoch), step).to_string());
        ground
    };
    assert_eq!(with("dc2-k8s", 1_003, 6).rules(), []);
    assert_eq!(with("dc3-db", 1_003, 6).rules(), []);
    assert_eq!(
        with("dc2-k8s", 1_003, 5).rules(),
        [Rule::Continues],
        "too early"
    );
    assert_eq!(
        with("dc2-k8s", 2, 6).rules(),
        [Rule::Continues],
        "an old epoch"
    );
    let mut forged = with("dc2-k8s", 1_003, 6);
    forged.request.continues = Some("1003-6-000000000000".to_owned());
    assert_eq!(forged.rules(), [Rule::Continues]);
    let mut other = with("dc2-k8s", 1_003, 6);
    other.plan.steps.pop();
    assert_eq!(other.rules(), [Rule::Continues], "another plan");
    let ground = with("dc2-k8s", 1_003, 6);
    assert_eq!(epoch(&ground.facts(), &ground.request), Epoch(1_003));
    for text in ["", "1", "1-2", "1-2-3-4", "a-2-3", "1-b-3"] {
        assert!(text.parse::<Code>().is_err(), "{text}");
    }
}

#[test]
fn steps_wait_for_those_elsewhere_that_change_something() {
    let plan = plan();
    let numbers = |node: &str| -> Vec<(u32, Option<u32>)> {
        let who = identity(node);
        own(&plan, &who)
            .map(|(step, _)| {
                (
                    step.number,
                    predecessor(&plan, &who, step).map(|b| b.number),
                )
            })
            .collect()
    };
    // The follow at dc3 is not needed, and the fence at dc1 is vouched for: nobody waits for them.
    assert_eq!(numbers("dc2-db"), [(1, None), (6, None), (9, Some(8))]);
    assert_eq!(numbers("dc2-k8s"), [(8, Some(6))]);
    assert_eq!(numbers("dc3-db"), [(7, Some(6))]);
    assert_eq!(
        numbers("dc1-db"),
        [],
        "nothing is done in the site that is left"
    );
}

#[test]
fn the_epoch_is_far_above_all_that_was_seen_and_kept_when_it_is_gone_on_with() {
    let ground = Ground::at("dc2-db");
    assert_eq!(
        epoch(&ground.facts(), &ground.request),
        Epoch(3 + EPOCH_JUMP)
    );
    let seen = spoilt(|g| {
        g.epoch = Epoch(3);
        g.seen = Some(Seen {
            incarnation: plan().incarnation,
            epoch: Epoch(40),
            revision: 7,
            accepted: 0,
        });
    });
    assert_eq!(epoch(&seen.facts(), &seen.request), Epoch(40 + EPOCH_JUMP));
    let begun = spoilt(|g| {
        g.epoch = Epoch(1_003);
        g.broken = Some(broken(plan(), 1_003));
    });
    assert!(resumes(&begun.facts()));
    assert_eq!(begun.rules(), []);
    assert_eq!(epoch(&begun.facts(), &begun.request), Epoch(1_003));
    let other = spoilt(|g| {
        g.epoch = Epoch(1_003);
        g.broken = Some(broken(plan(), 1_003));
        g.plan.steps.pop();
    });
    assert_eq!(other.rules(), [Rule::PlanEpoch, Rule::OtherBreak]);
}

#[test]
fn the_same_step_gives_the_same_command_and_another_attempt_another() {
    let (plan, who) = (plan(), identity("dc2-db"));
    let broken = broken(plan.clone(), 1_003);
    let (step, action) = own(&plan, &who).find(|(_, a)| a.changes()).unwrap();
    let command = broken.command(&who, step, action, 0);
    assert_eq!(command, broken.command(&who, step, action, 0));
    assert_ne!(command.id, broken.command(&who, step, action, 1).id);
    assert_eq!(command.digest, command.content_digest());
    assert_eq!(command.epoch, Epoch(1_003));
    assert_eq!(command.grant.unwrap().epoch, Epoch(1_003));
    assert!(matches!(action, Action::Promote { .. }));
    let approval = command.approval.unwrap();
    assert_eq!(approval.operator.to_string(), "break-glass by alice");
}

#[test]
fn the_record_outlives_a_restart_and_ends_with_a_later_epoch() {
    let who = identity("dc2-db");
    let mut record = Record::empty(&who);
    record.break_glass(broken(plan(), 1_003));
    assert_eq!((record.epoch(), record.term()), (Epoch(1_003), Term(0)));
    let mut again = Record::parse(&record.text(), &who).unwrap();
    assert_eq!(again, record);
    let ticket = |epoch| Ticket {
        epoch: Epoch(epoch),
        ..match quorum() {
            StoreAnswer::Quorum {
                ticket: Some(ticket),
            } => ticket,
            StoreAnswer::Quorum { ticket: None }
            | StoreAnswer::Silent { .. }
            | StoreAnswer::NoQuorum { .. } => unreachable!(),
        }
    };
    // Until it is reconciled, the store shows less than this agent has obeyed.
    assert!(again.regression(&ticket(3), 9).is_some());
    assert_eq!(again.regression(&ticket(1_003), 9), None);
    again.reconcile_glass();
    assert!(again.glass().unwrap().reconciled);
    let (plan, later) = (plan(), broken(plan(), 1_004));
    let (step, action) = own(&plan, &who).find(|(_, a)| a.changes()).unwrap();
    let command = later.command(&who, step, action, 0);
    again.begin(&command, UnixMillis(0), 8);
    assert_eq!(again.glass(), None, "a later epoch was obeyed");
    again.finish(
        command.id,
        ReportState::Failed {
            took_ms: Millis(0),
            reason: String::new(),
            pending: false,
        },
    );
}
