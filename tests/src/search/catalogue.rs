//! The searches: worlds without a flaw, in which every invariant must hold, and one world for each seeded bug.

use shared::stack::StoreLoss;

use super::setup::{Faults, Flaw, Kind, Setup};

/// The old site's clock is slow, the others are fast: what a wait must allow for.
const SLOW_OLD: [u64; 3] = [850, 1_150, 1_150];
/// The other way round.
const FAST_OLD: [u64; 3] = [1_150, 850, 850];
/// States beyond which a search is given up.
const STATES_MAX: usize = 12_000_000;

/// The nearest states that are searched of a world that has more.
const NEAREST: usize = 2_500_000;

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

/// Worlds in which nothing is wrong: first those in which orders take no time, which are searched to their end and
/// far enough for a promotion and its aftermath; then those in which everything may come in any order, of which
/// the nearest states are searched.
pub(super) fn sound(quick: bool) -> Vec<Setup> {
    let mut setups = prompt_worlds(quick);
    setups.extend(slow_worlds(quick));
    setups
}

#[expect(clippy::too_many_lines, reason = "a table of worlds")]
fn prompt_worlds(quick: bool) -> Vec<Setup> {
    let strict = Kind::Fencing(StoreLoss::Strict);
    let failsafe = Kind::Fencing(StoreLoss::Failsafe);
    let setup = |name, kind, rates, (whole, short): (u8, u8), faults| Setup {
        name,
        kind,
        rates,
        horizon: if quick { short } else { whole },
        approve_within: if quick { 1 } else { 3 },
        faults,
        prompt: true,
        flaw: None,
        states_max: STATES_MAX,
    };
    let hang = Faults {
        hangs: 1,
        ..NO_FAULTS
    };
    let deaths = Faults {
        hangs: 1,
        kills: 1,
        ..NO_FAULTS
    };
    let return_of_old = Faults {
        crashes: 1,
        returns: 1,
        decisions: 1,
        ..NO_FAULTS
    };
    let peers = Faults {
        hangs: 1,
        target_kills: 1,
        ..NO_FAULTS
    };
    let pauses = Faults {
        pauses: 1,
        crashes: 1,
        returns: 1,
        decisions: 1,
        ..NO_FAULTS
    };
    vec![
        setup("strict: deaths", strict, SLOW_OLD, (13, 6), deaths),
        setup("strict: fast old clock", strict, FAST_OLD, (16, 5), hang),
        setup("strict: return", strict, SLOW_OLD, (10, 2), return_of_old),
        setup("failsafe: deaths", failsafe, SLOW_OLD, (14, 5), peers),
        setup(
            "synchronous: pauses",
            Kind::Synchronous,
            FAST_OLD,
            (6, 2),
            pauses,
        ),
        setup(
            "attested: return",
            Kind::Attested,
            SLOW_OLD,
            (8, 4),
            Faults {
                power: 1,
                ..return_of_old
            },
        ),
        setup(
            "returned",
            Kind::Returned,
            SLOW_OLD,
            (8, 4),
            Faults {
                target_kills: 1,
                kills: 1,
                ..NO_FAULTS
            },
        ),
    ]
}

fn slow_worlds(quick: bool) -> Vec<Setup> {
    let strict = Kind::Fencing(StoreLoss::Strict);
    let failsafe = Kind::Fencing(StoreLoss::Failsafe);
    let setup = |name, kind, (whole, short): (u8, u8), faults| Setup {
        name,
        kind,
        rates: SLOW_OLD,
        horizon: if quick { short } else { whole },
        approve_within: if quick { 1 } else { 3 },
        faults,
        prompt: false,
        flaw: None,
        states_max: if quick { STATES_MAX } else { NEAREST },
    };
    let crash = Faults {
        crashes: 1,
        old_orders: 1,
        ..NO_FAULTS
    };
    let power = Faults { power: 1, ..crash };
    vec![
        setup(
            "strict: any order",
            strict,
            (12, 1),
            Faults { hangs: 1, ..crash },
        ),
        setup("failsafe: any order", failsafe, (12, 1), crash),
        setup("attested: any order", Kind::Attested, (8, 1), power),
        setup(
            "synchronous: any order",
            Kind::Synchronous,
            (8, 2),
            Faults {
                pauses: 1,
                ..NO_FAULTS
            },
        ),
    ]
}

/// One world for each seeded bug, just large enough to find it in.
pub(super) fn flawed() -> Vec<Setup> {
    Flaw::ALL.into_iter().map(world_of).collect()
}

#[expect(clippy::too_many_lines, reason = "a table of worlds")]
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
        | Flaw::AnswerBeforeLook
        | Flaw::DeadmanRestarted => (strict, 13, hang),
        Flaw::RenewedByRead => (strict, 14, NO_FAULTS),
        Flaw::WaitFromRequest => (Kind::Synchronous, 5, NO_FAULTS),
        Flaw::KilledWithoutDeadman => (
            strict,
            14,
            Faults {
                kills: 1,
                ..NO_FAULTS
            },
        ),
        Flaw::BlindOperator => (Kind::Attested, 6, NO_FAULTS),
        Flaw::GrantNotConfirmed | Flaw::ReplayedPromote => (Kind::Returned, 10, target_kill),
        Flaw::ReplayedApproval | Flaw::LeadLostUnnoticed => (strict, 4, crash),
        Flaw::SendBeforePersist => (strict, 3, NO_FAULTS),
        Flaw::TicketOverwritten => (
            Kind::Synchronous,
            3,
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
            | Flaw::WaitFromRequest
            | Flaw::GrantNotConfirmed
            | Flaw::ReplayedPromote
    );
    Setup {
        name: flaw.name(),
        kind,
        rates: SLOW_OLD,
        horizon,
        approve_within: 1,
        faults,
        prompt,
        flaw: Some(flaw),
        states_max: STATES_MAX,
    }
}
