//! What an operator reads, as plain lines: the shells show the same values in tables.

use std::fmt::Write as _;

use decision::{AutomaticView, ExplainView, Proposal, ShadowAct, ShadowProposal, StatusView, Work};

/// The status, without what merely counts up.
pub(crate) fn status(view: &StatusView) -> String {
    let mut text = format!(
        "  {}\n  phase {}: {}\n",
        view.summary,
        view.phase.word(),
        view.phase_why
    );
    if let Some(store) = &view.store {
        let known = |seen: Option<decision::Seen>| {
            seen.map_or_else(|| "nothing".to_owned(), |s| s.to_string())
        };
        let (seen, shown) = (known(store.remembered), known(store.shown));
        let certain = store.since.map_or("not certain", |_| "certain");
        writeln!(
            text,
            "  STORE {certain}: {}; seen {seen}; shown {shown}",
            store.summary
        )
        .unwrap();
    }
    for finding in &view.findings {
        writeln!(
            text,
            "  {:?} {}: {}",
            finding.severity, finding.code, finding.sentence
        )
        .unwrap();
    }
    let ready = if view.readiness.protected {
        "protected"
    } else {
        "not protected"
    };
    writeln!(
        text,
        "  {ready}; loss: {}",
        view.readiness.loss.as_deref().unwrap_or("unknown")
    )
    .unwrap();
    for obstacle in &view.readiness.obstacles {
        writeln!(text, "  obstacle: {obstacle}").unwrap();
    }
    for lease in &view.leases {
        writeln!(text, "  lease {}", lease.sentence).unwrap();
    }
    text.push_str(&automatic(view.automatic.as_ref()));
    if let Some(next) = &view.next {
        writeln!(text, "  next: {next}").unwrap();
    }
    text
}

/// Why there is, or is not, a proposal.
pub(crate) fn explain(view: &ExplainView) -> String {
    let mut text = format!("  {}\n", view.summary);
    for wait in &view.waits_for {
        writeln!(text, "  waits for {wait}").unwrap();
    }
    for lease in &view.leases {
        writeln!(text, "  lease {}", lease.sentence).unwrap();
    }
    text.push_str(&automatic(view.automatic.as_ref()));
    for hypothesis in &view.hypotheses {
        let holds = if hypothesis.holds {
            "holds"
        } else {
            "ruled out"
        };
        writeln!(
            text,
            "  {} {holds}: {}",
            hypothesis.code, hypothesis.because
        )
        .unwrap();
    }
    text
}

/// A proposal whole.
pub(crate) fn proposal(proposal: &Proposal) -> String {
    let mut text = format!(
        "  {} proposal {}\n  {}\n",
        proposal.state.word(),
        proposal.id.short(),
        proposal.verdict
    );
    for line in &proposal.evidence {
        writeln!(text, "  observer {} {}", line.observer, line.saw).unwrap();
    }
    for ruled in &proposal.ruled_out {
        writeln!(text, "  not {}: {}", ruled.code, ruled.because).unwrap();
    }
    for choice in &proposal.candidates {
        if let Some(chosen) = &choice.chosen {
            writeln!(
                text,
                "  {} to {} at {}",
                choice.database, chosen.node, chosen.lsn
            )
            .unwrap();
        }
        for refused in &choice.refused {
            writeln!(
                text,
                "  {} not to {}: {}",
                choice.database, refused.node, refused.because
            )
            .unwrap();
        }
    }
    writeln!(text, "  loss: {}", proposal.loss.summary).unwrap();
    for proof in &proposal.needs.proofs {
        writeln!(text, "  proof: {proof}").unwrap();
    }
    if let Some(site) = &proposal.needs.attest_site_off {
        writeln!(text, "  needs: somebody who vouches that {site} is off").unwrap();
    }
    for rule in &proposal.needs.overrides {
        writeln!(
            text,
            "  needs: rule {} overridden: {}",
            rule.rule, rule.says
        )
        .unwrap();
    }
    for step in &proposal.plan.steps {
        let by = match &step.work {
            Work::Agent { node, .. } => node.as_str(),
            Work::Revoke | Work::Wait { .. } | Work::Grant => "leader",
        };
        let mark = if step.point_of_no_return {
            " (no way back)"
        } else {
            ""
        };
        writeln!(
            text,
            "  {:>2}.{} {by}: {}{mark}",
            step.number, step.group, step.title
        )
        .unwrap();
    }
    text
}

/// Whether automatic mode would act.
fn automatic(view: Option<&AutomaticView>) -> String {
    let mut text = String::new();
    if let Some(view) = view {
        writeln!(text, "  {}", view.summary).unwrap();
        for block in &view.blocked {
            writeln!(
                text,
                "  rule {} {}: {}",
                block.row, block.rule, block.sentence
            )
            .unwrap();
        }
    }
    text
}

/// What would have been proposed.
pub(crate) fn shadow(records: &[ShadowProposal]) -> String {
    let mut text = String::new();
    for one in records {
        writeln!(text, "  {} to {}: {}", one.from, one.to, one.verdict).unwrap();
        for line in &one.evidence {
            writeln!(text, "  observer {} {}", line.observer, line.saw).unwrap();
        }
        writeln!(text, "  loss: {}; {} steps", one.loss, one.steps).unwrap();
        let acted = match &one.automatic {
            ShadowAct::WindowNotOver => "the window was not over".to_owned(),
            ShadowAct::Acted { .. } => "would have acted".to_owned(),
            ShadowAct::Blocked { because, .. } => format!("blocked: {}", because.join("; ")),
        };
        writeln!(text, "  automatic: {acted}").unwrap();
        let ended = one
            .ended
            .as_ref()
            .map_or("the silence goes on", |end| &end.reason);
        writeln!(text, "  ended: {ended}").unwrap();
    }
    text
}
