//! Samples the database once a second with one statement on one kept session, and writes a primary's beat.
//!
//! The statement is the same for both roles. What does not answer is told apart: down, hung, not serving,
//! denied. The position of a standby is the greater of received and replayed: after a restart the received
//! one falls back to the start of a segment.

mod sample;
mod shortfall;

use std::time::Duration;

use shared::clock::{Millis, Mono};
use shared::lsn::Lsn;
use shared::wire::{DatabaseRole, DatabaseSample, DatabaseState, PromotionObstacle};
use tokio::time::MissedTickBehavior;
use tokio_postgres::Statement;

use super::{DatabaseReading, Reading, Writer};
use crate::clock;
use crate::config::PostgresConfig;
use crate::database::{DatabaseError, Session};

pub(crate) use self::sample::{Observed, QUESTION, Receiver, observed};

/// A primary's sign of life for standbys: about 96 bytes of WAL, no table and no grant needed.
const BEAT: &str = "SELECT pg_logical_emit_message(true, 'pointsman-beat', '')::text";

/// What the agent's role may do; asked once a session.
const PRIVILEGES: &str = "SELECT has_function_privilege('pg_promote(boolean,integer)', 'EXECUTE') \
     AND has_function_privilege('pg_reload_conf()', 'EXECUTE') AS may_promote";

/// Samples for ever.
pub(crate) async fn run(config: PostgresConfig, writer: Writer<DatabaseReading>) {
    let mut probe = Probe {
        config,
        kept: None,
        state: None,
        still: None,
    };
    let mut ticks = tokio::time::interval(probe.config.every.duration());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let at = clock::mono();
        let sample = probe.sample().await;
        let still_since = probe.still_since(&sample, at);
        probe.tell(&sample);
        let primary = sample.role == Some(DatabaseRole::Primary);
        writer.send_replace(Some(Reading {
            at: clock::mono(),
            value: DatabaseReading {
                sample,
                still_since,
            },
        }));
        if primary && probe.config.beat {
            probe.beat().await;
        }
    }
}

struct Probe {
    config: PostgresConfig,
    kept: Option<Kept>,
    /// The state last told in the log.
    state: Option<(DatabaseState, Option<DatabaseRole>)>,
    /// The position, and since when it has been that.
    still: Option<(Option<Lsn>, Mono)>,
}

/// The kept session with its prepared statements.
struct Kept {
    session: Session,
    question: Statement,
    beat: Statement,
    may_promote: bool,
}

impl Probe {
    async fn sample(&mut self) -> DatabaseSample {
        match self.observe().await {
            Ok(observed) => {
                let mut sample = observed.sample(self.config.database.clone());
                if self.kept.as_ref().is_some_and(|kept| !kept.may_promote) {
                    sample.obstacles.push(PromotionObstacle::Privilege);
                }
                if sample.obstacles.contains(&PromotionObstacle::ReplayPaused)
                    && shortfall::found(&self.config).await.is_some()
                {
                    sample.obstacles.push(PromotionObstacle::SettingsTooLow);
                }
                sample
            }
            Err(error) => {
                tracing::debug!(%error, "no sample of the database");
                self.kept = None;
                sample::without_answer(self.config.database.clone(), error.state())
            }
        }
    }

    async fn observe(&mut self) -> Result<Observed, DatabaseError> {
        if self
            .kept
            .as_ref()
            .is_some_and(|kept| kept.session.is_closed())
        {
            self.kept = None;
        }
        let kept = match &self.kept {
            Some(kept) => kept,
            None => self.kept.insert(keep(&self.config).await?),
        };
        match kept.session.row(&kept.question).await {
            Ok(row) => observed(&row),
            // The role changed between two columns: that is no failure.
            Err(error) if error.is_role_change() => {
                observed(&kept.session.row(&kept.question).await?)
            }
            Err(error) => Err(error),
        }
    }

    async fn beat(&mut self) {
        let Some(kept) = &self.kept else { return };
        if let Err(error) = kept.session.row(&kept.beat).await {
            tracing::debug!(%error, "the primary's beat was not written");
            self.kept = None;
        }
    }

    fn still_since(&mut self, sample: &DatabaseSample, at: Mono) -> Mono {
        match self.still {
            Some((lsn, since)) if lsn == sample.received_lsn => since,
            _ => {
                self.still = Some((sample.received_lsn, at));
                at
            }
        }
    }

    fn tell(&mut self, sample: &DatabaseSample) {
        let state = (sample.state, sample.role);
        if self.state != Some(state) {
            tracing::info!(state = ?sample.state, role = ?sample.role, timeline = ?sample.timeline.map(|t| t.0), "database");
            self.state = Some(state);
        }
    }
}

async fn keep(config: &PostgresConfig) -> Result<Kept, DatabaseError> {
    let session = Session::open_to_sample(config, config.timeout.duration()).await?;
    let question = session.prepare(QUESTION).await?;
    let beat = session.prepare(BEAT).await?;
    let may_promote = session
        .ask(PRIVILEGES, &[])
        .await?
        .try_get(0)
        .unwrap_or(false);
    Ok(Kept {
        session,
        question,
        beat,
        may_promote,
    })
}

/// One look at the database on a session of its own, for an action.
pub(crate) async fn look(session: &Session) -> Result<Observed, DatabaseError> {
    match session.ask(QUESTION, &[]).await {
        Ok(row) => observed(&row),
        Err(error) if error.is_role_change() => observed(&session.ask(QUESTION, &[]).await?),
        Err(error) => Err(error),
    }
}

/// Seconds as a span; nothing for what is no sensible age.
fn span(seconds: f64) -> Option<Millis> {
    Duration::try_from_secs_f64(seconds.max(0.0))
        .ok()
        .map(Millis::from_duration)
}
