//! The scenarios of `tests/scenarios`, each on a lab of its own, one after the other.
//!
//! A new file there needs a line here; a test says so.

use std::fs::{File, OpenOptions};
use std::io::Write;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use tests::lab::narrative::Narrative;
use tests::lab::scenario::{self, Scenario};

/// One lab at a time on this machine, whatever process runs it.
fn alone() -> Result<File> {
    let user = rustix::process::geteuid().as_raw();
    let path = std::env::temp_dir().join(format!("pointsman-lab-tests-{user}.lock"));
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))?;
    flock(&file, FlockOperation::LockExclusive).context("waiting for the other labs")?;
    Ok(file)
}

async fn hold(name: &str) -> Result<()> {
    if std::env::var_os("POINTSMAN_TEST_SKIP_LAB").is_some_and(|value| value == "1") {
        // Past the test runner's capture, so that a skip is always seen.
        writeln!(
            std::io::stderr(),
            "skipped: lab scenario {name} (POINTSMAN_TEST_SKIP_LAB=1)"
        )?;
        return Ok(());
    }
    let _alone = alone()?;
    let scenario = Scenario::load(name)?;
    Box::pin(scenario::run(&scenario, &Narrative::new(false))).await
}

macro_rules! scenarios {
    ($($test:ident = $name:literal,)*) => {
        const NAMED: &[&str] = &[$($name),*];

        $(
            #[tokio::test]
            async fn $test() -> Result<()> {
                hold($name).await
            }
        )*
    };
}

scenarios! {
    agent_killed_in_promote = "agent-killed-in-promote",
    bus_of_live_site_lost = "bus-of-live-site-lost",
    commands_delivered_twice = "commands-delivered-twice",
    frozen_site_back = "frozen-site-back",
    garbage_on_the_bus = "garbage-on-the-bus",
    leader_killed_even_steps = "leader-killed-even-steps",
    leader_killed_odd_steps = "leader-killed-odd-steps",
    link_cut = "link-cut",
    site_back_before_approval = "site-back-before-approval",
    whole_run_freeze = "whole-run-freeze",
    whole_run_kill = "whole-run-kill",
}

#[test]
fn every_scenario_file_is_run() -> Result<()> {
    assert_eq!(scenario::names()?, NAMED);
    Ok(())
}
