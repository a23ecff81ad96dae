//! Synchronous replication: whether a commit of the live primary is acknowledged only with the standby that would
//! become live. Then nothing acknowledged is lost, and once that standby is promoted the old primary cannot
//! acknowledge any more, whatever its clock, its agent or its virtual machine does.
//!
//! It believes the primary's own settings as they were last sampled, and says how old that is. Must never: take the
//! policy's word for it, or count a standby that somebody elsewhere may answer for.

mod rule;

use std::fmt;

use shared::clock::{Millis, Mono};
use shared::id::{DatabaseName, NodeName, SiteName};
use shared::stack::{Database, Replication, Stack};
use shared::wire::SyncCommit;

use self::rule::Rule;
use crate::assessment::Scene;
use crate::candidate::{last_primary, targets};
use crate::inventory::{Inventory, PrimaryRecord};
use crate::proof::Shown;

/// One database whose commits wait for the standby in a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bound {
    /// The database.
    pub(crate) database: DatabaseName,
    /// The standby that every commit waits for.
    pub(crate) standby: NodeName,
    /// `synchronous_standby_names`.
    pub(crate) names: String,
    /// How old that knowledge is.
    pub(crate) age: Millis,
}

/// Why it is not proved that commits wait for the standby of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unproved {
    /// The policy does not ask for it.
    Asynchronous,
    /// There is no site to move to.
    NoTarget,
    /// The database has no member there, or its agent was never heard.
    NoStandby { site: SiteName },
    /// The primary was never sampled by this coordinator.
    NeverSampled,
    /// Its agent does not say how it commits.
    Untold,
    /// Commits do not wait for the standby's disk.
    Commit(SyncCommit),
    /// A role or a database has a weaker setting of its own.
    Exception(String),
    /// No names.
    Nobody,
    /// The names are not understood.
    Garbled { names: String },
    /// Any standby may answer.
    Anybody { names: String },
    /// The standby's own name is not known.
    Nameless { standby: NodeName },
    /// A name that is not the standby's.
    Elsewhere {
        names: String,
        name: String,
        site: SiteName,
    },
    /// Several standbys go by the name.
    Doubled { name: String },
    /// The standby has not all that was written before commits waited for it.
    Behind { standby: NodeName },
}

/// Why it is not proved that a failover to the best target would lose no acknowledged commit, and that the old primary
/// could acknowledge none after it; nothing when it is proved for every database.
pub(crate) fn unproved(scene: &Scene<'_>) -> Option<String> {
    let best = targets(scene.inventory, scene.stack, scene.live(), scene.now);
    let Some(to) = best.first() else {
        return Some(Unproved::NoTarget.to_string());
    };
    proved(scene.inventory, scene.stack, scene.live(), to, scene.now)
        .err()
        .map(|(_, sentence)| sentence)
}

/// Every database's binding to the standby in `to`, or the first that is not bound, and why as a sentence.
pub(crate) fn proved(
    inventory: &Inventory,
    stack: &Stack,
    from: &SiteName,
    to: &SiteName,
    now: Mono,
) -> Result<Vec<Bound>, (Unproved, String)> {
    if stack.policy.replication == Replication::Asynchronous {
        let why = Unproved::Asynchronous;
        let sentence = why.to_string();
        return Err((why, sentence));
    }
    let bindings = stack.databases.iter().map(|database| {
        binding(inventory, database, from, to, now).map_err(|why| {
            let sentence = format!("database {}: {why}", database.name);
            (why, sentence)
        })
    });
    bindings.collect()
}

/// Whether a bound primary waits at this moment: no standby that it could wait for answers.
pub(crate) fn stalled(primary: &PrimaryRecord) -> bool {
    primary
        .sync
        .as_ref()
        .is_some_and(|sync| !sync.names.trim().is_empty() && sync.answering.is_empty())
}

/// The binding of one database.
fn binding(
    inventory: &Inventory,
    database: &Database,
    from: &SiteName,
    to: &SiteName,
    now: Mono,
) -> Result<Bound, Unproved> {
    let member = database.members.iter().find(|member| member.site == *to);
    let standby = member.and_then(|member| {
        let agent = inventory.agent(&member.site, &member.node)?;
        Some((member.node.clone(), agent))
    });
    let Some((node, standby)) = standby else {
        return Err(Unproved::NoStandby { site: to.clone() });
    };
    let primary = last_primary(inventory, database, from).ok_or(Unproved::NeverSampled)?;
    let sync = primary.sync.as_ref().ok_or(Unproved::Untold)?;
    match sync.commit {
        SyncCommit::On | SyncCommit::RemoteApply => {}
        SyncCommit::Off | SyncCommit::Local | SyncCommit::RemoteWrite | SyncCommit::Unknown => {
            return Err(Unproved::Commit(sync.commit));
        }
    }
    if let Some(exception) = &sync.exception {
        return Err(Unproved::Exception(exception.clone()));
    }
    let names = || sync.names.clone();
    let rule = Rule::parse(&sync.names).ok_or_else(|| Unproved::Garbled { names: names() })?;
    if rule.names.is_empty() {
        return Err(Unproved::Nobody);
    }
    if rule.names.iter().any(|name| name == "*") {
        return Err(Unproved::Anybody { names: names() });
    }
    let own = standby.application.as_deref();
    let own = own.ok_or_else(|| Unproved::Nameless {
        standby: node.clone(),
    })?;
    if let Some(name) = rule
        .names
        .iter()
        .find(|name| !name.eq_ignore_ascii_case(own))
    {
        return Err(Unproved::Elsewhere {
            names: names(),
            name: name.clone(),
            site: to.clone(),
        });
    }
    let alike = primary
        .senders
        .iter()
        .filter(|name| name.eq_ignore_ascii_case(own));
    if alike.count() > 1 || is_told_elsewhere(inventory, database, to, own) {
        return Err(Unproved::Doubled {
            name: own.to_owned(),
        });
    }
    let received = standby
        .heartbeat
        .database
        .as_ref()
        .and_then(|d| d.received_lsn);
    if received.is_none_or(|received| received < primary.bound_from) {
        return Err(Unproved::Behind { standby: node });
    }
    Ok(Bound {
        database: database.name.clone(),
        standby: node,
        names: names(),
        age: now.since(primary.at),
    })
}

/// True when a member in another site goes by the same name.
fn is_told_elsewhere(inventory: &Inventory, database: &Database, to: &SiteName, own: &str) -> bool {
    let others = database.members.iter().filter(|member| member.site != *to);
    let mut told = others.filter_map(|member| {
        let agent = inventory.agent(&member.site, &member.node)?;
        agent.application.as_deref()
    });
    told.any(|name| name.eq_ignore_ascii_case(own))
}

/// The bindings as a proof that the old holder acknowledges nothing once the standbys are promoted.
pub(crate) fn shown(bound: &[Bound]) -> Shown {
    let standbys = bound
        .iter()
        .map(|one| (one.standby.clone(), one.names.clone()));
    Shown::Synchronous {
        standbys: standbys.collect(),
        age_ms: Bound::oldest(bound),
    }
}

impl Bound {
    /// The oldest of several.
    pub(crate) fn oldest(bound: &[Self]) -> Millis {
        bound.iter().map(|one| one.age).max().unwrap_or_default()
    }
}

impl fmt::Display for Unproved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asynchronous => f.write_str("the policy says asynchronous"),
            Self::NoTarget => f.write_str("no other site may become live"),
            Self::NoStandby { site } => write!(f, "no standby in {site} was ever heard"),
            Self::NeverSampled => f.write_str("its primary was never sampled by this coordinator"),
            Self::Untold => f.write_str("its agent does not say how it commits"),
            Self::Commit(level) => write!(
                f,
                "synchronous_commit is {}; commits wait for a standby's disk only with on or remote_apply",
                level.words()
            ),
            Self::Exception(exception) => {
                write!(f, "{exception} has a weaker synchronous_commit of its own")
            }
            Self::Nobody => f.write_str("synchronous_standby_names is empty"),
            Self::Garbled { names } => {
                write!(f, "synchronous_standby_names {names:?} is not understood")
            }
            Self::Anybody { names } => {
                write!(
                    f,
                    "synchronous_standby_names {names:?} lets any standby answer"
                )
            }
            Self::Nameless { standby } => {
                write!(
                    f,
                    "{standby} does not say under which application_name it streams"
                )
            }
            Self::Elsewhere { names, name, site } => write!(
                f,
                "synchronous_standby_names {names:?} lets {name:?} answer, which is not the standby in {site}"
            ),
            Self::Doubled { name } => {
                write!(
                    f,
                    "more than one standby goes by the application_name {name:?}"
                )
            }
            Self::Behind { standby } => write!(
                f,
                "{standby} has not yet all that was written before commits waited for it"
            ),
        }
    }
}
