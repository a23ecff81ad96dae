//! A vow: this agent's word to the live site that its own database is not promoted and will not be for some time.
//! Pure: the lines that carry it are in [`mod@line`], who asks and who answers in the runtime.
//!
//! It stands in for the store while that does not answer, so it has to bind as a revocation does: it is on the
//! disk before it is given, the gate refuses to promote until it has run out, and none is given once a higher epoch
//! was seen or while a promotion is under way. What it must never do: shorten one that was given.

pub mod line;

use std::fmt;

use shared::clock::{Millis, Mono};
use shared::epoch::{Epoch, StackVersion};
use shared::id::Nonce;

use self::line::Question;
use crate::gate::Identity;
use crate::ledger::Promised;
use crate::standing::Writability;

/// Longest vow. Longer ones would only keep a promotion waiting.
pub const SPAN_MAX: Millis = Millis::seconds(600);

/// What is outstanding, and what forbids another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vows {
    given: Option<(Promised, Mono)>,
    highest: Epoch,
    promoting: bool,
}

/// What the agent knows when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Who it is.
    pub identity: &'a Identity,
    /// The highest epoch that it has obeyed or seen.
    pub epoch: Epoch,
    /// The store's incarnation, when it has seen it.
    pub incarnation: Option<Nonce>,
    /// The stack version that it knows.
    pub stack_version: Option<StackVersion>,
    /// Its database.
    pub writability: Writability,
}

/// Why no vow is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwilling {
    /// The question is for another stack or site.
    OtherTarget,
    /// The asker is of the own site.
    OwnSite,
    /// A higher epoch was seen: the right is not the asker's any more.
    HigherEpoch(Epoch),
    /// The asker believes in another store.
    OtherStore,
    /// Both do not know the same stack version, so that somebody else could be chosen.
    OtherVersion(Option<StackVersion>),
    /// A promotion was admitted here and has not ended.
    Promoting,
    /// The database may be writable.
    Writable,
    /// It would bind for too long.
    TooLong,
}

impl Vows {
    /// What an earlier process has left: its clock is gone, so the whole span counts anew.
    pub fn resume(kept: Option<Promised>, now: Mono) -> Self {
        Self {
            given: kept.map(|promised| (promised, now.after(promised.span_ms))),
            ..Self::default()
        }
    }

    /// Notes an epoch: no vow is given to a holder of a lower one any more.
    pub fn note_epoch(&mut self, epoch: Epoch) {
        self.highest = self.highest.max(epoch);
    }

    /// A step that makes this site live begins, or has ended.
    pub const fn promoting(&mut self, promoting: bool) {
        self.promoting = promoting;
    }

    /// To whose epoch a vow is outstanding, and for how long.
    pub fn left(&self, now: Mono) -> Option<(Epoch, Millis)> {
        let (promised, until) = self.given?;
        let left = until.since(now);
        (left > Millis(0)).then_some((promised.epoch, left))
    }

    /// True when what was given has run out and may be forgotten.
    pub fn is_spent(&self, now: Mono) -> bool {
        self.given.is_some() && self.left(now).is_none()
    }

    /// Forgets what has run out.
    pub fn forget_spent(&mut self, now: Mono) {
        if self.is_spent(now) {
            self.given = None;
        }
    }

    /// Gives a vow, which binds from now on; it has to be on the disk before it is told.
    ///
    /// # Errors
    /// [`Unwilling`]: nothing was given.
    pub fn give(
        &mut self,
        question: &Question,
        facts: &Facts<'_>,
        now: Mono,
    ) -> Result<Promised, Unwilling> {
        let own = facts.identity;
        if question.stack != own.stack || question.to != own.site {
            return Err(Unwilling::OtherTarget);
        }
        if question.site == own.site {
            return Err(Unwilling::OwnSite);
        }
        let highest = self.highest.max(facts.epoch);
        if highest > question.epoch {
            return Err(Unwilling::HigherEpoch(highest));
        }
        if facts
            .incarnation
            .is_some_and(|own| own != question.incarnation)
        {
            return Err(Unwilling::OtherStore);
        }
        if facts.stack_version != Some(question.stack_version) {
            return Err(Unwilling::OtherVersion(facts.stack_version));
        }
        if question.span_ms > SPAN_MAX {
            return Err(Unwilling::TooLong);
        }
        if self.promoting {
            return Err(Unwilling::Promoting);
        }
        match facts.writability {
            Writability::Possible => return Err(Unwilling::Writable),
            Writability::Standby | Writability::Down => {}
        }
        let until = now.after(question.span_ms);
        let until = self.given.map_or(until, |(_, before)| before.max(until));
        let promised = Promised {
            epoch: question.epoch,
            span_ms: until.since(now),
        };
        self.given = Some((promised, until));
        Ok(promised)
    }
}

impl fmt::Display for Unwilling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherTarget => f.write_str("the question is for another stack or site"),
            Self::OwnSite => f.write_str("the question comes from the own site"),
            Self::HigherEpoch(epoch) => write!(f, "epoch {epoch} was seen here"),
            Self::OtherStore => {
                f.write_str("the store that is known here is of another incarnation")
            }
            Self::OtherVersion(Some(version)) => {
                write!(f, "stack version {version} is known here")
            }
            Self::OtherVersion(None) => f.write_str("no stack version is known here"),
            Self::Promoting => f.write_str("a promotion is under way here"),
            Self::Writable => f.write_str("the database here may be writable"),
            Self::TooLong => write!(f, "at most {} are promised", SPAN_MAX.human()),
        }
    }
}

#[cfg(test)]
mod tests;
