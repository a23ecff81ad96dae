//! The ordered fence: the database is the one that is meant, then [`crate::fencing`] stops it and proves that.

use serde_json::json;
use shared::lsn::SystemIdentifier;
use shared::wire::ProofLine;

use super::{Job, Result, Seen, failed, wrong_role};
use crate::clock;
use crate::fencing::{Fencing, data_directory, refuses};

pub(super) async fn perform(job: &Job<'_>, wanted: &SystemIdentifier) -> Result<Vec<ProofLine>> {
    let config = job.postgres()?;
    let data = data_directory(config).map_err(failed)?;
    let found = data.system_identifier().map_err(failed)?;
    if found != wanted.0 {
        return Err(wrong_role(
            format!("system identifier {found}"),
            format!("system identifier {wanted}"),
        ));
    }
    let mut proof = Vec::new();
    leave_note(job)?;
    let fencing = Fencing {
        config,
        progress: job.progress,
        deadline: job.deadline,
    };
    fencing.stop(&data, &mut proof).await.map_err(failed)?;
    Ok(proof)
}

/// Whether a fence that was cut off holds.
pub(super) async fn look(job: &Job<'_>) -> Seen {
    let seen = async {
        let config = job.postgres()?;
        let data = data_directory(config).map_err(failed)?;
        let processes = data.processes().map_err(failed)?;
        let left = processes.members.len() + processes.hidden.len();
        if left > 0 {
            return Err(failed(format!(
                "{left} processes work in the data directory"
            )));
        }
        refuses(config).await.map_err(failed)
    };
    match seen.await {
        Ok(refusal) => Seen::Done(vec![
            ProofLine::new(
                "processes",
                "none works in the data directory, seen after a restart of the agent",
            ),
            ProofLine::new("port", &refusal),
        ]),
        Err(stop) => Seen::NotDone(match stop {
            super::Stop::Failed { reason, .. } => reason,
            super::Stop::Refused(refusal) => refusal.to_string(),
        }),
    }
}

/// For whoever finds the database stopped.
fn leave_note(job: &Job<'_>) -> Result<()> {
    let command = job.command;
    let note = json!({
        "summary": format!("Pointsman fenced this database for epoch {}.", command.epoch),
        "epoch": command.epoch, "run": command.run, "step": command.step, "command": command.id,
        "at": clock::wall().rfc3339(),
    });
    let path = job.scene.config.state_dir.join("fenced.json");
    std::fs::write(&path, format!("{note:#}\n"))
        .map_err(|error| failed(format!("{}: {error}", path.display())))
}
