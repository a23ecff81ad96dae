//! JSON values of the bucket: whoever may write there may write anything.

use std::fmt::Debug;

use coordinator::leadership::LeadRecord;
use decision::Durable;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::wire::{AuditEvent, Ticket};

/// What is read of a value is written back as the same.
pub(super) fn holds(bytes: &[u8]) {
    survives::<Ticket>(bytes);
    survives::<AuditEvent>(bytes);
    survives::<LeadRecord>(bytes);
    survives::<Durable>(bytes);
}

fn survives<T: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(bytes) else {
        return;
    };
    let written = match serde_json::to_vec(&value) {
        Ok(written) => written,
        Err(error) => unreachable!("{value:?} cannot be written: {error}"),
    };
    match serde_json::from_slice::<T>(&written) {
        Ok(again) => assert_eq!(again, value, "written and read, it is another"),
        Err(error) => unreachable!("{value:?} was written as what is refused: {error}"),
    }
}
