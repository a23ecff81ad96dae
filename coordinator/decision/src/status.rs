//! The status of a stack as plain values: who is live, who sees whom, what was found, what is next.

use shared::clock::Mono;
use shared::id::SiteName;
use shared::stack::{Member, SiteRole};
use shared::wire::{DatabaseState, ReceiverStatus};

use crate::assessment::{Scene, assess};
use crate::candidate::last_primary;
use crate::core::Core;
use crate::durable::RunState;
use crate::finding::{Finding, FindingCode, row_of};
use crate::input::Now;
use crate::leasing;
use crate::phase::Phase;
use crate::readiness::readiness;
use crate::sighting::{ObserverVote, Vote};
use crate::trusting::ACCEPT;
use crate::view::{
    AgentView, DatabaseView, FindingView, ReadinessView, SeenByView, SiteView, StatusView,
    WorkloadsView,
};

/// What stands in the way while no coordinator leads.
const NOBODY_LEADS: &str = "no coordinator is known to lead: nothing can be proposed or approved until one does \
     (two of the three NATS servers and the provisioned store are needed)";

impl Core {
    /// The status at this instant, as this coordinator knows it.
    pub fn status(&self, now: Now) -> StatusView {
        self.status_as(now, true)
    }

    /// The status while no coordinator is known to lead: however well everything looks, nothing is proposed,
    /// approved or carried out, and the first words say so.
    pub fn status_unled(&self, now: Now) -> StatusView {
        self.status_as(now, false)
    }

    fn status_as(&self, now: Now, led: bool) -> StatusView {
        let view = self.view(now.mono);
        let findings = view.as_ref().map(assess).unwrap_or_default();
        let sites = view.as_ref().map(|view| sites(view)).unwrap_or_default();
        let mut readiness = view
            .as_ref()
            .map_or_else(unready, |view| readiness(view, &findings));
        if !led {
            readiness.protected = false;
            readiness.obstacles.insert(0, NOBODY_LEADS.to_owned());
        }
        let summary = self.summary(now.mono, &findings, &readiness);
        StatusView {
            schema: 1,
            summary: if led {
                summary
            } else {
                format!("nobody leads; {summary}")
            },
            stack: self.stack.as_ref().map(|(_, stack)| stack.name.clone()),
            stack_version: self.stack.as_ref().map(|(version, _)| *version),
            as_of: now.wall,
            answered_by: self.ears.site.clone(),
            leads: self.leads(),
            leader: self
                .known_leader
                .as_ref()
                .filter(|(site, _)| self.leads() || *site != self.ears.site)
                .map(|(site, _)| site.clone()),
            term: self.term(),
            epoch: self.ticket.as_ref().map(|ticket| ticket.epoch),
            live_site: self.live_site(),
            phase: self.shown_phase(),
            phase_why: self.phase_why(),
            sites,
            findings: findings.iter().map(finding_view).collect(),
            readiness,
            store: self.store_view(now),
            leases: view.as_ref().map(leasing::views).unwrap_or_default(),
            automatic: self.automatic_view(now.mono),
            open_proposal: self.durable.open_proposal().map(|proposal| proposal.id),
            run: self.durable.run.as_ref().map(|run| run.id),
            hold: self
                .durable
                .hold
                .as_ref()
                .map(|hold| format!("{} by {}: {}", hold.at.rfc3339(), hold.by, hold.reason)),
            next: self.next_command(now),
        }
    }

    /// The phase shown: a follower shows what the state in the store says.
    pub(crate) fn shown_phase(&self) -> Phase {
        match self.durable.run.as_ref().map(|run| &run.state) {
            Some(RunState::Halted { .. }) => Phase::Halted,
            Some(_) => Phase::Running,
            None if self.durable.open_proposal().is_some() => Phase::Proposed,
            None => self.phase,
        }
    }

    fn phase_why(&self) -> String {
        match self.shown_phase() {
            Phase::Unknown if self.stack.is_none() => "no stack is in force".to_owned(),
            Phase::Unknown => "nothing can be said yet".to_owned(),
            Phase::Watching => "every observer that has a vote sights the live site".to_owned(),
            Phase::Suspecting => {
                "an observer does not, or until lately did not, sight the live site".to_owned()
            }
            Phase::Confirming => {
                "no observer sights the live site; the silence is being confirmed".to_owned()
            }
            Phase::Blocked => format!(
                "the live site is lost and nothing can be proposed: {}",
                self.blocked.join("; ")
            ),
            Phase::Proposed => "a proposal waits for an operator".to_owned(),
            Phase::Running => "a run goes on".to_owned(),
            Phase::Halted => match self.durable.run.as_ref().map(|run| &run.state) {
                Some(RunState::Halted { step, reason }) => {
                    format!("the run halted at step {step}: {reason}")
                }
                _ => "the run halted".to_owned(),
            },
            Phase::Completed => "a run was completed a short time ago".to_owned(),
        }
    }

    fn summary(&self, now: Mono, findings: &[Finding], readiness: &ReadinessView) -> String {
        let Some((_, stack)) = &self.stack else {
            return "no stack is in force; apply one with `pointsman stack apply FILE`".to_owned();
        };
        let live = self
            .live_site()
            .map_or_else(String::new, |site| site.to_string());
        let protected = if readiness.protected {
            "a failover would work now"
        } else {
            "UNPROTECTED"
        };
        match self.shown_phase() {
            Phase::Proposed => {
                let automatic = self.automatic_view(now);
                let automatic =
                    automatic.map_or_else(String::new, |view| format!("; {}", view.summary));
                format!("{live} is lost: a proposal waits for an operator{automatic}")
            }
            Phase::Running | Phase::Halted | Phase::Blocked => self.phase_why(),
            // What holds the right to be live need not be alive: the first words must not say so.
            Phase::Confirming => {
                let silent = findings
                    .iter()
                    .find(|f| matches!(f.code, FindingCode::SiteSilent | FindingCode::SiteLost));
                let silent =
                    silent.map_or_else(|| format!("nobody sights {live}"), |f| f.sentence.clone());
                format!("{}: {silent}; {protected}", stack.name)
            }
            Phase::Unknown | Phase::Watching | Phase::Suspecting | Phase::Completed => {
                let gravest = findings
                    .iter()
                    .find(|f| row_of(f.code).severity > shared::wire::Severity::Info);
                let first = gravest.map_or_else(String::new, |f| format!("; {}", f.sentence));
                let sighted = self
                    .live_votes(now)
                    .iter()
                    .any(|vote| vote.vote == Vote::Sighted);
                let doubted = matches!(self.shown_phase(), Phase::Unknown | Phase::Suspecting);
                let is_live = if sighted || !doubted {
                    format!("{live} is live")
                } else {
                    format!("it is not known whether {live} lives")
                };
                format!("{}: {is_live}, {protected}{first}", stack.name)
            }
        }
    }

    fn next_command(&self, now: Now) -> Option<String> {
        if self.distrust(now).is_some() {
            return Some(ACCEPT.to_owned());
        }
        if self.stack.is_none() {
            return Some("pointsman stack apply FILE".to_owned());
        }
        if self.glass_is_broken() {
            return Some("pointsman acknowledge break-glass --reason TEXT".to_owned());
        }
        match self.shown_phase() {
            Phase::Proposed => Some("pointsman show latest".to_owned()),
            Phase::Running | Phase::Halted => Some("pointsman show latest".to_owned()),
            Phase::Blocked | Phase::Confirming | Phase::Suspecting => {
                Some("pointsman explain".to_owned())
            }
            Phase::Unknown | Phase::Watching | Phase::Completed => None,
        }
    }
}

/// A vote as operators see it.
pub(crate) fn seen_by(vote: &ObserverVote, now: Mono) -> SeenByView {
    SeenByView {
        observer: vote.observer.clone(),
        age_ms: vote
            .sighting
            .as_ref()
            .map(|sighting| now.since(sighting.at)),
        silent: vote.vote == Vote::Silent,
        no_vote: match &vote.vote {
            Vote::None(why) => Some(why.words()),
            Vote::Sighted | Vote::Silent => None,
        },
    }
}

fn unready() -> ReadinessView {
    let obstacles = vec!["no stack is in force".to_owned()];
    ReadinessView {
        protected: false,
        target: None,
        loss: None,
        obstacles,
        break_glass: Vec::new(),
    }
}

fn finding_view(finding: &Finding) -> FindingView {
    FindingView {
        code: finding.code,
        severity: row_of(finding.code).severity,
        sentence: finding.sentence.clone(),
    }
}

fn sites(view: &Scene<'_>) -> Vec<SiteView> {
    view.stack
        .sites
        .iter()
        .map(|(site, role)| site_view(view, site, *role))
        .collect()
}

fn site_view(view: &Scene<'_>, site: &SiteName, role: SiteRole) -> SiteView {
    let members = view.stack.databases.iter().flat_map(|database| {
        database
            .members
            .iter()
            .filter(|member| member.site == *site)
            .map(move |member| (database, member))
    });
    let databases = members
        .map(|(database, member)| database_view(view, database, member))
        .collect();
    let nodes = view.stack.nodes();
    let agents = nodes
        .into_iter()
        .filter(|(_, home)| home == site)
        .map(|(node, _)| {
            let agent = view.inventory.agent(site, &node);
            AgentView {
                node,
                heartbeat_age_ms: agent.map(|agent| agent.age(view.now)),
                version: agent.map(|agent| agent.heartbeat.version.clone()),
                epoch: agent.map(|agent| agent.heartbeat.epoch),
            }
        })
        .collect();
    SiteView {
        site: site.clone(),
        role,
        live: view.live() == site,
        seen_by: view
            .votes(site)
            .iter()
            .map(|vote| seen_by(vote, view.now))
            .collect(),
        databases,
        workloads: workloads(view, site),
        agents,
    }
}

fn database_view(
    view: &Scene<'_>,
    database: &shared::stack::Database,
    member: &Member,
) -> DatabaseView {
    let agent = view.inventory.agent(&member.site, &member.node);
    let sample = agent.and_then(|agent| agent.heartbeat.database.as_ref());
    let primary = last_primary(view.inventory, database, view.live());
    let lsn = sample.and_then(|sample| sample.received_lsn);
    let away = member.site != *view.live();
    DatabaseView {
        database: database.name.clone(),
        node: member.node.clone(),
        state: sample.map_or(DatabaseState::Unknown, |sample| sample.state),
        role: sample.and_then(|sample| sample.role),
        timeline: sample.and_then(|sample| sample.timeline),
        lsn,
        lag_bytes: primary
            .zip(lsn)
            .filter(|_| away)
            .map(|(primary, lsn)| primary.lsn.ahead_of(lsn)),
        lag_ms: sample.and_then(|sample| sample.lag_ms).filter(|_| away),
        streaming: sample
            .and_then(|sample| sample.receiver.as_ref())
            .map(|receiver| {
                receiver.status == ReceiverStatus::Streaming
                    && receiver
                        .message_age_ms
                        .is_none_or(|age| age < view.silence())
            }),
        age_ms: agent.and_then(|agent| agent.database_age(view.now)),
    }
}

fn workloads(view: &Scene<'_>, site: &SiteName) -> Option<WorkloadsView> {
    let node = view.stack.clusters.get(site)?;
    let agent = view.inventory.agent(site, node)?;
    let cluster = agent.heartbeat.cluster.as_ref()?;
    let (mut ready, mut wanted, mut declared) = (0_u32, 0_u32, 0_u32);
    for workload in &view.stack.workloads {
        let object = format!("{}/{}", workload.namespace, workload.object);
        let sample = cluster
            .workloads
            .iter()
            .find(|sample| sample.object == object);
        ready = ready.saturating_add(sample.map_or(0, |sample| sample.ready));
        wanted = wanted.saturating_add(sample.and_then(|sample| sample.wanted).unwrap_or(0));
        declared = declared.saturating_add(workload.replicas);
    }
    let age_ms = shared::clock::Millis(agent.age(view.now).0.saturating_add(cluster.age_ms.0));
    Some(WorkloadsView {
        ready,
        wanted,
        declared,
        age_ms,
    })
}
