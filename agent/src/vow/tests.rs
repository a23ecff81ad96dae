use shared::id::{NodeName, ProcessId, SiteName, StackName};
use uuid::Uuid;

use super::line::{Given, Reply, Seal};
use super::*;

fn nonce(n: u128) -> Nonce {
    Nonce::new(Uuid::from_u128(n))
}

fn identity() -> Identity {
    Identity {
        stack: StackName::new("ess").unwrap(),
        site: SiteName::new("dc2").unwrap(),
        node: NodeName::new("dc2-db").unwrap(),
        process: ProcessId::new(Uuid::from_u128(5)),
    }
}

fn question() -> Question {
    Question {
        stack: StackName::new("ess").unwrap(),
        site: SiteName::new("dc1").unwrap(),
        node: NodeName::new("dc1-db").unwrap(),
        to: SiteName::new("dc2").unwrap(),
        epoch: Epoch(2),
        incarnation: nonce(1),
        span_ms: Millis(45_000),
        stack_version: StackVersion(3),
        nonce: nonce(7),
    }
}

fn facts(identity: &Identity) -> Facts<'_> {
    Facts {
        identity,
        epoch: Epoch(2),
        incarnation: Some(nonce(1)),
        stack_version: Some(StackVersion(3)),
        writability: Writability::Standby,
    }
}

#[test]
fn a_vow_binds_until_it_has_run_out_and_over_a_restart() {
    let identity = identity();
    let mut vows = Vows::default();
    assert_eq!(vows.left(Mono(0)), None);
    let promised = vows
        .give(&question(), &facts(&identity), Mono(1_000))
        .unwrap();
    assert_eq!(vows.left(Mono(1_000)), Some((Epoch(2), Millis(45_000))));
    assert_eq!(vows.left(Mono(45_999)), Some((Epoch(2), Millis(1))));
    assert_eq!(vows.left(Mono(46_000)), None);
    assert!(vows.is_spent(Mono(46_000)) && !vows.is_spent(Mono(45_999)));
    // Another process of the agent has another clock: the whole span again.
    let vows = Vows::resume(Some(promised), Mono(500));
    assert_eq!(vows.left(Mono(500)), Some((Epoch(2), Millis(45_000))));
}

#[test]
fn a_vow_is_never_shortened() {
    let identity = identity();
    let mut vows = Vows::default();
    vows.give(&question(), &facts(&identity), Mono(0)).unwrap();
    let short = Question {
        span_ms: Millis(1_000),
        ..question()
    };
    let promised = vows.give(&short, &facts(&identity), Mono(10_000)).unwrap();
    assert_eq!(promised.span_ms, Millis(35_000));
    assert_eq!(vows.left(Mono(10_000)), Some((Epoch(2), Millis(35_000))));
}

#[test]
fn no_vow_is_given_once_a_higher_epoch_was_seen_or_while_promoting() {
    let identity = identity();
    let ask = |vows: &mut Vows| vows.give(&question(), &facts(&identity), Mono(0));
    let mut vows = Vows::default();
    vows.note_epoch(Epoch(3));
    assert_eq!(ask(&mut vows), Err(Unwilling::HigherEpoch(Epoch(3))));
    let mut vows = Vows::default();
    vows.promoting(true);
    assert_eq!(ask(&mut vows), Err(Unwilling::Promoting));
    vows.promoting(false);
    assert!(ask(&mut vows).is_ok());
}

/// Spoils one thing of what an agent knows, or of a right question, and gives why it does not vow.
fn unwilling_when(spoil: impl FnOnce(&mut Facts<'_>, &mut Question)) -> Unwilling {
    let identity = identity();
    let (mut facts, mut question) = (facts(&identity), question());
    spoil(&mut facts, &mut question);
    let unwilling = Vows::default()
        .give(&question, &facts, Mono(0))
        .unwrap_err();
    assert!(!unwilling.to_string().is_empty());
    unwilling
}

#[test]
fn a_vow_needs_the_same_world_on_both_sides() {
    let site = |name: &str| SiteName::new(name).unwrap();
    let found = unwilling_when(|facts, _| facts.epoch = Epoch(3));
    assert_eq!(found, Unwilling::HigherEpoch(Epoch(3)));
    let found = unwilling_when(|facts, _| facts.incarnation = Some(nonce(2)));
    assert_eq!(found, Unwilling::OtherStore);
    let found = unwilling_when(|facts, _| facts.stack_version = None);
    assert_eq!(found, Unwilling::OtherVersion(None));
    let found = unwilling_when(|facts, _| facts.writability = Writability::Possible);
    assert_eq!(found, Unwilling::Writable);
    let found = unwilling_when(|_, question| question.to = site("dc3"));
    assert_eq!(found, Unwilling::OtherTarget);
    let found = unwilling_when(|_, question| question.stack = StackName::new("x").unwrap());
    assert_eq!(found, Unwilling::OtherTarget);
    let found = unwilling_when(|_, question| question.site = site("dc2"));
    assert_eq!(found, Unwilling::OwnSite);
    let found = unwilling_when(|_, question| question.span_ms = Millis(600_001));
    assert_eq!(found, Unwilling::TooLong);
}

#[test]
fn lines_are_read_back_and_old_answers_are_told_apart() {
    for seal in [Seal::default(), Seal::with(vec![7; 32])] {
        let asked = question();
        assert_eq!(
            Question::parse(&asked.line(&seal), &seal),
            Some(asked.clone())
        );
        let given = Given {
            stack: asked.stack.clone(),
            site: asked.to.clone(),
            node: identity().node,
            process: identity().process,
            epoch: asked.epoch,
            span_ms: asked.span_ms,
            nonce: asked.nonce,
        };
        assert!(given.answers(&asked));
        let spoiled = [
            Given {
                nonce: nonce(8),
                ..given.clone()
            },
            Given {
                epoch: Epoch(1),
                ..given.clone()
            },
            Given {
                span_ms: Millis(44_999),
                ..given.clone()
            },
            Given {
                site: SiteName::new("dc3").unwrap(),
                ..given.clone()
            },
        ];
        assert!(spoiled.iter().all(|given| !given.answers(&asked)));
        for reply in [
            Reply::Given(given),
            Reply::Denied("epoch 3 was seen here".to_owned()),
        ] {
            assert_eq!(Reply::parse(&reply.line(&seal), &seal), Some(reply));
        }
    }
}

#[test]
fn a_line_without_the_right_seal_is_not_believed() {
    let (kept, other) = (Seal::with(vec![7; 32]), Seal::with(vec![8; 32]));
    let line = question().line(&kept);
    assert!(line.len() < line::LINE_LEN_MAX);
    assert_eq!(Question::parse(&line, &other), None);
    assert_eq!(
        Question::parse(&question().line(&Seal::default()), &kept),
        None
    );
    assert_eq!(Question::parse(&line.replace(" 2 ", " 3 "), &kept), None);
    for garbage in [
        "",
        "\n",
        "pointsman vow?\n",
        "pointsman vow? a -\n",
        "é é\n",
    ] {
        assert_eq!(Question::parse(garbage, &Seal::default()), None);
        assert_eq!(Reply::parse(garbage, &kept), None);
    }
    assert!(!format!("{kept:?}").contains('7'));
}
