//! Screens of a failover: the status before, the proposal, the run while it goes on and when it halted.

use coordinator::reply::ProposalsReply;
use coordinator::screen;
use decision::{
    AgentView, DatabaseView, FindingCode, FindingView, Phase, ProposalState, ReadinessView,
    RunState, Seen, SeenByView, SiteView, StatusView, StoreView, WorkloadsView,
};
use shared::clock::{Millis, UnixMillis};
use shared::epoch::{Epoch, StackVersion, Term};
use shared::id::{Actor, DatabaseName, NodeName, Nonce, ProposalId, StackName};
use shared::lsn::{LagBytes, Lsn, Timeline};
use shared::stack::SiteRole;
use shared::wire::{DatabaseRole, DatabaseState, Severity};
use uuid::Uuid;

use crate::golden;
use crate::picture::{proposal, run};
use crate::plain::{NOON, answerer, automatic, leases, site};

fn database(
    name: &str,
    state: DatabaseState,
    role: Option<DatabaseRole>,
    lag: Option<(u64, u64)>,
) -> DatabaseView {
    DatabaseView {
        database: DatabaseName::new("main").unwrap(),
        node: NodeName::new(name).unwrap(),
        state,
        role,
        timeline: role.map(|_| Timeline(7)),
        lsn: role.map(|_| Lsn(0x5a_001f_003a)),
        lag_bytes: lag.map(|(bytes, _)| LagBytes(bytes)),
        lag_ms: lag.map(|(_, ms)| Millis(ms)),
        streaming: (role == Some(DatabaseRole::Standby)).then_some(false),
        age_ms: role.map(|_| Millis(900)),
    }
}

fn seen(observer: &str, age: Option<u64>, silent: bool) -> SeenByView {
    SeenByView {
        observer: site(observer),
        age_ms: age.map(Millis),
        silent,
        no_vote: None,
    }
}

fn site_view(
    name: &str,
    role: SiteRole,
    seen_by: Vec<SeenByView>,
    database: DatabaseView,
) -> SiteView {
    let workloads = match name {
        "dc2" => Some(WorkloadsView {
            ready: 0,
            wanted: 0,
            declared: 3,
            age_ms: Millis(700),
        }),
        _ => None,
    };
    let agent = AgentView {
        node: database.node.clone(),
        heartbeat_age_ms: None,
        version: None,
        epoch: None,
    };
    SiteView {
        site: site(name),
        role,
        live: name == "dc1",
        seen_by,
        databases: vec![database],
        workloads,
        agents: vec![agent],
    }
}

fn sites() -> Vec<SiteView> {
    let lost = database("dc1-db", DatabaseState::Unknown, None, None);
    let standby = |node: &str| {
        database(
            node,
            DatabaseState::Up,
            Some(DatabaseRole::Standby),
            Some((1_700_000, 41_300)),
        )
    };
    let mut witness = site_view(
        "dc3",
        SiteRole::Witness,
        vec![seen("dc1", None, false), seen("dc2", Some(900), false)],
        standby("dc3-db"),
    );
    witness.seen_by[0].no_vote = Some("its observation is 41 s old".to_owned());
    vec![
        site_view(
            "dc1",
            SiteRole::Primary,
            vec![
                seen("dc2", Some(41_300), true),
                seen("dc3", Some(40_800), true),
            ],
            lost,
        ),
        site_view(
            "dc2",
            SiteRole::Standby,
            vec![
                seen("dc1", Some(41_900), false),
                seen("dc3", Some(400), false),
            ],
            standby("dc2-db"),
        ),
        witness,
    ]
}

fn status() -> StatusView {
    let finding = |code, severity, sentence: &str| FindingView {
        code,
        severity,
        sentence: sentence.to_owned(),
    };
    StatusView {
        schema: 1,
        summary: "dc1 is lost: a proposal waits for an operator".to_owned(),
        stack: Some(StackName::new("ess").unwrap()),
        stack_version: Some(StackVersion(3)),
        as_of: NOON,
        answered_by: site("dc2"),
        leads: true,
        leader: Some(site("dc2")),
        term: Term(4),
        epoch: Some(Epoch(6)),
        live_site: Some(site("dc1")),
        phase: Phase::Proposed,
        phase_why: "a proposal waits for an operator".to_owned(),
        sites: sites(),
        findings: vec![
            finding(
                FindingCode::SiteLost,
                Severity::Critical,
                "dc1 is lost, or cut off from everybody: neither dc2 nor dc3 has sighted it for 41 s",
            ),
            finding(
                FindingCode::AgentSilent,
                Severity::Warning,
                "agent dc1/dc1-db\u{1b}[2J is silent",
            ),
            finding(
                FindingCode::ClockJump,
                Severity::Info,
                "the wall clock of dc3-db jumped by 2.0 s; no decision uses it",
            ),
        ],
        readiness: ReadinessView {
            protected: true,
            target: Some(site("dc2")),
            loss: Some("at least 1.6 MiB, and whatever was written in the 41 s since".to_owned()),
            obstacles: vec![
                "nothing proves that dc1 is stopped: the operator must vouch".to_owned(),
            ],
            break_glass: vec!["available in dc2, by a plan of 42 s ago".to_owned()],
        },
        store: None,
        leases: leases(),
        automatic: Some(automatic()),
        open_proposal: Some(ProposalId::new(Uuid::from_u128(0x2a))),
        run: None,
        hold: Some("2026-02-03T04:00:00Z by bob: only for this picture".to_owned()),
        next: Some("pointsman show latest".to_owned()),
    }
}

#[test]
fn status_of_a_lost_site() {
    golden("status-lost", &screen::status::render(&status()));
}

#[test]
fn status_of_a_store_that_shows_less() {
    let seen = |epoch, revision| Seen {
        incarnation: Nonce::new(Uuid::from_u128(0x5eed << 100)),
        epoch: Epoch(epoch),
        revision,
    };
    let why =
        "the store shows epoch 1, this coordinator has seen epoch 3: the store has lost writes";
    let mut view = StatusView {
        summary: format!("ess: dc1 is live, UNPROTECTED; {why}"),
        store: Some(StoreView {
            summary: why.to_owned(),
            since: Some(NOON),
            remembered: Some(seen(3, 48_113)),
            shown: Some(seen(1, 40_007)),
        }),
        next: Some("pointsman store accept --live SITE --confirm STACK --reason TEXT".to_owned()),
        ..status()
    };
    golden("status-store", &screen::status::render(&view));
    view.store = Some(StoreView {
        summary: "agent dc2/dc2-db has obeyed epoch 3 and the store shows epoch 1: the store has lost writes"
            .to_owned(),
        since: None,
        remembered: Some(seen(1, 12)),
        shown: None,
    });
    golden("status-store-doubt", &screen::status::render(&view));
}

#[test]
fn status_of_a_follower_without_a_stack() {
    let readiness = ReadinessView {
        protected: false,
        target: None,
        loss: None,
        obstacles: vec!["no stack is in force".to_owned()],
        break_glass: Vec::new(),
    };
    let view = StatusView {
        summary: "no stack is in force; apply one with `pointsman stack apply FILE`".to_owned(),
        stack: None,
        stack_version: None,
        leads: false,
        leader: None,
        epoch: None,
        live_site: None,
        phase: Phase::Unknown,
        phase_why: "no stack is in force".to_owned(),
        sites: Vec::new(),
        findings: Vec::new(),
        readiness,
        store: None,
        leases: Vec::new(),
        automatic: None,
        open_proposal: None,
        hold: None,
        next: Some("pointsman stack apply FILE".to_owned()),
        ..status()
    };
    golden("status-none", &screen::status::render(&view));
}

#[test]
fn proposal_that_waits() {
    golden(
        "proposal",
        &screen::proposal::render(&proposal(ProposalState::Raised), None, NOON),
    );
}

#[test]
fn proposal_that_was_approved_with_its_run() {
    let state = ProposalState::Approved {
        by: Actor::new("alice"),
        at: UnixMillis(NOON.0 - 5_000),
    };
    let run = run(RunState::Running, false);
    golden(
        "proposal-approved",
        &screen::proposal::render(&proposal(state), Some(&run), NOON),
    );
}

#[test]
fn proposals_in_every_state() {
    let at = UnixMillis(NOON.0 - 60_000);
    let (by, reason) = (Actor::new("bob"), "dc1 was sighted again by dc3".to_owned());
    let other = ProposalId::new(Uuid::from_u128(0x2b));
    let states = [
        ProposalState::Raised,
        ProposalState::Approved { by: by.clone(), at },
        ProposalState::Rejected {
            by,
            at,
            reason: "maintenance".to_owned(),
        },
        ProposalState::Expired { at },
        ProposalState::Withdrawn {
            at,
            reason: reason.clone(),
        },
        ProposalState::Superseded {
            at,
            by: other,
            reason,
        },
    ];
    let reply = ProposalsReply {
        from: answerer(),
        summary: "proposal 0000002a waits for an operator".to_owned(),
        proposals: states.into_iter().map(proposal).collect(),
    };
    golden("proposals", &screen::proposals::render(&reply));
}

#[test]
fn runs() {
    golden(
        "run-running",
        &screen::run::render(&run(RunState::Running, false)),
    );
    let halted = RunState::Halted {
        step: 5,
        reason: "recovery did not end in 120 s".to_owned(),
    };
    golden("run-halted", &screen::run::render(&run(halted, false)));
    golden(
        "run-completed",
        &screen::run::render(&run(
            RunState::Completed {
                with_exceptions: vec![2, 5],
            },
            true,
        )),
    );
    let abandoned = RunState::Abandoned {
        by: Actor::new("bob"),
        reason: "dc1 is back".to_owned(),
    };
    golden("run-abandoned", &screen::run::render(&run(abandoned, true)));
}
