//! Screens of a quiet stack, of stacks and their changes, and of refusals.

use coordinator::reply::{
    Answerer, Change, CheckReply, DoneReply, ExplainReply, HistoryEntry, HistoryReply,
    ProposalsReply, REPLY_SCHEMA, Refused, RefusedReply, ShadowReply, StackReply, WrongField,
};
use coordinator::screen;
use decision::{
    AutomaticView, BlockView, EvidenceLine, ExplainView, FindingCode, HypothesisView, LeaseView,
    Phase, RuleToOverride, SeenByView, ShadowAct, ShadowEnd, ShadowProposal,
};
use shared::clock::{Millis, UnixMillis};
use shared::digest::ContentDigest;
use shared::epoch::{Epoch, StackVersion, Term};
use shared::grade::FenceGrade;
use shared::id::{Actor, NodeName, SiteName, StackName};
use shared::stack::Stack;
use shared::wire::{AuditEvent, EVENT_SCHEMA, Severity};

use crate::golden;

const STACK: &str = include_str!("../../../deploy/config/stack.toml");

/// 2026-02-03T04:05:06Z.
pub(crate) const NOON: UnixMillis = UnixMillis(1_770_091_506_000);

pub(crate) fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

pub(crate) fn automatic() -> AutomaticView {
    let block = |row, rule: &str, sentence: &str| BlockView {
        rule: rule.to_owned(),
        row,
        sentence: sentence.to_owned(),
    };
    AutomaticView {
        armed: false,
        blocked: vec![
            block(2, "switch", "bob switched it off at 2026-02-03T04:00:00.000Z: work on the uplinks"),
            block(13, "fence-grade", "fence grade lease_expired is asked by policy.automatic, and none can be reached: dc1-db promised nothing"),
        ],
        acts_in_ms: None,
        summary: "automatic: blocked: bob switched it off at 2026-02-03T04:00:00.000Z: work on the uplinks (and 1 more)".to_owned(),
    }
}

pub(crate) fn leases() -> Vec<LeaseView> {
    vec![LeaseView {
        site: site("dc1"),
        node: NodeName::new("dc1-db").unwrap(),
        renewals: Some(812),
        renewed_ms: Some(Millis(41_000)),
        promise: None,
        standing: None,
        worst_gap_ms: Some(Millis(3_400)),
        sentence: "dc1-db: renewed 41 s ago; it promises to stop within 39 s without a renewal, and the kernel \
                   keeps that too; longest gap 3.4 s"
            .to_owned(),
    }]
}

pub(crate) fn answerer() -> Answerer {
    Answerer {
        schema: REPLY_SCHEMA,
        answered_by: site("dc2"),
        leads: true,
        leader: Some(site("dc2")),
        as_of: NOON,
    }
}

#[test]
fn stack_in_force() {
    let stack = Stack::parse("stack.toml", STACK).unwrap();
    let reply = StackReply {
        from: answerer(),
        version: StackVersion(3),
        digest: stack.digest(),
        stack,
    };
    golden("stack", &screen::stack::render(&reply));
}

#[test]
fn stack_changes() {
    let change = |key: &str, before: Option<&str>, after: Option<&str>| Change {
        key: key.to_owned(),
        before: before.map(ToOwned::to_owned),
        after: after.map(ToOwned::to_owned),
    };
    let reply = CheckReply {
        from: answerer(),
        summary: "the file is good; against version 3 in force 3 values differ".to_owned(),
        in_force: Some(StackVersion(3)),
        differences: vec![
            change("policy.confirm_ms", Some("15000"), Some("30000")),
            change("routes.public.nodes.dc3", None, Some("\"dc3-db\"")),
            change("workloads.haproxy.wave", Some("2"), None),
        ],
        timing: Stack::parse("stack.toml", STACK).unwrap().forecast(),
    };
    golden("stack-check", &screen::stack::check(&reply));
    let done = DoneReply {
        from: answerer(),
        summary: "alice put stack version 4 in force, 3 changes".to_owned(),
        differences: reply.differences,
        proposal: None,
        run: None,
    };
    golden("stack-apply", &screen::refusal::done(&done));
}

#[test]
fn refusals() {
    let mut refused = Refused::new("bad-request", "2 problems in the request");
    let wrong = |key: &str, found: &str, allowed: &str| WrongField {
        key: key.to_owned(),
        found: found.to_owned(),
        allowed: allowed.to_owned(),
    };
    refused.problems = vec![
        wrong(
            "sites.dc3.role",
            "\"judge\u{1b}[2J\"",
            "primary | standby | witness",
        ),
        wrong("", "300000 bytes", "at most 262144 bytes"),
    ];
    golden(
        "refused-request",
        &screen::refusal::render(&RefusedReply {
            from: answerer(),
            refused,
        }),
    );
    let safety = Refused {
        rule: "digest".to_owned(),
        reason: "the approval is for digest \"0123456789ab\", the proposal's is ba7816bf8f01; read the proposal again \
                 with `pointsman show 0000002a`"
            .to_owned(),
        safety: true,
        problems: Vec::new(),
    };
    golden(
        "refused-safety",
        &screen::refusal::render(&RefusedReply {
            from: answerer(),
            refused: safety,
        }),
    );
}

#[test]
fn no_proposals() {
    let reply = ProposalsReply {
        from: answerer(),
        summary: "there is no proposal".to_owned(),
        proposals: Vec::new(),
    };
    golden("proposals-none", &screen::proposals::render(&reply));
}

#[test]
fn explanation() {
    let hypothesis = |code, holds, because: &str| HypothesisView {
        code,
        meaning: "unused on the screen".to_owned(),
        holds,
        because: because.to_owned(),
    };
    let explain = ExplainView {
        schema: 1,
        summary:
            "no proposal is open; it waits for this: the silence of dc1 to be confirmed, in 9.0 s"
                .to_owned(),
        as_of: NOON,
        phase: Phase::Confirming,
        waits_for: vec!["the silence of dc1 to be confirmed, in 9.0 s".to_owned()],
        observers: vec![
            SeenByView {
                observer: site("dc2"),
                age_ms: Some(Millis(13_200)),
                silent: true,
                no_vote: None,
            },
            SeenByView {
                observer: site("dc3"),
                age_ms: None,
                silent: false,
                no_vote: Some("it does not hear its own canary".to_owned()),
            },
        ],
        leases: leases(),
        automatic: Some(automatic()),
        hypotheses: vec![
            hypothesis(
                FindingCode::SiteSilent,
                true,
                "neither dc2 nor dc3 has sighted it for 13.2 s",
            ),
            hypothesis(
                FindingCode::LinkLost,
                false,
                "no observer sights the site, so it is not one link",
            ),
        ],
    };
    golden(
        "explain",
        &screen::explain::render(&ExplainReply {
            from: answerer(),
            explain,
        }),
    );
}

#[test]
fn history() {
    let event =
        |kind: &str, severity, actor: &str, summary: &str, reason: Option<&str>| AuditEvent {
            schema: EVENT_SCHEMA,
            kind: kind.to_owned(),
            summary: summary.to_owned(),
            severity,
            stack: StackName::new("ess").unwrap(),
            at: NOON,
            time: NOON.rfc3339(),
            actor: Actor::new(actor),
            recorded_by: site("dc2"),
            term: Term(4),
            epoch: Epoch(7),
            row: (kind == "phase").then_some(16),
            proposal: None,
            run: None,
            step: None,
            reason: reason.map(ToOwned::to_owned),
            evidence: std::collections::BTreeMap::new(),
        };
    let events = [
        event(
            "phase",
            Severity::Info,
            "coordinator@dc2",
            "confirming -> proposed: the silence was confirmed",
            None,
        ),
        event(
            "proposal-approved",
            Severity::Warning,
            "alice",
            "alice approved proposal 0000002a: move from dc1 to dc2",
            Some(
                "power cut at dc1, confirmed by its staff on the phone; \u{1b}[31m the generator did not start either",
            ),
        ),
        event(
            "step-failed",
            Severity::Critical,
            "coordinator@dc2",
            "step 6 failed: recovery did not end in 120 s",
            None,
        ),
    ];
    let entries = events
        .into_iter()
        .zip(41..)
        .map(|(event, sequence)| HistoryEntry { sequence, event })
        .collect();
    golden(
        "history",
        &screen::history::render(&HistoryReply {
            from: answerer(),
            events: entries,
            unreadable: 1,
        }),
    );
}

#[test]
fn shadow() {
    let none = ShadowReply {
        from: answerer(),
        summary: "nothing would have been proposed so far".to_owned(),
        proposals: Vec::new(),
    };
    golden("shadow-none", &screen::shadow::render(&none));
    let line = |observer: &str| EvidenceLine {
        observer: site(observer),
        saw: "last sighted dc1 22 s ago by heartbeat".to_owned(),
        silent_for_ms: Some(Millis(22_000)),
        age_ms: Millis(200),
    };
    let record = |before: u64, automatic, ended: Option<ShadowEnd>| ShadowProposal {
        at: UnixMillis(NOON.0 - before),
        from: site("dc1"),
        to: site("dc2"),
        verdict:
            "dc1 is lost or cut off from everybody: none of 2 observers has sighted it for 22 s"
                .to_owned(),
        evidence: vec![line("dc2"), line("dc3")],
        loss: "1.2 MiB of WAL are known to be missing".to_owned(),
        digest: ContentDigest::of_bytes(b"plan"),
        steps: 13,
        fence_grade: FenceGrade::LeaseExpired,
        overrides: vec![RuleToOverride {
            rule: "rpo".to_owned(),
            says: "up to 1.2 MiB may be lost, allowed are 1.0 MiB".to_owned(),
        }],
        automatic,
        ended,
    };
    let end = |before: u64| ShadowEnd {
        at: UnixMillis(NOON.0 - before),
        reason: "dc1 was sighted by dc3 0.3 s ago (WAL stream)".to_owned(),
    };
    let blocked = ShadowAct::Blocked {
        at: UnixMillis(NOON.0 - 3_900_000),
        because: vec![
            "dc1 comes and goes: three silences or more in ten minutes".to_owned(),
            "rule rpo: up to 1.2 MiB may be lost, allowed are 1.0 MiB".to_owned(),
        ],
    };
    let acted = ShadowAct::Acted {
        at: UnixMillis(NOON.0 - 20_000),
    };
    let reply = ShadowReply {
        from: answerer(),
        summary: "3 proposals would have been raised; automatic mode would have acted on 1"
            .to_owned(),
        proposals: vec![
            record(125_000, acted, None),
            record(4_000_000, blocked, Some(end(3_800_000))),
            record(9_000_000, ShadowAct::WindowNotOver, Some(end(8_979_000))),
        ],
    };
    golden("shadow", &screen::shadow::render(&reply));
}
