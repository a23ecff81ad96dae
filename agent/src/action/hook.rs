//! Runs a program that the agent's own file names, in a process group of its own.
//!
//! No shell is involved. What the step gives reaches it as environment variables only, each with the prefix
//! `POINTSMAN_`, so that a plan cannot choose what is run.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use shared::id::HookName;
use shared::refusal::Refusal;
use shared::wire::ProofLine;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::{Job, Result, Stop, failed};
use crate::config::{HookConfig, is_variable};

/// The end of the output that is kept, in bytes.
const TAIL: usize = 900;
/// What a program gets between the request to end and the kill.
const GRACE: Duration = Duration::from_secs(1);
/// Output still waited for after the end: a grandchild may hold the pipe for ever.
const DRAIN: Duration = Duration::from_millis(200);
const POLL: Duration = Duration::from_millis(100);
/// Variables taken over from the agent.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

pub(super) async fn perform(
    job: &Job<'_>,
    name: &HookName,
    given: &BTreeMap<String, String>,
) -> Result<Vec<ProofLine>> {
    let config = job.scene.config.hooks.get(name);
    let missing = || {
        Stop::Refused(Refusal::NoModule {
            module: format!("hook {name}"),
        })
    };
    let config = config.ok_or_else(missing)?;
    let begun = Instant::now();
    let limit = config.timeout.duration().min(job.left());
    let mut child = spawn(job, config, given)?;
    let group = Group(
        child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw),
    );
    let output = tokio::spawn(tails(child.stdout.take(), child.stderr.take()));
    job.progress.set(format!("hook {name} runs"));
    let ended = tokio::time::timeout(limit, child.wait()).await;
    if ended.is_err() {
        end(&mut child, &group).await;
    }
    let tail = drained(output).await;
    let took = format!("{} ms", begun.elapsed().as_millis());
    match ended {
        Ok(Ok(status)) if status.success() => Ok(vec![
            ProofLine::new(&format!("hook {name}"), &format!("ended well after {took}")),
            ProofLine::new("output", &tail),
        ]),
        Ok(Ok(status)) => Err(failed(format!(
            "hook {name} ended with {status} after {took}: {tail}"
        ))),
        Ok(Err(error)) => Err(failed(format!("hook {name} cannot be waited for: {error}"))),
        Err(_elapsed) => Err(Stop::Failed {
            reason: format!("hook {name} had not ended after {took} and was killed: {tail}"),
            pending: false,
        }),
    }
}

fn spawn(job: &Job<'_>, config: &HookConfig, given: &BTreeMap<String, String>) -> Result<Child> {
    let (program, arguments) = config
        .argv
        .split_first()
        .ok_or_else(|| failed("the hook has no program"))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .current_dir("/")
        .process_group(0);
    for name in INHERITED {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
        .envs(&config.environment)
        .envs(environment(job, given)?);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
        .spawn()
        .map_err(|error| failed(format!("{program} cannot be run: {error}")))
}

fn environment(
    job: &Job<'_>,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>> {
    let command = job.command;
    let mut environment = BTreeMap::new();
    for (name, value) in given {
        let name = name.to_ascii_uppercase();
        if !is_variable(&name) || value.contains('\0') {
            return Err(failed(format!(
                "{name:?} cannot be an environment variable"
            )));
        }
        environment.insert(format!("POINTSMAN_{name}"), value.clone());
    }
    // The command's own facts win over what the plan gives under the same name.
    let own = [
        ("EPOCH", command.epoch.to_string()),
        ("STACK", command.stack.to_string()),
        ("SITE", command.site.to_string()),
        ("NODE", command.node.to_string()),
        ("RUN", command.run.to_string()),
        ("STEP", command.step.to_string()),
        ("COMMAND", command.id.to_string()),
    ];
    environment.extend(own.map(|(name, value)| (format!("POINTSMAN_{name}"), value)));
    Ok(environment)
}

/// The program and all that it started. Whatever is left is killed when this goes, the agent's end included.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.0 {
            // It fails when nobody is left to signal.
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

async fn end(child: &mut Child, group: &Group) {
    group.signal(Signal::TERM);
    let by = Instant::now() + GRACE;
    while Instant::now() < by && matches!(child.try_wait(), Ok(None)) {
        tokio::time::sleep(POLL).await;
    }
    group.signal(Signal::KILL);
}

/// The tails of both outputs, shared so that they can be read while a grandchild still holds a pipe.
async fn tails(
    stdout: Option<impl AsyncRead + Unpin>,
    stderr: Option<impl AsyncRead + Unpin>,
) -> String {
    let (out, err) = tokio::join!(tail(stdout), tail(stderr));
    let both = [out, err].join("\n");
    both.trim().to_owned()
}

async fn tail(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut pipe) = pipe else {
        return String::new();
    };
    let mut kept: Vec<u8> = Vec::with_capacity(TAIL);
    let mut piece = [0; 512];
    while let Ok(read @ 1..) = pipe.read(&mut piece).await {
        kept.extend_from_slice(piece.get(..read).unwrap_or_default());
        let excess = kept.len().saturating_sub(TAIL);
        kept.drain(..excess);
    }
    crate::report::bounded(&String::from_utf8_lossy(&kept))
}

async fn drained(output: tokio::task::JoinHandle<String>) -> String {
    let aborting = output.abort_handle();
    match tokio::time::timeout(DRAIN, output).await {
        Ok(Ok(tail)) => tail,
        Ok(Err(_)) => String::new(),
        Err(_elapsed) => {
            aborting.abort();
            "(a process that it started still holds its output)".to_owned()
        }
    }
}
