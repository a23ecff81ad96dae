//! Wire messages. A message never changes its meaning: a new field is `Option` with `default`; anything else
//! is a new version folder, and `WIRE.md` says how both are spoken for one release.
//!
//! Rules, each measured with rmp-serde: named maps only; no `tag`, `untagged` or `flatten`; enums of units
//! carry an `Unknown` with `#[serde(other)]`; short field names in heartbeats, because 10,000 agents send them.

pub mod v1;

pub use self::v1::action::{
    Action, CheckExpectation, PlanDigest, ProbeRequest, ScaleTarget, SlotName,
};
pub use self::v1::command::{Anchor, ApprovalProof, Command, Grant};
pub use self::v1::contingency::{
    BrokenGlass, CONTINGENCY_SCHEMA, Contingency, ContingencyStep, ContingencyWork,
    SignedContingency,
};
pub use self::v1::event::{AuditEvent, EVENT_SCHEMA, Severity};
pub use self::v1::heartbeat::{
    ClusterSample, DatabaseRole, DatabaseSample, DatabaseState, DeadmanKind, Fitness, GlassSample,
    Heartbeat, HostSample, LeaseSample, LeaseStanding, PeerChannel, PeerOutcome, PeerSample,
    PromotionObstacle, ReceiverSample, ReceiverStatus, SenderSample, SyncCommit, SyncSample, Unfit,
    WorkloadSample,
};
pub use self::v1::observation::{Observation, SightingChannel, SiteSighting, StoreHalt};
pub use self::v1::report::{PROGRESS_BEGUN, ProofLine, Report, ReportState};
pub use self::v1::ticket::{AutomaticOff, Lease, LeasePromise, Ticket};
