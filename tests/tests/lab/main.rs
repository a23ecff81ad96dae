//! The fast ones of `tests/scenarios`, each on a lab of its own, one after the other.
//!
//! A file there that says `fast` needs a line here, and every row of the fault matrix has a line in
//! `tests/README.md`; tests say so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use tests::lab::narrative::Narrative;
use tests::lab::scenario::{self, Played, Scenario};

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
    let played = Box::pin(scenario::run(&scenario, &Narrative::new(false))).await?;
    if played == Played::Skipped {
        writeln!(
            std::io::stderr(),
            "skipped: lab scenario {name} (it needs network namespaces)"
        )?;
    }
    Ok(())
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
fn every_fast_scenario_is_run() -> Result<()> {
    let mut fast = Vec::new();
    for name in scenario::names()? {
        if Scenario::load(&name)?.fast {
            fast.push(name);
        }
    }
    assert_eq!(fast, NAMED);
    Ok(())
}

/// The table of `tests/README.md` names every row of the fault matrix once, and what it names is there.
#[test]
fn every_row_of_the_fault_matrix_has_a_scenario_or_a_reason() -> Result<()> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(path).context("reading the README")?;
    let names = scenario::names()?;
    let mut said = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [row, _fault, shown] = cells.as_slice() else {
            continue;
        };
        let Ok(row) = row.parse::<u8>() else {
            continue;
        };
        let named: BTreeSet<&str> = shown
            .split('`')
            .filter(|word| names.iter().any(|name| name == word))
            .collect();
        let reason = shown.strip_prefix("none: ").is_some_and(|it| it.len() > 20);
        assert!(reason || !named.is_empty(), "row {row}: {shown}");
        assert!(said.insert(row, named).is_none(), "row {row} twice");
    }
    assert_eq!(said.len(), 60, "{:?}", said.keys());
    for name in &names {
        let scenario = Scenario::load(name)?;
        for row in &scenario.rows {
            let named = said.get(row);
            assert!(
                named.is_some_and(|named| named.contains(name.as_str())),
                "{name} covers row {row}, which does not name it: {named:?}"
            );
        }
    }
    Ok(())
}
