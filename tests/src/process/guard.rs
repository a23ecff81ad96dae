//! The shell that cleans up when this process is gone, however it went.
//!
//! A parent-death signal reaches only a direct child, and a frozen grandchild would stay for ever.
//! So one small shell per process reads the directories of all children from a pipe; when the pipe
//! closes, because this process ended, it kills whatever still has its working directory in one of
//! them and removes the scratch directories and the network namespaces. It must never touch any other.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};

/// Lines: `kill DIR`, `remove DIR`, `namespace NAME LOCK`. Ends after one pass that finds nothing alive, or 50 passes.
const SCRIPT: &str = r#"
trap '' INT TERM HUP QUIT
kill_list=; remove_list=; namespaces=
while IFS=' ' read -r verb directory; do
  case $verb in
    kill) kill_list="$kill_list$directory
";;
    remove) remove_list="$remove_list$directory
";;
    namespace) namespaces="$namespaces$directory
";;
  esac
done
IFS='
'
pass=0
while [ $pass -lt 50 ]; do
  pass=$((pass + 1)); alive=0
  for entry in /proc/[0-9]*; do
    cwd=$(readlink "$entry/cwd" 2>/dev/null) || continue
    cwd="${cwd% (deleted)}/"
    for directory in $kill_list; do
      case $cwd in "$directory"/*) kill -9 "${entry#/proc/}" 2>/dev/null; alive=1;; esac
    done
  done
  [ $alive -eq 0 ] && break
  sleep 0.1
done
for directory in $remove_list; do
  while IFS=' ' read -r _ place _; do
    case $place in "$directory"/*) umount -l "$place" 2>/dev/null;; esac
  done </proc/mounts
  rm -rf -- "$directory"
done
for entry in $namespaces; do
  flock -n "${entry#* }" ip netns delete "${entry%% *}" 2>/dev/null
done
"#;

static PIPE: Mutex<Option<ChildStdin>> = Mutex::new(None);

/// From now on, kill what works in `directory` when this process ends.
///
/// # Errors
/// When the guard cannot be started or told.
pub fn kill_at_end(directory: &Path) -> Result<()> {
    tell("kill", directory)
}

/// From now on, remove `directory` when this process ends.
///
/// # Errors
/// When the guard cannot be started or told.
pub fn remove_at_end(directory: &Path) -> Result<()> {
    tell("remove", directory)
}

/// From now on, delete the network namespace `name` when this process ends, unless somebody else holds the
/// file `lock` by then, and with it the name.
///
/// # Errors
/// When the guard cannot be started or told.
pub fn drop_namespace_at_end(name: &str, lock: &str) -> Result<()> {
    ensure!(
        !name.is_empty() && !name.contains(['/', ' ', '\n']) && !lock.contains([' ', '\n']),
        "{name:?} is no name of a namespace, or {lock:?} none of a lock"
    );
    write_line(&format!("namespace {name} {lock}"))
}

fn tell(verb: &str, directory: &Path) -> Result<()> {
    let path = directory
        .to_str()
        .context("a child's directory is not UTF-8")?;
    // A relative, shallow or odd path must never reach a script that kills and removes.
    ensure!(
        directory.is_absolute() && directory.components().count() > 2 && !path.contains('\n'),
        "{path} is not a directory a child may have"
    );
    write_line(&format!("{verb} {path}"))
}

fn write_line(line: &str) -> Result<()> {
    let mut pipe = PIPE.lock().unwrap_or_else(PoisonError::into_inner);
    let stdin = match pipe.as_mut() {
        Some(stdin) => stdin,
        None => pipe.insert(start()?),
    };
    writeln!(stdin, "{line}").context("telling the guard")
}

fn start() -> Result<ChildStdin> {
    let mut child = Command::new("sh")
        .args(["-c", SCRIPT])
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("starting the guard shell")?;
    child.stdin.take().context("the guard shell has no input")
}
