//! A supervised child process with a log file.
//!
//! It decides how a child starts, what counts as part of it, and that nothing of it survives: not a
//! drop, not an early return, not the death of the test itself. It must never signal a process that
//! does not belong to its child.

pub mod guard;
pub mod membership;

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::time::timeout;

use crate::account::Account;
use crate::ground::Ground;
use membership::{Member, Membership};

/// How long a signal to everybody may take to show.
const SIGNAL_DEADLINE: Duration = Duration::from_secs(10);
/// A drop cannot wait asynchronously.
const DROP_POLL: Duration = Duration::from_millis(5);
/// How much of a log an error quotes.
const LOG_TAIL: usize = 2000;

/// What to run.
#[derive(Debug, Clone)]
pub struct Program {
    /// What messages call it.
    pub name: String,
    /// Path of the executable, or a name on `PATH`.
    pub executable: PathBuf,
    /// Arguments.
    pub arguments: Vec<OsString>,
    /// Added to the inherited environment.
    pub environment: Vec<(String, String)>,
    /// Its working directory, by which its processes are known: nothing else may work in there.
    pub directory: PathBuf,
    /// Where its output is appended.
    pub log: PathBuf,
    /// Under which account it runs.
    pub account: Account,
    /// On whose ground it runs.
    pub ground: Ground,
}

/// A running child. Dropping it kills all of it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    leader: Option<i32>,
    directory: PathBuf,
    log: PathBuf,
}

impl Process {
    /// Starts `program` in a process group of its own.
    ///
    /// # Errors
    /// When the log cannot be opened, the executable cannot be started, or somebody works in the
    /// directory already: whoever does would later be taken for a part of the child.
    pub fn spawn(program: &Program) -> Result<Self> {
        let here = std::env::current_dir().context("reading the current directory")?;
        let strangers = Membership::of_directory(&program.directory).members();
        if here.starts_with(&program.directory) || !strangers.is_empty() {
            bail!(
                "{} is in use already: {strangers:?}",
                program.directory.display()
            );
        }
        guard::kill_at_end(&program.directory)?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&program.log)
            .with_context(|| format!("opening {}", program.log.display()))?;
        let child = program
            .account
            .command_on(&program.ground, &program.executable)
            .args(&program.arguments)
            .envs(program.environment.iter().map(|(key, value)| (key, value)))
            .current_dir(&program.directory)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("sharing the log")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", program.name))?;
        let leader = child.id().and_then(|id| i32::try_from(id).ok());
        Ok(Self {
            name: program.name.clone(),
            child,
            leader,
            directory: program.directory.clone(),
            log: program.log.clone(),
        })
    }

    /// Process number of the direct child, until its exit was seen.
    pub fn id(&self) -> Option<i32> {
        self.leader
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Every live process of it.
    pub fn members(&self) -> Vec<Member> {
        self.membership().members()
    }

    /// Sends `signal` to the direct child alone.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self
            .leader
            .and_then(Pid::from_raw)
            .context("the child is gone")?;
        kill_process(pid, signal).with_context(|| format!("signalling {}", self.name))
    }

    /// Kills all of it and waits until nothing is left.
    ///
    /// # Errors
    /// When something survives.
    pub async fn kill(&mut self) -> Result<()> {
        self.membership().kill(SIGNAL_DEADLINE).await?;
        self.wait_exit(SIGNAL_DEADLINE).await.map(drop)
    }

    /// Asks the direct child to end, and kills all of it if some is left after `within`.
    ///
    /// # Errors
    /// When something survives even that.
    pub async fn terminate(&mut self, within: Duration) -> Result<()> {
        if self.leader.is_some() {
            self.signal(Signal::TERM)?;
            drop(self.wait_exit(within).await);
        }
        self.membership().kill(SIGNAL_DEADLINE).await
    }

    /// Stops all of it with SIGSTOP: its connections stay open and silent.
    ///
    /// # Errors
    /// When something runs on.
    pub async fn freeze(&self) -> Result<()> {
        self.membership().freeze(SIGNAL_DEADLINE).await
    }

    /// Lets it run again.
    pub fn thaw(&self) {
        self.membership().thaw();
    }

    /// Whether the direct child has ended, and how; without waiting.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        let status = self
            .child
            .try_wait()
            .with_context(|| format!("asking for {}", self.name))?;
        if status.is_some() {
            self.leader = None;
        }
        Ok(status)
    }

    /// Waits until the direct child has ended.
    ///
    /// # Errors
    /// When it has not after `within`.
    pub async fn wait_exit(&mut self, within: Duration) -> Result<ExitStatus> {
        match timeout(within, self.child.wait()).await {
            Ok(status) => {
                self.leader = None;
                status.with_context(|| format!("waiting for {}", self.name))
            }
            Err(_) => bail!("{} has not ended after {within:?}", self.name),
        }
    }

    /// The end of its log, for messages.
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// The number of a reaped child may be given to a stranger, so from then on only the directory
    /// counts.
    fn membership(&self) -> Membership {
        match self.leader {
            Some(leader) => Membership::of_leader(&self.directory, leader),
            None => Membership::of_directory(&self.directory),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let membership = self.membership();
        let deadline = Instant::now() + SIGNAL_DEADLINE;
        while Instant::now() < deadline {
            membership.signal(Signal::KILL);
            if membership.members().is_empty() {
                return;
            }
            std::thread::park_timeout(DROP_POLL);
        }
    }
}

/// Runs `command` to its end and gives what it printed.
///
/// # Errors
/// When it cannot be started, takes longer than `within`, or fails; what it printed is quoted.
pub async fn run(mut command: tokio::process::Command, within: Duration) -> Result<String> {
    let shown = format!("{:?}", command.as_std());
    let output = timeout(
        within,
        command.stdin(Stdio::null()).kill_on_drop(true).output(),
    )
    .await
    .with_context(|| format!("{shown} has not ended after {within:?}"))?
    .with_context(|| format!("starting {shown}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{shown} ended with {}: {}", output.status, complaint.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The last part of a log file, or why it cannot be read.
pub fn tail(log: &Path) -> String {
    match std::fs::read(log) {
        Ok(bytes) => {
            let start = bytes.len().saturating_sub(LOG_TAIL);
            String::from_utf8_lossy(bytes.get(start..).unwrap_or_default()).into_owned()
        }
        Err(error) => format!("(no log: {error})"),
    }
}
