//! The judgement of an approval: every condition by its name, each refusal a sentence with what is needed.

use shared::clock::Millis;
use shared::grade::FenceGrade;
use shared::id::SiteName;

use crate::execution::FENCE_GRADE;
use crate::input::ApprovalRequest;
use crate::output::Answer;
use crate::proposal::{Proposal, ProposalState};

/// What an approval is judged by besides the proposal.
pub(crate) struct Ground<'a> {
    /// True while the loss of the site is confirmed.
    pub(crate) confirmed: bool,
    /// Age of the oldest vote behind that.
    pub(crate) evidence_age: Millis,
    /// How old it may be.
    pub(crate) evidence_age_max: Millis,
    /// The reason of a hold, if there is one.
    pub(crate) hold: Option<&'a str>,
    /// What else blocks, as a sentence.
    pub(crate) blocked: Option<String>,
}

/// What an accepted approval brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// The site that the operator vouches to be off, if they do.
    pub(crate) attested: Option<SiteName>,
    /// True when nobody approved but automatic mode.
    pub(crate) automatic: bool,
}

/// Judges an approval. Any condition that does not hold refuses it.
pub(crate) fn judge(
    proposal: Option<&Proposal>,
    request: &ApprovalRequest,
    ground: &Ground<'_>,
) -> Result<Accepted, Answer> {
    let proposal = judge_facts(proposal, request, ground)?;
    overrides(proposal, request)?;
    attestation(proposal, request)
}

/// Judges what holds for any approval, whoever gives it: the state, the digest, and the facts.
pub(crate) fn judge_facts<'a>(
    proposal: Option<&'a Proposal>,
    request: &ApprovalRequest,
    ground: &Ground<'_>,
) -> Result<&'a Proposal, Answer> {
    let Some(proposal) = proposal else {
        let reason = format!(
            "proposal {} is not known here; `pointsman proposals` lists those that are",
            request.proposal
        );
        return Err(refused("unknown-proposal", reason, false));
    };
    state(proposal)?;
    digest(proposal, request)?;
    facts(proposal, ground)?;
    Ok(proposal)
}

/// A refusal.
pub(crate) fn refused(rule: &str, reason: impl Into<String>, safety: bool) -> Answer {
    Answer::Refused {
        rule: rule.to_owned(),
        reason: reason.into(),
        safety,
    }
}

fn state(proposal: &Proposal) -> Result<(), Answer> {
    let reason = match &proposal.state {
        ProposalState::Raised => return Ok(()),
        ProposalState::Approved { by, at } => {
            format!("it was approved already, by {by} at {}", at.rfc3339())
        }
        ProposalState::Rejected { by, at, reason } => {
            format!("it was rejected by {by} at {}: {reason}", at.rfc3339())
        }
        ProposalState::Expired { at } => format!("it expired at {}", at.rfc3339()),
        ProposalState::Withdrawn { at, reason } => {
            format!("it was withdrawn at {}: {reason}", at.rfc3339())
        }
        ProposalState::Superseded { at, by, reason } => {
            format!(
                "it was superseded at {} by proposal {by}: {reason}",
                at.rfc3339()
            )
        }
    };
    Err(refused(
        &format!("proposal-{}", proposal.state.word()),
        reason,
        true,
    ))
}

fn digest(proposal: &Proposal, request: &ApprovalRequest) -> Result<(), Answer> {
    if proposal.digest.matches(&request.digest) {
        return Ok(());
    }
    let reason = format!(
        "the approval is for digest {:?}, the proposal's is {}; read the proposal again with `pointsman show {}`",
        request.digest,
        proposal.digest.short(),
        proposal.id.short()
    );
    Err(refused("digest", reason, true))
}

fn facts(proposal: &Proposal, ground: &Ground<'_>) -> Result<(), Answer> {
    if let Some(reason) = ground.hold {
        return Err(refused(
            "hold",
            format!("proposals are suspended: {reason}"),
            true,
        ));
    }
    if let Some(reason) = &ground.blocked {
        return Err(refused("blocked", reason.clone(), true));
    }
    if !ground.confirmed {
        let reason = format!(
            "the loss of {} is not confirmed any more",
            proposal.plan.from
        );
        return Err(refused("evidence", reason, true));
    }
    if ground.evidence_age > ground.evidence_age_max {
        let reason = format!(
            "the evidence is {} old, allowed are {}",
            ground.evidence_age.human(),
            ground.evidence_age_max.human()
        );
        return Err(refused("evidence-age", reason, true));
    }
    Ok(())
}

fn overrides(proposal: &Proposal, request: &ApprovalRequest) -> Result<(), Answer> {
    for needed in &proposal.needs.overrides {
        let given = request.overrides.get(&needed.rule);
        if given.is_none_or(|reason| reason.trim().is_empty()) {
            let reason = format!(
                "{}; to go on all the same, override it by its name with a reason: --override {}=REASON",
                needed.says, needed.rule
            );
            return Err(refused(&needed.rule, reason, true));
        }
    }
    let known = |rule: &String| {
        (rule == FENCE_GRADE && proposal.needs.fence_grade > FenceGrade::Attested)
            || proposal
                .needs
                .overrides
                .iter()
                .any(|needed| needed.rule == *rule)
    };
    match request.overrides.keys().find(|rule| !known(rule)) {
        Some(rule) => {
            let names: Vec<&str> = proposal
                .needs
                .overrides
                .iter()
                .map(|needed| needed.rule.as_str())
                .collect();
            let names = if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            };
            Err(refused(
                "unknown-rule",
                format!("no rule {rule:?} stands in the way; those that do: {names}"),
                false,
            ))
        }
        None => Ok(()),
    }
}

fn attestation(proposal: &Proposal, request: &ApprovalRequest) -> Result<Accepted, Answer> {
    let typed = request.attest_site_off.as_deref();
    let needed = match (&proposal.needs.attest_site_off, typed) {
        (Some(needed), _) => needed,
        // Whoever vouches without being asked is heard too, and their word is recorded.
        (None, Some(_)) => &proposal.plan.from,
        (None, None) => {
            return Ok(Accepted {
                attested: None,
                automatic: false,
            });
        }
    };
    match typed {
        Some(typed) if typed == needed.as_str() && !request.reason.trim().is_empty() => {
            Ok(Accepted {
                attested: Some(needed.clone()),
                automatic: false,
            })
        }
        Some(typed) if typed == needed.as_str() => {
            let reason = format!("vouching that {needed} is off needs a reason: how do you know?");
            Err(refused("fence-grade", reason, true))
        }
        Some(typed) => {
            let reason =
                format!("the site typed is {typed:?}, the site that must be off is {needed}");
            Err(refused("fence-grade", reason, true))
        }
        None => {
            let reason = format!(
                "nothing proves that {needed} is stopped: you must vouch that it is off, by its typed name and a reason \
                 (--attest-site-off {needed} --reason TEXT)"
            );
            Err(refused("fence-grade", reason, true))
        }
    }
}
