//! The searches: worlds without a flaw, in which every invariant must hold, and one world for each seeded bug.

use shared::stack::StoreLoss;

use super::setup::{Faults, Flaw, Kind, Setup};

/// The old site's clock is slow, the others are fast: what a wait must allow for.
const SLOW_OLD: [u64; 3] = [850, 1_150, 1_150];
/// The other way round.
const FAST_OLD: [u64; 3] = [1_150, 850, 850];
/// States beyond which a search is given up.
const STATES_MAX: usize = 12_000_000;

const NO_FAULTS: Faults = Faults {
    hangs: 0,
    kills: 0,
    target_kills: 0,
    crashes: 0,
    returns: 0,
    power: 0,
    pauses: 0,
    decisions: 0,
    old_orders: 0,
};

/// Worlds in which nothing is wrong.
pub(super) fn sound(quick: bool) -> Vec<Setup> {
    let horizon = |whole: u8, short: u8| if quick { short } else { whole };
    let strict = Kind::Fencing(StoreLoss::Strict);
    let failsafe = Kind::Fencing(StoreLoss::Failsafe);
    let setup = |name, kind, rates, horizon, faults| Setup {
        name,
        kind,
        rates,
        horizon,
        faults,
        prompt: false,
        flaw: None,
        states_max: STATES_MAX,
    };
    vec![
        setup(
            "strict",
            strict,
            SLOW_OLD,
            horizon(12, 5),
            Faults {
                hangs: 1,
                ..NO_FAULTS
            },
        ),
        setup(
            "attested",
            Kind::Attested,
            SLOW_OLD,
            horizon(8, 5),
            Faults {
                power: 1,
                ..NO_FAULTS
            },
        ),
        setup(
            "synchronous",
            Kind::Synchronous,
            FAST_OLD,
            horizon(8, 5),
            Faults {
                pauses: 1,
                ..NO_FAULTS
            },
        ),
        setup("failsafe", failsafe, SLOW_OLD, horizon(12, 5), NO_FAULTS),
        setup(
            "returned",
            Kind::Returned,
            SLOW_OLD,
            horizon(8, 5),
            Faults {
                target_kills: 1,
                ..NO_FAULTS
            },
        ),
    ]
}

/// One world for each seeded bug, just large enough to find it in.
pub(super) fn flawed() -> Vec<Setup> {
    Flaw::ALL.into_iter().map(world_of).collect()
}

fn world_of(flaw: Flaw) -> Setup {
    let strict = Kind::Fencing(StoreLoss::Strict);
    let failsafe = Kind::Fencing(StoreLoss::Failsafe);
    let hang = Faults {
        hangs: 1,
        ..NO_FAULTS
    };
    let target_kill = Faults {
        target_kills: 1,
        ..NO_FAULTS
    };
    let crash = Faults {
        crashes: 1,
        ..NO_FAULTS
    };
    let (kind, horizon, faults) = match flaw {
        Flaw::WaitTooShort
        | Flaw::NoDriftMargin
        | Flaw::LeaseFromReply
        | Flaw::HungWithoutDeadman
        | Flaw::DeadmanRestarted => (strict, 14, hang),
        Flaw::RenewedByRead | Flaw::WaitFromRequest => (strict, 14, NO_FAULTS),
        Flaw::KilledWithoutDeadman => (
            strict,
            14,
            Faults {
                kills: 1,
                ..NO_FAULTS
            },
        ),
        Flaw::BlindOperator => (Kind::Attested, 8, NO_FAULTS),
        Flaw::GrantNotConfirmed | Flaw::ReplayedPromote => (Kind::Returned, 10, target_kill),
        Flaw::ReplayedApproval | Flaw::LeadLostUnnoticed => (strict, 4, crash),
        Flaw::SendBeforePersist => (strict, 3, NO_FAULTS),
        Flaw::TicketOverwritten => (
            strict,
            4,
            Faults {
                crashes: 1,
                returns: 1,
                decisions: 1,
                ..NO_FAULTS
            },
        ),
        Flaw::FailsafeByOne | Flaw::PromiseTooShort => (failsafe, 18, NO_FAULTS),
        Flaw::PromiseForgotten => (failsafe, 18, target_kill),
        Flaw::SynchronousWithWitness => (
            Kind::Synchronous,
            8,
            Faults {
                pauses: 1,
                ..NO_FAULTS
            },
        ),
    };
    let prompt = !matches!(
        flaw,
        Flaw::ReplayedApproval
            | Flaw::LeadLostUnnoticed
            | Flaw::TicketOverwritten
            | Flaw::WaitFromRequest
            | Flaw::GrantNotConfirmed
            | Flaw::ReplayedPromote
    );
    Setup {
        name: flaw.name(),
        kind,
        rates: SLOW_OLD,
        horizon,
        faults,
        prompt,
        flaw: Some(flaw),
        states_max: STATES_MAX,
    }
}
