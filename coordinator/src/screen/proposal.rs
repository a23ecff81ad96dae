//! One proposal whole: verdict, evidence, what was ruled out, candidates, loss, plan, and how to approve it.

use decision::{CandidateChoice, OnFailure, Plan, Proposal, ProposalState, Run, Step, Work};
use shared::clock::{Millis, UnixMillis};
use shared::grade::FenceGrade;

use super::table::Table;
use super::text::{clean, paragraph, put, wrap};
use super::{WIDTH, age, run};

/// The screen; with its run, when it was approved.
pub fn render(proposal: &Proposal, of_run: Option<&Run>, as_of: UnixMillis) -> String {
    let plan = &proposal.plan;
    let mut text = format!("PROPOSAL {}\n", proposal.id);
    let what = format!(
        "failover {} -> {} of stack {} version {}, away from epoch {}",
        plan.from, plan.to, plan.stack, plan.stack_version, plan.base_epoch
    );
    text.push_str(&paragraph("  move      ", "            ", &what));
    put(
        &mut text,
        format_args!("  digest    {}\n", proposal.digest.short()),
    );
    text.push_str(&paragraph(
        "  state     ",
        "            ",
        &state(proposal, as_of),
    ));
    text.push_str(&paragraph(
        "  verdict   ",
        "            ",
        &proposal.verdict,
    ));
    text.push_str(&paragraph(
        "  loss      ",
        "            ",
        &proposal.loss.summary,
    ));
    text.push_str(&evidence(proposal));
    text.push_str(&ruled_out(proposal));
    text.push_str(&candidates(&proposal.candidates));
    text.push_str(&steps(plan));
    text.push_str(&needs(proposal));
    if let Some(of_run) = of_run {
        text.push('\n');
        text.push_str(&run::render(of_run));
    }
    if proposal.state == ProposalState::Raised {
        put(
            &mut text,
            format_args!("\nnext: {}\n", broken(&approve_command(proposal))),
        );
        put(
            &mut text,
            format_args!(
                "      pointsman reject {} --reason TEXT\n",
                proposal.id.short()
            ),
        );
    }
    text
}

/// A command that a shell still understands when it takes several lines.
fn broken(command: &str) -> String {
    wrap(command, WIDTH - 10).join(" \\\n        ")
}

/// The command that approves this proposal and no other.
pub fn approve_command(proposal: &Proposal) -> String {
    let mut command = format!(
        "pointsman approve {} --digest {}",
        proposal.id.short(),
        proposal.digest.short()
    );
    if let Some(site) = &proposal.needs.attest_site_off {
        put(&mut command, format_args!(" --attest-site-off {site}"));
    }
    for needed in &proposal.needs.overrides {
        put(
            &mut command,
            format_args!(" --override {}=REASON", clean(&needed.rule)),
        );
    }
    command.push_str(" --reason TEXT");
    command
}

/// The state of a proposal as words.
pub fn state(proposal: &Proposal, as_of: UnixMillis) -> String {
    let ago = |at: UnixMillis| {
        format!(
            "{} ({} ago)",
            at.rfc3339(),
            age::short(Millis(as_of.0.saturating_sub(at.0)))
        )
    };
    match &proposal.state {
        ProposalState::Raised => format!(
            "waits for an operator; raised {}, ends by itself at {}",
            ago(proposal.raised_at),
            proposal.expires_at.rfc3339()
        ),
        ProposalState::Approved { by, at } => format!("approved by {by} at {}", ago(*at)),
        ProposalState::Rejected { by, at, reason } => {
            format!("rejected by {by} at {}: {reason}", ago(*at))
        }
        ProposalState::Expired { at } => format!("expired at {}", ago(*at)),
        ProposalState::Withdrawn { at, reason } => format!("withdrawn at {}: {reason}", ago(*at)),
        ProposalState::Superseded { at, by, reason } => {
            format!("superseded at {} by {}: {reason}", ago(*at), by.short())
        }
    }
}

fn evidence(proposal: &Proposal) -> String {
    let mut table = Table::new(&["OBSERVER", "SILENT FOR", "AGE", "SAW"]);
    for line in &proposal.evidence {
        let silent = line
            .silent_for_ms
            .map_or_else(|| "never seen".to_owned(), age::short);
        table.row([
            line.observer.to_string(),
            silent,
            age::short(line.age_ms),
            line.saw.clone(),
        ]);
    }
    section("evidence, when it was raised", &table)
}

fn ruled_out(proposal: &Proposal) -> String {
    let mut table = Table::new(&["RULED OUT", "BECAUSE"]);
    for line in &proposal.ruled_out {
        table.row([line.code.to_string(), line.because.clone()]);
    }
    section("other explanations", &table)
}

fn candidates(choices: &[CandidateChoice]) -> String {
    let mut table = Table::new(&["DATABASE", "NODE", "CHOICE", "WHY"]);
    for choice in choices {
        let name = choice.database.to_string();
        match &choice.chosen {
            Some(chosen) => table.row([
                name.clone(),
                format!("{}/{}", chosen.site, chosen.node),
                "promote".to_owned(),
                format!("durable up to {}", chosen.lsn),
            ]),
            None => table.row([
                name.clone(),
                "-".to_owned(),
                "NONE".to_owned(),
                "nothing can be promoted".to_owned(),
            ]),
        }
        for refused in &choice.refused {
            let node = format!("{}/{}", refused.site, refused.node);
            table.row([
                name.clone(),
                node,
                "refused".to_owned(),
                refused.because.clone(),
            ]);
        }
    }
    section("candidates", &table)
}

fn section(title: &str, table: &Table) -> String {
    if table.is_empty() {
        String::new()
    } else {
        format!("\n{title}\n{}", table.render("  "))
    }
}

fn steps(plan: &Plan) -> String {
    let mut text = "\nplan; steps of one group run together\n".to_owned();
    text.push_str("   NO  GROUP  STEP\n");
    for step in &plan.steps {
        if step.point_of_no_return {
            text.push_str("  --- point of no return: from here on there is only forward ---\n");
        }
        let first = format!("  {:>3}  {:>5}  ", step.number, step.group);
        text.push_str(&paragraph(&first, "              ", &step_line(step)));
    }
    text
}

fn step_line(step: &Step) -> String {
    let by = match &step.work {
        Work::Agent { site, node, .. } => format!("{site}/{node}"),
        Work::Revoke | Work::Wait { .. } | Work::Grant => "leader".to_owned(),
    };
    let failure = match &step.on_failure {
        OnFailure::Halt => String::new(),
        OnFailure::Continue { because } => format!("; may fail: {because}"),
    };
    format!(
        "{} [{}, by {by}, within {}{failure}]",
        step.title,
        step.work.kind(),
        step.deadline_ms
    )
}

fn needs(proposal: &Proposal) -> String {
    let needs = &proposal.needs;
    let mut text = "\napproving needs\n".to_owned();
    put(
        &mut text,
        format_args!("  the digest {}\n", proposal.digest.short()),
    );
    if needs.fence_grade > FenceGrade::None {
        put(
            &mut text,
            format_args!("  fence grade {} or higher\n", needs.fence_grade),
        );
    }
    for proof in &needs.proofs {
        text.push_str(&paragraph("    proof: ", "           ", proof));
    }
    if let Some(site) = &needs.attest_site_off {
        let sentence = format!("your word that {site} is off: type its name, and say how you know");
        text.push_str(&paragraph("  ", "    ", &sentence));
    }
    for needed in &needs.overrides {
        let sentence = format!(
            "the rule {} overridden by name, with a reason: {}",
            needed.rule, needed.says
        );
        text.push_str(&paragraph("  ", "    ", &sentence));
    }
    text
}
