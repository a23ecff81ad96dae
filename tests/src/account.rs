//! The operating-system account a child process runs under.
//!
//! `PostgreSQL` refuses to run as root, so a run started by root gives its servers an unprivileged
//! account that exists on the machine. It must never create accounts or change the caller's own
//! identity.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::ground::Ground;

/// Accounts tried in this order when the caller is root.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// Under which account a child runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// The caller's own.
    Caller,
    /// Another one; only root can choose this.
    Other {
        /// Login name, for messages.
        name: String,
        /// User number.
        uid: u32,
        /// Primary group number.
        gid: u32,
    },
}

impl Account {
    /// An account without privileges: the caller's own unless the caller is root.
    ///
    /// # Errors
    /// When the caller is root and none of the candidate accounts exists.
    pub fn unprivileged() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Caller);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
        for wanted in CANDIDATES {
            if let Some(account) = passwd.lines().find_map(|line| entry(line, wanted)) {
                return Ok(account);
            }
        }
        bail!("root cannot run PostgreSQL and none of {CANDIDATES:?} exists")
    }

    /// A command that runs `program` under this account and dies with the thread that spawned it.
    ///
    /// The parent-death signal belongs to the spawning *thread*: spawn from the thread that runs
    /// the current-thread runtime, never from a blocking-pool thread, which ends when it is idle.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.command_on(&Ground::LOOPBACK, program)
    }

    /// The same on the ground of a site, which is entered before the rights to do so are given up.
    pub fn command_on(&self, ground: &Ground, program: impl AsRef<OsStr>) -> Command {
        let mut command = ground.command("setpriv");
        if let Self::Other { uid, gid, .. } = self {
            command.args([format!("--reuid={uid}"), format!("--regid={gid}")]);
            command.arg("--clear-groups");
        }
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program.as_ref());
        command
    }

    /// Gives the file or directory at `path` to this account.
    ///
    /// # Errors
    /// When the owner cannot be changed.
    pub fn own(&self, path: &Path) -> Result<()> {
        match self {
            Self::Caller => Ok(()),
            Self::Other { uid, gid, name } => {
                std::os::unix::fs::chown(path, Some(*uid), Some(*gid))
                    .with_context(|| format!("giving {} to {name}", path.display()))
            }
        }
    }
}

fn entry(line: &str, wanted: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| *name == wanted)?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Account::Other {
        name: name.to_owned(),
        uid,
        gid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_reads_user_and_group_of_the_wanted_name_only() {
        let line = "postgres:x:101:104:PostgreSQL:/var/lib/postgresql:/bin/bash";
        let expected = Account::Other {
            name: "postgres".to_owned(),
            uid: 101,
            gid: 104,
        };
        assert_eq!(entry(line, "postgres"), Some(expected));
        assert_eq!(entry(line, "post"), None);
    }
}
