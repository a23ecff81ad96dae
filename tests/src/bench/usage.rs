//! What a process uses, as the kernel counts it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::process::membership::Membership;

/// What the kernel tells user space (`USER_HZ`), whatever it counts itself in, on x86 and ARM.
const TICKS_A_SECOND: u64 = 100;

/// A look at one process.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// When.
    pub at: Instant,
    /// Processor time since its start, all its threads together.
    pub cpu: Duration,
    /// Resident memory in bytes.
    pub resident: u64,
    /// The part of it that is its own and not mapped from a file, in bytes.
    pub anonymous: u64,
}

impl Usage {
    /// Looks at a process.
    ///
    /// # Errors
    /// When it is gone.
    pub fn of(pid: i32) -> Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
            .with_context(|| format!("process {pid} is gone"))?;
        Ok(Self {
            at: Instant::now(),
            cpu: ticks(pid)?.max(scheduled(pid)),
            resident: kibibytes(&status, "VmRSS:")? * 1024,
            anonymous: kibibytes(&status, "RssAnon:")? * 1024,
        })
    }

    /// Processors used since an earlier look, on average.
    pub fn cores_since(&self, earlier: &Self) -> f64 {
        let span = self.at.duration_since(earlier.at).as_secs_f64();
        self.cpu.saturating_sub(earlier.cpu).as_secs_f64() / span
    }
}

/// The one process that works in a directory.
///
/// # Errors
/// When there is none, or more than one.
pub fn process_in(directory: &Path) -> Result<i32> {
    let members = Membership::of_directory(directory).members();
    ensure!(
        members.len() == 1,
        "{} is the directory of {members:?}",
        directory.display()
    );
    members
        .first()
        .map(|member| member.pid)
        .context("no process")
}

fn kibibytes(status: &str, key: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let word = line.and_then(|rest| rest.split_whitespace().next());
    word.and_then(|word| word.parse().ok())
        .with_context(|| format!("the kernel does not tell {key}"))
}

/// Processor time in clock ticks: threads that have ended are in it, and it is coarse.
fn ticks(pid: i32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid} is gone"))?;
    // The name in parentheses may hold anything.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let field = |n: usize| fields.get(n).and_then(|word| word.parse::<u64>().ok());
    let (user, system) = field(11)
        .zip(field(12))
        .context("the kernel does not tell the time used")?;
    Ok(Duration::from_millis(
        (user + system) * 1000 / TICKS_A_SECOND,
    ))
}

/// Processor time of the living threads to the nanosecond, where the kernel counts that; else nothing.
fn scheduled(pid: i32) -> Duration {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Duration::ZERO;
    };
    let of_thread = |thread: std::fs::DirEntry| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(threads.flatten().filter_map(of_thread).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_time() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let before = Usage::of(pid).unwrap();
        assert!(before.resident > before.anonymous && before.anonymous > 0);
        let mut sum = 0_u64;
        while Usage::of(pid).unwrap().cpu < before.cpu + Duration::from_millis(30) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(Usage::of(pid).unwrap().cores_since(&before) > 0.0);
    }
}
