//! Stops the own database because its site's right to be live is not proved any more, and what comes after.
//!
//! The order is fixed: close the port, stop, prove it, write it down. Then, by the policy, it is started again
//! read-only, in recovery. What it must never do: start a database that could write, unless the very same right was
//! renewed before anybody else could have been given it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use shared::clock::Millis;
use shared::epoch::Epoch;
use shared::stack::SelfFence;
use shared::telemetry::Chain;
use shared::wire::ProofLine;
use tokio::time::Instant;

use crate::action::Progress;
use crate::clock;
use crate::config::PostgresConfig;
use crate::deadman::Deadman;
use crate::fencing::{Fencing, data_directory};
use crate::ledger::{Fenced, Ledger};
use crate::report::bounded;

/// Between two attempts to stop what did not stop.
const AGAIN: Duration = Duration::from_millis(200);
/// Longest wait for the start command, which runs on by itself: the lease is looked after meanwhile.
const START: Duration = Duration::from_secs(5);
/// Longest time for stopping a standby that is to be a primary again; short, because the lease runs meanwhile.
const RESTART: Duration = Duration::from_secs(5);
const SIGNAL_FILE: &str = "standby.signal";
const MARK: &str = "# Written by pointsman-agent: demoted for want of the right to be live";

/// What the work is done with.
#[derive(Clone)]
pub(crate) struct SelfFencing {
    pub(crate) config: PostgresConfig,
    pub(crate) deadman: Deadman,
    pub(crate) ledger: Ledger,
}

impl SelfFencing {
    /// Stops the database, however long it takes; gives the proof. Every failed attempt is said.
    pub(crate) async fn stop(
        &self,
        epoch: Epoch,
        reason: &str,
        within: Millis,
        after: SelfFence,
    ) -> Vec<ProofLine> {
        if let Err(error) = self.deadman.cut().await {
            tracing::error!(error = %Chain(&error), "the port was not closed before the stop");
        }
        let mut proof = Vec::new();
        while let Err(why) = self.try_stop(within.duration(), &mut proof).await {
            tracing::error!(
                why,
                "the database could not be stopped; it is tried again, and only the port guard keeps it from serving"
            );
            proof.clear();
            tokio::time::sleep(AGAIN).await;
        }
        self.write_down(epoch, reason).await;
        if let Err(error) = self.deadman.rest().await {
            tracing::error!(error = %Chain(&error), "the deadman was not told that the database is stopped");
        }
        if after == SelfFence::Demote {
            self.demote(epoch).await;
        }
        proof
    }

    /// The right was renewed: the database is not kept down any more. It is started only when nobody else can have
    /// been live in between, which is when the epoch is the one that it was lost in.
    pub(crate) async fn lift(&self, fenced: &Fenced, epoch: Epoch) {
        if let Err(error) = self.ledger.keep_fenced(None).await {
            tracing::error!(error = %Chain(&error), "that the database is not fenced any more is not on the disk");
        }
        if fenced.epoch != epoch {
            tracing::info!(
                epoch = epoch.0,
                "the right to be live is this site's again; the database is not kept down"
            );
            return;
        }
        if let Err(why) = self.resume(epoch).await {
            tracing::error!(why, "the database was not started again");
        }
    }

    /// True while its own signal file keeps the database in recovery.
    pub(crate) fn is_demoted(&self) -> bool {
        let text = self
            .signal_file()
            .and_then(|path| std::fs::read_to_string(&path).map_err(|error| said(&path, &error)));
        text.is_ok_and(|text| text.starts_with(MARK))
    }

    /// True when no process is left in the data directory. What cannot be looked at may run.
    pub(crate) fn is_down(&self) -> bool {
        let processes = data_directory(&self.config).and_then(|data| data.processes());
        processes.is_ok_and(|found| found.members.is_empty() && found.hidden.is_empty())
    }

    /// What is kept down for a later epoch already stays so.
    async fn write_down(&self, epoch: Epoch, reason: &str) {
        let before = self.ledger.fenced();
        if before.is_some_and(|fenced| fenced.epoch > epoch) {
            return;
        }
        let fenced = Fenced {
            epoch,
            at: clock::wall(),
            reason: reason.to_owned(),
        };
        if let Err(error) = self.ledger.keep_fenced(Some(fenced)).await {
            tracing::error!(error = %Chain(&error), "that the database is fenced is not on the disk");
        }
    }

    async fn try_stop(&self, within: Duration, proof: &mut Vec<ProofLine>) -> Result<(), String> {
        let data = data_directory(&self.config)?;
        let fencing = Fencing {
            config: &self.config,
            progress: &Progress::default(),
            deadline: Instant::now() + within,
        };
        fencing.stop(&data, proof).await
    }

    async fn demote(&self, epoch: Epoch) {
        let begun = async {
            self.write_signal(epoch)?;
            self.run_start_command().await
        };
        match begun.await {
            Ok(true) => tracing::info!("the database was started again, read-only and in recovery"),
            Ok(false) => tracing::warn!(
                "the database stays down: the agent's file names no postgres.start_command"
            ),
            Err(why) => tracing::error!(why, "the database was not started again read-only"),
        }
    }

    /// Starts the database as the primary that it was. Only the agent's own signal file is removed: another one
    /// means that somebody made a standby of it meanwhile.
    async fn resume(&self, epoch: Epoch) -> Result<(), String> {
        let path = self.signal_file()?;
        match std::fs::read_to_string(&path) {
            Ok(text) if text == mark(epoch) => {
                let mut proof = Vec::new();
                self.try_stop(RESTART, &mut proof).await?;
                std::fs::remove_file(&path).map_err(|error| said(&path, &error))?;
            }
            Ok(_) => {
                return Err(format!(
                    "{} was not written by this agent for epoch {epoch}",
                    path.display()
                ));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let running = data_directory(&self.config)?.processes()?.members;
                if !running.is_empty() {
                    return Err("it runs already".to_owned());
                }
            }
            Err(error) => return Err(said(&path, &error)),
        }
        if self.run_start_command().await? {
            tracing::warn!(
                epoch = epoch.0,
                "the right to be live was renewed; the database was started again as the primary"
            );
        } else {
            tracing::warn!(
                epoch = epoch.0,
                "the right to be live was renewed; the database may be started (the agent's file names no \
                 postgres.start_command)"
            );
        }
        Ok(())
    }

    fn signal_file(&self) -> Result<PathBuf, String> {
        let pgdata = self.config.pgdata.as_ref();
        let pgdata = pgdata.ok_or("the agent's file names no postgres.pgdata")?;
        Ok(pgdata.join(SIGNAL_FILE))
    }

    /// `PostgreSQL` looks only whether the file is there. Its text tells whose it is.
    fn write_signal(&self, epoch: Epoch) -> Result<(), String> {
        let path = self.signal_file()?;
        if path.exists() {
            return Ok(());
        }
        std::fs::write(&path, mark(epoch)).map_err(|error| said(&path, &error))?;
        let owner = path.parent().and_then(|pgdata| pgdata.metadata().ok());
        if let Some(owner) = owner {
            // An agent that is not root is the owner itself.
            let given = std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid()));
            if let Err(error) = given {
                tracing::debug!(%error, "the signal file keeps the agent's own name");
            }
        }
        Ok(())
    }

    /// False when the agent's file names no command.
    async fn run_start_command(&self) -> Result<bool, String> {
        let command = self.config.start_command.as_deref();
        let Some((program, arguments)) = command.and_then(<[String]>::split_first) else {
            return Ok(false);
        };
        let mut command = tokio::process::Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A server that it leaves behind is the point of it.
            .kill_on_drop(false);
        match tokio::time::timeout(START, command.status()).await {
            Ok(Ok(status)) if status.success() => Ok(true),
            Ok(Ok(status)) => Err(bounded(&format!("{program}: {status}"))),
            Ok(Err(error)) => Err(format!("{program} cannot be run: {error}")),
            Err(_elapsed) => Ok(true),
        }
    }
}

fn mark(epoch: Epoch) -> String {
    format!("{MARK}, epoch {epoch}.\n")
}

fn said(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}
