//! A row for each refusal, and properties over random commands.

mod order;

use proptest::prelude::*;
use shared::digest::ContentDigest;
use shared::epoch::StackVersion;
use shared::id::Nonce;
use shared::wire::{Anchor, Grant};

use self::order::{actions, command, id, identity, modules, promote, scale, sent, verify};
use super::*;

const NOW: Mono = Mono(100_000);

fn done() -> ReportState {
    ReportState::Done {
        took_ms: Millis(1),
        proof: Vec::new(),
    }
}

/// Everything that the gate may be told, owned.
struct World {
    identity: Identity,
    modules: Modules,
    sent: SentHeartbeats,
    epoch: Epoch,
    term: Term,
    known: Option<Known>,
    running: Option<RunningCommand>,
    regressed: Option<&'static str>,
    promised: Option<(Epoch, Millis)>,
    automatic: Stance,
}

impl World {
    fn new() -> Self {
        Self {
            identity: identity(),
            modules: modules(),
            sent: sent(),
            epoch: Epoch(7),
            term: Term(3),
            known: None,
            running: None,
            regressed: None,
            promised: None,
            automatic: Stance::NotAllowed(None),
        }
    }

    fn admit(&self, command: &Command) -> Verdict {
        let state = GateState {
            identity: &self.identity,
            modules: &self.modules,
            sent: &self.sent,
            epoch: self.epoch,
            term: self.term,
            known: self.known.as_ref(),
            running: self.running.as_ref(),
            command_age_max: Millis::seconds(30),
            regressed: self.regressed,
            promised: self.promised,
            automatic: self.automatic,
        };
        admit(&state, command, NOW)
    }
}

fn refused(verdict: Verdict) -> Refusal {
    match verdict {
        Verdict::Refuse(refusal) => refusal,
        other @ (Verdict::Start { .. } | Verdict::Replay(_)) => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_right_command_is_admitted() {
    for action in actions() {
        assert_eq!(
            World::new().admit(&command(action)),
            Verdict::Start { resumed: false }
        );
    }
}

/// Spoils one thing of a right promotion and gives the refusal.
fn refusal_when(spoil: impl FnOnce(&mut World, &mut Command)) -> Refusal {
    let (mut world, mut command) = (World::new(), command(promote()));
    spoil(&mut world, &mut command);
    let refusal = refused(world.admit(&command.sealed()));
    assert!(!refusal.to_string().is_empty());
    refusal
}

#[test]
fn an_order_of_automatic_mode_needs_the_file_and_the_same_stack_version() {
    let version = StackVersion(4);
    let not_allowed = |known| Refusal::AutomaticNotAllowed {
        ordered: Some(version),
        known,
    };
    let older = Some(StackVersion(3));
    let rows = [
        (Stance::Allowed(version), None),
        (Stance::Refused, Some(Refusal::AutomaticRefused)),
        (Stance::NotAllowed(None), Some(not_allowed(None))),
        (
            Stance::NotAllowed(Some(version)),
            Some(not_allowed(Some(version))),
        ),
        (Stance::Allowed(StackVersion(3)), Some(not_allowed(older))),
    ];
    for action in actions() {
        for (automatic, refusal) in &rows {
            let mut world = World::new();
            world.automatic = *automatic;
            // An operator's order is none of it.
            let mut command = command(action.clone());
            let started = Verdict::Start { resumed: false };
            assert_eq!(world.admit(&command), started, "{automatic:?}");
            let changes = action.changes();
            if let Some(approval) = &mut command.approval {
                approval.automatic = true;
                approval.stack_version = Some(version);
            }
            let wanted = refusal.clone().filter(|_| changes);
            let wanted = wanted.map_or(started, Verdict::Refuse);
            assert_eq!(world.admit(&command.sealed()), wanted, "{automatic:?}");
        }
    }
    let unnamed = refusal_when(|world, command| {
        world.automatic = Stance::Allowed(version);
        if let Some(approval) = &mut command.approval {
            approval.automatic = true;
        }
    });
    let wanted = Refusal::AutomaticNotAllowed {
        ordered: None,
        known: Some(version),
    };
    assert_eq!(unnamed, wanted);
}

#[test]
fn a_vow_forbids_what_makes_the_site_live_and_nothing_else() {
    let promised = Some((Epoch(6), Millis(4_000)));
    let refusal = refusal_when(|world, _| world.promised = promised);
    assert_eq!(
        refusal,
        Refusal::Promised {
            epoch: Epoch(6),
            left_ms: Millis(4_000)
        }
    );
    for action in actions() {
        let mut world = World::new();
        world.promised = promised;
        let live = action.needs_grant();
        let started = world.admit(&command(action)) == Verdict::Start { resumed: false };
        assert_eq!(started, !live);
    }
}

#[test]
fn by_a_store_that_lost_writes_nothing_is_changed() {
    for action in actions() {
        let mut world = World::new();
        world.regressed = Some("the store shows epoch 6, this agent has seen epoch 7");
        let changes = action.changes();
        match world.admit(&command(action)) {
            Verdict::Refuse(Refusal::StoreRegressed { .. }) => assert!(changes),
            Verdict::Start { .. } => assert!(!changes),
            other @ (Verdict::Replay(_) | Verdict::Refuse(_)) => panic!("{other:?}"),
        }
    }
}

#[test]
fn another_target_is_refused() {
    let other = |refusal| matches!(refusal, Refusal::OtherTarget { .. });
    assert!(other(refusal_when(
        |_, c| c.stack = StackName::new("x").unwrap()
    )));
    assert!(other(refusal_when(
        |_, c| c.site = SiteName::new("dc1").unwrap()
    )));
    assert!(other(refusal_when(
        |_, c| c.node = NodeName::new("x").unwrap()
    )));
}

#[test]
fn an_old_order_is_refused() {
    let old_epoch = refusal_when(|w, _| w.epoch = Epoch(8));
    assert_eq!(
        old_epoch,
        Refusal::OldEpoch {
            found: Epoch(7),
            highest: Epoch(8)
        }
    );
    let old_term = refusal_when(|w, _| w.term = Term(4));
    assert_eq!(
        old_term,
        Refusal::OldTerm {
            found: Term(3),
            highest: Term(4)
        }
    );
    let restarted = refusal_when(|_, c| c.anchor.process = ProcessId::new(id(9)));
    assert_eq!(restarted, Refusal::OtherProcess);
    for never_sent in [0, 21] {
        let refusal = refusal_when(|_, c| c.anchor.sequence = never_sent);
        assert_eq!(refusal, Refusal::OtherProcess);
    }
    for too_old in [9, 14] {
        let refusal = refusal_when(|_, c| c.anchor.sequence = too_old);
        assert!(
            matches!(refusal, Refusal::PastDeadline { .. }),
            "{refusal:?}"
        );
    }
}

#[test]
fn an_order_without_its_proofs_is_refused() {
    assert_eq!(refusal_when(|_, c| c.approval = None), Refusal::NoApproval);
    let other = ContentDigest::of_bytes(b"other");
    let refusal = refusal_when(|_, c| c.approval.as_mut().unwrap().plan = other);
    assert_eq!(refusal, Refusal::OtherApproval);
    assert_eq!(refusal_when(|_, c| c.grant = None), Refusal::NoGrant);
    let refusal = refusal_when(|_, c| c.grant.as_mut().unwrap().epoch = Epoch(6));
    assert_eq!(refusal, Refusal::NoGrant);
}

#[test]
fn an_order_that_cannot_be_carried_out_now_is_refused() {
    let refusal = refusal_when(|w, _| w.modules.database = None);
    assert!(matches!(refusal, Refusal::NoModule { .. }));
    let other = CommandId::new(id(8));
    let running = RunningCommand {
        id: other,
        state: done(),
    };
    let refusal = refusal_when(|w, _| w.running = Some(running));
    assert_eq!(refusal, Refusal::Busy { running: other });
}

#[test]
fn every_missing_module_is_named() {
    let none = Modules::default();
    let words = [
        "main",
        "main",
        "main",
        "kubernetes",
        "kubernetes",
        "switch",
        "main",
        "postgres",
    ];
    for (action, word) in actions().iter().zip(words) {
        let missing = none.missing(action).unwrap();
        assert!(missing.contains(word), "{word}: {missing}");
        assert_eq!(modules().missing(action), None);
    }
    let blind = Modules {
        pgdata: false,
        ..modules()
    };
    assert_eq!(blind.missing(&actions()[1]).unwrap(), "postgres.pgdata");
}

#[test]
fn the_content_must_match_its_digest() {
    let mut tampered = command(promote());
    tampered.step = 5;
    assert_eq!(refused(World::new().admit(&tampered)), Refusal::WrongDigest);
}

#[test]
fn a_validity_beyond_the_limit_is_cut() {
    let mut world = World::new();
    world.sent = SentHeartbeats::default();
    world.sent.note(1, NOW.before(Millis::seconds(31)));
    let mut old = command(promote());
    old.anchor.sequence = 1;
    old.valid_for_ms = Millis::seconds(3_600);
    let refusal = refused(world.admit(&old));
    assert_eq!(
        refusal,
        Refusal::PastDeadline {
            age_ms: Millis::seconds(31),
            valid_for_ms: Millis::seconds(30)
        }
    );
}

#[test]
fn what_changes_nothing_needs_no_approval() {
    for action in [verify(), actions().remove(6)] {
        let bare = Command {
            approval: None,
            grant: None,
            ..command(action)
        };
        assert_eq!(
            World::new().admit(&bare.sealed()),
            Verdict::Start { resumed: false }
        );
    }
    let stopping = Command {
        grant: None,
        ..command(scale(0))
    };
    assert_eq!(
        World::new().admit(&stopping.sealed()),
        Verdict::Start { resumed: false }
    );
    let starting = Command {
        grant: None,
        ..command(scale(1))
    };
    assert_eq!(
        refused(World::new().admit(&starting.sealed())),
        Refusal::NoGrant
    );
}

#[test]
fn a_known_command_is_answered_from_the_ledger() {
    let command = command(promote());
    let mut world = World::new();
    world.known = Some(Known {
        digest: command.digest.clone(),
        outcome: Some(done()),
    });
    assert_eq!(world.admit(&command), Verdict::Replay(done()));
    // Also when everything else has become old.
    let late = Command {
        anchor: Anchor {
            process: ProcessId::new(id(99)),
            sequence: 1,
        },
        ..command.clone()
    };
    world.epoch = Epoch(9);
    assert_eq!(world.admit(&late.sealed()), Verdict::Replay(done()));
    // Without outcome it waits to be looked at.
    world.known = Some(Known {
        digest: command.digest.clone(),
        outcome: None,
    });
    assert!(matches!(
        world.admit(&command),
        Verdict::Replay(ReportState::Running { .. })
    ));
    // Another content under the same identity is none of it.
    world.known = Some(Known {
        digest: ContentDigest::of_bytes(b"x"),
        outcome: Some(done()),
    });
    assert_eq!(
        refused(world.admit(&command)),
        Refusal::OtherContent {
            command: command.id
        }
    );
}

#[test]
fn the_running_command_answers_for_itself() {
    let command = command(promote());
    let running = ReportState::Running {
        for_ms: Millis(5),
        progress: "p".to_owned(),
    };
    let mut world = World::new();
    world.known = Some(Known {
        digest: command.digest.clone(),
        outcome: None,
    });
    world.running = Some(RunningCommand {
        id: command.id,
        state: running.clone(),
    });
    assert_eq!(world.admit(&command), Verdict::Replay(running));
}

#[test]
fn only_a_repeatable_end_is_carried_out_again() {
    let command = command(promote());
    let cases = [
        (
            ReportState::Interrupted {
                found: String::new(),
                repeatable: true,
            },
            true,
        ),
        (
            ReportState::Interrupted {
                found: String::new(),
                repeatable: false,
            },
            false,
        ),
        (
            ReportState::Failed {
                took_ms: Millis(0),
                reason: String::new(),
                pending: true,
            },
            true,
        ),
        (
            ReportState::Failed {
                took_ms: Millis(0),
                reason: String::new(),
                pending: false,
            },
            false,
        ),
        (done(), false),
    ];
    for (outcome, again) in cases {
        let mut world = World::new();
        world.known = Some(Known {
            digest: command.digest.clone(),
            outcome: Some(outcome.clone()),
        });
        let expected = if again {
            Verdict::Start { resumed: true }
        } else {
            Verdict::Replay(outcome)
        };
        assert_eq!(world.admit(&command), expected);
        // Carrying it out again passes all checks of age anew.
        world.epoch = Epoch(8);
        let late = world.admit(&command);
        assert_eq!(
            matches!(late, Verdict::Refuse(Refusal::OldEpoch { .. })),
            again
        );
    }
}

#[test]
fn heartbeats_are_forgotten_oldest_first() {
    let mut sent = SentHeartbeats::default();
    for sequence in 1..=500 {
        sent.note(sequence, Mono(sequence));
    }
    assert_eq!(sent.times.len(), SENT_KEPT);
    assert_eq!(sent.age(500, Mono(600)), Age::Known(Millis(100)));
    assert!(matches!(sent.age(1, Mono(600)), Age::AtLeast(_)));
    assert_eq!(sent.age(501, Mono(600)), Age::NeverSent);
}

proptest! {
    /// Nothing that changes something starts without the whole set of proofs, whatever else is true.
    #[test]
    fn starting_needs_every_proof(
        epoch in 5_u64..10, term in 1_u64..6, sequence in 5_u64..25, own_process: bool,
        approved: bool, right_plan: bool, granted: bool, grant_epoch in 5_u64..10,
        valid in 0_u64..40_000, kind in 0_usize..8, busy: bool,
    ) {
        let mut command = command(actions().remove(kind));
        command.epoch = Epoch(epoch);
        command.term = Term(term);
        command.valid_for_ms = Millis(valid);
        command.anchor.sequence = sequence;
        if !own_process {
            command.anchor.process = ProcessId::new(id(77));
        }
        if !right_plan {
            command.approval.as_mut().unwrap().plan = ContentDigest::of_bytes(b"other");
        }
        if !approved {
            command.approval = None;
        }
        command.grant = granted.then(|| Grant { epoch: Epoch(grant_epoch), nonce: Nonce::new(id(5)) });
        let command = command.sealed();
        let mut world = World::new();
        world.running = busy.then(|| RunningCommand { id: CommandId::new(id(8)), state: done() });
        let verdict = world.admit(&command);
        let age = NOW.since(Mono(80_000 + sequence * 1_000)).0;
        let fresh = own_process && (10..=20).contains(&sequence) && age <= valid.min(30_000);
        let timely = epoch > 7 || (epoch == 7 && term >= 3);
        let permitted = !command.action.changes() || (approved && right_plan);
        let may_live = !command.action.needs_grant() || (granted && grant_epoch == epoch);
        let expected = fresh && timely && permitted && may_live && !busy;
        prop_assert_eq!(verdict == Verdict::Start { resumed: false }, expected, "{:?}", verdict);
    }
}
