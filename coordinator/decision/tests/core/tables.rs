//! The tables are whole: moves, phases, and an answer of every phase to every input.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use decision::{
    Alarm, ApprovalRequest, Ask, Core, Durable, Fresh, Input, MOVES, Memory, Phase, RequestId,
    Unanswered, find,
};
use shared::clock::{Millis, UnixMillis};
use shared::epoch::{Epoch, StackVersion, Term};
use shared::id::{Actor, CommandId, ProcessId, ProposalId, RunId};
use shared::refusal::Refusal;
use shared::wire::{Fitness, Report, ReportState, Unfit};
use uuid::Uuid;

use crate::script::{is_overwriting, read};
use crate::world::{Fault, What, World, node, report_on, site};

#[test]
fn every_move_stands_once_and_says_why() {
    let mut pairs = BTreeSet::new();
    let mut rows = BTreeSet::new();
    for row in &MOVES {
        assert!(
            pairs.insert((row.from, row.to)),
            "row {} repeats a pair",
            row.row
        );
        assert!(rows.insert(row.row), "row {} stands twice", row.row);
        assert_ne!(row.from, row.to, "row {}", row.row);
        assert!(!row.why.is_empty(), "row {}", row.row);
        assert_eq!(find(row.from, row.to), Some(row));
    }
}

#[test]
fn every_phase_is_reached_and_left() {
    let mut reached = BTreeSet::from([Phase::Unknown]);
    for _ in Phase::ALL {
        let more: Vec<Phase> = MOVES
            .iter()
            .filter(|row| reached.contains(&row.from))
            .map(|row| row.to)
            .collect();
        reached.extend(more);
    }
    for phase in Phase::ALL {
        assert!(
            reached.contains(&phase),
            "{} is never reached",
            phase.word()
        );
        assert!(
            MOVES.iter().any(|row| row.from == phase),
            "{} is never left",
            phase.word()
        );
        // A lead can be lost in every phase.
        assert!(
            phase == Phase::Unknown || find(phase, Phase::Unknown).is_some(),
            "{}",
            phase.word()
        );
    }
}

#[test]
fn the_page_of_phases_is_the_table() {
    let mut page = String::from(
        "# Phases of a stack\n\nGenerated from `MOVES` in `src/phase.rs`; a test compares this page with it \
         (`POINTSMAN_GOLDEN=overwrite` writes it).\n\n```mermaid\nstateDiagram-v2\n    [*] --> unknown\n",
    );
    for row in &MOVES {
        writeln!(
            page,
            "    {} --> {}: {}",
            row.from.word(),
            row.to.word(),
            row.row
        )
        .unwrap();
    }
    page.push_str("```\n\n| row | from | to | why |\n|---:|---|---|---|\n");
    for row in &MOVES {
        writeln!(
            page,
            "| {} | {} | {} | {} |",
            row.row,
            row.from.word(),
            row.to.word(),
            row.why
        )
        .unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("PHASES.md");
    if is_overwriting() {
        std::fs::write(&path, &page).unwrap();
    }
    assert_eq!(read(&path), page);
}

/// The phase inside a core; the shown one speaks of the store.
pub(crate) fn inner_phase(core: &Core) -> Phase {
    let whole = serde_json::to_value(core).unwrap();
    serde_json::from_value(whole["phase"].clone()).unwrap()
}

/// A world in which the leader in dc2 is in each phase.
fn worlds() -> BTreeMap<Phase, World> {
    let mut worlds = BTreeMap::new();
    let mut put = |world: World| {
        let phase = inner_phase(world.core());
        assert!(
            worlds.insert(phase, world).is_none(),
            "{} was reached twice",
            phase.word()
        );
    };
    let lost = |seconds: u64| {
        let mut world = World::healthy("dc2");
        world.gone.insert(site("dc1"));
        world.pass(Millis::seconds(seconds));
        world
    };
    put(World::new());
    put(World::healthy("dc2"));
    put(lost(10));
    put(lost(25));
    let mut suspecting = World::healthy("dc2");
    suspecting
        .cuts
        .extend([(site("dc1"), site("dc2")), (site("dc2"), site("dc1"))]);
    suspecting.pass(Millis::seconds(10));
    put(suspecting);
    let mut blocked = lost(10);
    blocked.ask(Ask::Hold {
        reason: "work".to_owned(),
    });
    blocked.pass(Millis::seconds(15));
    put(blocked);
    for (phase, seconds) in [
        (Phase::Running, 5),
        (Phase::Halted, 10),
        (Phase::Completed, 30),
    ] {
        let mut world = lost(25);
        if phase == Phase::Halted {
            world.faults.push(Fault {
                kind: "promote".to_owned(),
                what: What::Fails("disk".to_owned()),
            });
        }
        world.approve();
        world.pass(Millis::seconds(seconds));
        put(world);
    }
    worlds
}

/// One input of every kind, and of every kind of request and report, in a shape that fits and one that does not.
#[expect(clippy::too_many_lines, reason = "one entry a kind of input")]
fn inputs(world: &World) -> Vec<Input> {
    let fresh = Fresh(Uuid::from_u128(77));
    let stack = Box::new(world.stack.clone());
    let state: Option<Durable> = world.store.durable.clone();
    let run = state
        .as_ref()
        .and_then(|d| d.run.as_ref())
        .map_or(RunId::new(Uuid::nil()), |run| run.id);
    let command = state
        .as_ref()
        .and_then(|d| d.run.as_ref())
        .and_then(|run| run.steps.values().find_map(|step| step.command))
        .unwrap_or(CommandId::new(Uuid::nil()));
    let proposal = state
        .as_ref()
        .and_then(|d| d.proposals.last())
        .map_or((ProposalId::new(Uuid::nil()), String::new()), |p| {
            (p.id, p.digest.to_string())
        });
    let reason = || "because".to_owned();
    let approval = ApprovalRequest {
        proposal: proposal.0,
        digest: proposal.1,
        attest_site_off: Some("dc1".to_owned()),
        overrides: BTreeMap::new(),
        reason: reason(),
    };
    let asks = [
        Ask::Approve(approval),
        Ask::Reject {
            proposal: proposal.0,
            reason: reason(),
        },
        Ask::AcceptStore {
            live: site("dc2"),
            reason: reason(),
        },
        Ask::Resume {
            run,
            waive: None,
            reason: reason(),
        },
        Ask::Resume {
            run,
            waive: Some(8),
            reason: reason(),
        },
        Ask::Abandon {
            run,
            reason: reason(),
        },
        Ask::Hold { reason: reason() },
        Ask::Release { reason: reason() },
        Ask::Automatic {
            on: false,
            reason: reason(),
        },
        Ask::Automatic {
            on: true,
            reason: reason(),
        },
        Ask::Acknowledge {
            alarm: Alarm::CoolDown,
            reason: reason(),
        },
        Ask::ApplyStack {
            stack: stack.clone(),
            replaces: Some(StackVersion(1)),
        },
        Ask::ApplyStack {
            stack: stack.clone(),
            replaces: None,
        },
    ];
    let states = [
        ReportState::Running {
            for_ms: Millis(1),
            progress: reason(),
        },
        ReportState::Done {
            took_ms: Millis(1),
            proof: Vec::new(),
        },
        ReportState::Failed {
            took_ms: Millis(1),
            reason: reason(),
            pending: false,
        },
        ReportState::Failed {
            took_ms: Millis(1),
            reason: reason(),
            pending: true,
        },
        ReportState::Refused(Refusal::OtherProcess),
        ReportState::Refused(Refusal::Unknown),
        ReportState::Interrupted {
            found: reason(),
            repeatable: true,
        },
        ReportState::Interrupted {
            found: reason(),
            repeatable: false,
        },
    ];
    let ticket = world.store.ticket.clone();
    let other = ticket.clone().map(|ticket| shared::wire::Ticket {
        epoch: Epoch(9),
        holder: site("dc3"),
        ..ticket
    });
    let observation = world.cores[&site("dc3")].observation(world.instant(), 1_000_000);
    let mut agent = world.agents[&node("dc1-db")].clone();
    agent.sequence += 1_000;
    let heartbeat = Box::new(agent.speak(world.now, UnixMillis(5), &[]));
    let mut inputs = vec![
        Input::Tick(fresh),
        Input::Heard {
            site: site("dc1"),
            node: node("dc1-db"),
            heartbeat: heartbeat.clone(),
        },
        Input::Heard {
            site: site("elsewhere"),
            node: node("stranger"),
            heartbeat,
        },
        Input::Observed {
            site: site("dc3"),
            observation: observation.clone(),
        },
        Input::Observed {
            site: site("elsewhere"),
            observation,
        },
        Input::SelfFitness(Fitness::Unfit(vec![Unfit::NoCanary])),
        Input::StackInForce {
            version: StackVersion(3),
            stack,
        },
        Input::Remembered(Memory::default()),
        Input::Mirrored {
            durable: None,
            ticket: None,
            revision: 0,
            leader: None,
        },
        Input::Mirrored {
            durable: state.clone().map(Box::new),
            ticket: other.clone(),
            revision: 3,
            leader: Some((site("dc3"), Term(9))),
        },
        Input::Led {
            term: Term(9),
            durable: None,
            ticket: None,
            revision: 0,
            fresh,
        },
        Input::Led {
            term: Term(9),
            durable: state.map(Box::new),
            ticket: ticket.clone(),
            revision: 2,
            fresh,
        },
        Input::LeadLost { reason: reason() },
        Input::TicketConflict { found: None },
        Input::TicketConflict {
            found: other.clone(),
        },
    ];
    inputs.extend([None, other.clone()].map(|ticket| Input::TicketSeen {
        ticket,
        revision: 1,
    }));
    inputs.extend(other.or(ticket).map(|ticket| Input::TicketWritten {
        ticket,
        revision: 4,
    }));
    inputs.extend(asks.map(|ask| Input::Asked {
        request: RequestId(5),
        actor: Actor::new("bob"),
        ask,
        fresh,
    }));
    for state in states {
        let report = Report {
            command,
            run,
            step: 7,
            process: ProcessId::new(Uuid::from_u128(6)),
            epoch: Epoch(2),
            sent_at: UnixMillis(5),
            state,
        };
        inputs.push(Input::Reported {
            site: site("dc2"),
            node: node("dc2-db"),
            report,
        });
    }
    for cause in [
        Unanswered::NotConnected,
        Unanswered::NoResponder,
        Unanswered::TimedOut,
        Unanswered::Garbage,
    ] {
        inputs.push(Input::Unanswered { command, cause });
    }
    inputs
}

#[test]
fn every_phase_answers_every_input_leading_or_not() {
    let worlds = worlds();
    assert_eq!(worlds.len(), Phase::ALL.len());
    let mut answered = 0;
    for world in worlds.values() {
        let inputs = inputs(world);
        for first in &inputs {
            for name in ["dc2", "dc3"] {
                let now = world.instant();
                let mut core = world.cores[&site(name)].clone();
                core.handle(now, first.clone());
                drain(&mut core);
                // What follows must be answered too, also after the lead was lost.
                for second in [
                    Input::LeadLost {
                        reason: "gone".to_owned(),
                    },
                    first.clone(),
                    inputs[0].clone(),
                ] {
                    core.handle(now, second);
                    drain(&mut core);
                }
                core.status(now);
                core.explain(now);
                answered += 1;
            }
        }
    }
    assert!(answered > 600, "{answered}");
}

fn drain(core: &mut Core) {
    while core.poll_output().is_some() {}
    core.poll_timeout();
}

#[test]
fn a_late_report_does_not_move_a_follower() {
    let mut world = worlds().remove(&Phase::Running).unwrap();
    let command = world.commands().last().cloned().unwrap();
    world.lose_lead();
    let before = inner_phase(&world.cores[&site("dc2")]);
    let failed = ReportState::Failed {
        took_ms: Millis(1),
        reason: "late".to_owned(),
        pending: false,
    };
    let report = report_on(&command, failed);
    let known = world.cores[&site("dc2")].durable().cloned();
    world.tell(
        &site("dc2"),
        Input::Reported {
            site: command.site,
            node: command.node,
            report,
        },
    );
    assert_eq!(inner_phase(&world.cores[&site("dc2")]), before);
    assert_eq!(world.cores[&site("dc2")].durable().cloned(), known);
}
