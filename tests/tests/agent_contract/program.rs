//! The program: its arguments, its end, hooks, checks, and what it does with garbage.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use shared::clock::Millis;
use shared::id::{HookName, SiteName};
use shared::refusal::Refusal;
use shared::wire::{Action, PeerOutcome, ProbeRequest, ReportState};
use tests::port;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::leader::{Leader, failure, proof};
use crate::stage::{MOMENT, Stage, binary};
use crate::{LONG, eventually};

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn run(arguments: &[&str], input: &[u8]) -> Result<Ran> {
    let mut child = Command::new(binary()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = child.stdin.take().context("no input")?;
    stdin.write_all(input).await?;
    drop(stdin);
    let output = tokio::time::timeout(LONG, child.wait_with_output())
        .await
        .context("it hangs")??;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Ran {
        code: output.status.code(),
        out: text(&output.stdout),
        err: text(&output.stderr),
    })
}

#[tokio::test]
async fn arguments_and_files_are_checked() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("agent.toml");
    let path = file.to_str().context("an odd path")?;
    std::fs::write(
        &file,
        "stack = \"ess\"\nsite = \"dc1\"\nnode = \"n\"\nstate_dir = \"/s\"\nx = 1\n[nats]\n",
    )?;
    let ran = run(&["--config", path, "--check-config"], b"").await?;
    ensure!(
        ran.code == Some(2) && ran.err.contains("nats.servers") && ran.err.contains("x: found"),
        "{}",
        ran.err
    );
    std::fs::write(
        &file,
        "stack = \"ess\"\nsite = \"dc1\"\nnode = \"n\"\nstate_dir = \"/s\"\n[nats]\nservers = [\"nats://h:1\"]\n",
    )?;
    let ran = run(&["--config", path, "--check-config"], b"").await?;
    ensure!(
        ran.code == Some(0) && ran.out == "ok\n",
        "{:?} {} {}",
        ran.code,
        ran.out,
        ran.err
    );
    for wrong in [
        &[][..],
        &["--nonsense"],
        &["--config", "/nonexistent"],
        &["fly"],
    ] {
        ensure!(run(wrong, b"").await?.code == Some(2), "{wrong:?}");
    }
    ensure!(
        run(&["--version"], b"")
            .await?
            .out
            .starts_with("pointsman-agent "),
        "version"
    );
    let ran = run(&["decode"], b"\xc1nonsense").await?;
    ensure!(
        ran.code == Some(1) && ran.err.contains("no envelope"),
        "{}",
        ran.err
    );
    Ok(())
}

#[tokio::test]
async fn hooks_run_with_their_environment_and_end_in_time() -> Result<()> {
    let stage = Stage::set("dc2").await?;
    let hook = |name: &str, script: &str, timeout: &str| {
        format!(
            "[[hook]]\nname = \"{name}\"\nargv = [\"/bin/sh\", \"-c\", {script:?}]\ntimeout = \"{timeout}\"\n\
             environment = {{ ZONE = \"example.org\" }}\n"
        )
    };
    let show =
        "echo \"$POINTSMAN_EPOCH $POINTSMAN_SITE $POINTSMAN_TO_SITE $ZONE ${HOSTNAME:-none}\"; cat";
    let text = [
        hook("show", show, "5s"),
        hook("fail", "echo on stderr >&2; exit 3", "5s"),
        hook("hang", "sleep 600 & sleep 600", "1s"),
    ];
    let mut agent = stage.agent("dc2", &text.concat())?;
    agent.start()?;
    let mut leader = Leader::of(&stage, &agent).await?;
    let run = |name: &str| {
        let environment = [("to_site".to_owned(), "dc2 $(id)".to_owned())].into();
        Action::Hook {
            hook: HookName::new(name).expect("a name"),
            environment,
        }
    };
    let command = leader.command(run("show")).await?;
    let ended = leader
        .carry_out(&command)
        .await
        .with_context(|| agent.log_tail())?;
    ensure!(
        proof(&ended)?.contains("output: 2 dc2 dc2 $(id) example.org none"),
        "{ended:?}"
    );
    let command = leader.command(run("fail")).await?;
    let ended = leader.carry_out(&command).await?;
    ensure!(
        failure(&ended)?.contains("exit status: 3") && failure(&ended)?.contains("on stderr"),
        "{ended:?}"
    );
    let command = leader.command(run("hang")).await?;
    ensure!(
        matches!(leader.send(&command).await?, ReportState::Running { .. }),
        "not begun"
    );
    let other = leader.command(run("show")).await?;
    ensure!(
        matches!(leader.refused(&other).await?, Refusal::Busy { .. }),
        "two at once"
    );
    ensure!(
        failure(&leader.ended(&command).await?)?.contains("was killed"),
        "hang"
    );
    let unknown = leader.command(run("unknown")).await?;
    ensure!(
        matches!(leader.refused(&unknown).await?, Refusal::NoModule { .. }),
        "unknown hook"
    );
    Ok(())
}

/// A web server that answers everybody with one status and body.
async fn web(answer: &'static str) -> Result<u16> {
    let port = port::reserve()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 1024];
                drop(tokio::io::AsyncReadExt::read(&mut stream, &mut request).await);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                    answer.len()
                );
                drop(stream.write_all(format!("{head}{answer}").as_bytes()).await);
            });
        }
    });
    Ok(port)
}

#[tokio::test]
async fn checks_of_the_service_are_repeated_until_right() -> Result<()> {
    let stage = Stage::set("dc1").await?;
    let primary = stage.primary().await?;
    let (_agent, mut leader) = stage.agent_of(&primary, "").await?;
    let site = SiteName::new("dc1")?;
    let port = port::reserve()?;
    let http = |port: u16, contains: &str| Action::Verify {
        probe: ProbeRequest::Http {
            url: format!("http://127.0.0.1:{port}/versions?x=1"),
            status: 200,
            contains: Some(contains.to_owned()),
            attempt_ms: Millis(500),
        },
        site: site.clone(),
    };
    let right = web("{\"versions\":[]}").await?;
    let command = leader.command(http(right, "versions")).await?;
    ensure!(
        proof(&leader.carry_out(&command).await?)?.contains("status 200"),
        "http"
    );
    for (port, contains, word) in [
        (right, "nothing", "does not hold"),
        (port, "versions", "refused"),
    ] {
        let mut command = leader.command(http(port, contains)).await?;
        command.deadline_ms = Millis(1_200);
        let ended = leader.carry_out(&command).await?;
        ensure!(failure(&ended)?.contains(word), "{word}: {ended:?}");
    }
    let sql = |statement: &str, equals: &str| Action::Verify {
        probe: ProbeRequest::Sql {
            statement: statement.to_owned(),
            equals: equals.to_owned(),
        },
        site: site.clone(),
    };
    let command = leader
        .command(sql("SELECT pg_is_in_recovery()::text", "false"))
        .await?;
    proof(&leader.carry_out(&command).await?)?;
    // A check must not be able to change anything, least of all to promote.
    let wrong = [
        ("CREATE TABLE made (n int)", "read-only"),
        ("SELECT pg_promote(false)::text", "permission denied"),
        (
            "SELECT pg_create_physical_replication_slot('x')::text",
            "replication",
        ),
        (
            "SET default_transaction_read_only = off; SELECT 1",
            "multiple commands",
        ),
        ("SELECT 2", "not \"1\""),
    ];
    for (statement, word) in wrong {
        let mut command = leader.command(sql(statement, "1")).await?;
        command.deadline_ms = Millis(800);
        let ended = leader.carry_out(&command).await?;
        ensure!(failure(&ended)?.contains(word), "{word}: {ended:?}");
    }
    Ok(())
}

#[tokio::test]
async fn garbage_is_survived_and_logged_once() -> Result<()> {
    let stage = Stage::set("dc2").await?;
    let mut agent = stage.agent("dc2", "")?;
    agent.start()?;
    let mut leader = Leader::of(&stage, &agent).await?;
    leader.heartbeat_where("any content", |_| true).await?;
    for bytes in [
        &b""[..],
        b"\xc1",
        b"\x83\xa1v\x01\xa1k\xa3cmd\xa1b\x80",
        b"\x93\x01\xa3cmd\x80",
        &[0xdd; 64],
    ] {
        leader.send_raw(bytes).await?;
    }
    let before = leader.heartbeat_where("any content", |_| true).await?;
    let after = leader.heartbeat_where("any content", |_| true).await?;
    ensure!(
        before.process == after.process && after.sequence == before.sequence + 1,
        "it went away"
    );
    let warnings = agent
        .log()?
        .lines()
        .filter(|l| l.contains("WARN") && l.contains("cannot be read"))
        .count();
    ensure!(warnings == 1, "{warnings} warnings:\n{}", agent.log_tail());
    Ok(())
}

#[tokio::test]
async fn an_agent_ends_cleanly_and_is_alone_on_its_ledger() -> Result<()> {
    let stage = Stage::set("dc2").await?;
    let mut agent = stage.agent("dc2", "")?;
    agent.start()?;
    let mut leader = Leader::of(&stage, &agent).await?;
    let heartbeat = leader
        .heartbeat_where("fitness", |h| h.fitness == shared::wire::Fitness::Fit)
        .await?;
    ensure!(
        heartbeat.foreign_server.is_none() && heartbeat.sequence >= 3,
        "{heartbeat:?}"
    );
    let config = agent.config.to_str().context("an odd path")?.to_owned();
    let second = run(&["--config", &config], b"").await?;
    ensure!(
        second.code == Some(1) && second.err.contains("another agent"),
        "{:?} {}",
        second.code,
        second.err
    );
    agent.process()?.signal(Signal::TERM)?;
    let status = agent.process()?.wait_exit(Duration::from_secs(5)).await?;
    ensure!(status.success(), "{status}");
    Ok(())
}

#[tokio::test]
async fn other_sites_are_looked_at_without_the_bus() -> Result<()> {
    let stage = Stage::set("dc2").await?;
    let mut primary = stage.primary().await?;
    let through = stage.links.forward("dc2", "dc1", primary.address()).await?;
    let (own, other) = (port::reserve()?, port::reserve()?);
    let peer = |site: &str, channel: &str, address: &str| {
        format!(
            "[[peer]]\nsite = \"{site}\"\nchannel = \"{channel}\"\naddress = \"{address}\"\n\
             every = \"500ms\"\ntimeout = \"300ms\"\n"
        )
    };
    let responder = |port: u16| format!("[responder]\nlisten = \"127.0.0.1:{port}\"\n");
    let looks = [
        peer("dc1", "postgres", &through.to_string()),
        peer("dc3", "agent", &format!("127.0.0.1:{other}")),
        responder(own),
    ];
    let mut agent = stage.agent("dc2", &looks.concat())?;
    let mut third = stage.agent("dc3", &responder(other))?;
    agent.start()?;
    third.start()?;
    let mut leader = Leader::of(&stage, &agent).await?;
    let seen = |first: PeerOutcome, second: PeerOutcome| {
        move |h: &shared::wire::Heartbeat| {
            h.peers.first().is_some_and(|p| p.outcome == first)
                && h.peers.get(1).is_some_and(|p| p.outcome == second)
        }
    };
    let (answered, silent, refused) = (
        PeerOutcome::Answered,
        PeerOutcome::Silent,
        PeerOutcome::Refused,
    );
    leader
        .heartbeat_where("both answer", seen(answered, answered))
        .await?;
    third.kill().await?;
    leader
        .heartbeat_where("the agent is gone", seen(answered, refused))
        .await?;
    primary.freeze().await?;
    let frozen = leader
        .heartbeat_where("a frozen database", seen(silent, refused))
        .await?;
    ensure!(
        frozen.peers[0].answered_ms.is_some(),
        "the last answer is forgotten"
    );
    primary.thaw();
    leader
        .heartbeat_where("it answers again", seen(answered, refused))
        .await?;
    primary.kill().await?;
    leader
        .heartbeat_where("nobody is there", seen(refused, refused))
        .await?;
    Ok(())
}

#[tokio::test]
async fn heartbeats_are_not_made_up_for_after_an_outage() -> Result<()> {
    let mut stage = Stage::set("dc2").await?;
    let mut agent = stage.agent("dc2", "")?;
    agent.start()?;
    let mut leader = Leader::of(&stage, &agent).await?;
    let before = leader.heartbeat_where("any content", |_| true).await?;
    stage.nats.kill("dc2").await?;
    tokio::time::sleep(MOMENT * 2).await;
    stage.nats.start("dc2")?;
    stage.nats.wait_ready(LONG).await?;
    let after = leader.heartbeat_where("any content", |_| true).await?;
    ensure!(
        after.process == before.process && after.sequence >= before.sequence + 3,
        "{before:?} {after:?}"
    );
    let next = leader.heartbeat_where("any content", |_| true).await?;
    ensure!(next.sequence == after.sequence + 1, "a backlog");
    let gap = next.uptime_ms.0 - after.uptime_ms.0;
    ensure!(
        (600..1_600).contains(&gap),
        "{gap} ms between two heartbeats"
    );
    eventually("commands arrive again", async || {
        let action = Action::Hook {
            hook: HookName::new("none").expect("a name"),
            environment: [].into(),
        };
        let Ok(command) = leader.command(action).await else {
            return false;
        };
        matches!(leader.refused(&command).await, Ok(Refusal::NoModule { .. }))
    })
    .await
}
