//! What a step does, and what proves that it is done.
//!
//! An action looks at reality before it acts, so that a command which was begun before a crash may be
//! carried out again where that is harmless. It must never call done what it has not seen.

mod check;
mod fence;
mod follow;
mod history;
mod hook;
mod promote;
mod scale;
mod verify;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bus::Connection;
use shared::refusal::Refusal;
use shared::wire::{Action, Command, ProofLine, ReportState};
use tokio::time::Instant;

use crate::cluster::{Cluster, ClusterError};
use crate::config::{AgentConfig, KubernetesConfig, PostgresConfig};
use crate::gate::Identity;
use crate::grant::{self, Authority, Confirmed};
use crate::ledger::Ledger;
use crate::probe::{DatabaseReading, Reader};
use crate::report::bounded;

/// Added to a step's deadline before it is given up from outside: every action keeps its own.
const OVERTIME: Duration = Duration::from_secs(5);
/// Longest time for looking at what a command that was cut off has done.
const EXAMINATION: Duration = Duration::from_secs(10);

/// What a running command waits for, as its reports say it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<Mutex<String>>);

impl Progress {
    pub(crate) fn set(&self, text: impl Into<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = bounded(&text.into());
    }

    pub(crate) fn text(&self) -> String {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// What an action has to work with.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) config: Arc<AgentConfig>,
    pub(crate) identity: Identity,
    pub(crate) connection: Connection,
    pub(crate) ledger: Ledger,
    pub(crate) database: Option<Reader<DatabaseReading>>,
}

/// One command being carried out.
pub(crate) struct Job<'a> {
    pub(crate) scene: &'a Scene,
    pub(crate) command: &'a Command,
    pub(crate) authority: &'a Authority,
    pub(crate) progress: &'a Progress,
    pub(crate) deadline: Instant,
    /// True when it was begun before: its effect may be there already.
    pub(crate) resumed: bool,
}

/// How an action ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is done and proved.
    Done(Vec<ProofLine>),
    /// It was tried and failed.
    Failed {
        reason: String,
        /// True when the effect may still come.
        pending: bool,
    },
    /// Nothing was done, for this reason.
    Refused(Refusal),
}

/// An action that did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    Failed { reason: String, pending: bool },
    Refused(Refusal),
}

/// What an action gives: its proof, or why there is none.
pub(crate) type Result<T> = std::result::Result<T, Stop>;

/// Carries out a command.
pub(crate) async fn perform(
    scene: &Scene,
    command: &Command,
    authority: &Authority,
    progress: &Progress,
    resumed: bool,
) -> Outcome {
    let allowed = command.deadline_ms.duration();
    let deadline = Instant::now() + allowed;
    let job = Job {
        scene,
        command,
        authority,
        progress,
        deadline,
        resumed,
    };
    let acting = Box::pin(act(&job));
    match tokio::time::timeout(allowed + OVERTIME, acting).await {
        Ok(Ok(proof)) => Outcome::Done(proof),
        Ok(Err(Stop::Failed { reason, pending })) => Outcome::Failed {
            reason: bounded(&reason),
            pending,
        },
        Ok(Err(Stop::Refused(refusal))) => Outcome::Refused(refusal),
        Err(_elapsed) => Outcome::Failed {
            reason: format!(
                "given up after {} s, last: {}",
                (allowed + OVERTIME).as_secs(),
                progress.text()
            ),
            pending: command.action.changes(),
        },
    }
}

async fn act(job: &Job<'_>) -> Result<Vec<ProofLine>> {
    job.heed_switch().await?;
    match &job.command.action {
        Action::Check { expect } => check::perform(job, expect).await,
        Action::Fence {
            system_identifier, ..
        } => fence::perform(job, system_identifier).await,
        Action::Promote {
            system_identifier,
            timeline,
            min_lsn,
            slots,
            ..
        } => {
            let wanted = promote::Wanted {
                system_identifier,
                timeline: *timeline,
                min_lsn: *min_lsn,
                slots,
            };
            promote::perform(job, &wanted).await
        }
        Action::Follow {
            system_identifier,
            primary,
            above_timeline,
            slot,
            ..
        } => {
            let wanted = follow::Wanted {
                system_identifier,
                primary,
                above_timeline: *above_timeline,
                slot,
            };
            follow::perform(job, &wanted).await
        }
        Action::Scale { targets } => scale::perform(job, targets).await,
        Action::Hook { hook, environment } => hook::perform(job, hook, environment).await,
        Action::Verify { probe, .. } => verify::perform(job, probe).await,
    }
}

/// Looks at what a command has done that a restart of the agent cut off. Changes nothing.
pub(crate) async fn examine(scene: &Scene, command: &Command, progress: &Progress) -> ReportState {
    let deadline = Instant::now() + EXAMINATION;
    let job = Job {
        scene,
        command,
        // Looking confirms nothing.
        authority: &Authority::Granted,
        progress,
        deadline,
        resumed: true,
    };
    let looking = Box::pin(look(&job));
    let seen = match tokio::time::timeout(EXAMINATION, looking).await {
        Ok(seen) => seen,
        Err(_elapsed) => Seen::NotDone(format!("no answer within {} s", EXAMINATION.as_secs())),
    };
    match seen {
        Seen::Done(proof) => ReportState::Done {
            took_ms: shared::clock::Millis(0),
            proof,
        },
        Seen::NotDone(found) => ReportState::Interrupted {
            found: bounded(&found),
            repeatable: true,
        },
        Seen::Unknowable(found) => ReportState::Interrupted {
            found: bounded(&found),
            repeatable: false,
        },
    }
}

/// What reality shows of a command.
pub(crate) enum Seen {
    Done(Vec<ProofLine>),
    NotDone(String),
    /// It leaves no trace that could be looked at.
    Unknowable(String),
}

async fn look(job: &Job<'_>) -> Seen {
    match &job.command.action {
        Action::Check { .. } | Action::Verify { .. } => {
            Seen::NotDone("it changes nothing".to_owned())
        }
        Action::Fence { .. } => fence::look(job).await,
        Action::Promote {
            system_identifier,
            timeline,
            min_lsn,
            slots,
            ..
        } => {
            let wanted = promote::Wanted {
                system_identifier,
                timeline: *timeline,
                min_lsn: *min_lsn,
                slots,
            };
            promote::look(job, &wanted).await
        }
        Action::Follow {
            system_identifier,
            primary,
            above_timeline,
            slot,
            ..
        } => {
            let wanted = follow::Wanted {
                system_identifier,
                primary,
                above_timeline: *above_timeline,
                slot,
            };
            follow::look(job, &wanted).await
        }
        Action::Scale { targets } => scale::look(job, targets).await,
        Action::Hook { hook, .. } => Seen::Unknowable(format!(
            "hook {hook} was running; whether it took effect cannot be seen from here"
        )),
    }
}

impl Job<'_> {
    /// The database's settings.
    pub(crate) fn postgres(&self) -> Result<&PostgresConfig> {
        let missing = || {
            Stop::Refused(Refusal::NoModule {
                module: "postgres".to_owned(),
            })
        };
        self.scene.config.postgres.as_ref().ok_or_else(missing)
    }

    /// The cluster's API.
    pub(crate) async fn cluster(&self) -> Result<Cluster> {
        let config: Option<&KubernetesConfig> = self.scene.config.kubernetes.as_ref();
        let missing = || {
            Stop::Refused(Refusal::NoModule {
                module: "kubernetes".to_owned(),
            })
        };
        Cluster::open(config.ok_or_else(missing)?)
            .await
            .map_err(|error: ClusterError| failed(error.to_string()))
    }

    /// Confirms the right to be live by a write, or by an operator's word on the disk. What it allows must begin at
    /// once.
    pub(crate) async fn confirm_grant(&self) -> Result<Confirmed> {
        let grant = self.command.grant.ok_or(Stop::Refused(Refusal::NoGrant))?;
        if let Authority::Vouched(vouched) = self.authority {
            return Confirmed::by_word(vouched, grant).map_err(Stop::Refused);
        }
        self.progress
            .set("confirming the grant by a write to the store");
        Box::pin(grant::confirm(
            &self.scene.connection,
            &self.scene.identity,
            &self.scene.ledger,
            grant,
            self.is_automatic(),
        ))
        .await
        .map_err(Stop::Refused)
    }

    /// Nobody approved it but automatic mode.
    fn is_automatic(&self) -> bool {
        let approval = self.command.approval.as_ref();
        approval.is_some_and(|approval| approval.automatic)
    }

    /// An automatic order that changes something begins only after a write has shown that nobody has switched
    /// automatic mode off. One that needs a grant is shown that with the grant.
    async fn heed_switch(&self) -> Result<()> {
        let action = &self.command.action;
        if !self.is_automatic() || !action.changes() || action.needs_grant() {
            return Ok(());
        }
        self.progress
            .set("looking at the switch of automatic mode by a write to the store");
        let scene = self.scene;
        let heeded = grant::confirm_switch(&scene.connection, &scene.identity, &scene.ledger);
        Box::pin(heeded).await.map_err(Stop::Refused)
    }

    /// Whether time is up.
    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Time that is left.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// A failure that leaves nothing to come.
pub(crate) fn failed(reason: impl Into<String>) -> Stop {
    Stop::Failed {
        reason: reason.into(),
        pending: false,
    }
}

/// The database is not what the step needs; nothing was done.
pub(crate) fn wrong_role(found: impl Into<String>, needed: impl Into<String>) -> Stop {
    Stop::Refused(Refusal::WrongRole {
        found: found.into(),
        needed: needed.into(),
    })
}
