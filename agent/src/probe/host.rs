//! Samples the host's load once a second, and the free space of one filesystem more rarely.
//!
//! Asking a filesystem can hang with its disk, so that happens aside, one question at a time.

use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::statvfs;
use shared::wire::HostSample;
use sysinfo::System;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::{Reading, Writer};
use crate::clock;
use crate::config::HostConfig;

const EVERY: Duration = Duration::from_secs(1);
/// Samples between two looks at the filesystem.
const DISK_EVERY: u32 = 10;

/// Samples for ever.
pub(crate) async fn run(config: HostConfig, writer: Writer<HostSample>) {
    let mut system = match System::new() {
        Ok(system) => system,
        Err(error) => {
            tracing::error!(%error, "this host's load cannot be sampled");
            return;
        }
    };
    let mut disk = Disk {
        path: config.watch,
        asking: None,
        free_mib: None,
        ticks: 0,
    };
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        system.refresh_cpu_usage();
        system.refresh_memory();
        let sample = HostSample {
            cpu_permille: permille(system.global_cpu_usage()),
            memory_available_mib: mib(system.available_memory()),
            memory_total_mib: mib(system.total_memory()),
            load_centi: load_centi(),
            disk_free_mib: disk.free_mib().await,
        };
        writer.send_replace(Some(Reading {
            at: clock::mono(),
            value: sample,
        }));
    }
}

struct Disk {
    path: Option<PathBuf>,
    asking: Option<JoinHandle<Option<u32>>>,
    free_mib: Option<u32>,
    ticks: u32,
}

impl Disk {
    async fn free_mib(&mut self) -> Option<u32> {
        if let Some(asking) = self.asking.take_if(|asking| asking.is_finished()) {
            self.free_mib = asking.await.ok().flatten();
        }
        if self.asking.is_none() && self.ticks == 0 {
            let path = self.path.clone()?;
            self.asking = Some(tokio::task::spawn_blocking(move || {
                let stat = statvfs(&path).ok()?;
                Some(mib(stat.f_bavail.saturating_mul(stat.f_frsize)))
            }));
        }
        self.ticks = (self.ticks + 1) % DISK_EVERY;
        self.free_mib
    }
}

fn mib(bytes: u64) -> u32 {
    u32::try_from(bytes / (1024 * 1024)).unwrap_or(u32::MAX)
}

/// A share in percent as thousandths.
fn permille(percent: f32) -> u16 {
    // From the text of the rounded number: no lossless conversion from float to integer exists.
    format!("{:.0}", (percent * 10.0).clamp(0.0, 1_000.0))
        .parse()
        .unwrap_or(0)
}

/// The one-minute load average in hundredths, as the kernel writes it.
fn load_centi() -> u32 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split_whitespace().next().unwrap_or_default();
    first.replace('.', "").parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_thousandths() {
        assert_eq!(permille(12.34), 123);
        assert_eq!(permille(100.0), 1_000);
        assert_eq!(permille(f32::NAN), 0);
    }

    #[test]
    fn memory_is_whole_mebibytes() {
        assert_eq!(mib(3 * 1024 * 1024 + 1), 3);
        assert_eq!(mib(u64::MAX), u32::MAX);
    }
}
