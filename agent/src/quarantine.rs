//! Whether the database beside this agent has to be kept down, because another site was given its right. Pure: the
//! looking and the stopping stand in [`watch`].
//!
//! ```text
//!  another site holds a granted epoch, proved ──▶ writes, or would: stopped, written down, kept down
//!                                                        │
//!     this site holds a granted epoch again, proved ◀────┴────▶ the database follows the new primary
//! ```
//! It acts whatever the policy says of self-fencing: the right has moved, so this is no healthy site. What it must
//! never do: believe a read that may be old, or act while the right has never moved, when a stack file that names
//! the wrong site as primary is the likelier cause.

mod divergence;
mod learner;
pub(crate) mod watch;
mod workloads;

use shared::epoch::Epoch;
use shared::id::SiteName;
use shared::wire::Ticket;

use crate::ledger::Fenced;

/// The first epoch is what somebody wrote into a file; a later one was moved by Pointsman.
const FIRST: Epoch = Epoch(1);

/// What was proved of the right to be live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Right {
    /// The epoch.
    pub(crate) epoch: Epoch,
    /// Whose it is.
    pub(crate) holder: SiteName,
    /// False between its revocation from the old holder and the grant.
    pub(crate) granted: bool,
}

/// What becomes of writes to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It takes them, or nothing shows that it does not.
    Writes,
    /// Nothing runs, and it would take them if it were started.
    WouldWrite,
    /// It is in recovery, or would be.
    Standby {
        /// It receives from a primary.
        follows: bool,
    },
}

/// What has to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Nothing.
    None,
    /// It is stopped, and that it is kept down is written down.
    Stop {
        /// The epoch that it is kept down for.
        epoch: Epoch,
        /// Why, as a sentence.
        reason: String,
    },
    /// It is down; that it is kept down is written down.
    Keep {
        /// The epoch that it is kept down for.
        epoch: Epoch,
        /// Why, as a sentence.
        reason: String,
    },
    /// It is not kept down any more.
    Release(&'static str),
}

impl Right {
    /// What a ticket says.
    pub(crate) fn of(ticket: &Ticket) -> Self {
        Self {
            epoch: ticket.epoch,
            holder: ticket.holder.clone(),
            granted: ticket.grant.is_some(),
        }
    }

    /// True when another site was given what this one had.
    pub(crate) fn is_anothers(&self, site: &SiteName) -> bool {
        self.granted && self.holder != *site && self.epoch > FIRST
    }

    fn is_own(&self, site: &SiteName) -> bool {
        self.granted && self.holder == *site
    }
}

/// Judges. With self-fencing on (`leased`), a right that is the site's own is renewed, and what was stopped for want of
/// a renewal is released and started by whoever renews it.
pub(crate) fn judge(
    site: &SiteName,
    leased: bool,
    right: Option<&Right>,
    fenced: Option<&Fenced>,
    condition: Condition,
) -> Deed {
    if let Some(right) = right.filter(|right| right.is_own(site)) {
        return match fenced {
            Some(fenced) if leased && condition == Condition::Writes => Deed::Stop {
                epoch: fenced.epoch,
                reason: fenced.reason.clone(),
            },
            Some(fenced) if !leased && fenced.epoch <= right.epoch => {
                Deed::Release("its site holds the right to be live again")
            }
            Some(_) | None => Deed::None,
        };
    }
    let anothers = right.filter(|right| right.is_anothers(site));
    let newer = anothers.filter(|right| fenced.is_none_or(|fenced| fenced.epoch < right.epoch));
    let (epoch, reason) = match (newer, fenced) {
        (Some(right), _) => (
            right.epoch,
            format!("{} holds epoch {}", right.holder, right.epoch),
        ),
        (None, Some(fenced)) => (fenced.epoch, fenced.reason.clone()),
        (None, None) => return Deed::None,
    };
    match condition {
        Condition::Writes => Deed::Stop { epoch, reason },
        Condition::WouldWrite if newer.is_some() => Deed::Keep { epoch, reason },
        Condition::Standby { follows: true } if fenced.is_some() => {
            Deed::Release("it follows the new primary")
        }
        Condition::WouldWrite | Condition::Standby { .. } => Deed::None,
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::UnixMillis;

    use super::*;

    const ALL: [Condition; 4] = [
        Condition::Writes,
        Condition::WouldWrite,
        Condition::Standby { follows: false },
        Condition::Standby { follows: true },
    ];

    fn site(name: &str) -> SiteName {
        SiteName::new(name).unwrap()
    }

    fn right(holder: &str, epoch: u64, granted: bool) -> Right {
        Right {
            epoch: Epoch(epoch),
            holder: site(holder),
            granted,
        }
    }

    fn fenced(epoch: u64) -> Fenced {
        Fenced {
            epoch: Epoch(epoch),
            at: UnixMillis(0),
            reason: "before".to_owned(),
        }
    }

    fn deed(right: Option<&Right>, fenced: Option<&Fenced>, condition: Condition) -> Deed {
        judge(&site("dc1"), false, right, fenced, condition)
    }

    #[test]
    fn what_was_stopped_for_want_of_a_renewal_is_released_by_the_renewal() {
        let own = right("dc1", 3, true);
        for condition in ALL {
            let deed = judge(&site("dc1"), true, Some(&own), Some(&fenced(3)), condition);
            let stops = matches!(deed, Deed::Stop { .. });
            assert_eq!(stops, condition == Condition::Writes, "{condition:?}");
            assert!(stops || deed == Deed::None, "{condition:?}");
            let healthy = judge(&site("dc1"), true, Some(&own), None, condition);
            assert_eq!(healthy, Deed::None);
        }
    }

    #[test]
    fn a_returning_primary_is_stopped_and_kept_down() {
        let moved = right("dc2", 2, true);
        let reason = "dc2 holds epoch 2".to_owned();
        let epoch = Epoch(2);
        assert_eq!(
            deed(Some(&moved), None, Condition::Writes),
            Deed::Stop {
                epoch,
                reason: reason.clone()
            }
        );
        assert_eq!(
            deed(Some(&moved), None, Condition::WouldWrite),
            Deed::Keep { epoch, reason }
        );
        // Once written down it is left alone until somebody starts it, with or without the store.
        for known in [Some(&moved), None] {
            let down = deed(known, Some(&fenced(2)), Condition::WouldWrite);
            assert_eq!(down, Deed::None);
            let by_hand = deed(known, Some(&fenced(2)), Condition::Writes);
            assert!(matches!(
                by_hand,
                Deed::Stop {
                    epoch: Epoch(2),
                    ..
                }
            ));
        }
    }

    #[test]
    fn a_healthy_site_is_left_alone() {
        let rights = [
            None,
            Some(right("dc1", 2, true)),
            Some(right("dc1", 2, false)),
            // Revoked and not granted: nobody else can write yet.
            Some(right("dc2", 2, false)),
            // Never moved: the file may name the wrong site.
            Some(right("dc2", 1, true)),
        ];
        for right in &rights {
            for condition in ALL {
                assert_eq!(
                    deed(right.as_ref(), None, condition),
                    Deed::None,
                    "{right:?}"
                );
            }
        }
    }

    #[test]
    fn it_ends_with_a_grant_or_as_a_standby_that_follows() {
        let (own, older) = (right("dc1", 3, true), right("dc1", 1, true));
        for condition in ALL {
            let ended = deed(Some(&own), Some(&fenced(2)), condition);
            assert!(matches!(ended, Deed::Release(_)), "{condition:?}");
            // A grant from before the fence ends nothing.
            assert_eq!(deed(Some(&older), Some(&fenced(2)), condition), Deed::None);
        }
        let other = right("dc2", 2, true);
        for known in [None, Some(&other)] {
            let following = deed(
                known,
                Some(&fenced(2)),
                Condition::Standby { follows: true },
            );
            assert!(matches!(following, Deed::Release(_)));
            let waiting = deed(
                known,
                Some(&fenced(2)),
                Condition::Standby { follows: false },
            );
            assert_eq!(waiting, Deed::None);
        }
    }

    #[test]
    fn the_newest_epoch_is_what_it_is_kept_down_for() {
        let newer = right("dc3", 5, true);
        let stopped = deed(Some(&newer), Some(&fenced(2)), Condition::Writes);
        assert!(matches!(
            stopped,
            Deed::Stop {
                epoch: Epoch(5),
                ..
            }
        ));
        let kept = deed(Some(&newer), Some(&fenced(2)), Condition::WouldWrite);
        assert!(matches!(
            kept,
            Deed::Keep {
                epoch: Epoch(5),
                ..
            }
        ));
    }
}
