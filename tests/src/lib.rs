//! Lab, stand-ins and test fixtures.

pub mod account;
pub mod bench;
pub mod fuzzing;
pub mod ground;
pub mod kubernetes;
pub mod lab;
pub mod nats_cluster;
pub mod nats_wire;
pub mod port;
pub mod postgres;
pub mod process;
pub mod relay;
pub mod scratch;
pub mod search;
pub mod simulation;
pub mod stayer;
pub mod writability;
pub mod writer;
