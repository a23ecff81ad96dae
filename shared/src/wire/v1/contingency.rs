//! The plan for the day on which the store is lost as well: made and signed beforehand, kept by the agents of the
//! site that it makes live.
//!
//! It authorises nothing by itself: an operator at the site's own hosts takes it up, and vouches for what the
//! store cannot say any more.

use serde::{Deserialize, Serialize};

use super::action::{Action, CheckExpectation, PlanDigest};
use crate::clock::{Millis, UnixMillis};
use crate::digest::ContentDigest;
use crate::epoch::{Epoch, StackVersion};
use crate::id::{Actor, NodeName, Nonce, SiteName, StackName};
use crate::lsn::Lsn;

/// Version of the JSON of both values here.
pub const CONTINGENCY_SCHEMA: u32 = 1;

/// Signed before the content, so that the signature can stand for nothing else.
const SIGNED_AS: &str = "pointsman contingency plan 1\n";

/// What the leading coordinator would propose now, if the live site were lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contingency {
    /// [`CONTINGENCY_SCHEMA`].
    pub schema: u32,
    /// The stack.
    pub stack: StackName,
    /// The version it was made for.
    pub stack_version: StackVersion,
    /// The incarnation of the ticket that it was made under.
    pub incarnation: Nonce,
    /// The epoch in force when it was made.
    pub base_epoch: Epoch,
    /// The site that is left.
    pub from: SiteName,
    /// The site that becomes live.
    pub to: SiteName,
    /// Digest of the coordinator's plan, as a proposal would show it.
    pub plan: PlanDigest,
    /// What would have been lost when it was made, as a sentence.
    pub loss: String,
    /// When it was made, by the maker's wall clock.
    pub made_at: UnixMillis,
    /// The coordinator that made it.
    pub made_by: SiteName,
    /// The steps, numbered from 1.
    pub steps: Vec<ContingencyStep>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContingencyStep {
    /// Its number in the plan.
    pub number: u32,
    /// Steps of one group do not wait for each other.
    pub group: u32,
    /// What it does, for people.
    pub title: String,
    /// How long it may take.
    pub deadline_ms: Millis,
    /// False when the site serves without it, so that nothing waits for it.
    pub needed: bool,
    /// What it does.
    pub work: ContingencyWork,
}

/// Who would do a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContingencyWork {
    /// The leader, in the store: the operator's attestation stands in for it.
    Revoke,
    /// A wait, kept by the agent on its own clock.
    Wait {
        /// How long.
        for_ms: Millis,
    },
    /// The leader, in the store: the operator's attestation stands in for it.
    Grant,
    /// An agent.
    Agent {
        /// Its site.
        site: SiteName,
        /// Its node.
        node: NodeName,
        /// What it does.
        action: Action,
    },
}

/// A contingency plan with the signature of the coordinator that made it, as the store and the agents keep it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedContingency {
    /// [`CONTINGENCY_SCHEMA`].
    pub schema: u32,
    /// One sentence for people who look with `nats kv get`.
    pub summary: String,
    /// The public nkey of the signer.
    pub key: String,
    /// The signature over [`SignedContingency::signed_bytes`] of the content, in hexadecimal characters.
    pub signature: String,
    /// The JSON of a [`Contingency`], exactly as it was signed.
    pub content: String,
}

/// That an operator broke the glass: what an agent tells until a later epoch is obeyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenGlass {
    /// The epoch that was taken without the store.
    #[serde(rename = "e")]
    pub epoch: Epoch,
    /// The plan that was run.
    #[serde(rename = "p")]
    pub plan: PlanDigest,
    /// Who did it.
    #[serde(rename = "by")]
    pub operator: Actor,
    /// Why.
    #[serde(rename = "why")]
    pub reason: String,
    /// The site that was made live.
    #[serde(rename = "to")]
    pub to: SiteName,
    /// The site that the operator vouched to be off.
    #[serde(rename = "off")]
    pub site_off: SiteName,
    /// When, by the agent's wall clock.
    #[serde(rename = "at")]
    pub at: UnixMillis,
    /// True once the store's ticket has taken this epoch over.
    #[serde(rename = "rec", default)]
    pub reconciled: bool,
}

impl Contingency {
    /// The digest of everything that a later plan of the same situation has in common with this one: positions,
    /// ages and the maker may differ.
    pub fn shape(&self) -> ContentDigest {
        let steps: Vec<ContingencyStep> = self.steps.iter().map(without_position).collect();
        ContentDigest::of(&(
            self.schema,
            &self.stack,
            self.stack_version,
            self.incarnation,
            self.base_epoch,
            &self.from,
            &self.to,
            steps,
        ))
    }

    /// How long it waits between leaving the old site and making the new one live.
    pub fn wait_ms(&self) -> Millis {
        let waits = self.steps.iter().map(|step| match step.work {
            ContingencyWork::Wait { for_ms } => for_ms.0,
            ContingencyWork::Revoke | ContingencyWork::Grant | ContingencyWork::Agent { .. } => 0,
        });
        Millis(waits.fold(0, u64::saturating_add))
    }
}

fn without_position(step: &ContingencyStep) -> ContingencyStep {
    let mut step = step.clone();
    if let ContingencyWork::Agent { action, .. } = &mut step.work {
        match action {
            Action::Promote { min_lsn, .. }
            | Action::Check {
                expect: CheckExpectation::Promotable { min_lsn, .. },
            } => *min_lsn = Lsn(0),
            Action::Check {
                expect: CheckExpectation::WorkloadsPresent { .. },
            }
            | Action::Fence { .. }
            | Action::Follow { .. }
            | Action::Scale { .. }
            | Action::Hook { .. }
            | Action::Verify { .. } => {}
        }
    }
    step
}

impl SignedContingency {
    /// What is signed of a content.
    pub fn signed_bytes(content: &str) -> Vec<u8> {
        let mut bytes = SIGNED_AS.as_bytes().to_vec();
        bytes.extend_from_slice(content.as_bytes());
        bytes
    }

    /// Bytes as hexadecimal characters.
    pub fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write as _;
        let mut text = String::with_capacity(bytes.len() * 2);
        for byte in bytes {
            // Writing to a String never fails.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// The signature's bytes; nothing when they are not written in hexadecimal characters.
    pub fn signature_bytes(&self) -> Option<Vec<u8>> {
        let digits = self.signature.as_bytes();
        let whole = digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit);
        if !whole {
            return None;
        }
        let byte = |pair: &[u8]| {
            let text = str::from_utf8(pair).ok()?;
            u8::from_str_radix(text, 16).ok()
        };
        digits.chunks(2).map(byte).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::DatabaseName;
    use crate::lsn::{SystemIdentifier, Timeline};

    fn plan(min_lsn: u64, wait: u64) -> Contingency {
        let promote = Action::Promote {
            database: DatabaseName::new("main").unwrap(),
            system_identifier: SystemIdentifier("1".to_owned()),
            timeline: Timeline(1),
            min_lsn: Lsn(min_lsn),
            slots: Vec::new(),
        };
        let step = |number, work| ContingencyStep {
            number,
            group: number,
            title: String::new(),
            deadline_ms: Millis(1),
            needed: true,
            work,
        };
        Contingency {
            schema: CONTINGENCY_SCHEMA,
            stack: StackName::new("ess").unwrap(),
            stack_version: StackVersion(1),
            incarnation: Nonce::new(uuid::Uuid::from_u128(1)),
            base_epoch: Epoch(3),
            from: SiteName::new("dc1").unwrap(),
            to: SiteName::new("dc2").unwrap(),
            plan: ContentDigest::of(&min_lsn),
            loss: String::new(),
            made_at: UnixMillis(min_lsn),
            made_by: SiteName::new("dc3").unwrap(),
            steps: vec![
                step(
                    1,
                    ContingencyWork::Wait {
                        for_ms: Millis(wait),
                    },
                ),
                step(
                    2,
                    ContingencyWork::Agent {
                        site: SiteName::new("dc2").unwrap(),
                        node: NodeName::new("dc2-db").unwrap(),
                        action: promote,
                    },
                ),
            ],
        }
    }

    #[test]
    fn a_moved_position_is_the_same_shape_and_another_step_is_not() {
        assert_eq!(plan(7, 5).shape(), plan(8, 5).shape());
        assert_ne!(plan(7, 5).shape(), plan(7, 6).shape());
        assert_eq!(plan(7, 5).wait_ms(), Millis(5));
    }

    #[test]
    fn a_signature_is_read_as_it_was_written_and_nothing_else_is() {
        let signed = |signature: &str| SignedContingency {
            schema: CONTINGENCY_SCHEMA,
            summary: String::new(),
            key: String::new(),
            signature: signature.to_owned(),
            content: String::new(),
        };
        let hex = SignedContingency::hex(&[0, 9, 255]);
        assert_eq!(hex, "0009ff");
        assert_eq!(signed(&hex).signature_bytes(), Some(vec![0, 9, 255]));
        for wrong in ["0", "0g", "ää", "+1"] {
            assert_eq!(signed(wrong).signature_bytes(), None, "{wrong}");
        }
    }
}
