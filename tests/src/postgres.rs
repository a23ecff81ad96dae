//! A `PostgreSQL` server of its own data directory: primary or standby, with real replication.
//!
//! It decides how an instance is made, started, frozen and killed, and answers the few questions
//! that tests ask of it. Who may promote or fence is not its business. The set of its processes is
//! everything that works in its data directory, because somebody else (an agent under test) may
//! stop and start it.

mod installation;
mod question;
mod session;
mod settings;

use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

pub use installation::Installation;
pub use session::Session;
pub use settings::{AGENT, CLIENT, MAINTENANCE, OWNER, REWINDER, SERVICE};

use crate::ground::Ground;
use crate::process::membership::{Member, Membership};
use crate::process::{Process, Program, run, tail};
use crate::scratch::create_directory;

const POLL: Duration = Duration::from_millis(20);
const ANSWER: Duration = Duration::from_secs(2);
/// A drop cannot wait asynchronously.
const DROP_POLL: Duration = Duration::from_millis(5);
const SIGNAL_DEADLINE: Duration = Duration::from_secs(10);
const CLONE_DEADLINE: Duration = Duration::from_mins(1);
/// The usual port.
const PORT: u16 = 5432;
/// A single promotion request can be swallowed while the WAL receiver restarts.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// How a server is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Sessions are ended, a shutdown checkpoint is written and sent to standbys.
    Fast,
    /// Processes end at once; the next start recovers.
    Immediate,
}

/// Where a standby replicates from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Address, usually of a relay.
    pub address: SocketAddr,
    /// Physical slot, made by the base backup.
    pub slot: String,
}

/// One instance. Dropping it kills its processes.
#[derive(Debug)]
pub struct Postgres {
    site: String,
    installation: Installation,
    directory: PathBuf,
    ground: Ground,
    address: SocketAddr,
    process: Option<Process>,
}

impl Postgres {
    /// Makes a primary in `directory` from the template, not started.
    ///
    /// All primaries of one process share the template's system identifier.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn primary(
        installation: &Installation,
        directory: &Path,
        site: &str,
    ) -> Result<Self> {
        Self::primary_on(installation, directory, site, &Ground::LOOPBACK).await
    }

    /// The same on the ground of its site.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn primary_on(
        installation: &Installation,
        directory: &Path,
        site: &str,
        ground: &Ground,
    ) -> Result<Self> {
        let instance = Self::prepare(installation, directory, site, ground)?;
        let template = installation.template().await?;
        let mut copy = tokio::process::Command::new("cp");
        copy.args(["-a", "--reflink=auto"])
            .arg(template)
            .arg(instance.data());
        run(copy, CLONE_DEADLINE).await?;
        Ok(instance)
    }

    /// Makes a primary with a system identifier of its own, not started. Slower.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn stranger(
        installation: &Installation,
        directory: &Path,
        site: &str,
    ) -> Result<Self> {
        let instance = Self::prepare(installation, directory, site, &Ground::LOOPBACK)?;
        installation.initialise(&instance.data()).await?;
        Ok(instance)
    }

    /// Makes a standby of `upstream` by base backup, not started.
    ///
    /// # Errors
    /// When the upstream does not answer or the backup fails.
    pub async fn standby(
        installation: &Installation,
        directory: &Path,
        site: &str,
        upstream: &Upstream,
    ) -> Result<Self> {
        Self::standby_on(installation, directory, (site, &Ground::LOOPBACK), upstream).await
    }

    /// The same on the ground of its site, with the same errors.
    ///
    /// # Errors
    /// As [`Postgres::standby`].
    pub async fn standby_on(
        installation: &Installation,
        directory: &Path,
        (site, ground): (&str, &Ground),
        upstream: &Upstream,
    ) -> Result<Self> {
        let instance = Self::prepare(installation, directory, site, ground)?;
        let (host, port) = (upstream.address.ip(), upstream.address.port());
        let mut backup = installation.command_on(ground, "pg_basebackup");
        backup
            .args([
                "-X",
                "stream",
                "-c",
                "fast",
                "--no-sync",
                "-C",
                "-S",
                &upstream.slot,
                "-d",
            ])
            .arg(format!(
                "host={host} port={port} user={AGENT} sslmode=disable"
            ))
            .arg("-D")
            .arg(instance.data())
            .current_dir(&instance.directory);
        run(backup, CLONE_DEADLINE).await.context("base backup")?;
        instance.follow(upstream)?;
        Ok(instance)
    }

    /// Points a *stopped* instance at `upstream` as its standby.
    ///
    /// # Errors
    /// When it is running or its files cannot be written.
    pub fn follow(&self, upstream: &Upstream) -> Result<()> {
        ensure!(!self.is_running(), "{} is running", self.site);
        let path = self.data().join("postgresql.auto.conf");
        let copied = std::fs::read_to_string(&path).unwrap_or_default();
        // A base backup brings the upstream's own settings along.
        let mut lines: Vec<&str> = copied
            .lines()
            .filter(|line| {
                !line.starts_with("primary_") && !line.starts_with("synchronous_standby")
            })
            .collect();
        let conninfo = self.conninfo_of(upstream.address);
        let (address, slot) = (
            format!("primary_conninfo = '{conninfo}'"),
            format!("primary_slot_name = '{}'", upstream.slot),
        );
        lines.extend([address.as_str(), slot.as_str()]);
        std::fs::write(&path, lines.join("\n") + "\n").context("writing the upstream")?;
        self.installation.account().own(&path)?;
        let signal = self.data().join("standby.signal");
        std::fs::write(&signal, "").context("writing standby.signal")?;
        self.installation.account().own(&signal)
    }

    /// How this instance names `upstream` in its `primary_conninfo`.
    pub fn conninfo_of(&self, upstream: SocketAddr) -> String {
        let (host, port, site) = (upstream.ip(), upstream.port(), &self.site);
        format!("host={host} port={port} user={AGENT} application_name={site} sslmode=disable")
    }

    /// Adds a line to the settings that lie outside the data directory; acts at the next start.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn configure(&self, line: &str) -> Result<()> {
        let path = self.directory.join(settings::INSTANCE_FILE);
        let mut file = OpenOptions::new()
            .append(true)
            .open(&path)
            .context("opening the settings")?;
        writeln!(file, "{line}").context("writing the settings")
    }

    /// From here on commits of this primary wait for the standbys that `names` calls, in the words of
    /// `synchronous_standby_names`. A copy that was made before does not have the setting.
    ///
    /// # Errors
    /// When the database does not answer or does not take it.
    pub async fn wait_for_standbys(&self, names: &str) -> Result<()> {
        let session = self.connect(OWNER, MAINTENANCE).await?;
        let order = format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'");
        session.batch(&order).await?;
        session.batch("SELECT pg_reload_conf()").await
    }

    /// Starts it as a child of this process and waits until it accepts connections.
    ///
    /// # Errors
    /// When it runs already, ends, or does not accept `within`; the end of its log is quoted.
    pub async fn start(&mut self, within: Duration) -> Result<()> {
        self.launch()?;
        self.wait_accepting(within).await
    }

    /// Starts it as a child of this process, and waits for nothing.
    ///
    /// # Errors
    /// When it runs already.
    pub fn launch(&mut self) -> Result<()> {
        let process = Process::spawn(&Program {
            name: format!("postgres-{}", self.site),
            executable: self.installation.binary("postgres"),
            arguments: vec!["-D".into(), self.data().into()],
            environment: vec![("LC_ALL".to_owned(), "C".to_owned())],
            directory: self.data(),
            log: self.log(),
            account: self.installation.account().clone(),
            ground: self.ground.clone(),
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Waits until it accepts connections, whoever started it.
    ///
    /// # Errors
    /// When our child ends, or it does not accept `within`.
    pub async fn wait_accepting(&mut self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let Err(refusal) = self.connect(OWNER, MAINTENANCE).await else {
                return Ok(());
            };
            let ended = match self.process.as_mut() {
                Some(process) => process.exited()?,
                None => None,
            };
            if ended.is_some() || Instant::now() > deadline {
                let log = tail(&self.log());
                return Err(refusal.context(format!("{} (ended: {ended:?}): {log}", self.site)));
            }
            sleep(POLL).await;
        }
    }

    /// Stops it and waits until none of its processes is left.
    ///
    /// # Errors
    /// When it is not running or has not stopped `within`.
    pub async fn stop(&mut self, stop: Stop, within: Duration) -> Result<()> {
        let signal = match stop {
            Stop::Fast => Signal::INT,
            Stop::Immediate => Signal::QUIT,
        };
        self.signal_postmaster(signal)?;
        if let Some(mut process) = self.process.take() {
            process.wait_exit(within).await?;
        }
        self.membership().wait_empty(within).await
    }

    /// Kills every process of it.
    ///
    /// # Errors
    /// When some survive.
    pub async fn kill(&mut self) -> Result<()> {
        self.membership().kill(SIGNAL_DEADLINE).await?;
        match self.process.take() {
            Some(mut process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Freezes every process of it.
    ///
    /// # Errors
    /// When some run on.
    pub async fn freeze(&self) -> Result<()> {
        self.membership().freeze(SIGNAL_DEADLINE).await
    }

    /// Lets it run again.
    pub fn thaw(&self) {
        self.membership().thaw();
    }

    /// Whether any process of it is alive, frozen ones included.
    pub fn is_running(&self) -> bool {
        !self.members().is_empty()
    }

    /// Its live processes.
    pub fn members(&self) -> Vec<Member> {
        self.membership().members()
    }

    /// Opens a session as `role` in `database`.
    ///
    /// # Errors
    /// When it does not answer in two seconds or refuses.
    pub async fn connect(&self, role: &str, database: &str) -> Result<Session> {
        Session::open(self.address(), role, database, ANSWER).await
    }

    /// Promotes it and waits until it has left recovery.
    ///
    /// # Errors
    /// When it is still in recovery after `within`.
    pub async fn promote(&self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        let session = self.connect(OWNER, MAINTENANCE).await?;
        let mut ask = Instant::now();
        while session
            .one("SELECT pg_is_in_recovery()", &[])
            .await?
            .try_get(0)?
        {
            ensure!(
                Instant::now() < deadline,
                "still in recovery after {within:?}"
            );
            if Instant::now() >= ask {
                ask = Instant::now() + ASK_AGAIN;
                // Recovery may end between the question and this, which is what is wanted.
                drop(session.one("SELECT pg_promote(false)", &[]).await);
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// The site it stands in, which is also its cluster and application name.
    pub fn site(&self) -> &str {
        &self.site
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The directory of its socket, where it stands in a namespace of its own.
    pub fn socket(&self) -> Option<&Path> {
        self.ground.name().map(|_own| self.directory.as_path())
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Its log, written when it was started by [`Postgres::start`].
    pub fn log(&self) -> PathBuf {
        self.directory.join("postgres.log")
    }

    /// Its programs and their account.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    fn prepare(
        installation: &Installation,
        directory: &Path,
        site: &str,
        ground: &Ground,
    ) -> Result<Self> {
        let address = ground.door(PORT)?;
        create_directory(directory, installation.account(), 0o755)?;
        let path = directory.join(settings::INSTANCE_FILE);
        std::fs::write(
            &path,
            settings::instance(site, address, ground.name().map(|_own| directory)),
        )
        .context("writing the settings")?;
        installation.account().own(&path)?;
        Ok(Self {
            site: site.to_owned(),
            installation: installation.clone(),
            directory: directory.to_owned(),
            ground: ground.clone(),
            address,
            process: None,
        })
    }

    /// Signals its first process and no other.
    ///
    /// # Errors
    /// When it has none.
    pub fn signal_postmaster(&self, signal: Signal) -> Result<()> {
        kill_process(self.postmaster()?, signal).context("signalling the postmaster")
    }

    fn postmaster(&self) -> Result<Pid> {
        let file = std::fs::read_to_string(self.data().join("postmaster.pid"))
            .with_context(|| format!("{} has no postmaster", self.site))?;
        let number = file
            .lines()
            .next()
            .context("an empty postmaster.pid")?
            .trim()
            .parse()?;
        Pid::from_raw(number).context("an odd postmaster.pid")
    }

    fn membership(&self) -> Membership {
        Membership::of_directory(&self.data())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.process = None;
        // What somebody else started in the data directory goes too.
        let deadline = std::time::Instant::now() + SIGNAL_DEADLINE;
        while self.is_running() && std::time::Instant::now() < deadline {
            self.membership().signal(Signal::KILL);
            std::thread::park_timeout(DROP_POLL);
        }
    }
}
