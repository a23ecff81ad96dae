//! The old site comes back after the failover, and what it still does.
//!
//! It must never help the old site to behave: it starts what an init system would start, and looks.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use decision::{Run, Work};
use tokio::time::sleep;

use super::events::Events;
use super::judgement::Check;
use super::narrative::Narrative;
use super::traffic::Traffic;
use super::world::Lab;
use crate::postgres::{MAINTENANCE, OWNER};

/// Time in which it must be harmless.
const HARMLESS: Duration = Duration::from_mins(2);
/// It must stay so for so long.
const STAYS: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(500);
const READ_ONLY: &str = "SELECT pg_is_in_recovery()";

/// What the old site did after it came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Homecoming {
    /// Writes that it acknowledged after the new site was granted its right.
    pub acknowledged: usize,
    /// Whether it ended harmless, and as what.
    pub quarantine: Check,
}

/// Brings a site back and watches it until it is harmless.
///
/// # Errors
/// When it cannot be brought back, or the run has no grant.
pub async fn watch(
    lab: &mut Lab,
    traffic: &Traffic,
    (run, events): (&Run, &Events),
    narrative: &Narrative,
) -> Result<Homecoming> {
    let site = run.plan.from.as_str();
    narrative.head(&format!("{site} comes back"));
    let kept_down = lab.return_site(site).await?;
    if let Some(reason) = &kept_down {
        narrative.say(format!("its start gate: {reason}"));
    }
    let began = Instant::now();
    let mut harmless_since = None;
    let standing = loop {
        let standing = standing(lab, traffic, site, began).await?;
        if standing.harmless {
            let since = *harmless_since.get_or_insert_with(|| {
                narrative.say(format!("{site}: {}", standing.what));
                Instant::now()
            });
            if since.elapsed() >= STAYS {
                break standing;
            }
        } else {
            harmless_since = None;
        }
        if began.elapsed() > HARMLESS {
            break standing;
        }
        sleep(LOOK).await;
    };
    let granted = granted(run, events)?;
    let (anew, kept) = traffic.acknowledged_by_first_after(granted)?;
    narrative.say(format!(
        "{site} acknowledged {anew} writes to clients that connect anew and {kept} to one that never let go, \
         after the grant to {}",
        run.plan.to
    ));
    Ok(Homecoming {
        acknowledged: anew + kept,
        quarantine: Check {
            what: "the old site is quarantined after its return",
            holds: standing.harmless,
            found: standing.what,
        },
    })
}

struct Standing {
    harmless: bool,
    what: String,
}

/// What its database is now.
async fn standing(lab: &Lab, traffic: &Traffic, site: &str, since: Instant) -> Result<Standing> {
    let database = lab.database(site)?;
    if !database.is_running() {
        return Ok(Standing {
            harmless: true,
            what: "its database is stopped".to_owned(),
        });
    }
    // Past its port, which may be closed and say nothing of what is behind it.
    let read_only = match database.connect(OWNER, MAINTENANCE).await {
        Ok(session) => Some(session.one(READ_ONLY, &[]).await?.try_get(0)?),
        Err(_) => None,
    };
    let accepted = traffic.accepted(site)?;
    let last = accepted.last().map(|success| success.acknowledged);
    let recent = last.is_some_and(|last| last > since && last.elapsed() < Duration::from_secs(3));
    Ok(match read_only {
        Some(true) => Standing {
            harmless: true,
            what: "its database is read-only, in recovery".to_owned(),
        },
        Some(false) => Standing {
            harmless: false,
            what: "its database is writable".to_owned(),
        },
        None => Standing {
            harmless: false,
            what: format!("its database runs and is not reached (wrote lately: {recent})"),
        },
    })
}

/// When the new site was granted its right.
fn granted(run: &Run, events: &Events) -> Result<Instant> {
    let grant = run.plan.steps.iter().find(|step| step.work == Work::Grant);
    let number = grant.context("the plan has no grant")?.number;
    let all = events.all();
    let done = all
        .iter()
        .find(|seen| seen.event.kind == "step-done" && seen.event.step == Some(number));
    Ok(done.context("the grant was not seen")?.at)
}
