//! The bucket and the stream of a stack, as they are made beforehand and never while a failover runs.

use std::time::Duration;

use bus::{BucketSpec, StreamSpec};
use shared::id::StackName;
use shared::subject::{self, Subject};

/// The bucket: few small values, a little history for people who look back.
pub fn bucket(stack: &StackName, replicas: u8) -> BucketSpec {
    BucketSpec {
        name: subject::bucket(stack),
        description: format!("pointsman: ticket, lead, state and stack of {stack}"),
        history: 16,
        max_age: None,
        marker_age: None,
        max_value_bytes: 512 << 10,
        max_bytes: 64 << 20,
        replicas,
    }
}

/// The audit trail: the oldest events go first, and stand in each coordinator's own file.
pub fn audit(stack: &StackName, replicas: u8) -> StreamSpec {
    StreamSpec {
        name: subject::audit_stream(stack),
        description: format!("pointsman: what happened to {stack}, and why"),
        subjects: vec![Subject::events(stack).as_str().to_owned()],
        max_age: None,
        max_record_bytes: 64 << 10,
        max_bytes: 128 << 20,
        duplicate_window: Duration::from_mins(2),
        replicas,
    }
}
