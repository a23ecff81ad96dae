//! A stand-in for the Kubernetes API: a real HTTP listener on loopback with the parts that an agent
//! uses, and a controller loop that makes workloads come and go.
//!
//! It decides nothing about Pointsman. What it gets right on purpose: the scale sub-resource,
//! `generation` against `observedGeneration`, pod lists with terminating pods, resource versions as
//! preconditions, watches, `Status` bodies. What must not be concluded from it: roles and admission
//! (everything is allowed that no saboteur denied), full validation, server-side apply, list
//! pagination (`limit` is ignored), ReplicaSet objects (pods name one as owner, none is stored),
//! protobuf bodies (415; `kubectl auth can-i` sends them),
//! exact timing and order of status updates.

mod access;
mod agenda;
mod control;
mod controller;
mod defaults;
mod discovery;
mod endpoint;
mod field;
mod fixture;
mod generation;
mod kubeconfig;
mod ownership;
mod patch;
mod pod;
mod refusal;
mod request_log;
mod resource;
mod rollout;
mod route;
mod saboteur;
mod scale;
mod script;
mod selector;
mod server;
mod standin;
mod store;
mod watch;
mod workload_status;
mod world;
mod write;

pub use fixture::{Fixture, FixtureError, ShortWorkload};
pub use kubeconfig::kubeconfig;
pub use request_log::LoggedRequest;
pub use resource::Resource;
pub use saboteur::Sabotage;
pub use script::{Script, Timings, WorkloadName};
pub use standin::{Config, Standin, StandinError};
