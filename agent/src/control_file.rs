//! The control file of the database beside this agent, as `pg_controldata` tells it: also of one that is down.

use std::process::Stdio;
use std::time::Duration;

use crate::config::PostgresConfig;

/// What the program says; nothing without `postgres.bin_dir`, or when it does not end `within` the time.
pub(crate) async fn read(config: &PostgresConfig, within: Duration) -> Option<String> {
    let (bin_dir, pgdata) = config.bin_dir.as_ref().zip(config.pgdata.as_ref())?;
    let mut command = tokio::process::Command::new(bin_dir.join("pg_controldata"));
    command
        .arg("-D")
        .arg(pgdata)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(within, command.output()).await;
    let output = output.ok()?.ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
