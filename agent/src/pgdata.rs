//! The processes of a data directory, as the kernel shows them.
//!
//! Every `PostgreSQL` process works in its data directory, whatever became of the postmaster: a backend that
//! outlived it goes on committing. So they are told by their working directory, never by their parent. What
//! cannot be looked at is said, never counted as gone.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

/// A data directory on this host.
#[derive(Debug, Clone)]
pub(crate) struct DataDirectory {
    /// Without symbolic links, as the kernel names working directories.
    path: PathBuf,
    owner: u32,
}

/// As what a server would come up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Startup {
    /// In recovery, for as long as nobody promotes it.
    Standby,
    /// Taking writes, at once or after a recovery.
    Writable,
}

/// What works in a data directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Processes {
    /// Those that do.
    pub(crate) members: Vec<Pid>,
    /// Those of the directory's owner that look like `PostgreSQL` and that the agent may not look into.
    pub(crate) hidden: Vec<Pid>,
}

impl DataDirectory {
    /// Takes a directory that exists and looks like one of `PostgreSQL`.
    ///
    /// # Errors
    /// A sentence, when it cannot be looked at.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let unfit =
            |error: std::io::Error| format!("{} cannot be looked at: {error}", path.display());
        let real = path.canonicalize().map_err(unfit)?;
        let owner = std::fs::metadata(real.join("global")).map_err(unfit)?.uid();
        Ok(Self { path: real, owner })
    }

    /// The system identifier, from the first eight bytes of the control file (the same place in every version).
    ///
    /// # Errors
    /// A sentence, when it cannot be read.
    pub(crate) fn system_identifier(&self) -> Result<String, String> {
        let path = self.path.join("global/pg_control");
        let bytes = std::fs::read(&path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let first: [u8; 8] = bytes
            .get(..8)
            .and_then(|first| first.try_into().ok())
            .ok_or_else(|| format!("{} is cut short", path.display()))?;
        Ok(u64::from_ne_bytes(first).to_string())
    }

    /// As what a server started on it would come up.
    ///
    /// # Errors
    /// A sentence, when that cannot be seen.
    pub(crate) fn startup(&self) -> Result<Startup, String> {
        let signal = self.path.join("standby.signal");
        match signal.try_exists() {
            Ok(true) => Ok(Startup::Standby),
            // One with recovery.signal alone ends its recovery by itself, and writes then.
            Ok(false) => Ok(Startup::Writable),
            Err(error) => Err(format!("{} cannot be looked at: {error}", signal.display())),
        }
    }

    /// The postmaster, when there is one.
    pub(crate) fn postmaster(&self) -> Option<Pid> {
        let text = std::fs::read_to_string(self.path.join("postmaster.pid")).ok()?;
        let pid = Pid::from_raw(text.lines().next()?.trim().parse().ok()?)?;
        // The number in a file left behind may be a stranger's by now.
        matches!(self.belongs(pid), Belongs::Yes).then_some(pid)
    }

    /// Everything that works in it now.
    ///
    /// # Errors
    /// A sentence, when the kernel does not list processes.
    pub(crate) fn processes(&self) -> Result<Processes, String> {
        let list =
            std::fs::read_dir("/proc").map_err(|error| format!("/proc cannot be read: {error}"))?;
        let mut found = Processes::default();
        for entry in list.flatten() {
            let number = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            let Some(pid) = number.and_then(Pid::from_raw) else {
                continue;
            };
            match self.belongs(pid) {
                Belongs::Yes => found.members.push(pid),
                Belongs::Hidden => found.hidden.push(pid),
                Belongs::No => {}
            }
        }
        Ok(found)
    }

    fn belongs(&self, pid: Pid) -> Belongs {
        let proc = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
        match std::fs::read_link(proc.join("cwd")) {
            // A directory that was removed meanwhile is shown with a suffix.
            Ok(cwd)
                if cwd == self.path
                    || cwd.as_os_str() == format!("{} (deleted)", self.path.display()).as_str() =>
            {
                Belongs::Yes
            }
            Ok(_) => Belongs::No,
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                let owned = std::fs::metadata(&proc).is_ok_and(|meta| meta.uid() == self.owner);
                let name = std::fs::read_to_string(proc.join("comm")).unwrap_or_default();
                if owned && name.contains("post") {
                    Belongs::Hidden
                } else {
                    Belongs::No
                }
            }
            // It has ended: a zombie has no working directory and writes nothing.
            Err(_) => Belongs::No,
        }
    }
}

enum Belongs {
    Yes,
    No,
    Hidden,
}

/// Sends a signal; false when the process is gone or not ours to signal.
pub(crate) fn signal(pid: Pid, signal: Signal) -> bool {
    kill_process(pid, signal).is_ok()
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    #[test]
    fn processes_are_told_by_their_working_directory() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("global")).unwrap();
        std::fs::write(
            directory.path().join("global/pg_control"),
            7_654_321_u64.to_ne_bytes(),
        )
        .unwrap();
        let data = DataDirectory::open(directory.path()).unwrap();
        assert_eq!(data.system_identifier().unwrap(), "7654321");
        assert_eq!(data.processes().unwrap(), Processes::default());
        let mut child = std::process::Command::new("cat")
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        assert_eq!(data.processes().unwrap().members, [pid]);
        std::fs::write(
            directory.path().join("postmaster.pid"),
            format!("{}\n/x\n", pid.as_raw_nonzero()),
        )
        .unwrap();
        assert_eq!(data.postmaster(), Some(pid));
        assert!(signal(pid, Signal::KILL));
        child.wait().unwrap();
        assert_eq!(data.processes().unwrap(), Processes::default());
        assert_eq!(data.postmaster(), None);
    }

    #[test]
    fn a_stranger_is_not_the_postmaster() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("global")).unwrap();
        std::fs::write(
            directory.path().join("postmaster.pid"),
            format!("{}\n", std::process::id()),
        )
        .unwrap();
        assert_eq!(
            DataDirectory::open(directory.path()).unwrap().postmaster(),
            None
        );
    }
}
