//! Nothing of a child survives: not a kill, not a drop, not the death of its parent.

use std::path::Path;

use anyhow::{Result, ensure};
use tests::account::Account;
use tests::ground::Ground;
use tests::process::membership::Membership;
use tests::process::{Process, Program};
use tests::scratch::{Scratch, create_directory};
use tokio::time::sleep;

use crate::{LONG, SOON, eventually};

fn shell(scratch: &Path, script: &str) -> Result<Program> {
    let directory = scratch.join("shell");
    create_directory(&directory, &Account::Caller, 0o755)?;
    Ok(Program {
        name: "shell".to_owned(),
        executable: "sh".into(),
        arguments: vec!["-c".into(), script.into()],
        environment: Vec::new(),
        log: scratch.join("shell.log"),
        directory,
        account: Account::Caller,
        ground: Ground::LOOPBACK,
    })
}

#[tokio::test]
async fn killing_a_process_leaves_nothing_of_its_group() -> Result<()> {
    let scratch = Scratch::new()?;
    // One child in the group, one in a session of its own, one that left the directory as well.
    let script = "sleep 600 & setsid sleep 600 & (cd / && sleep 600) & wait";
    let mut process = Process::spawn(&shell(scratch.path(), script)?)?;
    eventually("four processes", async || process.members().len() >= 4).await?;
    let pids: Vec<i32> = process.members().iter().map(|member| member.pid).collect();
    process.kill().await?;
    assert_eq!(process.members(), []);
    for pid in pids {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        ensure!(stat.is_empty() || stat.contains(") Z "), "alive: {stat}");
    }
    Ok(())
}

#[tokio::test]
async fn dropping_a_frozen_process_leaves_nothing_either() -> Result<()> {
    let scratch = Scratch::new()?;
    let program = shell(scratch.path(), "sleep 600 & wait")?;
    let process = Process::spawn(&program)?;
    eventually("two processes", async || process.members().len() >= 2).await?;
    process.freeze().await?;
    assert!(process.members().iter().all(|member| member.frozen));
    drop(process);
    assert_eq!(Membership::of_directory(&program.directory).members(), []);
    Ok(())
}

/// Not a test of its own: what [`nothing_survives_the_death_of_the_parent`] runs and kills.
#[tokio::test]
#[ignore = "runs as a child of another test"]
async fn parent_to_be_killed() -> Result<()> {
    let Some(directory) = std::env::var_os("SUBSTRATE_DIRECTORY") else {
        return Ok(());
    };
    let program = shell(Path::new(&directory), "sleep 600 & setsid sleep 600 & wait")?;
    let process = Process::spawn(&program)?;
    eventually("three processes", async || process.members().len() >= 3).await?;
    process.freeze().await?;
    std::fs::write(Path::new(&directory).join("frozen"), "")?;
    sleep(LONG).await;
    Ok(())
}

#[tokio::test]
async fn nothing_survives_the_death_of_the_parent() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut parent = tokio::process::Command::new(std::env::current_exe()?)
        .args(["--exact", "--ignored", "process::parent_to_be_killed"])
        .env("SUBSTRATE_DIRECTORY", scratch.path())
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let children = Membership::of_directory(&scratch.path().join("shell"));
    let frozen = scratch.path().join("frozen");
    eventually("frozen grandchildren", async || frozen.exists()).await?;
    ensure!(
        children.members().len() >= 3,
        "members: {:?}",
        children.members()
    );
    parent.start_kill()?;
    parent.wait().await?;
    children.wait_empty(SOON * 2).await
}

#[tokio::test]
async fn a_directory_in_use_is_refused() -> Result<()> {
    let scratch = Scratch::new()?;
    let program = shell(scratch.path(), "sleep 600")?;
    let first = Process::spawn(&program)?;
    eventually("the first", async || !first.members().is_empty()).await?;
    let second = Process::spawn(&program);
    ensure!(second.is_err(), "two children in one directory");
    let own = Program {
        directory: std::env::current_dir()?,
        ..program
    };
    ensure!(
        Process::spawn(&own).is_err(),
        "a child in the caller's directory"
    );
    Ok(())
}
