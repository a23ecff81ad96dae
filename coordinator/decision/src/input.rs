//! Everything that the core can be told. What it is not told, it does not know.

use serde::{Deserialize, Serialize};
use shared::clock::{Mono, UnixMillis};
use shared::epoch::{StackVersion, Term};
use shared::id::{Actor, CommandId, NodeName, Nonce, ProcessId, ProposalId, RunId, SiteName};
use shared::stack::Stack;
use shared::wire::{Fitness, Heartbeat, Observation, Report, Ticket};
use uuid::Uuid;

use crate::durable::Durable;
use crate::memory::Memory;

/// The instant of an input, on both clocks. Decisions use `mono`; `wall` is for display and audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// The coordinator's own monotonic clock, which counts suspend.
    pub mono: Mono,
    /// Its wall clock.
    pub wall: UnixMillis,
}

/// Something that happened. Ids and randomness come in with it, as [`Fresh`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// Time has passed: the shell answers [`crate::Core::poll_timeout`] with it, and sends one a second anyway.
    Tick(Fresh),
    /// A heartbeat came in.
    Heard {
        /// The sender's site, from the subject.
        site: SiteName,
        /// The sender, from the subject.
        node: NodeName,
        /// What it said.
        heartbeat: Box<Heartbeat>,
    },
    /// A coordinator's observation came in (the own one is not fed back).
    Observed {
        /// The observing coordinator's site, from the subject.
        site: SiteName,
        /// What it said.
        observation: Observation,
    },
    /// Whether this process may be counted as an observer, by the shell's judgement of its own ears.
    SelfFitness(Fitness),
    /// A stack came in force.
    StackInForce {
        /// Its version.
        version: StackVersion,
        /// The stack.
        stack: Box<Stack>,
    },
    /// What earlier processes of this coordinator have seen of the store: before anything else.
    Remembered(Memory),
    /// What the store shows to a follower: for display, never for a decision.
    Mirrored {
        /// The state; nothing when it is what was mirrored before.
        durable: Option<Box<Durable>>,
        /// The ticket.
        ticket: Option<Ticket>,
        /// The revision of the ticket's key; zero without one.
        revision: u64,
        /// Who leads, and in which term.
        leader: Option<(SiteName, Term)>,
    },
    /// A read of the ticket. It authorises nothing and may be old; what agents renewed in it is a sign of life.
    TicketSeen {
        /// What was read.
        ticket: Option<Ticket>,
        /// The revision of its key; zero without one.
        revision: u64,
    },
    /// This coordinator leads: what it read from the store after it had won the lead by a write.
    Led {
        /// Its term.
        term: Term,
        /// The state; nothing at the very first start.
        durable: Option<Box<Durable>>,
        /// The ticket; nothing before the first stack.
        ticket: Option<Ticket>,
        /// The revision of its key; zero without one.
        revision: u64,
        /// Fresh randomness.
        fresh: Fresh,
    },
    /// This coordinator does not lead any more: it stops at once.
    LeadLost {
        /// Why.
        reason: String,
    },
    /// An operator's request that changes something.
    Asked {
        /// Ties the answer to the request.
        request: RequestId,
        /// Who asks.
        actor: Actor,
        /// What.
        ask: Ask,
        /// Fresh randomness.
        fresh: Fresh,
    },
    /// An agent reported on a command.
    Reported {
        /// The reporting agent's site, from the subject.
        site: SiteName,
        /// The reporting agent, from the subject.
        node: NodeName,
        /// What it said.
        report: Report,
    },
    /// A command did not get an answer.
    Unanswered {
        /// The command.
        command: CommandId,
        /// Why.
        cause: Unanswered,
    },
    /// A [`crate::Persist::Ticket`] was acknowledged: the wait between revoke and grant counts from here.
    TicketWritten {
        /// What is there now, with the confirmations that agents wrote meanwhile.
        ticket: Ticket,
        /// The revision of its key.
        revision: u64,
    },
    /// The ticket in the store is not the one that this leader wrote last.
    TicketConflict {
        /// What was found.
        found: Option<Ticket>,
    },
}

/// Randomness made by the shell, from which the core derives identities by digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fresh(pub Uuid);

/// Ties an answer to an operator's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RequestId(pub u64);

/// Why a command got no answer. None of these means that it was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Unanswered {
    /// This coordinator is not connected.
    NotConnected,
    /// Nobody listens on the agent's subject, as far as this side of the bus knows.
    NoResponder,
    /// No answer in time: it may still be delivered.
    TimedOut,
    /// The answer could not be read.
    Garbage,
}

/// What an operator may ask that changes something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    /// Approve a proposal.
    Approve(ApprovalRequest),
    /// Reject a proposal.
    Reject {
        /// Which.
        proposal: ProposalId,
        /// Why.
        reason: String,
    },
    /// Go on with a halted run.
    Resume {
        /// Which.
        run: RunId,
        /// Nothing: try the halted steps again. A step's number: waive that step.
        waive: Option<u32>,
        /// Why.
        reason: String,
    },
    /// Go on with a halted run past a rule that is overridden by its name.
    ResumePast(Past),
    /// End a halted run where it stands.
    Abandon {
        /// Which.
        run: RunId,
        /// Why.
        reason: String,
    },
    /// Go on with a store that shows less than was seen of it.
    AcceptStore {
        /// The site that is live.
        live: SiteName,
        /// Why.
        reason: String,
    },
    /// No proposals until released.
    Hold {
        /// Why.
        reason: String,
    },
    /// End the hold.
    Release {
        /// Why.
        reason: String,
    },
    /// End an alarm that only an operator can end.
    Acknowledge {
        /// Which.
        alarm: Alarm,
        /// Why.
        reason: String,
    },
    /// Switch automatic mode off or on.
    Automatic {
        /// True for on.
        on: bool,
        /// Why.
        reason: String,
    },
    /// Put a stack in force.
    ApplyStack {
        /// The stack, parsed and checked.
        stack: Box<Stack>,
        /// The version that the operator saw in force; nothing for the first.
        replaces: Option<StackVersion>,
    },
}

/// An alarm that only an operator can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alarm {
    /// A site was made live while the store was lost.
    BreakGlass,
    /// A run is over, and automatic mode does nothing for a while.
    CoolDown,
}

impl Alarm {
    /// All alarms.
    pub const ALL: [Self; 2] = [Self::BreakGlass, Self::CoolDown];

    /// The alarm's word, as operators type it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::BreakGlass => "break-glass",
            Self::CoolDown => "cool-down",
        }
    }
}

/// An approval as an operator sends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRequest {
    /// The proposal.
    pub proposal: ProposalId,
    /// The digest that the operator saw, whole or at least its first eight characters.
    pub digest: String,
    /// The site that the operator vouches to be off, typed by hand, if they vouch.
    #[serde(default)]
    pub attest_site_off: Option<String>,
    /// Rules overridden, each by its name with a reason.
    #[serde(default)]
    pub overrides: std::collections::BTreeMap<String, String>,
    /// Why; goes into the audit.
    #[serde(default)]
    pub reason: String,
}

/// How a halted run goes on past a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// Which run.
    pub run: RunId,
    /// The rules, each by its name with a reason.
    pub overrides: std::collections::BTreeMap<String, String>,
    /// The site that the operator vouches to be off, typed by hand, if they vouch.
    pub attest_site_off: Option<String>,
    /// Why.
    pub reason: String,
}

impl Fresh {
    /// The `index`-th identity derived from this randomness for a purpose.
    pub fn derive(self, purpose: &str, index: u64) -> Uuid {
        let digest = shared::digest::ContentDigest::of(&(self.0, purpose, index));
        let hex = digest.as_str().get(..32).unwrap_or_default();
        // Thirty-two hexadecimal digits always are a 128-bit number.
        let bits = u128::from_str_radix(hex, 16).unwrap_or_default();
        uuid::Builder::from_u128(bits)
            .with_version(uuid::Version::Custom)
            .into_uuid()
    }

    /// A nonce for a purpose.
    pub fn nonce(self, purpose: &str) -> Nonce {
        Nonce::new(self.derive(purpose, 0))
    }
}

/// Who a core is: its site, and the process whose observations others may hear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its site.
    pub site: SiteName,
    /// Its process.
    pub process: ProcessId,
}
