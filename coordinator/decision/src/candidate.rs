//! The choice of the node to promote in each database, with the reason for every node that is not chosen.

use shared::clock::{Millis, Mono};
use shared::id::SiteName;
use shared::lsn::Lsn;
use shared::stack::{Database, Member, SiteRole, Stack};
use shared::wire::{DatabaseRole, DatabaseSample, DatabaseState, PromotionObstacle};

use crate::inventory::{AgentRecord, Inventory, PrimaryRecord};
use crate::proposal::{CandidateChoice, ChosenCandidate, RefusedCandidate};

/// A standby whose position moved this short a time ago still receives: its primary lives.
const MOVING_MS: Millis = Millis::seconds(3);

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
    let eligible = stack
        .sites
        .iter()
        .filter(|(site, role)| **role != SiteRole::Witness && *site != from);
    let mut ranked: Vec<(bool, u64, SiteName)> = eligible
        .map(|(site, _)| {
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
        let because = match place(stack, member, from, to) {
            Some(reason) => Err(reason),
            None => fitness(
                agent,
                member,
                primary,
                stack.policy.observation_age_max_ms,
                now,
            ),
        };
        match because {
            Ok(lsn) => {
                chosen = Some(ChosenCandidate {
                    site: member.site.clone(),
                    node: member.node.clone(),
                    lsn,
                });
            }
            Err(because) => {
                refused.push(RefusedCandidate {
                    site: member.site.clone(),
                    node: member.node.clone(),
                    because,
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
fn place(stack: &Stack, member: &Member, from: &SiteName, to: &SiteName) -> Option<String> {
    if member.site == *from {
        return Some(format!("{from} is the site that is left"));
    }
    if stack.sites.get(&member.site) == Some(&SiteRole::Witness) {
        return Some(format!(
            "{} is a witness: it never becomes live",
            member.site
        ));
    }
    (member.site != *to).then(|| format!("{to} is preferred: all databases move to one site"))
}

/// The position of a member that can be promoted, or why it cannot.
fn fitness(
    agent: Option<&AgentRecord>,
    member: &Member,
    primary: Option<&PrimaryRecord>,
    age_max: Millis,
    now: Mono,
) -> Result<Lsn, String> {
    let Some(agent) = agent else {
        return Err(format!("its agent {} was never heard", member.node));
    };
    let Some(sample) = &agent.heartbeat.database else {
        return Err(format!(
            "its agent {} has no [postgres] module",
            member.node
        ));
    };
    let age = agent.database_age(now).unwrap_or(Millis(u64::MAX));
    if age > age_max {
        return Err(format!("what is known of it is {} old", age.human()));
    }
    match (sample.state, sample.role) {
        (DatabaseState::Up, Some(DatabaseRole::Standby)) => {}
        (DatabaseState::Up, Some(DatabaseRole::Primary)) => {
            return Err("it writes already: it is a primary".to_owned());
        }
        (DatabaseState::Up, _) => return Err("its role is not known".to_owned()),
        (state, _) => return Err(format!("its database is {}", state_words(state))),
    }
    lineage(sample, primary)?;
    if let Some(obstacle) = sample.obstacles.first() {
        return Err(obstacle_words(*obstacle).to_owned());
    }
    if agent.moved_at.is_some_and(|at| at.after(MOVING_MS) > now) {
        return Err("its position still moves: its primary lives".to_owned());
    }
    sample
        .received_lsn
        .ok_or_else(|| "its position is not known".to_owned())
}

/// A candidate must be of the same cluster and on the same timeline as the primary that is left.
fn lineage(sample: &DatabaseSample, primary: Option<&PrimaryRecord>) -> Result<(), String> {
    let Some(system) = &sample.system_identifier else {
        return Err("its system identifier is not known".to_owned());
    };
    let Some(timeline) = sample.timeline else {
        return Err("its timeline is not known".to_owned());
    };
    let Some(primary) = primary else {
        return Ok(());
    };
    if let Some(expected) = &primary.system_identifier
        && expected != system
    {
        return Err(format!(
            "it is another cluster: system identifier {system}, the primary's is {expected}"
        ));
    }
    if let Some(expected) = primary.timeline
        && expected != timeline
    {
        return Err(format!(
            "it is on timeline {timeline}, the primary was on {expected}"
        ));
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
