//! Everything that can go wrong on order: refusals, silence, lost answers, and a GitOps tool that
//! puts replicas back.
//!
//! Orders arrive over the control endpoint or in process. The control endpoint itself is never
//! sabotaged.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::script::WorkloadName;

/// One order; in JSON `{"do": "refuse", "code": 503, "requests": 5}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Sabotage {
    /// Refuse the next requests with a status code.
    Refuse {
        /// HTTP status code, such as 503 or 429.
        code: u16,
        /// How many requests; all that follow when absent.
        requests: Option<u32>,
        /// Seconds for the `Retry-After` header.
        retry_after_seconds: Option<u32>,
    },
    /// Accept requests and never answer them; watches fall silent.
    Hang {
        /// Whether to hang from now on.
        on: bool,
    },
    /// Answer every request later.
    Slow {
        /// Milliseconds.
        delay_ms: u64,
    },
    /// Carry out the next requests, then close the connection without an answer.
    LoseAnswers {
        /// How many requests.
        requests: u32,
    },
    /// Stop the controller loop: nothing is observed, no pod changes.
    PauseController {
        /// Whether it is paused from now on.
        on: bool,
    },
    /// Put replicas back to what they are now (or to `replicas`) whenever they differ.
    Revert {
        /// Milliseconds from the change to the reversal.
        after_ms: u64,
        /// Field manager under which the reversal is written.
        field_manager: String,
        /// Only this workload; every workload when absent.
        workload: Option<WorkloadName>,
        /// The count to restore; the present one when absent.
        replicas: Option<u32>,
    },
    /// Stop putting replicas back.
    StopReverting,
    /// Deny an access, in answers and in access reviews.
    Forbid {
        /// Verb such as `patch`, or `*`.
        verb: String,
        /// Resource and sub-resource such as `deployments/scale`, or `*`.
        resource: String,
    },
    /// Forget the history: watches that resume are answered 410 Gone.
    ForgetHistory,
    /// End everything above.
    Calm,
}

/// What is wrong at present.
#[derive(Debug, Clone, Default)]
pub(super) struct Saboteur {
    refusing: Option<Refusing>,
    hanging: bool,
    delay: Duration,
    answers_to_lose: u32,
    pub(super) controller_paused: bool,
    pub(super) reverters: Vec<Reverter>,
    forbidden: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
struct Refusing {
    code: u16,
    left: Option<u32>,
    retry_after: Option<u32>,
}

/// Puts replicas back.
#[derive(Debug, Clone)]
pub(super) struct Reverter {
    pub(super) after: Duration,
    pub(super) field_manager: String,
    /// The counts to restore.
    pub(super) wanted: BTreeMap<WorkloadName, i64>,
    /// Since when each workload differs.
    pub(super) drifted: BTreeMap<WorkloadName, Instant>,
}

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) delay: Duration,
    pub(super) course: Course,
}

/// How one request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// Carried out and answered.
    Answered,
    /// Carried out; the answer is lost.
    Unheard,
    /// Neither carried out nor answered.
    Hung,
    /// Refused with a code and a `Retry-After`.
    Refused(u16, Option<u32>),
}

impl Saboteur {
    /// Carries out an order. `present` are the replicas of every workload, for a reverter.
    pub(super) fn obey(&mut self, order: &Sabotage, present: &BTreeMap<WorkloadName, i64>) {
        match order {
            Sabotage::Refuse {
                code,
                requests,
                retry_after_seconds,
            } => {
                self.refusing = Some(Refusing {
                    code: *code,
                    left: *requests,
                    retry_after: *retry_after_seconds,
                });
            }
            Sabotage::Hang { on } => self.hanging = *on,
            Sabotage::Slow { delay_ms } => self.delay = Duration::from_millis(*delay_ms),
            Sabotage::LoseAnswers { requests } => self.answers_to_lose = *requests,
            Sabotage::PauseController { on } => self.controller_paused = *on,
            Sabotage::Revert {
                after_ms,
                field_manager,
                workload,
                replicas,
            } => {
                let wanted = present
                    .iter()
                    .filter(|(name, _)| workload.as_ref().is_none_or(|only| only == *name))
                    .map(|(name, now)| (name.clone(), replicas.map_or(*now, i64::from)))
                    .collect();
                self.reverters.push(Reverter {
                    after: Duration::from_millis(*after_ms),
                    field_manager: field_manager.clone(),
                    wanted,
                    drifted: BTreeMap::new(),
                });
            }
            Sabotage::StopReverting => self.reverters.clear(),
            Sabotage::Forbid { verb, resource } => {
                self.forbidden.push((verb.clone(), resource.clone()));
            }
            Sabotage::ForgetHistory => {}
            Sabotage::Calm => *self = Self::default(),
        }
    }

    pub(super) fn hanging(&self) -> bool {
        self.hanging
    }

    /// Decides over the next request, and counts it.
    pub(super) fn fate(&mut self) -> Fate {
        let course = if self.hanging {
            Course::Hung
        } else if let Some(refusing) = &mut self.refusing {
            let course = Course::Refused(refusing.code, refusing.retry_after);
            let left = refusing.left.map(|left| left.saturating_sub(1));
            refusing.left = left;
            if left == Some(0) {
                self.refusing = None;
            }
            course
        } else if self.answers_to_lose > 0 {
            self.answers_to_lose -= 1;
            Course::Unheard
        } else {
            Course::Answered
        };
        Fate {
            delay: self.delay,
            course,
        }
    }

    /// Whether an access is denied.
    pub(super) fn forbids(&self, verb: &str, accessed: &str) -> bool {
        self.forbidden.iter().any(|(denied_verb, denied)| {
            (denied_verb == "*" || denied_verb == verb) && (denied == "*" || denied == accessed)
        })
    }
}
