//! Every NATS subject, bucket and stream name: built and parsed here only.
//!
//! The table in `WIRE.md` is compared with [`TABLE`] by a test. Identity tokens come last, so that a
//! permission can name them; every token is a name (see [`crate::id`]), so none can hold a dot or wildcard.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{NodeName, SiteName, StackName};

/// First token of every subject.
pub const ROOT: &str = "pointsman";

/// A subject or subject pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Subject(String);

/// What operators ask of a coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// What is true, and how old that knowledge is.
    Status,
    /// The proposals, newest first.
    Proposals,
    /// One proposal whole.
    Show,
    /// Why there is, or is not, a proposal.
    Explain,
    /// Approves one proposal by its digest.
    Approve,
    /// Rejects one proposal.
    Reject,
    /// Resumes a halted run, or waives its halted step by name.
    Resume,
    /// Ends a halted run where it stands.
    Abandon,
    /// Suspends proposals.
    Hold,
    /// Ends a hold.
    Release,
    /// Ends an alarm that only an operator can end, after it was looked at.
    Acknowledge,
    /// Switches automatic mode off or on.
    Automatic,
    /// What would have been proposed in shadow mode.
    Shadow,
    /// Accepts a store that shows less than was seen of it.
    StoreAccept,
    /// The audit trail.
    History,
    /// The stack in force.
    StackShow,
    /// Checks a stack file and shows the difference.
    StackCheck,
    /// Puts a stack file in force.
    StackApply,
}

impl Verb {
    /// All verbs.
    pub const ALL: [Self; 18] = [
        Self::Status,
        Self::Proposals,
        Self::Show,
        Self::Explain,
        Self::Approve,
        Self::Reject,
        Self::Resume,
        Self::Abandon,
        Self::Hold,
        Self::Release,
        Self::Acknowledge,
        Self::Automatic,
        Self::Shadow,
        Self::StoreAccept,
        Self::History,
        Self::StackShow,
        Self::StackCheck,
        Self::StackApply,
    ];

    /// The verb's token in subjects.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Proposals => "proposals",
            Self::Show => "show",
            Self::Explain => "explain",
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Resume => "resume",
            Self::Abandon => "abandon",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Acknowledge => "acknowledge",
            Self::Automatic => "automatic",
            Self::Shadow => "shadow",
            Self::StoreAccept => "store-accept",
            Self::History => "history",
            Self::StackShow => "stack-show",
            Self::StackCheck => "stack-check",
            Self::StackApply => "stack-apply",
        }
    }

    /// True for a verb that changes something: only the leader answers it.
    pub const fn changes(self) -> bool {
        matches!(
            self,
            Self::Approve
                | Self::Reject
                | Self::Resume
                | Self::Abandon
                | Self::Hold
                | Self::Release
                | Self::Automatic
                | Self::Acknowledge
                | Self::StoreAccept
                | Self::StackApply
        )
    }
}

impl Subject {
    /// An agent's heartbeats.
    pub fn heartbeat(stack: &StackName, site: &SiteName, node: &NodeName) -> Self {
        Self(format!("{ROOT}.{stack}.hb.{site}.{node}"))
    }

    /// All heartbeats of a stack.
    pub fn heartbeats(stack: &StackName) -> Self {
        Self(format!("{ROOT}.{stack}.hb.*.*"))
    }

    /// Commands to one agent.
    pub fn command(stack: &StackName, site: &SiteName, node: &NodeName) -> Self {
        Self(format!("{ROOT}.{stack}.cmd.{site}.{node}"))
    }

    /// An agent's step reports.
    pub fn report(stack: &StackName, site: &SiteName, node: &NodeName) -> Self {
        Self(format!("{ROOT}.{stack}.report.{site}.{node}"))
    }

    /// All step reports of a stack.
    pub fn reports(stack: &StackName) -> Self {
        Self(format!("{ROOT}.{stack}.report.*.*"))
    }

    /// A coordinator's own observation.
    pub fn observation(stack: &StackName, site: &SiteName) -> Self {
        Self(format!("{ROOT}.{stack}.obs.{site}"))
    }

    /// All observations of a stack.
    pub fn observations(stack: &StackName) -> Self {
        Self(format!("{ROOT}.{stack}.obs.*"))
    }

    /// A coordinator's message to itself, by which it knows that it hears at all.
    pub fn canary(stack: &StackName, site: &SiteName) -> Self {
        Self(format!("{ROOT}.{stack}.hb.{site}.canary-{site}"))
    }

    /// Events of one kind, in JSON, for operators and the audit stream.
    pub fn event(stack: &StackName, kind: &str) -> Self {
        Self(format!("{ROOT}.{stack}.event.{kind}"))
    }

    /// All events of a stack.
    pub fn events(stack: &StackName) -> Self {
        Self(format!("{ROOT}.{stack}.event.>"))
    }

    /// An operator's request, answered as a table for people.
    pub fn operator(stack: &StackName, verb: Verb) -> Self {
        Self(format!("{ROOT}.{stack}.{}", verb.token()))
    }

    /// An operator's request, answered in JSON.
    pub fn operator_json(stack: &StackName, verb: Verb) -> Self {
        Self(format!("{ROOT}.{stack}.{}.json", verb.token()))
    }

    /// An operator's request to one site's coordinator, answered in JSON.
    pub fn operator_at(stack: &StackName, site: &SiteName, verb: Verb) -> Self {
        Self(format!("{ROOT}.{stack}.at.{site}.{}", verb.token()))
    }

    /// The subject as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes a subject that came with a message, such as a reply subject.
    pub fn received(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The sender that a subject names: the site and node of `pointsman.<stack>.<hb|report>.<site>.<node>`.
pub fn sender(stack: &StackName, subject: &str) -> Option<(SiteName, NodeName)> {
    let mut tokens = subject.split('.');
    let known = tokens.next() == Some(ROOT)
        && tokens.next() == Some(stack.as_str())
        && matches!(tokens.next(), Some("hb" | "report"));
    let site = tokens.next().and_then(|token| SiteName::new(token).ok());
    let node = tokens.next().and_then(|token| NodeName::new(token).ok());
    if known && tokens.next().is_none() {
        site.zip(node)
    } else {
        None
    }
}

/// The site that `pointsman.<stack>.obs.<site>` names.
pub fn observer(stack: &StackName, subject: &str) -> Option<SiteName> {
    let prefix = format!("{ROOT}.{stack}.obs.");
    subject
        .strip_prefix(&prefix)
        .and_then(|token| SiteName::new(token).ok())
}

/// The JetStream key-value bucket of a stack: ticket, lead, state, stack versions.
pub fn bucket(stack: &StackName) -> String {
    format!("POINTSMAN_{stack}")
}

/// The JetStream stream that keeps a stack's events.
pub fn audit_stream(stack: &StackName) -> String {
    format!("POINTSMAN_{stack}_AUDIT")
}

/// Keys of the bucket.
pub mod key {
    /// Who leads, and in which term.
    pub const LEAD: &str = "lead";
    /// The right to be live: epoch, holder and grant.
    pub const TICKET: &str = "ticket";
    /// Proposals and the run with its cursor.
    pub const STATE: &str = "state";
    /// The stack in force.
    pub const STACK: &str = "stack";

    /// The signed plan that makes a site live when the store is lost together with the live site.
    pub fn contingency(site: &crate::id::SiteName) -> String {
        format!("contingency.{site}")
    }
}

/// The subject table: pattern, who sends, encoding, what it carries. `WIRE.md` shows it.
pub const TABLE: [(&str, &str, &str, &str); 10] = [
    (
        "pointsman.<stack>.hb.<site>.<node>",
        "agent",
        "MessagePack",
        "heartbeat, once a second",
    ),
    (
        "pointsman.<stack>.cmd.<site>.<node>",
        "leading coordinator",
        "MessagePack",
        "command; the reply is a report",
    ),
    (
        "pointsman.<stack>.report.<site>.<node>",
        "agent",
        "MessagePack",
        "step report, when its state changes",
    ),
    (
        "pointsman.<stack>.obs.<site>",
        "coordinator",
        "MessagePack",
        "what this coordinator hears, once a second",
    ),
    (
        "pointsman.<stack>.hb.<site>.canary-<site>",
        "coordinator",
        "MessagePack",
        "to itself: it hears its own subscription",
    ),
    (
        "pointsman.<stack>.event.<kind>",
        "leading coordinator",
        "JSON",
        "every move, with a one-sentence summary",
    ),
    (
        "pointsman.<stack>.<verb>",
        "operator",
        "JSON request, text reply",
        "operator's request, table reply",
    ),
    (
        "pointsman.<stack>.<verb>.json",
        "operator",
        "JSON",
        "the same, JSON reply",
    ),
    (
        "pointsman.<stack>.at.<site>.<verb>",
        "operator",
        "JSON",
        "the same, asked of one site's coordinator",
    ),
    (
        "_INBOX.<site>.<node>.>",
        "anybody asked",
        "as the request",
        "replies",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_are_read_from_subjects_of_this_stack_only() {
        let stack = StackName::new("ess").unwrap();
        let (site, node) = (SiteName::new("dc1").unwrap(), NodeName::new("db1").unwrap());
        let subject = Subject::heartbeat(&stack, &site, &node);
        assert_eq!(
            sender(&stack, subject.as_str()),
            Some((site.clone(), node.clone()))
        );
        let report = Subject::report(&stack, &site, &node);
        assert_eq!(sender(&stack, report.as_str()), Some((site.clone(), node)));
        for other in [
            "pointsman.x.hb.dc1.db1",
            "pointsman.ess.cmd.dc1.db1",
            "pointsman.ess.hb.dc1",
            "pointsman.ess.hb.dc1.db1.x",
        ] {
            assert_eq!(sender(&stack, other), None, "{other}");
        }
        assert_eq!(
            observer(&stack, Subject::observation(&stack, &site).as_str()),
            Some(site)
        );
        assert_eq!(observer(&stack, "pointsman.ess.obs.*"), None);
    }

    #[test]
    fn wire_md_shows_the_subject_table() {
        let page = include_str!("../WIRE.md");
        for (pattern, sender, encoding, carries) in TABLE {
            let row = format!("| `{pattern}` | {sender} | {encoding} | {carries} |");
            assert!(page.contains(&row), "WIRE.md lacks: {row}");
        }
        for verb in Verb::ALL {
            assert!(
                page.contains(&format!("`{}`", verb.token())),
                "WIRE.md lacks verb {}",
                verb.token()
            );
        }
    }
}
