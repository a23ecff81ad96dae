//! Every finding has a case in which it is found, and a near miss in which it is not.

use decision::{Ask, FINDINGS, FindingCode};
use shared::clock::Millis;
use shared::epoch::{Epoch, StackVersion};
use shared::id::SiteName;
use shared::lsn::LagBytes;
use shared::wire::{DatabaseRole, DatabaseState, Unfit};

use crate::world::{World, site};

/// A code, what brings it about, and what almost does.
struct Case {
    code: FindingCode,
    golden: fn(&mut World),
    near: fn(&mut World),
}

const fn case(code: FindingCode, golden: fn(&mut World), near: fn(&mut World)) -> Case {
    Case { code, golden, near }
}

pub(crate) fn seconds(world: &mut World, count: u64) {
    world.pass(Millis::seconds(count));
}

pub(crate) fn lose(world: &mut World, name: &str) {
    world.gone.insert(site(name));
}

fn lost_for(world: &mut World, count: u64) {
    lose(world, "dc1");
    seconds(world, count);
}

fn broken_in(world: &mut World, epoch: u64) {
    world.break_glass("dc2-db", epoch);
    seconds(world, 2);
}

fn cut(world: &mut World, a: &str, b: &str) {
    let (a, b): (SiteName, SiteName) = (site(a), site(b));
    world.cuts.extend([(a.clone(), b.clone()), (b, a)]);
}

fn write_in(world: &mut World, name: &str) {
    let database = world.database(name);
    database.role = DatabaseRole::Primary;
    database.follows = None;
    seconds(world, 2);
}

fn replace_stack(world: &mut World, change: fn(&mut shared::stack::Stack)) {
    let (version, mut stack) = world.store.stack.clone().unwrap();
    change(&mut stack);
    world.ask(Ask::ApplyStack {
        stack: Box::new(stack),
        replaces: Some(version),
    });
}

use FindingCode as C;

const CASES: [Case; 29] = [
    case(
        C::TwoPrimaries,
        |w| write_in(w, "dc2-db"),
        |w| {
            w.database("dc1-db").state = DatabaseState::Down;
            write_in(w, "dc2-db");
            seconds(w, 2);
        },
    ),
    case(
        C::StoreRegressed,
        |w| {
            w.agent("dc3-db").epoch = Epoch(2);
            seconds(w, 2);
        },
        |w| {
            w.agent("dc3-db").epoch = Epoch(1);
            seconds(w, 2);
        },
    ),
    case(
        C::GlassBroken,
        |w| broken_in(w, 1_001),
        |w| {
            broken_in(w, 1_001);
            w.acknowledge_glass();
        },
    ),
    case(C::SiteLost, |w| lost_for(w, 23), |w| lost_for(w, 21)),
    case(C::SiteSilent, |w| lost_for(w, 8), |w| lost_for(w, 5)),
    case(
        C::LinkLost,
        |w| {
            cut(w, "dc1", "dc2");
            seconds(w, 10);
        },
        |w| {
            cut(w, "dc1", "dc2");
            seconds(w, 5);
        },
    ),
    case(
        C::BusFault,
        |w| {
            w.off_bus.insert(site("dc2"));
            seconds(w, 10);
        },
        |w| {
            w.off_bus.insert(site("dc1"));
            seconds(w, 10);
        },
    ),
    case(
        C::SiteBusLost,
        |w| {
            w.off_bus.insert(site("dc1"));
            seconds(w, 10);
        },
        |w| {
            cut(w, "dc1", "dc2");
            seconds(w, 10);
        },
    ),
    case(
        C::ObserverUnfit,
        |w| {
            w.agent("dc3-db").unfit = vec![Unfit::LoopLag];
            w.stopped.insert(site("dc3"));
            lose(w, "dc1");
            seconds(w, 10);
        },
        |w| {
            w.agent("dc3-db").unfit = vec![Unfit::LoopLag];
            lose(w, "dc1");
            seconds(w, 10);
        },
    ),
    case(
        C::ObserverMissing,
        |w| {
            lose(w, "dc3");
            seconds(w, 10);
        },
        |w| {
            w.stopped.insert(site("dc3"));
            seconds(w, 10);
        },
    ),
    case(
        C::CoordinatorSilent,
        |w| {
            w.stopped.insert(site("dc3"));
            seconds(w, 10);
        },
        |w| {
            w.stopped.insert(site("dc3"));
            seconds(w, 5);
        },
    ),
    case(
        C::AgentSilent,
        |w| {
            w.agent("dc1-k8s").alive = false;
            seconds(w, 8);
        },
        |w| {
            w.agent("dc1-k8s").alive = false;
            seconds(w, 5);
        },
    ),
    case(
        C::DatabaseDown,
        |w| {
            w.database("dc3-db").state = DatabaseState::NotServing;
            seconds(w, 2);
        },
        |w| {
            w.database("dc3-db").state = DatabaseState::Unknown;
            seconds(w, 2);
        },
    ),
    case(
        C::ServiceDown,
        |w| {
            w.database("dc1-db").state = DatabaseState::Hung;
            seconds(w, 2);
        },
        |w| {
            w.database("dc1-db").state = DatabaseState::NotServing;
            w.database("dc2-db").state = DatabaseState::Down;
            seconds(w, 2);
        },
    ),
    case(
        C::LocalFailover,
        |w| {
            w.database("dc1-db").role = DatabaseRole::Standby;
            seconds(w, 2);
        },
        |w| seconds(w, 2),
    ),
    case(
        C::AsymmetricReach,
        |w| {
            w.walls.insert((site("dc2"), site("dc1")));
            seconds(w, 10);
        },
        |w| {
            w.walls.insert((site("dc2"), site("dc1")));
            w.walls.insert((site("dc1"), site("dc2")));
            seconds(w, 10);
        },
    ),
    case(
        C::ReplicationBroken,
        |w| {
            w.database("dc3-db").receiving = false;
            seconds(w, 2);
        },
        |w| {
            w.database("dc3-db").receiving = false;
            w.database("dc1-db").state = DatabaseState::Down;
            seconds(w, 2);
        },
    ),
    case(
        C::NotSynchronous,
        |w| {
            *w = World::with(crate::world::synchronous());
            w.begin("dc2");
            w.wait_for("*", &["dc2", "dc3"]);
            seconds(w, 10);
        },
        |w| {
            *w = World::with(crate::world::synchronous());
            w.begin("dc2");
            w.wait_for("dc2", &["dc2"]);
            seconds(w, 10);
        },
    ),
    case(
        C::LagAboveRpo,
        |w| {
            w.database("dc2-db").receiving = false;
            w.database("dc1-db").lsn += 64 << 20;
            seconds(w, 2);
        },
        |w| {
            w.database("dc2-db").receiving = false;
            w.database("dc1-db").lsn += (64 << 20) - 16_384;
            seconds(w, 2);
        },
    ),
    case(
        C::SlowHost,
        |w| {
            w.agent("dc3-db").loop_lag = Millis(1_000);
            seconds(w, 2);
        },
        |w| {
            w.agent("dc3-db").loop_lag = Millis(999);
            seconds(w, 2);
        },
    ),
    case(
        C::ClockJump,
        |w| {
            w.agent("dc3-db").wall_jump = 3_600_000;
            seconds(w, 2);
        },
        |w| {
            w.agent("dc3-db").wall_jump = 1_500;
            seconds(w, 2);
        },
    ),
    case(C::Flapping, |w| flap(w, 3), |w| flap(w, 2)),
    case(
        C::PassiveSiteActive,
        |w| {
            w.agent("dc2-k8s")
                .cluster
                .as_mut()
                .unwrap()
                .insert("ess/ess-haproxy".to_owned(), 1);
            seconds(w, 2);
        },
        |w| {
            w.agent("dc2-k8s")
                .cluster
                .as_mut()
                .unwrap()
                .insert("other/haproxy".to_owned(), 1);
            seconds(w, 2);
        },
    ),
    case(
        C::OldPrimaryActive,
        |w| write_in(w, "dc3-db"),
        |w| {
            w.database("dc3-db").state = DatabaseState::Hung;
            write_in(w, "dc3-db");
        },
    ),
    case(
        C::NoCandidate,
        |w| {
            w.database("dc2-db").obstacles = vec![shared::wire::PromotionObstacle::ReplayPaused];
            seconds(w, 2);
        },
        |w| {
            w.database("dc3-db").obstacles = vec![shared::wire::PromotionObstacle::ReplayPaused];
            seconds(w, 2);
        },
    ),
    case(
        C::AgentUnknown,
        |w| {
            w.agent("dc3-db").alive = false;
            w.start(&site("dc2"));
            w.lead(&site("dc2"));
            seconds(w, 10);
        },
        |w| {
            w.agent("dc3-db").alive = false;
            seconds(w, 10);
        },
    ),
    case(
        C::StackDiffers,
        |w| {
            w.off_bus.insert(site("dc3"));
            seconds(w, 2);
            replace_stack(w, |stack| stack.policy.rpo_bytes = LagBytes(1));
            let (_, old) = w.store.stack.clone().unwrap();
            w.store.stack = Some((StackVersion(1), old));
            w.off_bus.clear();
            seconds(w, 2);
        },
        |w| {
            replace_stack(w, |stack| stack.policy.rpo_bytes = LagBytes(1));
            seconds(w, 3);
        },
    ),
    case(
        C::HoldActive,
        |w| {
            w.ask(Ask::Hold {
                reason: "work".to_owned(),
            });
        },
        |w| {
            w.ask(Ask::Hold {
                reason: "work".to_owned(),
            });
            w.ask(Ask::Release {
                reason: "done".to_owned(),
            });
        },
    ),
    case(
        C::JustStarted,
        |w| {
            w.start(&site("dc2"));
            w.lead(&site("dc2"));
            seconds(w, 5);
        },
        |w| {
            w.start(&site("dc2"));
            w.lead(&site("dc2"));
            seconds(w, 8);
        },
    ),
];

fn flap(world: &mut World, times: u32) {
    for _ in 0..times {
        lose(world, "dc1");
        seconds(world, 10);
        world.gone.clear();
        seconds(world, 3);
    }
}

pub(crate) fn found(act: fn(&mut World)) -> (Vec<FindingCode>, String) {
    let mut world = World::healthy("dc2");
    act(&mut world);
    let status = world.core().status(world.instant());
    let codes = status.findings.iter().map(|finding| finding.code).collect();
    (codes, crate::screen::status(&status))
}

#[test]
fn every_finding_is_found_and_its_near_miss_is_not() {
    for case in &CASES {
        let (codes, screen) = found(case.golden);
        assert!(
            codes.contains(&case.code),
            "{} is not found:\n{screen}",
            case.code
        );
        let (codes, screen) = found(case.near);
        assert!(
            !codes.contains(&case.code),
            "{} is found in its near miss:\n{screen}",
            case.code
        );
    }
}

#[test]
fn every_finding_has_a_row_and_a_case() {
    for row in &FINDINGS {
        assert_eq!(
            CASES.iter().filter(|case| case.code == row.code).count(),
            1,
            "{}",
            row.code
        );
        assert_eq!(
            FINDINGS
                .iter()
                .filter(|other| other.code == row.code)
                .count(),
            1,
            "{}",
            row.code
        );
        assert!(
            !row.meaning.is_empty() && !row.meaning.ends_with('.'),
            "{}",
            row.code
        );
    }
    assert!(FINDINGS.iter().all(|row| is_listed(row.code)));
}

/// A code that is added without a row and a case does not compile here, or fails the count above.
const fn is_listed(code: FindingCode) -> bool {
    match code {
        C::TwoPrimaries
        | C::StoreRegressed
        | C::GlassBroken
        | C::SiteLost
        | C::SiteSilent
        | C::LinkLost
        | C::BusFault => true,
        C::SiteBusLost
        | C::ObserverUnfit
        | C::ObserverMissing
        | C::CoordinatorSilent
        | C::AgentSilent
        | C::DatabaseDown => true,
        C::ServiceDown
        | C::LocalFailover
        | C::AsymmetricReach
        | C::ReplicationBroken
        | C::NotSynchronous
        | C::LagAboveRpo => true,
        C::SlowHost | C::ClockJump | C::Flapping | C::PassiveSiteActive | C::OldPrimaryActive => {
            true
        }
        C::NoCandidate | C::AgentUnknown | C::StackDiffers | C::HoldActive | C::JustStarted => true,
    }
}

#[test]
fn a_healthy_stack_has_no_finding() {
    let (codes, screen) = found(|world| seconds(world, 1));
    assert_eq!(codes, [], "{screen}");
    assert!(screen.contains("a failover would work now"), "{screen}");
}
