//! The one statement of a sample, and what its row means.

use serde::Deserialize;
use shared::clock::Millis;
use shared::id::DatabaseName;
use shared::lsn::{Lsn, SystemIdentifier, Timeline};
use shared::wire::{
    DatabaseRole, DatabaseSample, DatabaseState, PromotionObstacle, ReceiverSample, ReceiverStatus,
    SenderSample, SyncCommit, SyncSample,
};
use tokio_postgres::Row;

use super::span;
use crate::database::{DatabaseError, column};

/// Asks for everything at once, on a primary or a standby of PostgreSQL 13 and later, with `pg_monitor` alone.
///
/// A CASE is evaluated lazily, so functions that one role forbids are not called there.
pub(crate) const QUESTION: &str = "
SELECT r.in_recovery,
 (SELECT system_identifier::text FROM pg_control_system()) AS sysid,
 CASE WHEN r.in_recovery THEN NULL ELSE ('x'||substr(pg_walfile_name(pg_current_wal_lsn()),1,8))::bit(32)::int END
  AS primary_tli,
 CASE WHEN r.in_recovery THEN NULL ELSE (pg_current_wal_flush_lsn()-'0/0'::pg_lsn)::int8 END AS flush_lsn,
 CASE WHEN r.in_recovery THEN (SELECT timeline_id FROM pg_control_checkpoint()) END AS ckpt_tli,
 CASE WHEN r.in_recovery THEN (SELECT min_recovery_end_timeline FROM pg_control_recovery()) END AS min_rec_tli,
 CASE WHEN r.in_recovery THEN (pg_last_wal_receive_lsn()-'0/0'::pg_lsn)::int8 END AS receive_lsn,
 CASE WHEN r.in_recovery THEN (pg_last_wal_replay_lsn()-'0/0'::pg_lsn)::int8 END AS replay_lsn,
 CASE WHEN r.in_recovery THEN pg_is_wal_replay_paused() END AS replay_paused,
 CASE WHEN r.in_recovery THEN extract(epoch FROM clock_timestamp()-pg_last_xact_replay_timestamp())::float8 END
  AS replay_age,
 CASE WHEN r.in_recovery THEN concat(current_setting('recovery_target'), current_setting('recovery_target_lsn'),
  current_setting('recovery_target_name'), current_setting('recovery_target_time'),
  current_setting('recovery_target_xid')) <> '' ELSE false END AS has_target,
 CASE WHEN r.in_recovery THEN (SELECT row_to_json(w)::text FROM (SELECT status,
  CASE WHEN latest_end_lsn IS NULL THEN NULL ELSE received_tli END AS tli,
  (latest_end_lsn-'0/0'::pg_lsn)::int8 AS latest_end,
  extract(epoch FROM clock_timestamp()-last_msg_receipt_time)::float8 AS age,
  sender_host AS host, sender_port AS port FROM pg_stat_wal_receiver) w) END AS receiver,
 CASE WHEN r.in_recovery THEN coalesce(btrim(substring((SELECT setting FROM pg_settings WHERE name = 'primary_conninfo')
  FROM '(?:^|\\s)application_name\\s*=\\s*(''[^'']*''|\\S+)'), ''''), nullif(current_setting('cluster_name'), ''),
  'walreceiver') END AS application,
 CASE WHEN r.in_recovery THEN NULL ELSE current_setting('synchronous_standby_names') END AS sync_names,
 CASE WHEN r.in_recovery THEN NULL ELSE (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit') END
  AS sync_commit,
 CASE WHEN r.in_recovery THEN NULL ELSE (SELECT string_agg(coalesce(o.rolname, 'every role') || ' in '
  || coalesce(d.datname, 'every database'), ', ') FROM pg_db_role_setting s LEFT JOIN pg_roles o ON o.oid = s.setrole
  LEFT JOIN pg_database d ON d.oid = s.setdatabase WHERE o.rolname IS DISTINCT FROM session_user AND EXISTS (
  SELECT FROM unnest(s.setconfig) c WHERE c ~* '^synchronous_commit='
  AND c !~* '=(on|remote_apply|true|tru|tr|t|yes|ye|y|1)$')) END AS sync_exception,
 (SELECT json_agg(s)::text FROM (SELECT application_name AS app, state, sync_state AS sync,
  (flush_lsn-'0/0'::pg_lsn)::int8 AS flushed FROM pg_stat_replication ORDER BY application_name) s) AS senders
FROM (SELECT pg_is_in_recovery() AS in_recovery) r";

/// One look at a database that answers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Observed {
    pub(crate) system_identifier: SystemIdentifier,
    pub(crate) in_recovery: bool,
    pub(crate) timeline: Option<Timeline>,
    /// Flushed (primary), or the greater of received and replayed (standby).
    pub(crate) position: Option<Lsn>,
    pub(crate) replayed: Option<Lsn>,
    pub(crate) receiver: Option<Receiver>,
    pub(crate) obstacles: Vec<PromotionObstacle>,
    senders: Vec<Sender>,
    replay_age: Option<f64>,
    application: Option<String>,
    sync: Option<SyncSample>,
}

/// A WAL receiver as its view shows it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Receiver {
    status: Option<String>,
    tli: Option<u32>,
    latest_end: Option<i64>,
    age: Option<f64>,
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Sender {
    app: Option<String>,
    state: Option<String>,
    sync: Option<String>,
    flushed: Option<i64>,
}

/// Reads the row of [`QUESTION`].
pub(crate) fn observed(row: &Row) -> Result<Observed, DatabaseError> {
    let in_recovery: bool = column(row, "in_recovery")?;
    let receiver: Option<Receiver> = json(row, "receiver")?;
    let senders: Vec<Sender> = json(row, "senders")?.unwrap_or_default();
    let (flushed, received, replayed) = (
        position(row, "flush_lsn")?,
        position(row, "receive_lsn")?,
        position(row, "replay_lsn")?,
    );
    let mut obstacles = Vec::new();
    if in_recovery {
        if column::<Option<bool>>(row, "replay_paused")? == Some(true) {
            obstacles.push(PromotionObstacle::ReplayPaused);
        }
        if column::<bool>(row, "has_target")? {
            obstacles.push(PromotionObstacle::RecoveryTarget);
        }
        if received.is_none() && receiver.as_ref().is_none_or(|r| !r.is_streaming()) {
            obstacles.push(PromotionObstacle::NeverStreamed);
        }
    }
    Ok(Observed {
        system_identifier: SystemIdentifier(column(row, "sysid")?),
        in_recovery,
        timeline: timeline(row, receiver.as_ref())?,
        position: if in_recovery {
            received.max(replayed)
        } else {
            flushed
        },
        replayed,
        receiver,
        obstacles,
        replay_age: column(row, "replay_age")?,
        application: column(row, "application")?,
        sync: sync(row, &senders)?,
        senders,
    })
}

/// Whom commits wait for; nothing on a standby.
fn sync(row: &Row, senders: &[Sender]) -> Result<Option<SyncSample>, DatabaseError> {
    let names: Option<String> = column(row, "sync_names")?;
    let commit: Option<&str> = column(row, "sync_commit")?;
    let exception: Option<String> = column(row, "sync_exception")?;
    let counts = |sender: &&Sender| matches!(sender.sync.as_deref(), Some("sync" | "quorum"));
    let answering = senders.iter().filter(counts);
    Ok(names.zip(commit).map(|(names, commit)| SyncSample {
        names,
        commit: match commit {
            "off" => SyncCommit::Off,
            "local" => SyncCommit::Local,
            "remote_write" => SyncCommit::RemoteWrite,
            "on" => SyncCommit::On,
            "remote_apply" => SyncCommit::RemoteApply,
            _ => SyncCommit::Unknown,
        },
        exception,
        answering: answering.filter_map(|sender| sender.app.clone()).collect(),
    }))
}

/// A sample of a database that does not answer.
pub(super) fn without_answer(database: DatabaseName, state: DatabaseState) -> DatabaseSample {
    DatabaseSample {
        database,
        age_ms: Millis(0),
        state,
        role: None,
        system_identifier: None,
        timeline: None,
        received_lsn: None,
        replayed_lsn: None,
        receiver: None,
        senders: Vec::new(),
        lag_bytes: None,
        lag_ms: None,
        obstacles: Vec::new(),
        application: None,
        sync: None,
    }
}

impl Observed {
    /// As a heartbeat carries it, with the ages of this moment.
    pub(super) fn sample(&self, database: DatabaseName) -> DatabaseSample {
        let streaming = self.receiver.as_ref().is_some_and(Receiver::is_streaming);
        let latest = self
            .receiver
            .as_ref()
            .and_then(|r| r.latest_end)
            .and_then(lsn);
        // Without a live stream the age of the last commit grows for ever and says nothing.
        let lag_ms = if streaming {
            self.replay_age.and_then(span)
        } else {
            None
        };
        DatabaseSample {
            role: Some(if self.in_recovery {
                DatabaseRole::Standby
            } else {
                DatabaseRole::Primary
            }),
            system_identifier: Some(self.system_identifier.clone()),
            timeline: self.timeline,
            received_lsn: self.position,
            replayed_lsn: self.replayed,
            receiver: self.receiver.as_ref().map(Receiver::sample),
            senders: self.senders.iter().map(Sender::sample).collect(),
            lag_bytes: latest
                .zip(self.replayed)
                .map(|(latest, replayed)| latest.ahead_of(replayed)),
            lag_ms,
            obstacles: self.obstacles.clone(),
            application: self.application.clone(),
            sync: self.sync.clone(),
            ..without_answer(database, DatabaseState::Up)
        }
    }

    /// The role, for people.
    pub(crate) fn role_words(&self) -> String {
        let role = if self.in_recovery {
            "a standby"
        } else {
            "a primary"
        };
        match self.timeline {
            Some(timeline) => format!("{role} on timeline {timeline}"),
            None => role.to_owned(),
        }
    }
}

impl Receiver {
    /// A row that the receiver has only just made is not streaming yet, whatever it says.
    pub(crate) fn is_streaming(&self) -> bool {
        self.status.as_deref() == Some("streaming") && self.latest_end.is_some()
    }

    /// The timeline it receives; nothing before the first message.
    pub(crate) fn timeline(&self) -> Option<Timeline> {
        self.tli.map(Timeline)
    }

    fn sample(&self) -> ReceiverSample {
        ReceiverSample {
            status: match self.status.as_deref() {
                None => ReceiverStatus::Hidden,
                Some("streaming") if self.latest_end.is_some() => ReceiverStatus::Streaming,
                Some(_) => ReceiverStatus::Waiting,
            },
            message_age_ms: self.age.and_then(span),
            sender: self
                .host
                .as_ref()
                .zip(self.port)
                .map(|(host, port)| format!("{host}:{port}")),
        }
    }
}

impl Sender {
    fn sample(&self) -> SenderSample {
        SenderSample {
            application: self.app.clone().unwrap_or_default(),
            streaming: self.state.as_deref() == Some("streaming"),
            flushed_lsn: self.flushed.and_then(lsn),
        }
    }
}

/// Of a primary, that of the WAL it writes; of a standby, the received one, else what control data says.
fn timeline(row: &Row, receiver: Option<&Receiver>) -> Result<Option<Timeline>, DatabaseError> {
    let known = |name| -> Result<Option<Timeline>, DatabaseError> {
        let number: Option<i32> = column(row, name)?;
        Ok(number
            .and_then(|n| u32::try_from(n).ok())
            .filter(|n| *n > 0)
            .map(Timeline))
    };
    let received = receiver.and_then(Receiver::timeline);
    Ok(known("primary_tli")?
        .or(received)
        .or(known("min_rec_tli")?)
        .or(known("ckpt_tli")?))
}

fn position(row: &Row, name: &str) -> Result<Option<Lsn>, DatabaseError> {
    Ok(column::<Option<i64>>(row, name)?.and_then(lsn))
}

/// A position of 0 is none.
fn lsn(number: i64) -> Option<Lsn> {
    u64::try_from(number).ok().filter(|n| *n > 0).map(Lsn)
}

fn json<T: for<'de> Deserialize<'de>>(row: &Row, name: &str) -> Result<Option<T>, DatabaseError> {
    let text: Option<&str> = column(row, name)?;
    let parsed = text.map(serde_json::from_str).transpose();
    parsed.map_err(|error| DatabaseError::Setup(format!("column {name}: {error}")))
}
