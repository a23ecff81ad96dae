//! A coordinator's side of the wire: it hears heartbeats and gives commands.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bus::{Connection, Subscription};
use shared::clock::{Millis, UnixMillis};
use shared::digest::ContentDigest;
use shared::epoch::{Epoch, Term};
use shared::id::{Actor, CommandId, NodeName, ProposalId, RunId, SiteName};
use shared::refusal::Refusal;
use shared::subject::Subject;
use shared::wire::{Action, Anchor, ApprovalProof, Command, Grant, Heartbeat, Report, ReportState};
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use crate::LONG;
use crate::stage::{Agent, GRANT, Stage, stack};

const ANSWER: Duration = Duration::from_secs(5);

/// Commands one agent.
pub(crate) struct Leader {
    connection: Connection,
    site: SiteName,
    node: NodeName,
    heartbeats: Subscription<Heartbeat>,
    reports: Subscription<Report>,
    newest: Option<Heartbeat>,
}

impl Leader {
    pub(crate) async fn of(stage: &Stage, agent: &Agent) -> Result<Self> {
        let (site, node) = (SiteName::new(&agent.site)?, NodeName::new(agent.node())?);
        let connection = stage.connection.clone();
        let heartbeats = connection
            .subscribe(&Subject::heartbeat(&stack(), &site, &node))
            .await?;
        let reports = connection
            .subscribe(&Subject::report(&stack(), &site, &node))
            .await?;
        Ok(Self {
            connection,
            site,
            node,
            heartbeats,
            reports,
            newest: None,
        })
    }

    /// The first heartbeat from now on that is as wanted.
    pub(crate) async fn heartbeat_where(
        &mut self,
        what: &str,
        wanted: impl Fn(&Heartbeat) -> bool,
    ) -> Result<Heartbeat> {
        let deadline = Instant::now() + LONG;
        loop {
            let next = timeout_at(deadline, self.heartbeats.next()).await;
            let Ok(Some(received)) = next else {
                bail!("no heartbeat with {what}; newest: {:?}", self.newest)
            };
            let heartbeat = received.body?;
            self.newest = Some(heartbeat.clone());
            if wanted(&heartbeat) {
                return Ok(heartbeat);
            }
        }
    }

    /// A command as the coordinator would give it now, at epoch 2, approved and granted.
    pub(crate) async fn command(&mut self, action: Action) -> Result<Command> {
        let plan = ContentDigest::of_bytes(b"plan");
        let command = Command {
            id: CommandId::new(Uuid::now_v7()),
            stack: stack(),
            site: self.site.clone(),
            node: self.node.clone(),
            run: RunId::new(Uuid::from_u128(7)),
            step: 1,
            epoch: Epoch(2),
            term: Term(1),
            plan: plan.clone(),
            approval: Some(ApprovalProof {
                proposal: ProposalId::new(Uuid::from_u128(8)),
                plan,
                operator: Actor::new("test"),
                approved_at: UnixMillis(0),
                automatic: false,
                stack_version: None,
            }),
            grant: Some(Grant {
                epoch: Epoch(2),
                nonce: GRANT,
            }),
            anchor: Anchor {
                process: shared::id::ProcessId::new(Uuid::nil()),
                sequence: 0,
            },
            valid_for_ms: Millis::seconds(10),
            deadline_ms: Millis::seconds(40),
            action,
            digest: ContentDigest::of_bytes(b""),
        };
        self.anchored(command).await
    }

    /// The same command, answering to the newest heartbeat.
    pub(crate) async fn anchored(&mut self, mut command: Command) -> Result<Command> {
        let heartbeat = self.heartbeat_where("any content", |_| true).await?;
        command.anchor = Anchor {
            process: heartbeat.process,
            sequence: heartbeat.sequence,
        };
        Ok(command.sealed())
    }

    /// Sends a command and gives the direct answer.
    pub(crate) async fn send(&self, command: &Command) -> Result<ReportState> {
        let subject = Subject::command(&stack(), &self.site, &self.node);
        let report: Report = self.connection.request(&subject, command, ANSWER).await?;
        anyhow::ensure!(
            report.command == command.id && report.step == command.step,
            "another command's report"
        );
        Ok(report.state)
    }

    /// Sends bytes that are no command.
    pub(crate) async fn send_raw(&self, bytes: &'static [u8]) -> Result<()> {
        let subject = Subject::command(&stack(), &self.site, &self.node);
        let sent = self
            .connection
            .publish_raw(&subject, bytes, &bus::Headers::new())
            .await?;
        anyhow::ensure!(sent == bus::Publication::Published, "{sent:?}");
        Ok(())
    }

    /// Sends a command that must be refused.
    pub(crate) async fn refused(&self, command: &Command) -> Result<Refusal> {
        match self.send(command).await? {
            ReportState::Refused(refusal) => Ok(refusal),
            other @ (ReportState::Running { .. }
            | ReportState::Done { .. }
            | ReportState::Failed { .. }
            | ReportState::Interrupted { .. }) => bail!("not refused: {other:?}"),
        }
    }

    /// Waits for the final report of a command.
    pub(crate) async fn ended(&mut self, command: &Command) -> Result<ReportState> {
        let waiting = async {
            loop {
                let received = self.reports.next().await.context("the bus closed")?;
                let report = received.body?;
                if report.command == command.id && report.state.is_final() {
                    return anyhow::Ok(report.state);
                }
            }
        };
        timeout(LONG, waiting).await.context("no final report")?
    }

    /// Sends a command and waits for its end.
    pub(crate) async fn carry_out(&mut self, command: &Command) -> Result<ReportState> {
        match self.send(command).await? {
            ReportState::Running { .. } => self.ended(command).await,
            other @ (ReportState::Refused(_)
            | ReportState::Done { .. }
            | ReportState::Failed { .. }
            | ReportState::Interrupted { .. }) => bail!("not begun: {other:?}"),
        }
    }
}

/// The proof of a command that is done, as one text.
pub(crate) fn proof(state: &ReportState) -> Result<String> {
    match state {
        ReportState::Done { proof, .. } => {
            let lines: Vec<String> = proof
                .iter()
                .map(|line| format!("{}: {}", line.what, line.found))
                .collect();
            Ok(lines.join("\n"))
        }
        other @ (ReportState::Running { .. }
        | ReportState::Failed { .. }
        | ReportState::Refused(_)
        | ReportState::Interrupted { .. }) => bail!("not done: {other:?}"),
    }
}

/// The reason of a command that failed.
pub(crate) fn failure(state: &ReportState) -> Result<&str> {
    match state {
        ReportState::Failed { reason, .. } => Ok(reason),
        other @ (ReportState::Running { .. }
        | ReportState::Done { .. }
        | ReportState::Refused(_)
        | ReportState::Interrupted { .. }) => bail!("not failed: {other:?}"),
    }
}
