//! Typed publish, subscribe, request, buckets and services over NATS.
//!
//! This is the only place that names the NATS client library. It decides how long any bus call may
//! take, what happens to a message that cannot be sent now, how a lost connection is replaced, and
//! which class a failure belongs to. It must never:
//!
//! * queue anything for later: what cannot be handed to a live connection is dropped or refused, and
//!   the caller is told so (a queued heartbeat is a lie about the present, a queued command is an order
//!   nobody stands behind any more);
//! * wait without a bound: every call returns within its timeout, also with the server frozen;
//! * call a timeout a failure: a request that got no answer may still take effect later;
//! * call lost quorum a missing bucket, or create a bucket outside [`provision()`].
//!
//! # One client, one life
//!
//! The library would reconnect on its own and then deliver what piled up meanwhile. Here every client
//! lives for exactly one TCP connection: when that ends, the client and all it still held are thrown
//! away, and a supervisor dials anew with jitter. Subscriptions and services move to the new client
//! by themselves; what was in flight fails with an *unknown outcome*.

mod backoff;
mod bucket;
mod canary;
mod connection;
mod dial;
mod health;
mod jetstream;
mod journal;
mod message;
mod provision;
mod publish;
mod request;
mod service;
mod settings;
mod subscription;
mod supervisor;
mod version;
mod watch;

pub use bucket::{Bucket, BucketError, Entry};
pub use canary::CanaryError;
pub use connection::{ConnectError, Connection, ConnectionState};
pub use dial::DialError;
pub use health::BusHealth;
pub use journal::{Journal, JournalError, Record};
pub use message::{Garbage, Headers, RawMessage, Received};
pub use provision::{BucketSpec, ProvisionError, ProvisionNote, StreamSpec, provision};
pub use publish::{DropReason, Publication, PublishError};
pub use request::RequestError;
pub use service::{Endpoint, Service, ServiceRequest, ServiceSpec};
pub use settings::{Credentials, Manner, Settings, TlsFiles};
pub use subscription::{RawSubscription, SubscribeError, Subscription};
pub use version::{ServerTooOld, ServerVersion};
pub use watch::{Change, Watch};
