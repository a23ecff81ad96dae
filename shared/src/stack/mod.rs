//! The stack file: what the service is made of, where it may live, and by which rules it moves.
//!
//! [`Stack`] is only made by [`Stack::parse`], which finds all problems at once; so a `Stack` in hand is a
//! valid one. It never changes: a new file is a new version.

mod address;
mod difference;
mod policy;
mod reading;
mod record;
mod relations;
mod timing;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::address::{Address, AddressError};
pub use self::difference::{Difference, difference};
pub use self::policy::{
    AUTOMATIC_CONFIRM_MIN, AutomaticPolicy, Deadlines, LeasePolicy, Mode, Policy, Replication,
    Rollout, SelfFence, StoreLoss,
};
pub use self::record::{STACK_SCHEMA, StackRecord};
pub use self::timing::{Forecast, PhaseSpan, Span};
use crate::clock::Millis;
use crate::config::Problems;
use crate::digest::ContentDigest;
use crate::grade::FenceGrade;
use crate::id::{
    CheckName, DatabaseName, FenceName, HookName, NodeName, RouteName, SiteName, StackName,
    WorkloadName,
};

/// Largest stack file read, in bytes.
pub const STACK_FILE_BYTES_MAX: usize = 256 * 1024;

/// What a site is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SiteRole {
    /// Live when the stack is first applied.
    Primary,
    /// May become live.
    Standby,
    /// Votes, may hold a replica, never becomes live.
    Witness,
}

/// A service and its rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// Its name, first token of every subject.
    pub name: StackName,
    /// Its sites: exactly one primary, at least one standby, three or more in all.
    pub sites: BTreeMap<SiteName, SiteRole>,
    /// Its PostgreSQL clusters, in the order in which they are promoted.
    pub databases: Vec<Database>,
    /// The agent that acts on each site's Kubernetes API.
    pub clusters: BTreeMap<SiteName, NodeName>,
    /// Its workloads, lowest wave first, in file order within a wave.
    pub workloads: Vec<Workload>,
    /// The ways clients take to the live site, in the order in which they are switched.
    pub routes: Vec<Route>,
    /// The checks that prove the service after a move, in order.
    pub checks: Vec<Check>,
    /// Ways to cut off or power off a site, in file order.
    #[serde(default)]
    pub fences: Vec<Fence>,
    /// The rules.
    pub policy: Policy,
}

/// A PostgreSQL cluster over the sites.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its name.
    pub name: DatabaseName,
    /// Its members, one for a site.
    pub members: Vec<Member>,
}

/// One PostgreSQL server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Where it is.
    pub site: SiteName,
    /// The agent beside it.
    pub node: NodeName,
    /// Where the other members reach it.
    pub address: Address,
    /// Where a member of the named site reaches it, when that is not `address`.
    pub address_from: BTreeMap<SiteName, Address>,
}

/// The kinds of workloads that have a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WorkloadKind {
    /// `apps/v1 Deployment`.
    Deployment,
    /// `apps/v1 StatefulSet`.
    StatefulSet,
}

/// A workload that runs in the live site only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Its name.
    pub name: WorkloadName,
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its namespace in every site's cluster.
    pub namespace: String,
    /// Its object name in every site's cluster.
    pub object: String,
    /// Replicas in the live site.
    pub replicas: u32,
    /// Waves start one after the other, lowest first; within one, together.
    pub wave: u32,
}

/// A way clients take, switched by a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Its name.
    pub name: RouteName,
    /// The hook that points it at the live site; the agent's own file says which program that is.
    pub hook: HookName,
    /// The agent that runs the hook when the key's site becomes live.
    pub nodes: BTreeMap<SiteName, NodeName>,
}

/// A way to make sure from outside that a site cannot serve: a program that cuts it off or powers it off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// Its name.
    pub name: FenceName,
    /// The site that it stops.
    pub site: SiteName,
    /// What its success proves: cut off or powered off.
    pub grade: FenceGrade,
    /// The program, as the agent's own file defines it.
    pub hook: HookName,
    /// The agents that can run it, none of them in the site that it stops.
    pub nodes: BTreeMap<SiteName, NodeName>,
}

/// A proof of the service, made from inside the live site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub name: CheckName,
    /// What is asked and what must come back.
    pub probe: CheckProbe,
    /// The agent that makes it when the key's site is live.
    pub nodes: BTreeMap<SiteName, NodeName>,
}

/// What a check asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckProbe {
    /// An HTTP GET.
    Http {
        /// The address asked when the key's site is live (`http://` only).
        url: BTreeMap<SiteName, String>,
        /// The status that must come back.
        status: u16,
        /// A text that the body must hold, if any.
        contains: Option<String>,
    },
    /// One SQL statement on the agent's own database connection.
    Sql {
        /// The statement; its first column of its first row is the answer.
        statement: String,
        /// The answer as text that must come back.
        equals: String,
    },
}

impl Stack {
    /// Reads a stack file.
    ///
    /// # Errors
    /// [`Problems`] with everything that is wrong.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        reading::read(file, text)
    }

    /// The digest that tells two versions apart.
    pub fn digest(&self) -> ContentDigest {
        ContentDigest::of(self)
    }

    /// The site that is live when the stack is first applied.
    ///
    /// # Panics
    /// Never for a parsed stack: it has exactly one primary.
    pub fn first_primary(&self) -> &SiteName {
        let primary = self
            .sites
            .iter()
            .find(|(_, role)| **role == SiteRole::Primary);
        assert!(primary.is_some(), "a parsed stack has one primary site");
        primary.map_or_else(|| unreachable!(), |(site, _)| site)
    }

    /// Sites that may be live: the primary and the standbys.
    pub fn eligible(&self) -> impl Iterator<Item = &SiteName> {
        let may_be_live = |(_, role): &(&SiteName, &SiteRole)| **role != SiteRole::Witness;
        self.sites.iter().filter(may_be_live).map(|(site, _)| site)
    }

    /// Whether a site may be live; false for one that the stack does not have.
    pub fn is_eligible(&self, site: &SiteName) -> bool {
        self.eligible().any(|eligible| eligible == site)
    }

    /// The member of a database in a site.
    pub fn member<'a>(&self, database: &'a Database, site: &SiteName) -> Option<&'a Member> {
        database.members.iter().find(|member| member.site == *site)
    }

    /// The database and member that an agent stands beside.
    pub fn member_of_node(&self, node: &NodeName) -> Option<(&Database, &Member)> {
        let members = |database| Database::members(database).map(move |member| (database, member));
        self.databases
            .iter()
            .flat_map(members)
            .find(|(_, member)| member.node == *node)
    }

    /// All agents that the stack names, with their site.
    pub fn nodes(&self) -> BTreeMap<NodeName, SiteName> {
        let members = self.databases.iter().flat_map(Database::members);
        let of_members = members.map(|member| (member.node.clone(), member.site.clone()));
        let of_clusters = self
            .clusters
            .iter()
            .map(|(site, node)| (node.clone(), site.clone()));
        let by_site = |nodes: &BTreeMap<SiteName, NodeName>| {
            nodes
                .iter()
                .map(|(site, node)| (node.clone(), site.clone()))
                .collect::<Vec<_>>()
        };
        let of_routes = self.routes.iter().flat_map(|route| by_site(&route.nodes));
        let of_checks = self.checks.iter().flat_map(|check| by_site(&check.nodes));
        let of_fences = self.fences.iter().flat_map(|fence| by_site(&fence.nodes));
        of_members
            .chain(of_clusters)
            .chain(of_fences)
            .chain(of_routes)
            .chain(of_checks)
            .collect()
    }

    /// The wave numbers in use, lowest first.
    pub fn waves(&self) -> Vec<u32> {
        let mut waves: Vec<u32> = self
            .workloads
            .iter()
            .map(|workload| workload.wave)
            .collect();
        waves.sort_unstable();
        waves.dedup();
        waves
    }
}

impl Database {
    /// Its members.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }
}

impl Member {
    /// Where a member of `site` reaches this one.
    pub fn address_for(&self, site: &SiteName) -> &Address {
        self.address_from.get(site).unwrap_or(&self.address)
    }
}

impl WorkloadKind {
    /// The kind's name as Kubernetes writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
        }
    }
}

/// Longest deadline that a step may have.
pub const DEADLINE_MAX: Millis = Millis::seconds(24 * 3_600);

#[cfg(test)]
mod tests;
