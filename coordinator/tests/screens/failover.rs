//! Screens of a failover: the status before, the proposal, the run while it goes on and when it halted.

use std::collections::BTreeMap;

use coordinator::reply::ProposalsReply;
use coordinator::screen;
use decision::{
    AgentView, ApprovalNeeds, Attestation, CandidateChoice, ChosenCandidate, DatabaseView, EvidenceLine, FindingCode,
    FindingView, LossBound, OnFailure, Phase, Plan, Proposal, ProposalState, ReadinessView, RefusedCandidate,
    RuleToOverride, RuledOut, Run, RunState, SeenByView, SiteView, StatusView, Step, StepOutcome, StepRecord, Work,
    WorkloadsView,
};
use shared::clock::{Millis, UnixMillis};
use shared::epoch::{Epoch, StackVersion, Term};
use shared::grade::FenceGrade;
use shared::id::{Actor, CommandId, DatabaseName, NodeName, Nonce, ProposalId, RunId, StackName};
use shared::lsn::{LagBytes, Lsn, SystemIdentifier, Timeline};
use shared::stack::{SiteRole, WorkloadKind};
use shared::wire::{Action, ApprovalProof, PlanDigest, DatabaseRole, DatabaseState, ProofLine, ScaleTarget, Severity};
use uuid::Uuid;

use crate::golden;
use crate::plain::{NOON, answerer, site};

fn database(name: &str, state: DatabaseState, role: Option<DatabaseRole>, lag: Option<(u64, u64)>) -> DatabaseView {
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
    SeenByView { observer: site(observer), age_ms: age.map(Millis), silent, no_vote: None }
}

fn site_view(name: &str, role: SiteRole, seen_by: Vec<SeenByView>, database: DatabaseView) -> SiteView {
    let workloads = match name {
        "dc2" => Some(WorkloadsView { ready: 0, wanted: 0, declared: 3, age_ms: Millis(700) }),
        _ => None,
    };
    let agent = AgentView { node: database.node.clone(), heartbeat_age_ms: None, version: None, epoch: None };
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

fn status() -> StatusView {
    let lost = database("dc1-db", DatabaseState::Unknown, None, None);
    let standby = |node: &str| database(node, DatabaseState::Up, Some(DatabaseRole::Standby), Some((1_700_000, 41_300)));
    let mut witness = site_view("dc3", SiteRole::Witness, vec![seen("dc1", None, false), seen("dc2", Some(900), false)], standby("dc3-db"));
    witness.seen_by[0].no_vote = Some("its observation is 41 s old".to_owned());
    let finding = |code, severity, sentence: &str| FindingView { code, severity, sentence: sentence.to_owned() };
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
        sites: vec![
            site_view("dc1", SiteRole::Primary, vec![seen("dc2", Some(41_300), true), seen("dc3", Some(40_800), true)], lost),
            site_view("dc2", SiteRole::Standby, vec![seen("dc1", Some(41_900), false), seen("dc3", Some(400), false)], standby("dc2-db")),
            witness,
        ],
        findings: vec![
            finding(FindingCode::SiteLost, Severity::Critical, "dc1 is lost, or cut off from everybody: neither dc2 nor dc3 has sighted it for 41 s"),
            finding(FindingCode::AgentSilent, Severity::Warning, "agent dc1/dc1-db\u{1b}[2J is silent"),
            finding(FindingCode::ClockJump, Severity::Info, "the wall clock of dc3-db jumped by 2.0 s; no decision uses it"),
        ],
        readiness: ReadinessView {
            protected: true,
            target: Some(site("dc2")),
            loss: Some("at least 1.6 MiB, and whatever was written in the 41 s since".to_owned()),
            obstacles: vec!["nothing proves that dc1 is stopped: the operator must vouch".to_owned()],
        },
        open_proposal: Some(ProposalId::new(Uuid::from_u128(0x2a))),
        run: None,
        hold: Some("2026-02-03T04:00:00Z by bob: only for this picture".to_owned()),
        next: Some("pointsman show latest".to_owned()),
    }
}

fn step(number: u32, group: u32, title: &str, work: Work, deadline: u64) -> Step {
    Step {
        number,
        group,
        title: title.to_owned(),
        point_of_no_return: matches!(work, Work::Grant),
        work,
        deadline_ms: Millis(deadline),
        on_failure: OnFailure::Halt,
    }
}

fn plan() -> Plan {
    let at = |name: &str, node: &str, action| Work::Agent { site: site(name), node: NodeName::new(node).unwrap(), action };
    let database = DatabaseName::new("main").unwrap();
    let system_identifier = SystemIdentifier("7".to_owned());
    let fence = Action::Fence { database: database.clone(), system_identifier: system_identifier.clone() };
    let promote = Action::Promote {
        database,
        system_identifier,
        timeline: Timeline(7),
        min_lsn: Lsn(0x5a_001e_f9c8),
        slots: Vec::new(),
    };
    let scale = Action::Scale {
        targets: vec![ScaleTarget {
            kind: WorkloadKind::StatefulSet,
            namespace: "ess".to_owned(),
            object: "ess-synapse-main".to_owned(),
            replicas: 1,
        }],
    };
    let mut stop = step(2, 2, "stop database main in dc1", at("dc1", "dc1-db", fence), 5_000);
    stop.on_failure = OnFailure::Continue { because: "dc1 is expected to be silent; an operator vouches for it".to_owned() };
    Plan {
        stack: StackName::new("ess").unwrap(),
        stack_version: StackVersion(3),
        base_epoch: Epoch(6),
        from: site("dc1"),
        to: site("dc2"),
        steps: vec![
            step(1, 1, "revoke epoch 6 from dc1", Work::Revoke, 10_000),
            stop,
            step(3, 3, "wait until every grant of epoch 6 is over", Work::Wait { for_ms: Millis(3_000) }, 3_000),
            step(4, 4, "grant epoch 7 to dc2", Work::Grant, 10_000),
            step(5, 5, "promote dc2-db", at("dc2", "dc2-db", promote), 120_000),
            step(6, 6, "start wave 1: synapse-main", at("dc2", "dc2-k8s", scale), 600_000),
        ],
    }
}

fn proposal(state: ProposalState) -> Proposal {
    let plan = plan();
    let line = |observer: &str, saw: &str, silent: Option<u64>| EvidenceLine {
        observer: site(observer),
        saw: saw.to_owned(),
        silent_for_ms: silent.map(Millis),
        age_ms: Millis(400),
    };
    let refused = RefusedCandidate {
        site: site("dc3"),
        node: NodeName::new("dc3-db").unwrap(),
        because: "dc3 is a witness: it never becomes live".to_owned(),
    };
    Proposal {
        id: ProposalId::new(Uuid::from_u128(0x2a)),
        digest: PlanDigest::of(&"the plan"),
        state,
        raised_at: UnixMillis(NOON.0 - 31_000),
        expires_at: UnixMillis(NOON.0 + 1_769_000),
        verdict: "site-lost: dc1 is lost, or cut off from everybody; both other sites are without a sighting for 22 s".to_owned(),
        evidence: vec![
            line("dc2", "nothing of dc1: no heartbeat, no WAL, no answer of its database port or ingress", Some(22_400)),
            line("dc3", "nothing of dc1 since this coordinator started", None),
        ],
        ruled_out: vec![
            RuledOut { code: FindingCode::LinkLost, because: "no observer sights the site".to_owned() },
            RuledOut { code: FindingCode::BusFault, because: "the observers hear each other".to_owned() },
        ],
        candidates: vec![CandidateChoice {
            database: DatabaseName::new("main").unwrap(),
            chosen: Some(ChosenCandidate {
                site: site("dc2"),
                node: NodeName::new("dc2-db").unwrap(),
                lsn: Lsn(0x5a_001e_f9c8),
            }),
            refused: vec![refused],
        }],
        loss: LossBound {
            known_bytes: Some(LagBytes(1_700_000)),
            blind_ms: Some(Millis(22_000)),
            projected_bytes: Some(LagBytes(0)),
            summary: "at least 1.6 MiB that dc2-db never received; blind for 22 s; nothing projected".to_owned(),
        },
        needs: ApprovalNeeds {
            fence_grade: FenceGrade::Attested,
            attest_site_off: Some(site("dc1")),
            overrides: vec![RuleToOverride { rule: "rpo".to_owned(), says: "1.6 MiB are more than the 1.0 MiB allowed".to_owned() }],
        },
        plan,
    }
}

fn run(state: RunState, ended: bool) -> Run {
    let plan = plan();
    let record = |outcome| StepRecord { command: Some(CommandId::new(Uuid::from_u128(1))), started_at: NOON, outcome };
    let done = |ms, what: &str, found: &str| {
        let proof = if what.is_empty() { Vec::new() } else { vec![ProofLine::new(what, found)] };
        record(StepOutcome::Done { took_ms: Millis(ms), proof })
    };
    let mut steps = BTreeMap::from([
        (1, done(12, "", "")),
        (2, record(StepOutcome::Failed { took_ms: Millis(5_000), reason: "nobody listens at dc1/dc1-db".to_owned(), pending: true })),
        (3, done(3_001, "", "")),
        (4, done(9, "ticket", "epoch 7, grant 1b")),
    ]);
    let promote = match &state {
        RunState::Halted { reason, .. } => StepOutcome::Failed { took_ms: Millis(120_000), reason: reason.clone(), pending: false },
        RunState::Completed { .. } => StepOutcome::Waived { by: Actor::new("bob"), reason: "promoted by hand".to_owned() },
        RunState::Running | RunState::Abandoned { .. } => StepOutcome::Started,
    };
    steps.insert(5, record(promote));
    Run {
        id: RunId::new(Uuid::from_u128(0x51)),
        proposal: ProposalId::new(Uuid::from_u128(0x2a)),
        approval: ApprovalProof {
            proposal: ProposalId::new(Uuid::from_u128(0x2a)),
            plan: plan.digest(),
            operator: Actor::new("alice"),
            approved_at: NOON,
        },
        plan,
        attestation: Some(Attestation { site: site("dc1"), by: Actor::new("alice"), reason: "power cut\u{1b}[2J, seen on site".to_owned() }),
        overrides: BTreeMap::from([("rpo".to_owned(), "test data".to_owned())]),
        started_at: NOON,
        ended_at: ended.then_some(UnixMillis(NOON.0 + 14_200)),
        state,
        epoch: Some(Epoch(7)),
        grant: Some(Nonce::new(Uuid::from_u128(0x1b))),
        resumed: false,
        steps,
    }
}

#[test]
fn status_of_a_lost_site() {
    golden("status-lost", &screen::status::render(&status()));
}

#[test]
fn status_of_a_follower_without_a_stack() {
    let readiness = ReadinessView { protected: false, target: None, loss: None, obstacles: vec!["no stack is in force".to_owned()] };
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
        open_proposal: None,
        hold: None,
        next: Some("pointsman stack apply FILE".to_owned()),
        ..status()
    };
    golden("status-none", &screen::status::render(&view));
}

#[test]
fn proposal_that_waits() {
    golden("proposal", &screen::proposal::render(&proposal(ProposalState::Raised), None, NOON));
}

#[test]
fn proposal_that_was_approved_with_its_run() {
    let state = ProposalState::Approved { by: Actor::new("alice"), at: UnixMillis(NOON.0 - 5_000) };
    let run = run(RunState::Running, false);
    golden("proposal-approved", &screen::proposal::render(&proposal(state), Some(&run), NOON));
}

#[test]
fn proposals_in_every_state() {
    let at = UnixMillis(NOON.0 - 60_000);
    let (by, reason) = (Actor::new("bob"), "dc1 was sighted again by dc3".to_owned());
    let other = ProposalId::new(Uuid::from_u128(0x2b));
    let states = [
        ProposalState::Raised,
        ProposalState::Approved { by: by.clone(), at },
        ProposalState::Rejected { by, at, reason: "maintenance".to_owned() },
        ProposalState::Expired { at },
        ProposalState::Withdrawn { at, reason: reason.clone() },
        ProposalState::Superseded { at, by: other, reason },
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
    golden("run-running", &screen::run::render(&run(RunState::Running, false)));
    let halted = RunState::Halted { step: 5, reason: "recovery did not end in 120 s".to_owned() };
    golden("run-halted", &screen::run::render(&run(halted, false)));
    golden("run-completed", &screen::run::render(&run(RunState::Completed { with_exceptions: vec![2, 5] }, true)));
    let abandoned = RunState::Abandoned { by: Actor::new("bob"), reason: "dc1 is back".to_owned() };
    golden("run-abandoned", &screen::run::render(&run(abandoned, true)));
}
