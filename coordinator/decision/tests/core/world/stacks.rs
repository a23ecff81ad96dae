//! The stacks that worlds are made with: the sample, and how they differ from it.

use shared::clock::Millis;
use shared::grade::FenceGrade;
use shared::stack::{LeasePolicy, Mode, Replication, SelfFence, Stack};

/// The sample that operators start from.
pub(crate) const STACK: &str = include_str!("../../../../../deploy/config/stack.toml");

/// The sample with dc3 as a second site that may become live.
pub(crate) fn two_standbys() -> Stack {
    let text = STACK
        .replace("role = \"witness\"", "role = \"standby\"")
        .replace(
            "dc2 = \"dc2-k8s\"\n",
            "dc2 = \"dc2-k8s\"\ndc3 = \"dc3-k8s\"\n",
        )
        .replace("dc2 = \"dc2-db\" }", "dc2 = \"dc2-db\", dc3 = \"dc3-db\" }")
        .replace(
            "dc2 = \"dc2-k8s\" }",
            "dc2 = \"dc2-k8s\", dc3 = \"dc3-k8s\" }",
        )
        .replace(
            "dc2 = \"http://127.0.0.1:8008/_matrix/client/versions\" }",
            "dc2 = \"http://127.0.0.1:8008/v\", dc3 = \"http://127.0.0.1:8008/v\" }",
        );
    Stack::parse("two-standbys.toml", &text).unwrap()
}

/// The sample with databases that stop themselves, which is proof enough.
pub(crate) fn self_fencing() -> Stack {
    let mut stack = Stack::parse("stack.toml", STACK).unwrap();
    stack.policy.lease.self_fence = SelfFence::Stop;
    stack.policy.epoch_wait_ms = LeasePolicy::EPOCH_WAIT_MS;
    stack.policy.fence_grade = FenceGrade::LeaseExpired;
    stack
}

/// The sample with commits that wait for the standby.
pub(crate) fn synchronous() -> Stack {
    let mut stack = Stack::parse("stack.toml", STACK).unwrap();
    stack.policy.replication = Replication::Synchronous;
    stack
}

/// The same in another mode: automatic, or shadow.
pub(crate) fn in_mode(mode: Mode) -> Stack {
    let mut stack = self_fencing();
    stack.policy.mode = mode;
    // Shorter than usual, so that a story of it is.
    stack.policy.automatic.cool_down_ms = Millis::seconds(600);
    stack
}

/// The sample where a site must be powered off before another takes over.
pub(crate) fn powered_off() -> Stack {
    let mut stack = Stack::parse("stack.toml", STACK).unwrap();
    stack.policy.fence_grade = FenceGrade::PoweredOff;
    stack
}
