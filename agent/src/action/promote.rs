//! Promotes the standby beside the agent, and proves that it writes.
//!
//! Accepted is never done: a request can be swallowed while the WAL receiver restarts, so it is asked again
//! every quarter second until recovery ends. A request cannot be taken back either: a promotion that did not
//! end in time may still come, and until then no other server may be chosen.

use std::time::Duration;

use shared::lsn::{Lsn, SystemIdentifier, Timeline};
use shared::wire::{ProofLine, SlotName};
use tokio::time::Instant;
use tokio_postgres::error::SqlState;

use super::{Job, Result, Seen, Stop, failed, history, wrong_role};
use crate::config::PostgresConfig;
use crate::database::{DatabaseError, Session, column};
use crate::probe::postgres::{Observed, look as look_at};

/// Between two requests.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// Between two looks at the role.
const POLL: Duration = Duration::from_millis(5);
/// Between two attempts to reach a server that went away.
const RECONNECT: Duration = Duration::from_millis(100);
/// Longest wait for one answer while promoting: a server at the end of recovery is busy.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest time for the checkpoint that later rewinds need; the step does not wait for it.
const CHECKPOINT: Duration = Duration::from_hours(1);
/// Canary write in a session that must be able to write.
const CANARY: &str = "SELECT (pg_logical_emit_message(true, 'pointsman-canary', $1)-'0/0'::pg_lsn)::int8 AS written, \
     current_setting('transaction_read_only') AS read_only";
const FLUSHED: &str = "SELECT (pg_current_wal_flush_lsn()-'0/0'::pg_lsn)::int8 AS flushed, \
     current_setting('synchronous_standby_names') AS names";

/// What the plan says of the standby.
pub(super) struct Wanted<'a> {
    pub(super) system_identifier: &'a SystemIdentifier,
    /// Its timeline before the promotion.
    pub(super) timeline: Timeline,
    pub(super) min_lsn: Lsn,
    pub(super) slots: &'a [SlotName],
}

pub(super) async fn perform(job: &Job<'_>, wanted: &Wanted<'_>) -> Result<Vec<ProofLine>> {
    let config = job.postgres()?;
    job.progress.set("looking at the standby");
    let session = open(config).await.map_err(unreachable)?;
    let before = look_at(&session).await.map_err(unreachable)?;
    let mut proof = Vec::new();
    if is_promoted(&before, wanted, job.resumed) {
        proof.push(ProofLine::new(
            "role",
            &format!("{} already, by this command", before.role_words()),
        ));
    } else {
        check(&before, wanted)?;
        proof.push(line("position before", before.position.unwrap_or_default()));
        clear_synchronous_names(&session, &mut proof).await?;
        let confirmed = job.confirm_grant().await?;
        let confirmed = if confirmed.is_fresh() {
            confirmed
        } else {
            job.confirm_grant().await?
        };
        if !confirmed.is_fresh() {
            return Err(failed("the grant was confirmed too slowly to act on it"));
        }
        proof.push(ProofLine::new("grant", confirmed.basis()));
        let took = ask_until_promoted(job, config, session).await?;
        proof.push(ProofLine::new(
            "recovery",
            &format!("ended {} ms after the first request", took.as_millis()),
        ));
    }
    prove(job, config, wanted, &mut proof)
        .await
        .map_err(|reason| Stop::Failed {
            reason,
            pending: true,
        })?;
    Ok(proof)
}

/// What became of a promotion that was cut off.
pub(super) async fn look(job: &Job<'_>, wanted: &Wanted<'_>) -> Seen {
    let Ok(config) = job.postgres() else {
        return Seen::NotDone("the agent's file has no postgres any more".to_owned());
    };
    let session = match open(config).await {
        Ok(session) => session,
        Err(error) => return Seen::NotDone(format!("the database does not answer: {error}")),
    };
    let observed = match look_at(&session).await {
        Ok(observed) => observed,
        Err(error) => return Seen::NotDone(format!("the database does not answer: {error}")),
    };
    if !is_promoted(&observed, wanted, true) {
        return Seen::NotDone(format!("it is {}", observed.role_words()));
    }
    let mut proof = vec![ProofLine::new(
        "role",
        &format!(
            "{}, seen after a restart of the agent",
            observed.role_words()
        ),
    )];
    match prove(job, config, wanted, &mut proof).await {
        Ok(()) => Seen::Done(proof),
        Err(reason) => Seen::NotDone(reason),
    }
}

/// A primary counts as promoted by this command only when it was begun before and the timeline has grown.
fn is_promoted(observed: &Observed, wanted: &Wanted<'_>, resumed: bool) -> bool {
    resumed
        && !observed.in_recovery
        && observed.system_identifier == *wanted.system_identifier
        && observed.timeline > Some(wanted.timeline)
}

/// The preconditions, once more and here: what the plan saw may be over.
pub(super) fn check(observed: &Observed, wanted: &Wanted<'_>) -> Result<()> {
    if observed.system_identifier != *wanted.system_identifier {
        return Err(wrong_role(
            format!("system identifier {}", observed.system_identifier),
            format!("system identifier {}", wanted.system_identifier),
        ));
    }
    if !observed.in_recovery || observed.timeline != Some(wanted.timeline) {
        return Err(wrong_role(
            observed.role_words(),
            format!("a standby on timeline {}", wanted.timeline),
        ));
    }
    let position = observed.position.unwrap_or_default();
    if position < wanted.min_lsn {
        return Err(wrong_role(
            format!("position {position}"),
            format!("at least {}", wanted.min_lsn),
        ));
    }
    if let Some(obstacle) = observed.obstacles.first() {
        return Err(wrong_role(
            format!("obstacle {obstacle:?}"),
            "a standby without obstacle",
        ));
    }
    Ok(())
}

/// An inherited list names the old primary's standbys: the first write would wait for them without end.
async fn clear_synchronous_names(session: &Session, proof: &mut Vec<ProofLine>) -> Result<()> {
    let names = session
        .first_text("SHOW synchronous_standby_names")
        .await
        .map_err(unreachable)?;
    let names = names.unwrap_or_default();
    if names.is_empty() {
        return Ok(());
    }
    let clearing = async {
        session
            .order("ALTER SYSTEM SET synchronous_standby_names = ''")
            .await?;
        session.order("SELECT pg_reload_conf()").await
    };
    clearing.await.map_err(|error| {
        failed(format!(
            "synchronous_standby_names cannot be cleared: {error}"
        ))
    })?;
    proof.push(ProofLine::new(
        "synchronous_standby_names",
        &format!("cleared, was {names:?}"),
    ));
    Ok(())
}

/// Gives the time from the first request to the end of recovery.
async fn ask_until_promoted(
    job: &Job<'_>,
    config: &PostgresConfig,
    session: Session,
) -> Result<Duration> {
    let begun = Instant::now();
    let mut session = Some(session);
    let mut ask = begun;
    let mut trouble = String::new();
    loop {
        if job.is_over() {
            let reason = format!(
                "recovery has not ended after {} ms{trouble}",
                begun.elapsed().as_millis()
            );
            return Err(Stop::Failed {
                reason,
                pending: true,
            });
        }
        let answer = match &session {
            Some(session) => turn(session, &mut ask).await,
            None => Err(None),
        };
        match answer {
            Ok(true) => return Ok(begun.elapsed()),
            Ok(false) => tokio::time::sleep(POLL).await,
            Err(error) => {
                if let Some(error) = error {
                    trouble = format!(", last: {error}");
                }
                tokio::time::sleep(RECONNECT).await;
                session = open(config)
                    .await
                    .map_err(|error| trouble = format!(", last: {error}"))
                    .ok();
            }
        }
        job.progress.set(format!(
            "recovery goes on after {} ms{trouble}",
            begun.elapsed().as_millis()
        ));
    }
}

/// Asks for the promotion when that is due; true when recovery has ended.
async fn turn(
    session: &Session,
    ask: &mut Instant,
) -> std::result::Result<bool, Option<DatabaseError>> {
    if Instant::now() >= *ask {
        *ask = Instant::now() + ASK_AGAIN;
        match session.ask("SELECT pg_promote(false)", &[]).await {
            Ok(_) => {}
            // Recovery ended between the look and the request.
            Err(error) if error.is_role_change() => {}
            Err(error) => return Err(Some(error)),
        }
    }
    let row = session
        .ask("SELECT pg_is_in_recovery() AS in_recovery", &[])
        .await
        .map_err(Some)?;
    let in_recovery: bool = column(&row, "in_recovery").map_err(Some)?;
    Ok(!in_recovery)
}

/// Proves in a new session that the server writes on a timeline of its own.
async fn prove(
    job: &Job<'_>,
    config: &PostgresConfig,
    wanted: &Wanted<'_>,
    proof: &mut Vec<ProofLine>,
) -> std::result::Result<(), String> {
    job.progress.set("proving that it writes");
    let said = |what: &str, error: DatabaseError| format!("{what}: {error}");
    let session = open(config)
        .await
        .map_err(|error| said("no new session after the promotion", error))?;
    let after = look_at(&session)
        .await
        .map_err(|error| said("no sample after the promotion", error))?;
    if after.in_recovery || after.timeline <= Some(wanted.timeline) {
        return Err(format!("it is {} after the promotion", after.role_words()));
    }
    if after.system_identifier != *wanted.system_identifier {
        return Err(format!(
            "its system identifier is {}",
            after.system_identifier
        ));
    }
    proof.push(ProofLine::new("role", &after.role_words()));
    canary(job, &session, proof).await?;
    if let Some((timeline, pgdata)) = after.timeline.zip(config.pgdata.as_ref()) {
        prove_history(pgdata, timeline, wanted, proof)?;
    }
    for slot in wanted.slots {
        make_slot(&session, slot)
            .await
            .map_err(|error| said(&format!("slot {}", slot.0), error))?;
        proof.push(ProofLine::new("slot", &slot.0));
    }
    start_checkpoint(session);
    proof.push(ProofLine::new("checkpoint", "started"));
    Ok(())
}

async fn canary(
    job: &Job<'_>,
    session: &Session,
    proof: &mut Vec<ProofLine>,
) -> std::result::Result<(), String> {
    let mark = format!("epoch {} command {}", job.command.epoch, job.command.id);
    let row = session
        .ask(CANARY, &[&mark])
        .await
        .map_err(|error| format!("the canary was not written: {error}"))?;
    let read_only: String = column(&row, "read_only").map_err(|error| error.to_string())?;
    let written: i64 = column(&row, "written").map_err(|error| error.to_string())?;
    if read_only != "off" {
        return Err(format!(
            "transaction_read_only is {read_only} in a new session"
        ));
    }
    let row = session
        .ask(FLUSHED, &[])
        .await
        .map_err(|error| format!("the canary was not read back: {error}"))?;
    let flushed: i64 = column(&row, "flushed").map_err(|error| error.to_string())?;
    let names: String = column(&row, "names").map_err(|error| error.to_string())?;
    if flushed < written {
        return Err(format!("the canary is at {written}, flushed is {flushed}"));
    }
    if !names.is_empty() {
        return Err(format!("synchronous_standby_names is still {names:?}"));
    }
    let at = u64::try_from(written).map(Lsn).unwrap_or_default();
    proof.push(ProofLine::new(
        "canary",
        &format!("written and flushed up to {at}"),
    ));
    Ok(())
}

/// The new timeline must have left the old one, not before the position that the plan was made with.
fn prove_history(
    pgdata: &std::path::Path,
    timeline: Timeline,
    wanted: &Wanted<'_>,
    proof: &mut Vec<ProofLine>,
) -> std::result::Result<(), String> {
    let Some(forks) = history::read(pgdata, timeline) else {
        proof.push(ProofLine::new(
            "history",
            "not readable by the agent, not looked at",
        ));
        return Ok(());
    };
    match forks.last() {
        Some(fork) if fork.timeline == wanted.timeline && fork.at >= wanted.min_lsn => {
            proof.push(ProofLine::new(
                "history",
                &format!("timeline {timeline} left {} at {}", fork.timeline, fork.at),
            ));
            Ok(())
        }
        Some(fork) => Err(format!(
            "timeline {timeline} left {} at {}",
            fork.timeline, fork.at
        )),
        None => Err(format!("the history of timeline {timeline} is empty")),
    }
}

async fn make_slot(session: &Session, slot: &SlotName) -> std::result::Result<(), DatabaseError> {
    let make = "SELECT slot_name::text FROM pg_create_physical_replication_slot($1, true)";
    match session.ask(make, &[&slot.0]).await {
        Ok(_) => Ok(()),
        Err(error) if error.has_code(&SqlState::DUPLICATE_OBJECT) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Control data keeps the old timeline until a checkpoint, and a rewind would read that.
fn start_checkpoint(mut session: Session) {
    session.set_patience(CHECKPOINT);
    tokio::spawn(async move {
        match session.order("CHECKPOINT").await {
            Ok(()) => tracing::info!("checkpoint after the promotion is done"),
            Err(error) => {
                tracing::warn!(%error, "no checkpoint after the promotion; rewinds need one");
            }
        }
    });
}

async fn open(config: &PostgresConfig) -> std::result::Result<Session, DatabaseError> {
    Session::open(config, PATIENCE).await
}

fn unreachable(error: DatabaseError) -> Stop {
    failed(format!("the database does not answer: {error}"))
}

fn line(what: &str, lsn: Lsn) -> ProofLine {
    ProofLine::new(what, &lsn.to_string())
}
