//! Stops the database at once and proves that no commit can be acknowledged: for an ordered fence and for one's own.
//!
//! Killing the postmaster alone is no fence: a backend went on committing for minutes. So the server is told
//! to stop immediately, then everything that works in its data directory is killed, and it counts only when
//! nothing is left there and the port refuses.

use std::io::ErrorKind;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use shared::wire::ProofLine;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use crate::action::Progress;
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

/// What a fence works with.
pub(crate) struct Fencing<'a> {
    pub(crate) config: &'a PostgresConfig,
    pub(crate) progress: &'a Progress,
    pub(crate) deadline: Instant,
}

/// The data directory of the agent's file.
///
/// # Errors
/// A sentence.
pub(crate) fn data_directory(config: &PostgresConfig) -> Result<DataDirectory, String> {
    let pgdata = config
        .pgdata
        .as_ref()
        .ok_or("the agent's file names no postgres.pgdata")?;
    DataDirectory::open(pgdata)
}

impl Fencing<'_> {
    /// Stops everything in the data directory and waits until it stays so.
    ///
    /// # Errors
    /// A sentence, when something is left at the deadline or cannot be looked at.
    pub(crate) async fn stop(
        &self,
        data: &DataDirectory,
        proof: &mut Vec<ProofLine>,
    ) -> Result<(), String> {
        let before = data.processes()?;
        if !before.hidden.is_empty() {
            return Err(hidden_words(before.hidden.len()));
        }
        proof.push(ProofLine::new(
            "processes before",
            &before.members.len().to_string(),
        ));
        self.run_stop_command(proof).await;
        self.empty(data, proof).await?;
        self.await_quiet(data, proof).await
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// A supervisor that is not told would start the server again. What it says is noted; what counts comes after.
    async fn run_stop_command(&self, proof: &mut Vec<ProofLine>) {
        let Some((program, arguments)) = self
            .config
            .stop_command
            .as_deref()
            .and_then(<[String]>::split_first)
        else {
            return;
        };
        self.progress.set(format!("running {program}"));
        let mut command = tokio::process::Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let patience = self.config.stop_timeout.duration().min(self.left() / 2);
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

    async fn empty(&self, data: &DataDirectory, proof: &mut Vec<ProofLine>) -> Result<(), String> {
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
        let kill_at = Instant::now() + STOP.min(self.left() / 2);
        let mut killed = 0;
        loop {
            let left = data.processes()?;
            if !left.hidden.is_empty() {
                return Err(hidden_words(left.hidden.len()));
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
            self.progress.set(format!(
                "{} processes are left in the data directory",
                left.members.len()
            ));
            if self.is_over() {
                return Err(format!(
                    "{} processes are left in the data directory",
                    left.members.len()
                ));
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
        &self,
        data: &DataDirectory,
        proof: &mut Vec<ProofLine>,
    ) -> Result<(), String> {
        let mut quiet_since = Instant::now();
        loop {
            let left = data.processes()?;
            let refusal = refuses(self.config).await;
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
                if self.is_over() {
                    let why = refusal
                        .err()
                        .unwrap_or_else(|| "processes come back in the data directory".to_owned());
                    return Err(format!(
                        "{why}: something starts the server again; name it in postgres.stop_command"
                    ));
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// How the port refuses.
///
/// # Errors
/// A sentence, when something answers or it cannot be told.
pub(crate) async fn refuses(config: &PostgresConfig) -> Result<String, String> {
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
