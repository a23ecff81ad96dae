//! Random histories of the world against a small reference, which knows only what must never happen.

use std::collections::{BTreeMap, BTreeSet};

use decision::{
    Alarm, Answer, ApprovalRequest, Ask, Durable, Output, Persist, Phase, ProposalState, RunState,
    StepOutcome,
};
use proptest::prelude::*;
use shared::clock::{Millis, Mono};
use shared::epoch::Epoch;
use shared::id::{ProposalId, SiteName};
use shared::stack::Mode;

use crate::world::{Fault, What, World, in_mode, site};

/// One thing that happens, or is asked.
#[derive(Debug, Clone)]
enum Happening {
    Pass(u64),
    Lose(usize),
    Return(usize),
    LoseBus(usize),
    Cut(usize, usize),
    Mend,
    Approve { newest: bool, vouching: bool },
    Reject,
    Hold,
    Release,
    Resume { waive: bool },
    Abandon,
    Lead(usize),
    Restart(usize),
    LostAtWrite(u32),
    Fails(usize, bool),
    Twice(bool),
    Switch(bool),
    Acknowledge,
}

const KINDS: [&str; 6] = ["check", "fence", "promote", "follow", "scale", "hook"];

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => (1_u64..30).prop_map(Happening::Pass),
        4 => prop_oneof![4 => Just(0_usize), 1 => 0_usize..3].prop_map(Happening::Lose),
        2 => (0_usize..3).prop_map(Happening::Return),
        1 => (0_usize..3).prop_map(Happening::LoseBus),
        1 => (0_usize..3, 0_usize..3).prop_map(|(a, b)| Happening::Cut(a, b)),
        1 => Just(Happening::Mend),
        6 => (prop::bool::weighted(0.8), prop::bool::weighted(0.9))
            .prop_map(|(newest, vouching)| Happening::Approve { newest, vouching }),
        1 => Just(Happening::Reject),
        1 => Just(Happening::Hold),
        1 => Just(Happening::Release),
        2 => any::<bool>().prop_map(|waive| Happening::Resume { waive }),
        1 => Just(Happening::Abandon),
        1 => (0_usize..3).prop_map(Happening::Lead),
        1 => (0_usize..3).prop_map(Happening::Restart),
        1 => (0_u32..12).prop_map(Happening::LostAtWrite),
        1 => (0..KINDS.len(), any::<bool>()).prop_map(|(kind, hangs)| Happening::Fails(kind, hangs)),
        1 => any::<bool>().prop_map(Happening::Twice),
    ]
}

/// Long silences, and what keeps automatic mode from acting.
fn automatic_happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => happening(),
        4 => (90_u64..160).prop_map(Happening::Pass),
        2 => Just(Happening::Lose(0)),
        2 => any::<bool>().prop_map(Happening::Switch),
        1 => Just(Happening::Acknowledge),
    ]
}

/// What must never happen, by what was ordered and answered alone.
#[derive(Default)]
struct Reference {
    read: usize,
    state: Option<Durable>,
    ticket: Epoch,
    /// Proposals that an operator was told to be approved.
    approved: BTreeSet<ProposalId>,
    ended: BTreeMap<ProposalId, &'static str>,
    /// When somebody outside the live site last heard or saw it, by each site.
    life: Option<Mono>,
}

impl Reference {
    fn follow(&mut self, world: &World) {
        let news = &world.done[self.read..];
        self.read = world.done.len();
        for output in news {
            match output {
                Output::Persist(Persist::State(state)) => self.written(state),
                Output::Persist(Persist::Ticket { to, .. }) => {
                    assert!(
                        to.epoch >= self.ticket,
                        "the epoch fell from {} to {}",
                        self.ticket,
                        to.epoch
                    );
                    self.ticket = to.epoch;
                }
                Output::Send(command) => self.sent(command),
                Output::Record(event) if event.kind == "proposal-raised" => {
                    let raised = Mono(1_000_000 + World::age_of(event.at).0);
                    let quiet = self
                        .life
                        .map_or(Millis(u64::MAX), |life| raised.since(life));
                    assert!(
                        quiet >= Millis::seconds(20),
                        "raised {} after a sighting",
                        quiet.human()
                    );
                }
                Output::Record(event)
                    if event.kind == "proposal-approved" && event.actor.as_str() == "automatic" =>
                {
                    self.acted(Mono(1_000_000 + World::age_of(event.at).0));
                }
                Output::Persist(Persist::Stack { .. })
                | Output::Record(_)
                | Output::Announce(_) => {}
            }
        }
    }

    /// Nobody approved: what was written just before says whether that was allowed.
    fn acted(&self, at: Mono) {
        let quiet = self.life.map_or(Millis(u64::MAX), |life| at.since(life));
        assert!(
            quiet >= Millis::seconds(126),
            "acted {} after a sighting",
            quiet.human()
        );
        let state = self.state.as_ref().expect("acted without a written state");
        assert!(state.hold.is_none(), "acted under a hold");
        assert!(state.automatic_off.is_none(), "acted while switched off");
        assert!(state.cool_down.is_none(), "acted in the cool-down");
        let run = state.run.as_ref().expect("acted without a run");
        assert!(run.approval.automatic && run.attestation.is_none() && run.overrides.is_empty());
    }

    fn written(&mut self, state: &Durable) {
        let before = self
            .state
            .as_ref()
            .map_or(Epoch(0), |state| state.epoch_max);
        assert!(state.epoch_max >= before, "the written epoch fell");
        for proposal in &state.proposals {
            let word = proposal.state.word();
            if let Some(ended) = self.ended.get(&proposal.id) {
                assert_eq!(*ended, word, "an ended proposal lives again");
            }
            if proposal.state != ProposalState::Raised {
                self.ended.insert(proposal.id, word);
            }
        }
        if let Some(run) = &state.run {
            assert_eq!(
                self.ended.get(&run.proposal),
                Some(&"approved"),
                "a run of a proposal that was not approved"
            );
            assert_eq!(
                run.approval.plan,
                run.plan.digest(),
                "a run of another plan than the approved one"
            );
        }
        self.state = Some(state.clone());
    }

    fn sent(&self, command: &shared::wire::Command) {
        let run = self
            .state
            .as_ref()
            .and_then(|state| state.run.as_ref())
            .expect("sent without a written run");
        assert_eq!(run.id, command.run);
        assert_eq!(run.state, RunState::Running, "sent while the run is halted");
        assert_eq!(
            run.steps[&command.step].command,
            Some(command.id),
            "sent before its intent was written"
        );
        let own = run.plan.step(command.step).unwrap();
        for earlier in run
            .plan
            .steps
            .iter()
            .filter(|earlier| earlier.group < own.group)
        {
            let outcome = &run.steps[&earlier.number].outcome;
            assert_ne!(
                *outcome,
                StepOutcome::Started,
                "step {} before step {}",
                own.number,
                earlier.number
            );
        }
    }

    /// The live site is sighted while it lives and anybody's bus or look reaches it.
    fn look(&mut self, world: &World) {
        let Some(live) = world
            .store
            .ticket
            .as_ref()
            .map(|ticket| ticket.holder.clone())
        else {
            return;
        };
        let hears = |to: &SiteName| *to != live && world.carries(&live, to);
        if world.agents.values().any(|a| a.site == live && a.alive)
            && world.stack.sites.keys().all(hears)
        {
            self.life = Some(world.now);
        }
    }
}

#[expect(clippy::too_many_lines, reason = "one arm a happening")]
fn happen(
    world: &mut World,
    reference: &mut Reference,
    old: &mut Option<ApprovalRequest>,
    what: &Happening,
) {
    let names = ["dc1", "dc2", "dc3"].map(site);
    let leads = world.leader.is_some();
    let durable = world.core().durable().cloned();
    let run = durable
        .as_ref()
        .and_then(|durable| durable.run.as_ref())
        .map(|run| (run.id, run.state.clone()));
    let reason = || "because".to_owned();
    match what {
        Happening::Pass(seconds) => {
            for _ in 0..*seconds {
                world.pass(Millis::seconds(1));
                reference.look(world);
                reference.follow(world);
                if world.leader.is_none() {
                    world.pass(Millis::seconds(5));
                    world.lead(&names[1]);
                }
            }
        }
        Happening::Lose(index) => {
            world.gone.insert(names[*index].clone());
        }
        Happening::Return(index) => {
            world.gone.remove(&names[*index]);
        }
        Happening::LoseBus(index) => {
            world.off_bus.insert(names[*index].clone());
        }
        Happening::Cut(a, b) => {
            world.cuts.insert((names[*a].clone(), names[*b].clone()));
        }
        Happening::Mend => {
            world.cuts.clear();
            world.off_bus.clear();
        }
        Happening::Approve { newest, vouching } if leads => {
            let open = durable
                .as_ref()
                .and_then(|durable| durable.proposals.last().cloned());
            let asked = open.map(|p| ApprovalRequest {
                proposal: p.id,
                digest: p.digest.to_string(),
                attest_site_off: vouching.then(|| p.plan.from.to_string()),
                overrides: p
                    .needs
                    .overrides
                    .iter()
                    .map(|rule| (rule.rule.clone(), reason()))
                    .collect(),
                reason: reason(),
            });
            let request = if *newest { asked.clone() } else { old.clone() };
            *old = asked.or_else(|| old.take());
            let Some(request) = request else { return };
            let id = request.proposal;
            let ended = reference.ended.contains_key(&id);
            let accepted = matches!(world.ask(Ask::Approve(request)), Answer::Accepted { .. });
            assert!(
                !(accepted && ended && world.leader.is_some()),
                "an ended proposal was approved"
            );
            if accepted {
                reference.approved.insert(id);
            }
        }
        Happening::Reject if leads => {
            if let Some(open) = durable.as_ref().and_then(|durable| durable.open_proposal()) {
                world.ask(Ask::Reject {
                    proposal: open.id,
                    reason: reason(),
                });
            }
        }
        Happening::Hold if leads => drop(world.ask(Ask::Hold { reason: reason() })),
        Happening::Release if leads => drop(world.ask(Ask::Release { reason: reason() })),
        Happening::Resume { waive } if leads => {
            if let Some((run, RunState::Halted { step, .. })) = run {
                world.ask(Ask::Resume {
                    run,
                    waive: waive.then_some(step),
                    reason: reason(),
                });
            }
        }
        Happening::Abandon if leads => {
            if let Some((run, _)) = run {
                world.ask(Ask::Abandon {
                    run,
                    reason: reason(),
                });
            }
        }
        Happening::Switch(on) if leads => {
            let (on, reason) = (*on, reason());
            world.ask(Ask::Automatic { on, reason });
        }
        Happening::Acknowledge if leads => {
            world.ask(Ask::Acknowledge {
                alarm: Alarm::CoolDown,
                reason: reason(),
            });
        }
        Happening::Lead(index) => world.lead(&names[*index]),
        Happening::Restart(index) => {
            if world.leader.as_ref() == Some(&names[*index]) {
                world.lose_lead();
            }
            world.start(&names[*index]);
        }
        Happening::LostAtWrite(write) => world.lost_at_write = Some(*write),
        Happening::Fails(kind, hangs) => {
            let what = if *hangs {
                What::Hangs
            } else {
                What::Fails(reason())
            };
            world.faults.push(Fault {
                kind: KINDS[*kind].to_owned(),
                what,
            });
        }
        Happening::Twice(twice) => world.twice = *twice,
        Happening::Approve { .. }
        | Happening::Reject
        | Happening::Hold
        | Happening::Release
        | Happening::Resume { .. }
        | Happening::Switch(_)
        | Happening::Acknowledge
        | Happening::Abandon => {}
    }
    reference.follow(world);
}

fn play(happenings: &[Happening]) -> World {
    play_in(World::new(), happenings)
}

fn play_automatic(happenings: &[Happening]) -> World {
    play_in(World::with(in_mode(Mode::Automatic)), happenings)
}

fn play_in(mut world: World, happenings: &[Happening]) -> World {
    world.begin("dc2");
    let mut reference = Reference::default();
    let mut old = None;
    reference.follow(&world);
    reference.look(&world);
    for what in happenings {
        happen(&mut world, &mut reference, &mut old, what);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_history_does_what_must_never_happen(happenings in prop::collection::vec(happening(), 1..40)) {
        play(&happenings);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 50, ..ProptestConfig::default() })]

    #[test]
    fn automatic_mode_acts_on_no_doubt(happenings in prop::collection::vec(automatic_happening(), 1..14)) {
        play_automatic(&happenings);
    }
}

#[test]
fn the_reference_sees_automatic_runs() {
    let acts = [Happening::Lose(0), Happening::Pass(200)];
    assert_eq!(play_automatic(&acts).phase(), Phase::Completed);
    let off = [
        Happening::Switch(false),
        Happening::Lose(0),
        Happening::Pass(200),
    ];
    assert_eq!(play_automatic(&off).phase(), Phase::Proposed);
}

#[test]
fn the_reference_sees_whole_runs() {
    let world = play(&[
        Happening::Lose(0),
        Happening::Pass(28),
        Happening::Approve {
            newest: true,
            vouching: true,
        },
        Happening::Pass(29),
    ]);
    assert_eq!(world.phase(), Phase::Completed);
    let vetoed = play(&[
        Happening::Lose(0),
        Happening::Pass(28),
        Happening::Return(0),
        Happening::Pass(1),
        Happening::Approve {
            newest: true,
            vouching: true,
        },
    ]);
    assert_eq!(vetoed.phase(), Phase::Suspecting);
    assert!(matches!(
        vetoed.answers.last(),
        Some(Answer::Refused { .. })
    ));
}
