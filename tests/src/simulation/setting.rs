//! What differs between histories from the start: the stack's rules, the hosts' equipment, the people.

use std::cell::OnceCell;

use shared::clock::Millis;
use shared::grade::FenceGrade;
use shared::lsn::LagBytes;
use shared::stack::{LeasePolicy, Mode, Policy, Replication, Rollout, SelfFence, Stack, StoreLoss};

use super::dice::Dice;
use super::world::World;

/// Nothing is done automatically for so long after a run, in a history's short times.
pub(super) const COOL_DOWN: Millis = Millis(15_000);

const STACK: &str = include_str!("stack.toml");

thread_local! {
    /// Read once for each thread, so that no two threads count references to the same names.
    static READ: OnceCell<Stack> = const { OnceCell::new() };
}

/// The stack with the policy that ships.
pub(super) fn shipped() -> Stack {
    READ.with(|read| {
        read.get_or_init(|| match Stack::parse("stack.toml", STACK) {
            Ok(stack) => stack,
            Err(problems) => unreachable!("the simulated stack is a good one: {problems}"),
        })
        .clone()
    })
}

/// The stack of a history: the times of the policy are short, so that much happens in a minute.
pub(super) fn stack(dice: &mut Dice) -> Stack {
    let mut stack = shipped();
    let policy = &mut stack.policy;
    policy.silence_ms = Millis(3_500);
    policy.observation_age_max_ms = Millis(2_500);
    policy.confirm_ms = Millis(4_000);
    policy.clear_ms = Millis(5_000);
    policy.proposal_expiry_ms = Millis(dice.between(6_000, 25_000));
    if dice.permille(250) {
        policy.rpo_bytes = LagBytes(dice.between(4_000, 60_000));
    }
    policy.replication = if dice.permille(400) {
        Replication::Synchronous
    } else {
        Replication::Asynchronous
    };
    policy.lease = LeasePolicy {
        renew_every_ms: Millis(1_000),
        attempt_ms: Millis(1_500),
        demote_after_ms: Millis(5_000),
        stop_within_ms: Millis(1_000),
        deadman_after_ms: Millis(6_500),
        deadman_within_ms: Millis(300),
        ..LeasePolicy::default()
    };
    let deadlines = &mut policy.deadlines;
    deadlines.check_ms = Millis(4_000);
    deadlines.fence_ms = Millis(2_000);
    deadlines.promote_ms = Millis(10_000);
    deadlines.scale_ms = Millis(6_000);
    deadlines.follow_ms = Millis(5_000);
    deadlines.hook_ms = Millis(5_000);
    deadlines.verify_ms = Millis(5_000);
    stack
}

impl World {
    /// Chooses who decides, by the seed alone: a quarter of the histories is in automatic mode, a sixteenth in shadow
    /// mode, in which nothing may be done, and people approve in the rest.
    pub(super) fn choose_mode(&mut self, policy: &mut Policy) {
        policy.mode = match self.seed % 16 {
            2 | 8 | 9 | 15 => Mode::Automatic,
            4 => Mode::Shadow,
            _ => Mode::Approval,
        };
        if policy.mode == Mode::Automatic {
            policy.automatic.confirm_ms = Millis(6_000);
            policy.automatic.cool_down_ms = COOL_DOWN;
            // Without self-fencing nothing is ever done automatically: most have it.
            if self.seed % 16 != 2 {
                policy.lease.self_fence = SelfFence::Stop;
                policy.lease.rollout = Rollout::Enforce;
                self.fit_wait(policy);
            }
        }
    }

    /// Chooses whether and how databases fence themselves, with the wait and the grade that belong to it.
    pub(super) fn choose_fencing(&mut self, policy: &mut Policy) {
        let lease = &mut policy.lease;
        lease.self_fence = match self.dice.between(0, 3) {
            0 => SelfFence::Off,
            1 => SelfFence::Demote,
            _ => SelfFence::Stop,
        };
        lease.rollout = if self.dice.permille(120) {
            Rollout::LogOnly
        } else {
            Rollout::Enforce
        };
        lease.store_loss = if self.dice.permille(400) {
            StoreLoss::Failsafe
        } else {
            StoreLoss::Strict
        };
        self.fit_wait(policy);
    }

    /// The wait and the grade that belong to the way in which databases fence themselves.
    fn fit_wait(&self, policy: &mut Policy) {
        let lease = &policy.lease;
        let enforces = lease.enforces();
        policy.epoch_wait_ms = if enforces {
            lease.wait_min_ms()
        } else {
            Millis(2_000)
        };
        policy.fence_grade = if enforces && self.guarded {
            FenceGrade::LeaseExpired
        } else {
            FenceGrade::Attested
        };
    }
}
