//! What a scenario does as an operator on the host of an agent, while there is no store.

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::time::{sleep, timeout};

use super::staging::{LOOK, Stage};

/// Longest time for one attempt: the wait of the plan, and its steps.
const ATTEMPT: Duration = Duration::from_mins(4);
/// Exit code of what a rule refused.
const REFUSED: i32 = 6;
const CODE: &str = "code for the next host: ";

impl Stage {
    /// Breaks the glass at a node as soon as nothing speaks against it.
    pub(super) async fn break_glass(
        &mut self,
        node: &str,
        off: &str,
        within: Duration,
        wanted: &str,
    ) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let looked = self.run_glass(node, &["--dry-run"]).await?;
            if looked.status.success() {
                break;
            }
            ensure!(Instant::now() < deadline, "{}", said(&looked));
            sleep(LOOK).await;
        }
        let done = self.run_glass(node, &words(off)).await?;
        let text = said(&done);
        self.narrative.show(&text);
        ensure!(done.status.success() && text.contains(wanted), "{text}");
        if let Some(code) = text.lines().find_map(|line| line.strip_prefix(CODE)) {
            self.glass_code = Some(code.to_owned());
        }
        Ok(())
    }

    /// A rule refuses to break the glass at a node.
    pub(super) async fn refuse_glass(&self, node: &str, off: &str, rule: &str) -> Result<()> {
        let refused = self.run_glass(node, &words(off)).await?;
        let text = said(&refused);
        ensure!(refused.status.code() == Some(REFUSED), "{text}");
        let reason = text
            .lines()
            .find(|line| line.starts_with(&format!("  {rule}: ")));
        let reason = reason.with_context(|| format!("not refused by {rule}: {text}"))?;
        self.narrative.say(format!("refused: {}", reason.trim()));
        Ok(())
    }

    async fn run_glass(&self, node: &str, words: &[&str]) -> Result<Output> {
        let agent = self.lab.agents.get(node).context("no such agent")?;
        let mut command = tokio::process::Command::new(agent.executable());
        command.args(["break-glass", "--config"]);
        command.arg(agent.directory().join("agent.toml"));
        if let Some(code) = &self.glass_code {
            command.args(["--continues", code]);
        }
        command.args(words).stdin(Stdio::null()).kill_on_drop(true);
        let ended = timeout(ATTEMPT, command.output()).await;
        ended
            .context("break-glass does not end")?
            .context("starting break-glass")
    }
}

/// All that must be typed.
fn words(off: &str) -> [&str; 7] {
    [
        "--yes",
        "--attest-site-off",
        off,
        "--reason",
        "the scenario took it away itself",
        "--operator",
        "scenario",
    ]
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}
