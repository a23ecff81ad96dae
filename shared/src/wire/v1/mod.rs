//! Version 1, one message a file.

pub mod action;
pub mod command;
pub mod contingency;
pub mod event;
pub mod heartbeat;
pub mod observation;
pub mod report;
pub mod ticket;
