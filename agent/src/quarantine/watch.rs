//! Watches the right to be live and the data directory, and keeps the database and the workloads of a site down that
//! another one has replaced.
//!
//! It is a task of its own, so that it works whatever the lease does, and whether or not the policy has one. What is
//! to be done is decided by [`super::judge`].

use std::time::Duration;

use rustix::process::Pid;
use shared::clock::{Millis, Mono};
use shared::epoch::Epoch;
use shared::telemetry::Chain;
use shared::wire::{DatabaseRole, DatabaseState, ReceiverStatus};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::divergence::{self, LastSeen};
use super::learner::Learner;
use super::{Condition, Deed, Right, judge, workloads};
use crate::action::{Progress, Scene};
use crate::clock;
use crate::config::PostgresConfig;
use crate::deadman::Deadman;
use crate::fencing::{Fencing, data_directory};
use crate::ledger::Fenced;
use crate::pgdata::Startup;
use crate::rules::Known;

/// Between two looks: what was started by hand in quarantine runs no longer than this and the stop.
const LOOK: Duration = Duration::from_millis(500);
/// A sample of the database that is older says nothing of now.
const SAMPLE_AGE_MAX: Millis = Millis::seconds(3);
/// Longest time for writing down what is about to be done: a disk that hangs must not hold up the stop.
const WRITING: Duration = Duration::from_secs(1);
/// Longest time for one attempt to stop the database.
const STOPPING: Duration = Duration::from_secs(10);

struct Watch {
    scene: Scene,
    deadman: Deadman,
    rules: Known,
    told: watch::Receiver<Option<Right>>,
    /// What was proved last.
    right: Option<Right>,
    /// The epoch for which the workloads were set to zero.
    swept: Option<Epoch>,
    last: Option<LastSeen>,
    /// The server that runs, and since when it is known.
    postmaster: Option<(Pid, Mono)>,
    told_failure: Option<String>,
}

/// Watches for as long as the agent runs, beside a database or a cluster.
pub(crate) async fn run(scene: Scene, deadman: Deadman, rules: Known) {
    if scene.config.postgres.is_none() && scene.config.kubernetes.is_none() {
        return;
    }
    let (learner, told) = Learner::new(scene.clone());
    let watch = Watch {
        scene,
        deadman,
        rules,
        told,
        right: None,
        swept: None,
        last: None,
        postmaster: None,
        told_failure: None,
    };
    tokio::join!(watch.run(), Box::pin(learner.run()));
}

impl Watch {
    async fn run(mut self) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                Ok(()) = self.told.changed() => {}
            }
            let told = self.told.borrow_and_update().clone();
            // What was told before a higher epoch was obeyed, or taken by a broken glass, deprives nobody any more.
            let obeyed = self.scene.ledger.epoch();
            self.right = told.filter(|right| right.epoch >= obeyed);
            self.turn().await;
            self.sweep().await;
        }
    }

    /// Looks at the database, and does what has to be done.
    async fn turn(&mut self) {
        let Some(config) = self.scene.config.postgres.clone() else {
            return;
        };
        let fenced = self.scene.ledger.fenced();
        let site = self.scene.identity.site.clone();
        let is_anothers = self
            .right
            .as_ref()
            .is_some_and(|right| right.is_anothers(&site));
        if fenced.is_none() && !is_anothers {
            return;
        }
        let condition = self.condition(&config);
        let leased = self.is_leased();
        match judge(
            &site,
            leased,
            self.right.as_ref(),
            fenced.as_ref(),
            condition,
        ) {
            Deed::None => {}
            Deed::Stop { epoch, reason } => self.stop(&config, epoch, reason).await,
            Deed::Keep { epoch, reason } => self.keep(&config, epoch, reason).await,
            Deed::Release(why) => self.release(why).await,
        }
    }

    fn condition(&mut self, config: &PostgresConfig) -> Condition {
        // The processes first: what starts meanwhile was prepared before.
        let seen = data_directory(config).and_then(|data| {
            let processes = data.processes()?;
            Ok((data.startup()?, processes, data.postmaster()))
        });
        // What cannot be looked at may write.
        let Ok((startup, processes, postmaster)) = seen else {
            return Condition::Writes;
        };
        if processes.members.is_empty() && processes.hidden.is_empty() {
            return match startup {
                Startup::Standby => Condition::Standby { follows: false },
                Startup::Writable => Condition::WouldWrite,
            };
        }
        let now = clock::mono();
        let since = match self.postmaster {
            Some((known, since)) if Some(known) == postmaster => since,
            Some(_) | None => {
                self.postmaster = postmaster.map(|postmaster| (postmaster, now));
                now
            }
        };
        let reading = self
            .scene
            .database
            .as_ref()
            .and_then(|reader| reader.borrow().clone());
        if let Some(reading) = reading
            .as_ref()
            .filter(|reading| reading.value.sample.writes())
        {
            self.last = Some(LastSeen {
                sample: reading.value.sample.clone(),
                before_ms: now.since(reading.at).0,
            });
        }
        let fresh = reading.filter(|reading| {
            // One of an earlier server says nothing of this one.
            reading.at >= since && now.since(reading.at) <= SAMPLE_AGE_MAX
        });
        match fresh.map(|reading| reading.value.sample) {
            Some(sample) if sample.state == DatabaseState::Up => match sample.role {
                Some(DatabaseRole::Standby) => Condition::Standby {
                    follows: sample
                        .receiver
                        .is_some_and(|receiver| receiver.status == ReceiverStatus::Streaming),
                },
                Some(DatabaseRole::Primary | DatabaseRole::Unknown) | None => Condition::Writes,
            },
            // It starts, stops or hangs: what it is follows from how it was started.
            Some(_) | None => match startup {
                Startup::Standby => Condition::Standby { follows: false },
                Startup::Writable => Condition::Writes,
            },
        }
    }

    async fn stop(&mut self, config: &PostgresConfig, epoch: Epoch, reason: String) {
        tracing::error!(
            epoch = epoch.0,
            reason,
            "this database was replaced by another site's and would write: it is being stopped"
        );
        self.close().await;
        let fenced = self.write_down(epoch, reason).await;
        let (progress, mut proof) = (Progress::default(), Vec::new());
        let fencing = Fencing {
            config,
            progress: &progress,
            deadline: Instant::now() + STOPPING,
        };
        let stopped = match data_directory(config) {
            Ok(data) => Box::pin(fencing.stop(&data, &mut proof)).await,
            Err(why) => Err(why),
        };
        if let Err(why) = stopped {
            self.complain("the database could not be stopped and is tried again", why);
            return;
        }
        self.told_failure = None;
        self.tell(config, &fenced).await;
        if let Err(error) = self.deadman.rest().await {
            tracing::error!(error = %Chain(&error), "the deadman was not told that the database is stopped");
        }
    }

    async fn keep(&mut self, config: &PostgresConfig, epoch: Epoch, reason: String) {
        self.close().await;
        let fenced = self.write_down(epoch, reason).await;
        self.tell(config, &fenced).await;
    }

    /// The port is closed before anything that may take time.
    async fn close(&mut self) {
        let deadman = &self.deadman;
        let closing = async {
            deadman.install().await?;
            deadman.cut().await
        };
        if let Err(error) = closing.await {
            self.complain(
                "the port of a replaced database is not closed",
                Chain(&error).to_string(),
            );
        }
    }

    /// On the disk before the stop where the disk lets it, so that a restart in between knows of it.
    async fn write_down(&mut self, epoch: Epoch, reason: String) -> Fenced {
        let fenced = Fenced {
            epoch,
            at: clock::wall(),
            reason,
        };
        let writing = self.scene.ledger.keep_fenced(Some(fenced.clone()));
        match tokio::time::timeout(WRITING, writing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                self.complain(
                    "that the database is kept down is not on the disk",
                    Chain(&error).to_string(),
                );
            }
            Err(_elapsed) => self.complain(
                "that the database is kept down is not on the disk",
                format!("not written within {} s", WRITING.as_secs()),
            ),
        }
        fenced
    }

    async fn tell(&mut self, config: &PostgresConfig, fenced: &Fenced) {
        let state_dir = &self.scene.config.state_dir;
        let note = divergence::note(state_dir, config, fenced, self.last.as_ref()).await;
        match note {
            Ok(note) => tracing::error!(
                epoch = fenced.epoch.0,
                reason = fenced.reason,
                control = %note["control"],
                last_seen = %note["last_seen"],
                "this database is kept down: it may come up only as a standby of the new primary"
            ),
            Err(why) => self.complain("how far the database came could not be noted", why),
        }
    }

    async fn release(&mut self, why: &'static str) {
        if let Err(error) = self.scene.ledger.keep_fenced(None).await {
            self.complain(
                "that the database is not kept down any more is not on the disk",
                Chain(&error).to_string(),
            );
        }
        tracing::warn!(why, "the database is not kept down any more");
        // With self-fencing on, the lease opens the port again.
        if self.is_leased() {
            return;
        }
        if let Err(error) = self.deadman.remove().await {
            self.complain("the port was not opened again", Chain(&error).to_string());
        }
    }

    fn is_leased(&self) -> bool {
        let rules = self.rules.borrow();
        let record = rules.as_ref();
        record.is_some_and(|record| record.stack.policy.lease.enforces())
    }

    /// Sets the workloads to zero once for each epoch that another site holds.
    async fn sweep(&mut self) {
        let site = &self.scene.identity.site;
        let anothers = self.right.as_ref().filter(|right| right.is_anothers(site));
        let (Some(right), Some(config)) = (anothers, &self.scene.config.kubernetes) else {
            return;
        };
        let epoch = right.epoch;
        let rules = self.rules.borrow().clone();
        let Some(record) = rules.filter(|_| self.swept != Some(epoch)) else {
            return;
        };
        match workloads::stop(config, &record.stack.workloads).await {
            Ok(stopped) => {
                self.swept = Some(epoch);
                for workload in stopped {
                    tracing::error!(
                        epoch = epoch.0,
                        workload,
                        "a workload was running in a site that another one has replaced; it is set to zero"
                    );
                }
            }
            Err(failed) => self.complain("workloads could not be set to zero", failed.join("; ")),
        }
    }

    /// Said again only when it has changed.
    fn complain(&mut self, what: &'static str, why: String) {
        let said = format!("{what}: {why}");
        if self.told_failure.as_ref() != Some(&said) {
            tracing::error!(why, "{what}");
            self.told_failure = Some(said);
        }
    }
}
