//! The choice of the node to promote in each database, with the reason for every node that is not chosen.

use std::fmt;

use serde::{Deserialize, Serialize};
use shared::clock::{Millis, Mono};
use shared::id::{NodeName, SiteName};
use shared::lsn::{Lsn, SystemIdentifier, Timeline};
use shared::stack::{Database, Member, SiteRole, Stack};
use shared::wire::{DatabaseRole, DatabaseSample, DatabaseState, PromotionObstacle};

use crate::inventory::{AgentRecord, Inventory, PrimaryRecord};
use crate::proposal::{CandidateChoice, ChosenCandidate, RefusedCandidate};

/// A standby whose position moved this short a time ago still receives: its primary lives.
const MOVING_MS: Millis = Millis::seconds(3);

/// Why a node is not promoted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CandidateRefusal {
    /// Its site is the one that is left.
    SiteLeft {
        /// The site.
        site: SiteName,
    },
    /// Its site is a witness.
    Witness {
        /// The site.
        site: SiteName,
    },
    /// All databases move to another site.
    OtherSite {
        /// The site that is preferred.
        preferred: SiteName,
    },
    /// Its agent was never heard.
    NeverHeard {
        /// The agent.
        node: NodeName,
    },
    /// Its agent samples no database.
    NoModule {
        /// The agent.
        node: NodeName,
    },
    /// What is known of it is too old.
    Old {
        /// How old.
        age_ms: Millis,
    },
    /// It is a primary.
    Writes,
    /// Nobody knows what it is.
    NoRole,
    /// It does not answer.
    State(DatabaseState),
    /// Its system identifier is not known.
    NoIdentity,
    /// It is a copy of another cluster.
    OtherCluster {
        /// Its system identifier.
        found: SystemIdentifier,
        /// The primary's.
        expected: SystemIdentifier,
    },
    /// Its timeline is not known.
    NoTimeline,
    /// Its history is another.
    OtherTimeline {
        /// Its timeline.
        found: Timeline,
        /// The primary's.
        expected: Timeline,
    },
    /// Its own agent sees something that speaks against it.
    Obstacle(PromotionObstacle),
    /// Its position still moves: once its primary is gone, it can be promoted.
    StillMoves,
    /// Its position is not known.
    NoPosition,
}

impl fmt::Display for CandidateRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SiteLeft { site } => write!(f, "{site} is the site that is left"),
            Self::Witness { site } => write!(f, "{site} is a witness: it never becomes live"),
            Self::OtherSite { preferred } => {
                write!(
                    f,
                    "{preferred} is preferred: all databases move to one site"
                )
            }
            Self::NeverHeard { node } => write!(f, "its agent {node} was never heard"),
            Self::NoModule { node } => write!(f, "its agent {node} has no [postgres] module"),
            Self::Old { age_ms } => write!(f, "what is known of it is {} old", age_ms.human()),
            Self::Writes => f.write_str("it writes already: it is a primary"),
            Self::NoRole => f.write_str("its role is not known"),
            Self::State(state) => write!(f, "its database is {}", state_words(*state)),
            Self::NoIdentity => f.write_str("its system identifier is not known"),
            Self::OtherCluster { found, expected } => write!(
                f,
                "it is another cluster: system identifier {found}, the primary's is {expected}"
            ),
            Self::NoTimeline => f.write_str("its timeline is not known"),
            Self::OtherTimeline { found, expected } => {
                write!(
                    f,
                    "it is on timeline {found}, the primary was on {expected}"
                )
            }
            Self::Obstacle(obstacle) => f.write_str(obstacle_words(*obstacle)),
            Self::StillMoves => f.write_str("its position still moves: its primary lives"),
            Self::NoPosition => f.write_str("its position is not known"),
        }
    }
}

/// Chooses in every database among the members of `to`; every other member is refused with a reason.
pub(crate) fn choose(
    inventory: &Inventory,
    stack: &Stack,
    from: &SiteName,
    to: &SiteName,
    now: Mono,
) -> Vec<CandidateChoice> {
    stack
        .databases
        .iter()
        .map(|database| choose_in(inventory, stack, database, from, to, now))
        .collect()
}

/// Sites that may become live instead of `from`, the furthest advanced first.
pub(crate) fn targets(
    inventory: &Inventory,
    stack: &Stack,
    from: &SiteName,
    now: Mono,
) -> Vec<SiteName> {
    let others = stack.eligible().filter(|site| *site != from);
    let mut ranked: Vec<(bool, u64, SiteName)> = others
        .map(|site| {
            let choices = choose(inventory, stack, from, site, now);
            let whole = choices.iter().all(|choice| choice.chosen.is_some());
            let position = choices
                .iter()
                .filter_map(|c| c.chosen.as_ref())
                .map(|c| c.lsn.0)
                .fold(0, u64::saturating_add);
            (whole, position, site.clone())
        })
        .collect();
    ranked.sort_by(|a, b| (b.0, b.1).cmp(&(a.0, a.1)).then_with(|| a.2.cmp(&b.2)));
    ranked.into_iter().map(|(_, _, site)| site).collect()
}

/// The newest sample of a database's primary in a site.
pub(crate) fn last_primary<'a>(
    inventory: &'a Inventory,
    database: &Database,
    site: &SiteName,
) -> Option<&'a PrimaryRecord> {
    let member = database
        .members
        .iter()
        .find(|member| member.site == *site)?;
    inventory
        .agent(&member.site, &member.node)?
        .primary
        .as_ref()
}

/// The furthest position of a database that anybody but the member in `without` is known to have.
pub(crate) fn furthest(
    inventory: &Inventory,
    database: &Database,
    without: &SiteName,
) -> Option<Lsn> {
    database
        .members
        .iter()
        .filter(|member| member.site != *without)
        .filter_map(|member| inventory.agent(&member.site, &member.node))
        .filter_map(|agent| {
            let standby = agent
                .heartbeat
                .database
                .as_ref()
                .and_then(|d| d.received_lsn);
            standby.max(agent.primary.as_ref().map(|p| p.lsn))
        })
        .max()
}

fn choose_in(
    inventory: &Inventory,
    stack: &Stack,
    database: &Database,
    from: &SiteName,
    to: &SiteName,
    now: Mono,
) -> CandidateChoice {
    let mut chosen = None;
    let mut refused = Vec::new();
    let primary = last_primary(inventory, database, from);
    for member in &database.members {
        let agent = inventory.agent(&member.site, &member.node);
        let fit = match place(stack, member, from, to) {
            Some(why) => Err(why),
            None => fitness(
                agent,
                member,
                primary,
                stack.policy.observation_age_max_ms,
                now,
            ),
        };
        match fit {
            Ok(lsn) => {
                chosen = Some(ChosenCandidate {
                    site: member.site.clone(),
                    node: member.node.clone(),
                    lsn,
                });
            }
            Err(why) => {
                refused.push(RefusedCandidate {
                    site: member.site.clone(),
                    node: member.node.clone(),
                    because: why.to_string(),
                    why: Some(why),
                });
            }
        }
    }
    CandidateChoice {
        database: database.name.clone(),
        chosen,
        refused,
    }
}

/// Why a member's place rules it out.
fn place(
    stack: &Stack,
    member: &Member,
    from: &SiteName,
    to: &SiteName,
) -> Option<CandidateRefusal> {
    let site = || member.site.clone();
    if member.site == *from {
        return Some(CandidateRefusal::SiteLeft { site: site() });
    }
    if stack.sites.get(&member.site) == Some(&SiteRole::Witness) {
        return Some(CandidateRefusal::Witness { site: site() });
    }
    (member.site != *to).then(|| CandidateRefusal::OtherSite {
        preferred: to.clone(),
    })
}

/// The position of a member that can be promoted, or why it cannot.
fn fitness(
    agent: Option<&AgentRecord>,
    member: &Member,
    primary: Option<&PrimaryRecord>,
    age_max: Millis,
    now: Mono,
) -> Result<Lsn, CandidateRefusal> {
    let node = || member.node.clone();
    let Some(agent) = agent else {
        return Err(CandidateRefusal::NeverHeard { node: node() });
    };
    let Some(sample) = &agent.heartbeat.database else {
        return Err(CandidateRefusal::NoModule { node: node() });
    };
    let age_ms = agent.database_age(now).unwrap_or(Millis(u64::MAX));
    if age_ms > age_max {
        return Err(CandidateRefusal::Old { age_ms });
    }
    match (sample.state, sample.role) {
        (DatabaseState::Up, Some(DatabaseRole::Standby)) => {}
        (DatabaseState::Up, Some(DatabaseRole::Primary)) => return Err(CandidateRefusal::Writes),
        (DatabaseState::Up, _) => return Err(CandidateRefusal::NoRole),
        (state, _) => return Err(CandidateRefusal::State(state)),
    }
    lineage(sample, primary)?;
    if let Some(obstacle) = sample.obstacles.first() {
        return Err(CandidateRefusal::Obstacle(*obstacle));
    }
    if agent.moved_at.is_some_and(|at| at.after(MOVING_MS) > now) {
        return Err(CandidateRefusal::StillMoves);
    }
    sample.received_lsn.ok_or(CandidateRefusal::NoPosition)
}

/// A candidate must be of the same cluster and on the same timeline as the primary that is left.
fn lineage(
    sample: &DatabaseSample,
    primary: Option<&PrimaryRecord>,
) -> Result<(), CandidateRefusal> {
    let system = sample.system_identifier.as_ref();
    let system = system.ok_or(CandidateRefusal::NoIdentity)?;
    let timeline = sample.timeline.ok_or(CandidateRefusal::NoTimeline)?;
    let Some(primary) = primary else {
        return Ok(());
    };
    if let Some(expected) = &primary.system_identifier
        && expected != system
    {
        return Err(CandidateRefusal::OtherCluster {
            found: system.clone(),
            expected: expected.clone(),
        });
    }
    if let Some(expected) = primary.timeline
        && expected != timeline
    {
        return Err(CandidateRefusal::OtherTimeline {
            found: timeline,
            expected,
        });
    }
    Ok(())
}

/// A database's state, for people.
pub(crate) const fn state_words(state: DatabaseState) -> &'static str {
    match state {
        DatabaseState::Up => "up",
        DatabaseState::NotServing => "alive and not serving",
        DatabaseState::Denied => "refusing the agent (a grant or password is missing)",
        DatabaseState::Hung => "hung: it accepts connections and does not answer",
        DatabaseState::Down => "down",
        DatabaseState::Unknown => "in an unknown state",
    }
}

/// An obstacle, for people.
pub(crate) const fn obstacle_words(obstacle: PromotionObstacle) -> &'static str {
    match obstacle {
        PromotionObstacle::ReplayPaused => "its replay is paused",
        PromotionObstacle::RecoveryTarget => {
            "a recovery target is set: promotion would discard received WAL"
        }
        PromotionObstacle::SettingsTooLow => {
            "a setting is lower than the primary's: promotion would shut it down"
        }
        PromotionObstacle::NeverStreamed => {
            "it has never streamed since its start: it may be as old as its base backup"
        }
        PromotionObstacle::Privilege => "the agent's role lacks a privilege that promotion needs",
        PromotionObstacle::Unknown => "its agent names an obstacle that this version does not know",
    }
}
