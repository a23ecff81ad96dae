//! A lab that stays up: a process of its own in the background, with a pid file and a log.
//!
//! The relays live in the lab's process, so a lab that stays has to keep that process. The one in front
//! starts it, shows its log, passes on what is typed, and leaves when the failover is over. It must never
//! leave the one behind running when it is interrupted before that.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::answers::Lines;

const LOOK: Duration = Duration::from_millis(100);
const END: Duration = Duration::from_mins(1);

/// The directory that tells of this user's kept lab.
#[derive(Debug, Clone)]
pub struct Post {
    directory: PathBuf,
}

/// Proof that this process is the kept lab; others see it by the lock.
#[derive(Debug)]
pub struct Claim {
    post: Post,
    _lock: File,
}

impl Post {
    /// The directory of this user, made if need be.
    ///
    /// # Errors
    /// When it cannot be made, or somebody else made it.
    pub fn of_user() -> Result<Self> {
        let base = std::env::var_os("XDG_RUNTIME_DIR").filter(|name| !name.is_empty());
        let base = base.map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let user = rustix::process::geteuid().as_raw();
        let directory = base.join(format!("pointsman-lab-{user}"));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .with_context(|| format!("making {}", directory.display()))?;
        let found = std::fs::symlink_metadata(&directory).context("looking at the directory")?;
        ensure!(
            found.is_dir() && found.uid() == user,
            "{} belongs to somebody else",
            directory.display()
        );
        Ok(Self { directory })
    }

    /// A directory that was given.
    pub fn at(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The lab's log.
    pub fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// The process number of the kept lab, if one is up.
    ///
    /// # Errors
    /// When its files cannot be read, such as while it starts or ends.
    pub fn holder(&self) -> Result<Option<i32>> {
        if !self.is_held()? {
            return Ok(None);
        }
        let text = std::fs::read_to_string(self.directory.join("pid"))
            .context("a kept lab starts or ends just now: it has no pid file")?;
        Ok(Some(text.trim().parse().context("an odd pid file")?))
    }

    fn is_held(&self) -> Result<bool> {
        Ok(self.lock()?.is_none())
    }

    /// Becomes the kept lab.
    ///
    /// # Errors
    /// When one is up already.
    pub fn claim(self) -> Result<Claim> {
        let lock = self
            .lock()?
            .context("a kept lab is up already: take it down first")?;
        let pid = std::process::id().to_string();
        std::fs::write(self.directory.join("pid"), pid).context("writing the pid file")?;
        Ok(Claim {
            post: self,
            _lock: lock,
        })
    }

    /// Ends the kept lab and waits until everything of it is gone; whether there was one.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn take_down(&self) -> Result<bool> {
        let holder = self.holder()?;
        if let Some(holder) = holder {
            let pid = Pid::from_raw(holder).context("an odd pid file")?;
            kill_process(pid, Signal::TERM).context("asking the lab to end")?;
        }
        let deadline = Instant::now() + END;
        while self.is_held()? {
            ensure!(
                Instant::now() < deadline,
                "{holder:?} has not ended after {END:?}"
            );
            sleep(LOOK).await;
        }
        // Whatever of these is not there was not left behind.
        for name in ["log", "lock"] {
            drop(std::fs::remove_file(self.directory.join(name)));
        }
        drop(std::fs::remove_dir(&self.directory));
        Ok(holder.is_some())
    }

    /// Starts this program again in the background with `arguments`, shows its log until the failover is
    /// over, and gives its exit code.
    ///
    /// # Errors
    /// When a kept lab is up already or the new one does not start.
    pub async fn start_behind(&self, arguments: &[String], yes: bool) -> Result<u8> {
        if let Some(holder) = self.holder()? {
            bail!("a kept lab is up already (process {holder}): deploy/lab/run.sh down");
        }
        let log = File::create(self.log()).context("making the log")?;
        drop(std::fs::remove_file(self.over()));
        let own = std::env::current_exe().context("the path of this program")?;
        let mut child = Command::new("setsid")
            .arg(own)
            .args(arguments)
            .arg("--behind")
            .arg(&self.directory)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().context("sharing the log")?)
            .stderr(log)
            .spawn()
            .context("starting the lab in the background")?;
        let mut typed = if yes {
            None
        } else {
            Some(Lines::of_standard_input())
        };
        let shown = self.show(&mut child, typed.as_mut());
        tokio::select! {
            shown = shown => return shown,
            _ = tokio::signal::ctrl_c() => {}
        }
        // The end of its input ends it while the failover is not over.
        drop(child.stdin.take());
        drop(child.wait().await);
        Ok(130)
    }

    async fn show(&self, child: &mut Child, mut typed: Option<&mut Lines>) -> Result<u8> {
        let mut log = File::open(self.log()).context("opening the log")?;
        let mut place = 0;
        loop {
            let ended = child.try_wait().context("waiting for the lab")?;
            let over = std::fs::read_to_string(self.over()).ok();
            place = copy_from(&mut log, place)?;
            if let Some(status) = ended {
                return Ok(status
                    .code()
                    .and_then(|code| u8::try_from(code).ok())
                    .unwrap_or(1));
            }
            if let Some(code) = over.and_then(|text| text.trim().parse().ok()) {
                copy_from(&mut log, place)?;
                return Ok(code);
            }
            tokio::select! {
                line = next_line(&mut typed) => if let (Some(line), Some(stdin)) = (line, child.stdin.as_mut()) {
                    stdin.write_all(format!("{line}\n").as_bytes()).await.context("passing on an answer")?;
                },
                () = sleep(LOOK) => {}
            }
        }
    }

    fn over(&self) -> PathBuf {
        self.directory.join("over")
    }

    /// The lock, unless somebody holds it.
    fn lock(&self) -> Result<Option<File>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.directory.join("lock"))
            .context("opening the lock")?;
        let free = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        Ok(free.then_some(file))
    }
}

impl Claim {
    /// Says that the failover is over and how it ended; from now on the lab stays.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn over(&self, code: u8) -> Result<()> {
        let next = self.post.directory.join("over.next");
        std::fs::write(&next, code.to_string()).context("writing the outcome")?;
        std::fs::rename(&next, self.post.over()).context("writing the outcome")
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        for name in ["pid", "over"] {
            drop(std::fs::remove_file(self.post.directory.join(name)));
        }
    }
}

async fn next_line(typed: &mut Option<&mut Lines>) -> Option<String> {
    match typed {
        Some(lines) => match lines.next().await {
            Some(line) => Some(line),
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// Copies what a file has from `place` on to standard output, and gives the new place.
fn copy_from(file: &mut File, place: u64) -> Result<u64> {
    file.seek(SeekFrom::Start(place))
        .context("reading the log")?;
    let mut text = Vec::new();
    let read = file.read_to_end(&mut text).context("reading the log")?;
    let mut out = std::io::stdout().lock();
    // A reader that went away must not end the lab.
    drop(out.write_all(&text).and_then(|()| out.flush()));
    Ok(place + u64::try_from(read).unwrap_or(0))
}

/// Where the files of a lab that was not whole are kept.
///
/// # Errors
/// When they cannot be copied.
pub fn keep_logs(from: &Path, name: &str) -> Result<PathBuf> {
    let base = std::env::temp_dir();
    let to = base.join(format!("pointsman-lab-logs-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&to).with_context(|| format!("making {}", to.display()))?;
    copy_logs(from, &to, 0)?;
    Ok(to)
}

/// Logs, settings and journals; not the stores of the servers.
fn copy_logs(from: &Path, to: &Path, depth: u8) -> Result<()> {
    const KEPT: [&str; 6] = ["log", "toml", "jsonl", "conf", "txt", "json"];
    let entries = std::fs::read_dir(from).with_context(|| format!("reading {}", from.display()))?;
    for entry in entries.flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let stores = ["data", "store", "state"]
            .iter()
            .any(|name| entry.file_name() == *name);
        if path.is_dir() && !stores && depth < 2 {
            std::fs::create_dir_all(&target).context("making a directory of logs")?;
            copy_logs(&path, &target, depth + 1)?;
        } else if path
            .extension()
            .is_some_and(|ext| KEPT.iter().any(|kept| ext == *kept))
        {
            std::fs::copy(&path, &target).with_context(|| format!("keeping {}", path.display()))?;
        }
    }
    Ok(())
}
