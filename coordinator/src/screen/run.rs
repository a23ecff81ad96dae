//! One run: each step with what became of it and how long it took.

use decision::{Run, RunState, Step, StepOutcome, StepRecord};
use shared::clock::Millis;

use super::age;
use super::table::Table;
use super::text::{paragraph, put};

/// The screen.
pub fn render(run: &Run) -> String {
    let epoch = run
        .epoch
        .map_or_else(|| "not taken yet".to_owned(), |epoch| epoch.to_string());
    let mut text = format!(
        "RUN {}  {} -> {}  epoch {epoch}\n",
        run.id, run.plan.from, run.plan.to
    );
    text.push_str(&paragraph("  state     ", "            ", &state(run)));
    let approved = format!("{} at {}", run.approval.operator, run.started_at.rfc3339());
    text.push_str(&paragraph(
        "  approved  ",
        "            ",
        &format!("by {approved}"),
    ));
    if let Some(word) = &run.attestation {
        let sentence = format!(
            "{} vouched that {} is off: {}",
            word.by, word.site, word.reason
        );
        text.push_str(&paragraph("  attested  ", "            ", &sentence));
    }
    for (rule, reason) in &run.overrides {
        text.push_str(&paragraph(
            "  override  ",
            "            ",
            &format!("{rule}: {reason}"),
        ));
    }
    for proof in &run.proofs {
        let sentence = format!(
            "{}, epoch {}: {}",
            proof.shown.grade(),
            proof.epoch,
            proof.shown.words()
        );
        text.push_str(&paragraph("  fenced    ", "            ", &sentence));
    }
    text.push('\n');
    text.push_str(&steps(run).render("  "));
    if let RunState::Halted { step, .. } = &run.state {
        let id = run.id.short();
        put(
            &mut text,
            format_args!(
                "\nnext: pointsman resume {id} --reason TEXT            try the halted step again\n"
            ),
        );
        put(
            &mut text,
            format_args!(
                "      pointsman resume {id} --waive {step} --reason TEXT  go on without it\n"
            ),
        );
        put(
            &mut text,
            format_args!(
                "      pointsman abandon {id} --reason TEXT           end the run where it stands\n"
            ),
        );
    }
    text
}

/// The state of a run as words.
pub fn state(run: &Run) -> String {
    let took = run
        .ended_at
        .map(|end| Millis(end.0.saturating_sub(run.started_at.0)));
    let took = took.map_or_else(String::new, |took| format!(" after {}", age::short(took)));
    match &run.state {
        RunState::Running => "goes on".to_owned(),
        RunState::Halted { step, reason } => format!("HALTED at step {step}: {reason}"),
        RunState::Completed { with_exceptions } if with_exceptions.is_empty() => {
            format!("completed{took}")
        }
        RunState::Completed { with_exceptions } => {
            let list: Vec<String> = with_exceptions.iter().map(ToString::to_string).collect();
            format!(
                "completed{took}; failed or waived: step {}",
                list.join(", ")
            )
        }
        RunState::Abandoned { by, reason } => format!("abandoned by {by}{took}: {reason}"),
    }
}

/// One step as one line, for those who follow a run.
pub fn step_line(step: &Step, record: &StepRecord) -> String {
    let (outcome, ms, why) = cells(Some(record));
    let took = if ms == "-" {
        String::new()
    } else {
        format!(" in {ms} ms")
    };
    let why = if why.is_empty() {
        String::new()
    } else {
        format!(": {why}")
    };
    format!(
        "step {:>2} {:<9} {}{took}{why}",
        step.number, outcome, step.title
    )
}

fn steps(run: &Run) -> Table {
    let mut table = Table::new(&["NO", "STEP", "OUTCOME", "MS", "PROOF OR REASON"]);
    for step in &run.plan.steps {
        let (outcome, ms, why) = cells(run.steps.get(&step.number));
        let number = format!("{:>2}", step.number);
        table.row([number, step.title.clone(), outcome, ms, why]);
    }
    table
}

fn cells(record: Option<&StepRecord>) -> (String, String, String) {
    let Some(record) = record else {
        return ("waits".to_owned(), "-".to_owned(), String::new());
    };
    let (ms, why) = match &record.outcome {
        StepOutcome::Started => ("-".to_owned(), String::new()),
        StepOutcome::Done { took_ms, proof } => {
            let lines: Vec<String> = proof
                .iter()
                .map(|line| format!("{}: {}", line.what, line.found))
                .collect();
            (took_ms.0.to_string(), lines.join("; "))
        }
        StepOutcome::Failed {
            took_ms,
            reason,
            pending,
        } => {
            let pending = if *pending {
                " (its effect may still come)"
            } else {
                ""
            };
            (took_ms.0.to_string(), format!("{reason}{pending}"))
        }
        StepOutcome::Waived { by, reason } => ("-".to_owned(), format!("waived by {by}: {reason}")),
    };
    (record.outcome.word().to_owned(), ms, why)
}
