//! Points the standby beside the agent at the new primary by a reload, and proves that it streams from there.
//!
//! `streaming` proves nothing alone: the timeline must be a new one and the sender must be the wanted one. A
//! standby that is ahead of the point at which the new primary left its timeline never gets there by waiting.

use std::time::Duration;

use shared::lsn::{SystemIdentifier, Timeline};
use shared::stack::Address;
use shared::wire::{ProofLine, SlotName};
use tokio::time::Instant;

use super::{Job, Result, Seen, failed, history, wrong_role};
use crate::config::PostgresConfig;
use crate::database::{DatabaseError, Session};
use crate::probe::postgres::{Observed, look as look_at};

const PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(50);
/// Between two looks at the history files.
const HISTORY_EVERY: Duration = Duration::from_secs(1);

/// What the plan says of the new primary.
pub(super) struct Wanted<'a> {
    pub(super) system_identifier: &'a SystemIdentifier,
    pub(super) primary: &'a Address,
    pub(super) above_timeline: Timeline,
    pub(super) slot: &'a SlotName,
}

pub(super) async fn perform(job: &Job<'_>, wanted: &Wanted<'_>) -> Result<Vec<ProofLine>> {
    let config = job.postgres()?;
    job.progress.set("looking at the standby");
    let session = Session::open(config, PATIENCE).await.map_err(unreachable)?;
    let before = look_at(&session).await.map_err(unreachable)?;
    if before.system_identifier != *wanted.system_identifier {
        return Err(wrong_role(
            format!("system identifier {}", before.system_identifier),
            format!("system identifier {}", wanted.system_identifier),
        ));
    }
    if !before.in_recovery {
        return Err(wrong_role(before.role_words(), "a standby"));
    }
    let mut proof = Vec::new();
    if !follows(&before, wanted) {
        point(&session, config, wanted).await?;
        proof.push(ProofLine::new(
            "primary_conninfo",
            &format!("set to {} by reload", wanted.primary),
        ));
    }
    let reached = await_stream(job, config, wanted, session).await?;
    proof.extend(reached);
    Ok(proof)
}

/// Whether a repointing that was cut off has had its effect.
pub(super) async fn look(job: &Job<'_>, wanted: &Wanted<'_>) -> Seen {
    let looking = async {
        let config = job
            .postgres()
            .map_err(|_| "the agent's file has no postgres any more".to_owned())?;
        let words = |error: DatabaseError| format!("the database does not answer: {error}");
        let session = Session::open(config, PATIENCE).await.map_err(words)?;
        look_at(&session).await.map_err(words)
    };
    match looking.await {
        Ok(observed)
            if observed.system_identifier == *wanted.system_identifier
                && follows(&observed, wanted) =>
        {
            Seen::Done(stream_lines(&observed, wanted))
        }
        Ok(observed) => Seen::NotDone(stream_words(&observed)),
        Err(reason) => Seen::NotDone(reason),
    }
}

async fn point(session: &Session, config: &PostgresConfig, wanted: &Wanted<'_>) -> Result<()> {
    let (host, port) = (wanted.primary.host(), wanted.primary.port());
    let conninfo = format!("host={host} port={port} {}", config.follow_conninfo);
    let slot = if wanted.slot.0.is_empty() {
        config.slot.as_deref().unwrap_or_default()
    } else {
        &wanted.slot.0
    };
    let pointing = async {
        session
            .order(&format!(
                "ALTER SYSTEM SET primary_slot_name = {}",
                literal(slot)
            ))
            .await?;
        session
            .order(&format!(
                "ALTER SYSTEM SET primary_conninfo = {}",
                literal(conninfo.trim())
            ))
            .await?;
        session.order("SELECT pg_reload_conf()").await
    };
    pointing
        .await
        .map_err(|error| failed(format!("primary_conninfo cannot be set: {error}")))
}

async fn await_stream(
    job: &Job<'_>,
    config: &PostgresConfig,
    wanted: &Wanted<'_>,
    session: Session,
) -> Result<Vec<ProofLine>> {
    let mut session = Some(session);
    let mut history_at = Instant::now() + HISTORY_EVERY;
    loop {
        let looked = match &session {
            Some(session) => look_at(session).await,
            None => match Session::open(config, PATIENCE).await {
                Ok(opened) => look_at(session.insert(opened)).await,
                Err(error) => Err(error),
            },
        };
        let words = match looked {
            Ok(observed) if follows(&observed, wanted) => {
                return Ok(stream_lines(&observed, wanted));
            }
            Ok(observed) => {
                if Instant::now() >= history_at {
                    history_at = Instant::now() + HISTORY_EVERY;
                    refuse_if_ahead(config, &observed, wanted)?;
                }
                stream_words(&observed)
            }
            Err(error) => {
                session = None;
                format!("the database does not answer: {error}")
            }
        };
        if job.is_over() {
            return Err(failed(format!(
                "it does not stream from {} in time: {words}",
                wanted.primary
            )));
        }
        job.progress.set(words);
        tokio::time::sleep(POLL).await;
    }
}

fn follows(observed: &Observed, wanted: &Wanted<'_>) -> bool {
    observed.in_recovery
        && observed.receiver.as_ref().is_some_and(|receiver| {
            receiver.is_streaming()
                && receiver.timeline() > Some(wanted.above_timeline)
                && receiver.host.as_deref() == Some(wanted.primary.host())
                && receiver.port == Some(wanted.primary.port())
        })
}

/// WAL past the fork exists here and nowhere on the new timeline: only a rewind throws it away.
fn refuse_if_ahead(
    config: &PostgresConfig,
    observed: &Observed,
    wanted: &Wanted<'_>,
) -> Result<()> {
    let Some(pgdata) = config.pgdata.as_ref() else {
        return Ok(());
    };
    let Some(newer) = history::newest_above(pgdata, wanted.above_timeline) else {
        return Ok(());
    };
    let forks = history::read(pgdata, newer).unwrap_or_default();
    let fork = forks
        .iter()
        .find(|fork| Some(fork.timeline) == observed.timeline);
    match fork.zip(observed.position) {
        Some((fork, position)) if position > fork.at => Err(failed(format!(
            "needs rewind: its position {position} is past {}, where timeline {newer} left timeline {}",
            fork.at, fork.timeline
        ))),
        _ => Ok(()),
    }
}

fn stream_lines(observed: &Observed, wanted: &Wanted<'_>) -> Vec<ProofLine> {
    let timeline = observed
        .receiver
        .as_ref()
        .and_then(crate::probe::postgres::Receiver::timeline);
    let timeline = timeline.map(|t| t.to_string()).unwrap_or_default();
    vec![
        ProofLine::new(
            "WAL receiver",
            &format!("streaming timeline {timeline} from {}", wanted.primary),
        ),
        ProofLine::new(
            "position",
            &observed.position.unwrap_or_default().to_string(),
        ),
    ]
}

fn stream_words(observed: &Observed) -> String {
    let Some(receiver) = &observed.receiver else {
        return format!("{}, no WAL receiver", observed.role_words());
    };
    let sender = receiver.host.as_deref().unwrap_or("an unknown sender");
    let state = if receiver.is_streaming() {
        "streaming"
    } else {
        "waiting"
    };
    format!(
        "{}, WAL receiver {state} from {sender}:{}",
        observed.role_words(),
        receiver.port.unwrap_or_default()
    )
}

/// A text as an SQL literal, whatever it holds.
fn literal(text: &str) -> String {
    if text.contains('\\') {
        format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

fn unreachable(error: DatabaseError) -> super::Stop {
    failed(format!("the database does not answer: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_cannot_be_left() {
        assert_eq!(
            literal("user=a password='x y'"),
            "'user=a password=''x y'''"
        );
        assert_eq!(literal(r"a\'b"), r"E'a\\''b'");
    }
}
