//! Stops the database at once and proves that no commit can be acknowledged.
//!
//! Killing the postmaster alone is no fence: a backend went on committing for minutes. So the server is told
//! to stop immediately, then everything that works in its data directory is killed, and it counts only when
//! nothing is left there and the port refuses.

use std::io::ErrorKind;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use shared::lsn::SystemIdentifier;
use shared::wire::ProofLine;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use super::{Job, Result, Seen, failed, wrong_role};
use crate::clock;
use crate::config::{Place, PostgresConfig};
use crate::database::socket_file;
use crate::pgdata::{self, DataDirectory};
use crate::report::bounded;

/// How long an immediate stop may take before everything is killed.
const STOP: Duration = Duration::from_secs(2);
/// Between two looks.
const POLL: Duration = Duration::from_millis(20);
/// Nothing may come back for so long: a supervisor may have seen a crash.
const QUIET: Duration = Duration::from_millis(300);
const CONNECT: Duration = Duration::from_millis(500);

pub(super) async fn perform(job: &Job<'_>, wanted: &SystemIdentifier) -> Result<Vec<ProofLine>> {
    let config = job.postgres()?;
    let data = open(config)?;
    let found = data.system_identifier().map_err(failed)?;
    if found != wanted.0 {
        return Err(wrong_role(
            format!("system identifier {found}"),
            format!("system identifier {wanted}"),
        ));
    }
    let before = data.processes().map_err(failed)?;
    if !before.hidden.is_empty() {
        return Err(failed(hidden_words(before.hidden.len())));
    }
    let mut proof = vec![ProofLine::new(
        "processes before",
        &before.members.len().to_string(),
    )];
    leave_note(job)?;
    run_stop_command(job, config, &mut proof).await;
    stop(job, &data, &mut proof).await?;
    await_quiet(job, config, &data, &mut proof).await?;
    Ok(proof)
}

/// Whether a fence that was cut off holds.
pub(super) async fn look(job: &Job<'_>) -> Seen {
    let seen = async {
        let config = job.postgres()?;
        let data = open(config)?;
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

fn open(config: &PostgresConfig) -> Result<DataDirectory> {
    let pgdata = config
        .pgdata
        .as_ref()
        .ok_or_else(|| failed("the agent's file names no postgres.pgdata"))?;
    DataDirectory::open(pgdata).map_err(failed)
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

/// A supervisor that is not told would start the server again. What it says is noted; what counts comes after.
async fn run_stop_command(job: &Job<'_>, config: &PostgresConfig, proof: &mut Vec<ProofLine>) {
    let Some((program, arguments)) = config
        .stop_command
        .as_deref()
        .and_then(<[String]>::split_first)
    else {
        return;
    };
    job.progress.set(format!("running {program}"));
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let patience = config.stop_timeout.duration().min(job.left() / 2);
    let ended = match tokio::time::timeout(patience, command.output()).await {
        Ok(Ok(output)) if output.status.success() => "ended well".to_owned(),
        Ok(Ok(output)) => bounded(&format!(
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Ok(Err(error)) => format!("cannot be run: {error}"),
        Err(_elapsed) => format!("had not ended after {} ms", patience.as_millis()),
    };
    proof.push(ProofLine::new(&format!("stop command {program}"), &ended));
}

async fn stop(job: &Job<'_>, data: &DataDirectory, proof: &mut Vec<ProofLine>) -> Result<()> {
    if let Some(postmaster) = data.postmaster() {
        let sent = pgdata::signal(postmaster, Signal::QUIT);
        let found = if sent {
            "asked to stop immediately"
        } else {
            "could not be signalled"
        };
        proof.push(ProofLine::new(
            &format!("postmaster {}", postmaster.as_raw_nonzero()),
            found,
        ));
    }
    let kill_at = Instant::now() + STOP.min(job.left() / 2);
    let mut killed = 0;
    loop {
        let left = data.processes().map_err(failed)?;
        if !left.hidden.is_empty() {
            return Err(failed(hidden_words(left.hidden.len())));
        }
        if left.members.is_empty() {
            if killed > 0 {
                proof.push(ProofLine::new(
                    "killed",
                    &format!("{killed} signals to processes that did not stop"),
                ));
            }
            return Ok(());
        }
        job.progress.set(format!(
            "{} processes are left in the data directory",
            left.members.len()
        ));
        if job.is_over() {
            return Err(failed(format!(
                "{} processes are left in the data directory",
                left.members.len()
            )));
        }
        if Instant::now() >= kill_at {
            killed += left
                .members
                .iter()
                .filter(|pid| pgdata::signal(**pid, Signal::KILL))
                .count();
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Nothing works there and nothing answers, and it stays so for a moment.
async fn await_quiet(
    job: &Job<'_>,
    config: &PostgresConfig,
    data: &DataDirectory,
    proof: &mut Vec<ProofLine>,
) -> Result<()> {
    let mut quiet_since = Instant::now();
    loop {
        let left = data.processes().map_err(failed)?;
        let refusal = refuses(config).await;
        if left.members.is_empty() && left.hidden.is_empty() && refusal.is_ok() {
            if quiet_since.elapsed() >= QUIET {
                proof.push(ProofLine::new(
                    "processes",
                    "none works in the data directory",
                ));
                proof.push(ProofLine::new("port", &refusal.unwrap_or_default()));
                return Ok(());
            }
        } else {
            quiet_since = Instant::now();
            for pid in &left.members {
                pgdata::signal(*pid, Signal::KILL);
            }
            if job.is_over() {
                let why = refusal
                    .err()
                    .unwrap_or_else(|| "processes come back in the data directory".to_owned());
                return Err(failed(format!(
                    "{why}: something starts the server again; name it in postgres.stop_command"
                )));
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

/// How the port refuses, or a sentence when something answers or cannot be told.
async fn refuses(config: &PostgresConfig) -> std::result::Result<String, String> {
    let connecting = async {
        match &config.place {
            Place::Host(host) => TcpStream::connect((host.as_str(), config.port))
                .await
                .map(drop),
            Place::Socket(directory) => UnixStream::connect(socket_file(directory, config.port))
                .await
                .map(drop),
        }
    };
    match tokio::time::timeout(CONNECT, connecting).await {
        Ok(Ok(())) => Err(format!("something listens on port {}", config.port)),
        Ok(Err(error))
            if matches!(
                error.kind(),
                ErrorKind::ConnectionRefused | ErrorKind::NotFound
            ) =>
        {
            Ok(format!("port {}: {error}", config.port))
        }
        Ok(Err(error)) => Err(format!("port {} cannot be tried: {error}", config.port)),
        Err(_elapsed) => Err(format!("port {} neither answers nor refuses", config.port)),
    }
}

fn hidden_words(count: usize) -> String {
    format!(
        "{count} processes of the data directory's owner cannot be looked at: run the agent as that owner or as root"
    )
}
