//! The operator: the `pointsman` command line, run as a person would run it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coordinator::reply::ShowReply;
use decision::Proposal;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::STACK;
use super::narrative::Narrative;
use super::program;

const SHOW: Duration = Duration::from_secs(10);
/// Name under which the lab approves.
const NAME: &str = "lab-operator";

/// The command line with its servers.
#[derive(Debug, Clone)]
pub struct Operator {
    binary: PathBuf,
    servers: String,
    name: String,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it printed as results.
    pub out: String,
    /// What it printed besides.
    pub err: String,
}

impl Operator {
    /// An operator who reaches the given NATS servers.
    ///
    /// # Errors
    /// When `pointsman` was not built.
    pub fn new(servers: &[SocketAddr]) -> Result<Self> {
        let urls: Vec<String> = servers.iter().map(|at| format!("nats://{at}")).collect();
        Ok(Self {
            binary: program::path("pointsman")?,
            servers: urls.join(","),
            name: NAME.to_owned(),
        })
    }

    /// The same command line in the hands of somebody else.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        let name = name.to_owned();
        Self {
            name,
            ..self.clone()
        }
    }

    /// The program.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// The servers, as `POINTSMAN_SERVERS` wants them.
    pub fn servers(&self) -> &str {
        &self.servers
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// When it cannot be started or takes longer than `within`.
    pub async fn run(&self, arguments: &[&str], within: Duration) -> Result<Ended> {
        let output = timeout(within, self.command(arguments).output())
            .await
            .with_context(|| format!("pointsman {arguments:?} has not ended after {within:?}"))?
            .context("starting pointsman")?;
        Ok(Ended {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs a command that must succeed, and gives what it printed.
    ///
    /// # Errors
    /// When it does not end with 0.
    pub async fn must(&self, arguments: &[&str], within: Duration) -> Result<String> {
        let ended = self.run(arguments, within).await?;
        ensure!(
            ended.code == Some(0),
            "pointsman {arguments:?} ended with {:?}: {}{}",
            ended.code,
            ended.out,
            ended.err
        );
        Ok(ended.out)
    }

    /// Runs a command and tells each line that it prints as it comes.
    ///
    /// # Errors
    /// When it cannot be started or takes longer than `within`.
    pub async fn follow(
        &self,
        arguments: &[&str],
        within: Duration,
        narrative: &Narrative,
    ) -> Result<Ended> {
        let mut child = self
            .command(arguments)
            .spawn()
            .context("starting pointsman")?;
        let out = child.stdout.take().context("pointsman has no output")?;
        let err = child.stderr.take().context("pointsman has no errors")?;
        let said = narrative.clone();
        let errors = async {
            let mut lines = BufReader::new(err).lines();
            let mut kept = String::new();
            while let Ok(Some(line)) = lines.next_line().await {
                said.show(&line);
                kept.push_str(&line);
                kept.push('\n');
            }
            kept
        };
        let results = async {
            let mut lines = BufReader::new(out).lines();
            let mut kept = String::new();
            while let Ok(Some(line)) = lines.next_line().await {
                narrative.show(&format!("            | {line}"));
                kept.push_str(&line);
                kept.push('\n');
            }
            kept
        };
        let whole = async { tokio::join!(child.wait(), results, errors) };
        let (status, out, err) = timeout(within, whole)
            .await
            .with_context(|| format!("pointsman {arguments:?} has not ended after {within:?}"))?;
        let code = status.context("waiting for pointsman")?.code();
        Ok(Ended { code, out, err })
    }

    /// One proposal and its run: an id, or `latest`.
    ///
    /// # Errors
    /// When nobody answers or there is none.
    pub async fn show(&self, id: &str) -> Result<ShowReply> {
        let text = self.must(&["show", id, "--json"], SHOW).await?;
        serde_json::from_str(&text).with_context(|| format!("an unreadable proposal: {text}"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .env("POINTSMAN_SERVERS", &self.servers)
            .env("POINTSMAN_STACK", STACK)
            .env("POINTSMAN_OPERATOR", &self.name)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

/// The arguments that approve exactly one proposal, with everything that it needs.
pub fn approval(proposal: &Proposal, digest: &str, reason: &str) -> Vec<String> {
    let mut words = vec![
        "approve".to_owned(),
        proposal.id.to_string(),
        "--digest".to_owned(),
        digest.to_owned(),
        "--yes".to_owned(),
        "--reason".to_owned(),
        reason.to_owned(),
    ];
    if let Some(site) = &proposal.needs.attest_site_off {
        words.extend(["--attest-site-off".to_owned(), site.to_string()]);
    }
    for needed in &proposal.needs.overrides {
        words.extend(["--override".to_owned(), format!("{}={reason}", needed.rule)]);
    }
    words
}
