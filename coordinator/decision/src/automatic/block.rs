//! Why automatic mode does not act: one case a reason, each with its rule and its sentence.

use shared::clock::{Millis, UnixMillis};
use shared::epoch::StackVersion;
use shared::grade::FenceGrade;
use shared::id::{Actor, NodeName, RunId, SiteName};
use shared::stack::Mode;

use super::rule::{AUTOMATIC_RULES, AutomaticRule};
use crate::finding::FindingCode;

/// Why automatic mode does not act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AutomaticBlock {
    /// The stack's mode is another.
    Mode(Mode),
    /// An operator has switched it off.
    SwitchedOff {
        /// Who.
        by: Actor,
        /// When.
        at: UnixMillis,
        /// Why.
        reason: String,
    },
    /// A run goes on, or is halted.
    Run(RunId),
    /// A run was over a short time ago.
    CoolDown {
        /// Which.
        run: RunId,
        /// What is left, on the leader's clock; nothing to a follower.
        left_ms: Option<Millis>,
    },
    /// Something that was found.
    Found {
        /// What.
        code: FindingCode,
        /// Its sentence.
        says: String,
    },
    /// A coordinator is not heard.
    CoordinatorUnheard(SiteName),
    /// A coordinator works with another stack version.
    CoordinatorVersion {
        /// Its site.
        site: SiteName,
        /// Its version.
        has: Option<StackVersion>,
        /// The version here.
        wanted: StackVersion,
    },
    /// An agent keeps the rules of another stack version.
    AgentVersion {
        /// Which.
        node: NodeName,
        /// Its version; nothing when it says none.
        has: Option<StackVersion>,
        /// The version here.
        wanted: StackVersion,
    },
    /// The old site's promise was made by the rules of another stack version.
    PromiseVersion {
        /// Whose.
        node: NodeName,
        /// Its version.
        has: StackVersion,
        /// The version here.
        wanted: StackVersion,
    },
    /// Databases do not stop themselves, and nothing else keeps the old one from acknowledging.
    NotFenced {
        /// Why synchronous replication does not stand in for it.
        replication: String,
    },
    /// What would be proved is not enough.
    Grade {
        /// The grade that is asked.
        asked: FenceGrade,
        /// The grade that can be reached.
        reached: FenceGrade,
        /// Why not more.
        because: String,
    },
    /// An operator would have to override a rule.
    Override {
        /// Its name.
        name: String,
        /// What it says.
        says: String,
    },
    /// This coordinator does not lead.
    NotLeading,
}

impl AutomaticBlock {
    /// The rule that does not hold.
    ///
    /// # Panics
    /// Never: a test holds the table against every case.
    pub fn rule(&self) -> &'static AutomaticRule {
        let name = match self {
            Self::Mode(_) => "mode",
            Self::SwitchedOff { .. } => "switch",
            Self::Run(_) => "run",
            Self::CoolDown { .. } => "cool-down",
            Self::Found { code, .. } => found_by(*code),
            Self::CoordinatorUnheard(_) => "coordinators",
            Self::CoordinatorVersion { .. }
            | Self::AgentVersion { .. }
            | Self::PromiseVersion { .. } => "stack-version",
            Self::NotFenced { .. } => "self-fence",
            Self::Grade { .. } => "fence-grade",
            Self::Override { .. } => "overrides",
            Self::NotLeading => "leader",
        };
        let found = AUTOMATIC_RULES.iter().find(|rule| rule.name == name);
        found.unwrap_or_else(|| unreachable!("every block has a rule"))
    }

    /// One sentence.
    pub fn sentence(&self) -> String {
        let none = |version: &Option<StackVersion>| {
            version.map_or_else(|| "none".to_owned(), |version| version.to_string())
        };
        match self {
            Self::Mode(_) => "the stack's mode is not automatic".to_owned(),
            Self::SwitchedOff { by, at, reason } => {
                format!("{by} switched it off at {}: {reason}", at.rfc3339())
            }
            Self::Run(run) => format!("run {} is not over", run.short()),
            Self::CoolDown { run, left_ms } => {
                let left = left_ms.map_or_else(
                    || "as the leader counts".to_owned(),
                    |left| format!("for {} more", left.human()),
                );
                format!(
                    "cool-down after run {} {left}; `pointsman acknowledge cool-down` ends it",
                    run.short()
                )
            }
            Self::Found { says, .. } => says.clone(),
            Self::CoordinatorUnheard(site) => format!("the coordinator in {site} is not heard"),
            Self::CoordinatorVersion { site, has, wanted } => format!(
                "the coordinator in {site} works with stack version {}, this one with {wanted}",
                none(has)
            ),
            Self::AgentVersion { node, has, wanted } => format!(
                "agent {node} keeps the rules of stack version {}, in force is {wanted}",
                none(has)
            ),
            Self::PromiseVersion { node, has, wanted } => {
                format!("{node} promised by the rules of stack version {has}, in force is {wanted}")
            }
            Self::NotFenced { replication } => format!(
                "databases do not stop themselves without their lease (policy.lease.self_fence), and replication does \
                 not stand in for that: {replication}"
            ),
            Self::Grade {
                asked,
                reached,
                because,
            } => format!(
                "fence grade {asked} is asked by policy.automatic, and {reached} can be reached: {because}"
            ),
            Self::Override { name, says } => format!("rule {name}: {says}"),
            Self::NotLeading => {
                "this coordinator does not lead, and only the leader acts".to_owned()
            }
        }
    }
}

/// The rule that a finding breaks.
const fn found_by(code: FindingCode) -> &'static str {
    match code {
        FindingCode::HoldActive => "hold",
        FindingCode::Flapping => "flapping",
        FindingCode::StoreRegressed => "store",
        FindingCode::ObserverUnfit | FindingCode::ObserverMissing | FindingCode::JustStarted => {
            "observers"
        }
        FindingCode::TwoPrimaries
        | FindingCode::GlassBroken
        | FindingCode::SiteLost
        | FindingCode::SiteSilent
        | FindingCode::LinkLost
        | FindingCode::BusFault
        | FindingCode::SiteBusLost
        | FindingCode::CoordinatorSilent
        | FindingCode::AgentSilent
        | FindingCode::DatabaseDown
        | FindingCode::ServiceDown
        | FindingCode::LocalFailover
        | FindingCode::AsymmetricReach
        | FindingCode::ReplicationBroken
        | FindingCode::NotSynchronous
        | FindingCode::LagAboveRpo
        | FindingCode::SlowHost
        | FindingCode::ClockJump
        | FindingCode::PassiveSiteActive
        | FindingCode::OldPrimaryActive
        | FindingCode::NoCandidate
        | FindingCode::AgentUnknown
        | FindingCode::StackDiffers => "findings",
    }
}
