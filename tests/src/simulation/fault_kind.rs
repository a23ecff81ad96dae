//! The kinds of faults, by name: what a history is made of, and what the coverage counts.

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// The live site loses its power.
    LiveSiteDark,
    /// Any site loses its power.
    SiteDark,
    /// The live site is cut off from both others.
    SiteCutOff,
    /// A site's packets are lost on their way out, to everybody.
    DeafOutside,
    /// One link is cut.
    LinkCut,
    /// One direction of one link is cut.
    WayCut,
    /// A site's NATS server is gone.
    BusDown,
    /// All NATS servers are gone.
    BusGone,
    /// Messages are lost.
    Loss,
    /// Messages are late and overtake each other.
    Delay,
    /// Messages come twice.
    Doubling,
    /// An earlier command comes once more.
    OldCommand,
    /// An earlier approval comes once more.
    OldApproval,
    /// The store elects another leader for 4 to 9 s.
    StoreElection,
    /// The store's reads are stale.
    StaleReads,
    /// The store loses writes that it acknowledged.
    LostWrites,
    /// The store is made anew, empty.
    StoreRemade,
    /// A coordinator is killed.
    CoordinatorCrash,
    /// A coordinator is killed at a write, before it is sent or before it is answered.
    CoordinatorCrashAtWrite,
    /// A coordinator is stopped and goes on.
    CoordinatorPause,
    /// An agent is killed.
    AgentCrash,
    /// An agent is killed when it writes its ledger, before or after.
    AgentCrashAtWrite,
    /// An agent is stopped and goes on.
    AgentPause,
    /// An agent's disk is full.
    AgentDiskFull,
    /// A host with its agent, database and kernel is paused, and no clock shows it.
    VmPause,
    /// A clock runs faster or slower than the policy's bound.
    ClockRate,
    /// A wall clock jumps.
    WallJump,
    /// A host is slow: its loops are late.
    SlowHost,
    /// A database stops and is started again.
    DatabaseStop,
    /// A database's disk hangs: it neither writes nor stops.
    DatabaseHang,
    /// The live database goes through recovery by itself.
    LocalFailover,
    /// A standby does not receive any more.
    ReplicationStop,
    /// A person starts the database by hand, past the start gate.
    StartedByHand,
    /// Somebody starts workloads in a site that is not live.
    WorkloadsStarted,
    /// Another stack version is applied.
    StackChange,
    /// An operator makes a site live without the store.
    GlassBroken,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [Self; 36] = [
        Self::LiveSiteDark,
        Self::SiteDark,
        Self::SiteCutOff,
        Self::DeafOutside,
        Self::LinkCut,
        Self::WayCut,
        Self::BusDown,
        Self::BusGone,
        Self::Loss,
        Self::Delay,
        Self::Doubling,
        Self::OldCommand,
        Self::OldApproval,
        Self::StoreElection,
        Self::StaleReads,
        Self::LostWrites,
        Self::StoreRemade,
        Self::CoordinatorCrash,
        Self::CoordinatorCrashAtWrite,
        Self::CoordinatorPause,
        Self::AgentCrash,
        Self::AgentCrashAtWrite,
        Self::AgentPause,
        Self::AgentDiskFull,
        Self::VmPause,
        Self::ClockRate,
        Self::WallJump,
        Self::SlowHost,
        Self::DatabaseStop,
        Self::DatabaseHang,
        Self::LocalFailover,
        Self::ReplicationStop,
        Self::StartedByHand,
        Self::WorkloadsStarted,
        Self::StackChange,
        Self::GlassBroken,
    ];

    /// Its place in [`Self::ALL`].
    pub fn index(self) -> usize {
        Self::ALL
            .iter()
            .position(|kind| *kind == self)
            .unwrap_or_default()
    }

    /// Its name.
    pub const fn word(self) -> &'static str {
        match self {
            Self::LiveSiteDark => "live-site-dark",
            Self::SiteDark => "site-dark",
            Self::SiteCutOff => "site-cut-off",
            Self::DeafOutside => "deaf-outside",
            Self::LinkCut => "link-cut",
            Self::WayCut => "way-cut",
            Self::BusDown => "bus-down",
            Self::BusGone => "bus-gone",
            Self::Loss => "loss",
            Self::Delay => "delay",
            Self::Doubling => "doubling",
            Self::OldCommand => "old-command",
            Self::OldApproval => "old-approval",
            Self::StoreElection => "store-election",
            Self::StaleReads => "stale-reads",
            Self::LostWrites => "lost-writes",
            Self::StoreRemade => "store-remade",
            Self::CoordinatorCrash => "coordinator-crash",
            Self::CoordinatorCrashAtWrite => "coordinator-crash-at-write",
            Self::CoordinatorPause => "coordinator-pause",
            Self::AgentCrash => "agent-crash",
            Self::AgentCrashAtWrite => "agent-crash-at-write",
            Self::AgentPause => "agent-pause",
            Self::AgentDiskFull => "agent-disk-full",
            Self::VmPause => "vm-pause",
            Self::ClockRate => "clock-rate",
            Self::WallJump => "wall-jump",
            Self::SlowHost => "slow-host",
            Self::DatabaseStop => "database-stop",
            Self::DatabaseHang => "database-hang",
            Self::LocalFailover => "local-failover",
            Self::ReplicationStop => "replication-stop",
            Self::StartedByHand => "started-by-hand",
            Self::WorkloadsStarted => "workloads-started",
            Self::StackChange => "stack-change",
            Self::GlassBroken => "glass-broken",
        }
    }
}
