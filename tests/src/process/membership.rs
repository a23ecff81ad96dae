//! Which live processes belong to a child.
//!
//! A process group is not enough: every `PostgreSQL` backend leads a session of its own. A process
//! belongs when it works in the child's directory, is in its group or session, or descends from one
//! that belongs. It must never count a zombie as alive nor name this process.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

const POLL: Duration = Duration::from_millis(10);

/// What makes a process belong.
#[derive(Debug, Clone)]
pub struct Membership {
    directory: PathBuf,
    leader: Option<i32>,
}

/// One live process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Process number.
    pub pid: i32,
    /// Name as the kernel shows it.
    pub name: String,
    /// Stopped by a signal.
    pub frozen: bool,
}

impl Membership {
    /// Everything that works in `directory` or below.
    pub fn of_directory(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            leader: None,
        }
    }

    /// The same, plus the group, session and descendants of `leader`, which must not be reaped yet.
    pub fn of_leader(directory: &Path, leader: i32) -> Self {
        Self {
            directory: directory.to_owned(),
            leader: Some(leader),
        }
    }

    /// The live members, in order of process number.
    pub fn members(&self) -> Vec<Member> {
        let rows = rows();
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        let mut belonging: BTreeSet<i32> = rows
            .iter()
            .filter(|row| self.leads(row) || works_in(row.pid, &self.directory))
            .map(|row| row.pid)
            .collect();
        belonging.remove(&own);
        loop {
            let before = belonging.len();
            for row in &rows {
                if belonging.contains(&row.parent) && row.pid != own {
                    belonging.insert(row.pid);
                }
            }
            if belonging.len() == before {
                break;
            }
        }
        rows.into_iter()
            .filter(|row| belonging.contains(&row.pid))
            .filter_map(Row::live)
            .collect()
    }

    /// Sends `signal` to every member once.
    pub fn signal(&self, signal: Signal) {
        for member in self.members() {
            send(member.pid, signal);
        }
    }

    /// Kills every member and waits until none is left.
    ///
    /// # Errors
    /// When some survive `within`; they are named.
    pub async fn kill(&self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let members = self.members();
            if members.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("still alive after {within:?}: {members:?}");
            }
            for member in members {
                send(member.pid, Signal::KILL);
            }
            sleep(POLL).await;
        }
    }

    /// Stops every member with SIGSTOP and waits until all are seen stopped, newborn ones included.
    ///
    /// # Errors
    /// When some run on after `within`; they are named.
    pub async fn freeze(&self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let mut running = self.members();
            running.retain(|member| !member.frozen);
            if running.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("still running after {within:?}: {running:?}");
            }
            for member in running {
                send(member.pid, Signal::STOP);
            }
            sleep(POLL).await;
        }
    }

    /// Lets frozen members run again.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits until no member is left, without signalling any.
    ///
    /// # Errors
    /// When some are left after `within`; they are named.
    pub async fn wait_empty(&self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let members = self.members();
            if members.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("still there after {within:?}: {members:?}");
            }
            sleep(POLL).await;
        }
    }

    fn leads(&self, row: &Row) -> bool {
        self.leader
            .is_some_and(|leader| [row.pid, row.group, row.session].contains(&leader))
    }
}

struct Row {
    pid: i32,
    name: String,
    state: char,
    parent: i32,
    group: i32,
    session: i32,
}

impl Row {
    fn live(self) -> Option<Member> {
        let frozen = matches!(self.state, 'T' | 't');
        let dead = matches!(self.state, 'Z' | 'X' | 'x');
        (!dead).then_some(Member {
            pid: self.pid,
            name: self.name,
            frozen,
        })
    }
}

fn rows() -> Vec<Row> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut rows: Vec<Row> = entries
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with(|c: char| c.is_ascii_digit())
        })
        .filter_map(|entry| row(&std::fs::read_to_string(entry.path().join("stat")).ok()?))
        .collect();
    rows.sort_by_key(|row| row.pid);
    rows
}

/// The name may itself contain spaces and brackets, so the fields are counted from the last one.
fn row(stat: &str) -> Option<Row> {
    let (head, tail) = stat.rsplit_once(')')?;
    let (pid, name) = head.split_once(" (")?;
    let mut fields = tail.split_whitespace();
    Some(Row {
        pid: pid.parse().ok()?,
        name: name.to_owned(),
        state: fields.next()?.chars().next()?,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
        session: fields.next()?.parse().ok()?,
    })
}

fn works_in(pid: i32, directory: &Path) -> bool {
    let Ok(cwd) = std::fs::read_link(format!("/proc/{pid}/cwd")) else {
        return false;
    };
    let shown = cwd.to_string_lossy();
    Path::new(shown.strip_suffix(" (deleted)").unwrap_or(&shown)).starts_with(directory)
}

/// A process that went away meanwhile is what was wanted, so the answer is not looked at.
fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _gone = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_survives_brackets_and_spaces_in_the_name() {
        let row = row("42 (a) b (c) S 7 8 9 0 -1").unwrap();
        assert_eq!((row.pid, row.parent, row.group, row.session), (42, 7, 8, 9));
        assert_eq!(row.name, "a) b (c");
        assert_eq!(row.state, 'S');
    }

    #[test]
    fn a_zombie_is_not_alive_and_a_stopped_process_is_frozen() {
        assert_eq!(row("1 (x) Z 0 1 1").unwrap().live(), None);
        assert!(row("1 (x) T 0 1 1").unwrap().live().unwrap().frozen);
    }
}
