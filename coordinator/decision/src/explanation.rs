//! Why there is, or is not, a proposal: every explanation of a silence, and whether it holds.

use crate::assessment::{Scene, assess};
use crate::core::Core;
use crate::detector::Tally;
use crate::finding::{Finding, FindingCode, row_of};
use crate::input::Now;
use crate::leasing;
use crate::phase::Phase;
use crate::proposal::RuledOut;
use crate::status::seen_by;
use crate::view::{ExplainView, HypothesisView};

/// The explanations that a silence of the live site may have, and what rules each out.
const HYPOTHESES: [(FindingCode, &str); 9] = [
    (
        FindingCode::LinkLost,
        "no observer sights the site, so it is not one link",
    ),
    (
        FindingCode::SiteBusLost,
        "direct looks at its database, ingress and agents are not answered either",
    ),
    (
        FindingCode::DatabaseDown,
        "not only its database: nothing of the site answers",
    ),
    (
        FindingCode::AgentSilent,
        "not only an agent: nothing of the site answers",
    ),
    (FindingCode::BusFault, "the observers hear each other"),
    (
        FindingCode::ObserverUnfit,
        "every observer judges itself fit",
    ),
    (
        FindingCode::AsymmetricReach,
        "no observer is reached from the site",
    ),
    (
        FindingCode::HoldActive,
        "no operator has suspended proposals",
    ),
    (
        FindingCode::StoreRegressed,
        "the store shows what was written",
    ),
];

/// The explanations that do not hold.
pub(crate) fn ruled_out(_scene: &Scene<'_>, findings: &[Finding]) -> Vec<RuledOut> {
    HYPOTHESES
        .iter()
        .filter(|(code, _)| !findings.iter().any(|finding| finding.code == *code))
        .map(|(code, because)| RuledOut {
            code: *code,
            because: (*because).to_owned(),
        })
        .collect()
}

impl Core {
    /// Why there is, or is not, a proposal.
    pub fn explain(&self, now: Now) -> ExplainView {
        let Some(view) = self.view(now.mono) else {
            return ExplainView {
                schema: 1,
                summary: "no stack is in force: `pointsman stack apply FILE`".to_owned(),
                as_of: now.wall,
                phase: self.phase,
                waits_for: vec!["a stack".to_owned()],
                observers: Vec::new(),
                leases: Vec::new(),
                automatic: None,
                hypotheses: Vec::new(),
            };
        };
        let findings = assess(&view);
        let waits_for = self.waits_for(now, &view);
        let summary = match waits_for.first() {
            Some(first) => format!("no proposal is open; it waits for this: {first}"),
            None if self.durable.open_proposal().is_some() => {
                "a proposal is open: `pointsman show latest`".to_owned()
            }
            None => "a run goes on: `pointsman show latest`".to_owned(),
        };
        let observers = view
            .votes(view.live())
            .iter()
            .map(|vote| seen_by(vote, now.mono))
            .collect();
        ExplainView {
            schema: 1,
            summary,
            as_of: now.wall,
            phase: self.shown_phase(),
            waits_for,
            observers,
            leases: leasing::views(&view),
            automatic: self.automatic_view(now.mono),
            hypotheses: hypotheses(&findings, view.detector.tally == Tally::AllSilent),
        }
    }

    fn waits_for(&self, now: Now, view: &Scene<'_>) -> Vec<String> {
        if self.durable.open_proposal().is_some() || self.durable.run.is_some() {
            return Vec::new();
        }
        let live = view.live();
        let policy = &view.stack.policy;
        match view.detector.tally {
            Tally::Unknown => vec!["a word from any observer".to_owned()],
            Tally::Sighted => vec![format!("a loss of {live}: it is sighted now")],
            Tally::SomeSilent if self.lives_here() => vec![format!(
                "a loss of {live}: the leading coordinator itself is there and lives"
            )],
            Tally::SomeSilent => view
                .votes(live)
                .iter()
                .filter(|vote| vote.vote != crate::sighting::Vote::Silent)
                .map(|vote| match &vote.vote {
                    crate::sighting::Vote::None(why) => {
                        format!("a vote of {}: {}", vote.observer, why.words())
                    }
                    crate::sighting::Vote::Sighted | crate::sighting::Vote::Silent => {
                        crate::proposing::sighted_words(vote, now.mono, Some(live))
                    }
                })
                .collect(),
            Tally::AllSilent if !view.detector.confirmed(now.mono, policy) => {
                let since = view.detector.quiet_since.unwrap_or(now.mono);
                let left = since.after(policy.confirm_ms).since(now.mono);
                vec![format!(
                    "{} more of uninterrupted silence of {live}",
                    left.human()
                )]
            }
            Tally::AllSilent if self.phase == Phase::Blocked => self.blocked.clone(),
            Tally::AllSilent => vec!["the leading coordinator".to_owned()],
        }
    }
}

/// The standing reasons speak of a silence; while there is none, they would say what is not so.
fn hypotheses(findings: &[Finding], silent: bool) -> Vec<HypothesisView> {
    let because = |code: FindingCode, standing: &str| {
        let found = findings.iter().find(|finding| finding.code == code);
        match found {
            Some(finding) => finding.sentence.clone(),
            None if silent => standing.to_owned(),
            None => "nothing of it is seen".to_owned(),
        }
    };
    HYPOTHESES
        .iter()
        .map(|(code, standing)| HypothesisView {
            code: *code,
            meaning: row_of(*code).meaning.to_owned(),
            holds: findings.iter().any(|finding| finding.code == *code),
            because: because(*code, standing),
        })
        .collect()
}
