//! How this agent takes orders that nobody approved but automatic mode. Pure.
//!
//! It must never admit one that its own file refuses, or that the stack it knows does not allow. Whether an operator
//! has switched automatic mode off is read where the grant is confirmed, because only a write shows that.

use shared::epoch::StackVersion;
use shared::refusal::Refusal;
use shared::stack::{Mode, StackRecord};
use shared::wire::ApprovalProof;

/// What the agent's file says of such orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutomaticOrders {
    /// They are taken when the stack allows them.
    #[default]
    Allowed,
    /// They are refused.
    Refused,
}

/// How this agent stands to such orders now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stance {
    /// Its file refuses them.
    Refused,
    /// The stack that it knows, if any, is not in automatic mode.
    NotAllowed(Option<StackVersion>),
    /// They are allowed by this version.
    Allowed(StackVersion),
}

impl Stance {
    /// The stance by the agent's file and the stack that it knows.
    pub fn of(file: AutomaticOrders, known: Option<&StackRecord>) -> Self {
        match (file, known) {
            (AutomaticOrders::Refused, _) => Self::Refused,
            (AutomaticOrders::Allowed, Some(record))
                if record.stack.policy.mode == Mode::Automatic =>
            {
                Self::Allowed(record.version)
            }
            (AutomaticOrders::Allowed, known) => Self::NotAllowed(known.map(|known| known.version)),
        }
    }

    /// Judges an approval. An operator's is not touched by any of this.
    ///
    /// # Errors
    /// The refusal, when nobody approved but automatic mode and that is not allowed here.
    pub fn check(self, approval: &ApprovalProof) -> Result<(), Refusal> {
        if !approval.automatic {
            return Ok(());
        }
        let ordered = approval.stack_version;
        match self {
            Self::Refused => Err(Refusal::AutomaticRefused),
            Self::Allowed(version) if ordered == Some(version) => Ok(()),
            Self::Allowed(version) => Err(Refusal::AutomaticNotAllowed {
                ordered,
                known: Some(version),
            }),
            Self::NotAllowed(known) => Err(Refusal::AutomaticNotAllowed { ordered, known }),
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::stack::{STACK_SCHEMA, Stack};

    use super::*;

    #[test]
    fn the_stance_follows_from_the_file_and_the_stack_that_is_known() {
        let text = include_str!("../../deploy/config/stack.toml");
        let mut stack = Stack::parse("stack.toml", text).unwrap();
        let record = |stack: &Stack| StackRecord {
            schema: STACK_SCHEMA,
            summary: String::new(),
            version: StackVersion(4),
            stack: Box::new(stack.clone()),
        };
        let allowed = |known: Option<&StackRecord>| Stance::of(AutomaticOrders::Allowed, known);
        assert_eq!(allowed(None), Stance::NotAllowed(None));
        for mode in [Mode::Approval, Mode::Observe, Mode::Shadow] {
            stack.policy.mode = mode;
            let known = record(&stack);
            assert_eq!(
                allowed(Some(&known)),
                Stance::NotAllowed(Some(StackVersion(4)))
            );
        }
        stack.policy.mode = Mode::Automatic;
        let known = record(&stack);
        assert_eq!(allowed(Some(&known)), Stance::Allowed(StackVersion(4)));
        let refused = Stance::of(AutomaticOrders::Refused, Some(&known));
        assert_eq!(refused, Stance::Refused);
    }
}
