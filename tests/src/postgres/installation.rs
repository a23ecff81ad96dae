//! The `PostgreSQL` programs on this machine and the template that instances are copied from.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::settings::{COMMON, INSTANCE_FILE, MAINTENANCE_SETUP, OWNER, SITES};
use crate::account::Account;
use crate::ground::Ground;
use crate::process::run;
use crate::scratch::{Scratch, create_directory};

const DEADLINE: Duration = Duration::from_mins(1);
const VERSIONS: &str = "/usr/lib/postgresql";

/// Made once in a process; its directory is removed when the process ends.
static TEMPLATE: OnceCell<(Scratch, PathBuf)> = OnceCell::const_new();

/// Where the programs are and under which account they run.
#[derive(Debug, Clone)]
pub struct Installation {
    binaries: PathBuf,
    account: Account,
}

impl Installation {
    /// `POINTSMAN_PG_BIN`, else the newest below `/usr/lib/postgresql`.
    ///
    /// # Errors
    /// When there is none, or no account to run it under.
    pub fn find() -> Result<Self> {
        let binaries = match std::env::var_os("POINTSMAN_PG_BIN") {
            Some(named) => PathBuf::from(named),
            None => newest(Path::new(VERSIONS))?,
        };
        ensure!(
            binaries.join("postgres").is_file(),
            "no postgres in {}",
            binaries.display()
        );
        Ok(Self {
            binaries,
            account: Account::unprivileged()?,
        })
    }

    /// Path of one of its programs.
    pub fn binary(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// The directory of its programs.
    pub fn binaries(&self) -> &Path {
        &self.binaries
    }

    /// The account that instances run under and own their files with.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// A command that runs one of its programs under the right account.
    pub fn command(&self, name: &str) -> Command {
        self.command_on(&Ground::LOOPBACK, name)
    }

    /// The same on the ground of a site.
    pub fn command_on(&self, ground: &Ground, name: &str) -> Command {
        let mut command = self.account.command_on(ground, self.binary(name));
        command.env("LC_ALL", "C").current_dir("/");
        command
    }

    /// Makes a new cluster in `data`, with roles, grants and shared settings.
    ///
    /// # Errors
    /// When `initdb` or a statement fails.
    pub async fn initialise(&self, data: &Path) -> Result<()> {
        let mut initdb = self.command("initdb");
        initdb
            .args([
                "--data-checksums",
                "--no-sync",
                "--auth=trust",
                "--encoding=UTF8",
            ])
            .args(["--locale=C", &format!("--username={OWNER}"), "-D"])
            .arg(data);
        run(initdb, DEADLINE).await.context("initdb")?;
        self.single_user(data, "postgres", MAINTENANCE_SETUP)
            .await?;
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(data.join("postgresql.conf"))
            .context("opening postgresql.conf")?;
        file.write_all(COMMON.as_bytes())
            .context("writing postgresql.conf")?;
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(data.join("pg_hba.conf"))
            .context("opening pg_hba.conf")?;
        file.write_all(SITES.as_bytes())
            .context("writing pg_hba.conf")
    }

    /// The data directory to copy primaries from.
    pub(super) async fn template(&self) -> Result<&'static Path> {
        let (_, data) = TEMPLATE
            .get_or_try_init(|| async {
                let scratch = Scratch::new()?;
                let directory = scratch.path().join("template");
                create_directory(&directory, &self.account, 0o755)?;
                std::fs::write(directory.join(INSTANCE_FILE), "").context("writing settings")?;
                let data = directory.join("data");
                self.initialise(&data).await?;
                anyhow::Ok((scratch, data))
            })
            .await?;
        Ok(data)
    }

    /// Runs statements, one a line, without a server.
    async fn single_user(&self, data: &Path, database: &str, statements: &str) -> Result<()> {
        let mut child = self
            .command("postgres")
            .args(["--single", "-F", "-D"])
            .arg(data)
            .args(["-c", "exit_on_error=true", database])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting single-user mode")?;
        let mut stdin = child.stdin.take().context("no input to single-user mode")?;
        stdin
            .write_all(statements.as_bytes())
            .await
            .context("writing statements")?;
        drop(stdin);
        let output = timeout(DEADLINE, child.wait_with_output())
            .await
            .context("set-up hangs")??;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success() && !complaint.contains("ERROR"),
            "set-up: {complaint}"
        );
        Ok(())
    }
}

fn newest(versions: &Path) -> Result<PathBuf> {
    let found = std::fs::read_dir(versions)
        .with_context(|| format!("no PostgreSQL in {}", versions.display()))?
        .flatten()
        .filter(|entry| entry.path().join("bin/postgres").is_file())
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse::<u32>().ok()?,
                entry.path(),
            ))
        })
        .max();
    let (_, path) = found.with_context(|| format!("no PostgreSQL in {}", versions.display()))?;
    Ok(path.join("bin"))
}
