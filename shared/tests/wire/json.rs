//! What people and the store read: JSON that keeps its meaning in both directions.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::clock::UnixMillis;
use shared::epoch::{Epoch, Term};
use shared::id::{Actor, NodeName, Nonce, ProposalId, RunId, SiteName, StackName};
use shared::wire::{AuditEvent, AutomaticOff, EVENT_SCHEMA, Lease, Severity, Ticket};
use uuid::Uuid;

fn ticket() -> Ticket {
    Ticket {
        summary: "epoch 8 is granted to dc2".to_owned(),
        incarnation: Nonce::new(Uuid::from_u128(1)),
        epoch: Epoch(8),
        holder: SiteName::new("dc2").unwrap(),
        grant: Some(Nonce::new(Uuid::from_u128(2))),
        changed_at: UnixMillis(1_790_000_000_000),
        confirmed_by: Some(NodeName::new("dc2-db").unwrap()),
        confirmations: 3,
        accepted: 0,
        leases: BTreeMap::new(),
        automatic_off: None,
    }
}

fn event() -> AuditEvent {
    let at = UnixMillis(1_790_000_000_000);
    AuditEvent {
        schema: EVENT_SCHEMA,
        kind: "step-done".to_owned(),
        summary: "step 4 of 9 is done: dc2 is promoted".to_owned(),
        severity: Severity::Info,
        stack: StackName::new("ess").unwrap(),
        at,
        time: at.rfc3339(),
        actor: Actor::new("coordinator@dc2"),
        recorded_by: SiteName::new("dc2").unwrap(),
        term: Term(3),
        epoch: Epoch(8),
        row: Some(12),
        proposal: Some(ProposalId::new(Uuid::from_u128(3))),
        run: Some(RunId::new(Uuid::from_u128(4))),
        step: Some(4),
        reason: Some("approved".to_owned()),
        evidence: BTreeMap::from([("timeline".to_owned(), "13".to_owned())]),
    }
}

#[test]
fn a_ticket_is_the_same_after_its_way_through_the_store() {
    let revoked = Ticket {
        grant: None,
        confirmed_by: None,
        confirmations: 0,
        leases: BTreeMap::new(),
        ..ticket()
    };
    for before in [ticket(), revoked] {
        let after: Ticket = serde_json::from_slice(&serde_json::to_vec(&before).unwrap()).unwrap();
        assert_eq!(after, before);
        assert!(after.same_right(&before));
    }
}

#[test]
fn a_ticket_without_confirmations_is_read_and_unknown_keys_are_skipped() {
    let mut value = serde_json::to_value(ticket()).unwrap();
    let map = value.as_object_mut().unwrap();
    map.remove("confirmed_by");
    map.remove("confirmations");
    map.insert("later".to_owned(), json!({ "a": [1, 2] }));
    let read: Ticket = serde_json::from_value(value).unwrap();
    assert_eq!((read.confirmed_by.clone(), read.confirmations), (None, 0));
    assert!(read.same_right(&ticket()));
}

#[test]
fn a_ticket_of_another_right_is_told_apart() {
    let same = ticket();
    for other in [
        Ticket {
            epoch: Epoch(9),
            ..ticket()
        },
        Ticket {
            holder: SiteName::new("dc1").unwrap(),
            ..ticket()
        },
        Ticket {
            grant: None,
            ..ticket()
        },
        Ticket {
            grant: Some(Nonce::new(Uuid::from_u128(9))),
            ..ticket()
        },
        Ticket {
            incarnation: Nonce::new(Uuid::from_u128(9)),
            ..ticket()
        },
    ] {
        assert!(!same.same_right(&other), "{other:?}");
    }
}

#[test]
fn moving_the_switch_leaves_what_agents_wrote() {
    let lease = Lease {
        renewals: 812,
        promise: None,
    };
    let found = Ticket {
        leases: BTreeMap::from([(NodeName::new("dc2-db").unwrap(), lease)]),
        confirmations: 4,
        ..ticket()
    };
    let off = AutomaticOff {
        by: Actor::new("alice"),
        at: UnixMillis(1_790_000_000_000),
    };
    let switched = Ticket {
        automatic_off: Some(off.clone()),
        ..ticket()
    };
    let written = switched.clone().in_place_of(Some(&found));
    assert_eq!(
        (written.leases.clone(), written.confirmations),
        (found.leases.clone(), 4)
    );
    assert_eq!(written.automatic_off, Some(off));
    assert!(written.same_right(&found));
    let granted = Ticket {
        epoch: Epoch(9),
        ..switched
    };
    let written = granted.in_place_of(Some(&found));
    assert!(written.leases.is_empty() && written.automatic_off.is_some());
}

#[test]
fn a_ticket_that_lacks_what_decides_is_not_read() {
    for key in ["incarnation", "epoch", "holder"] {
        let mut value = serde_json::to_value(ticket()).unwrap();
        value.as_object_mut().unwrap().remove(key);
        assert!(serde_json::from_value::<Ticket>(value).is_err(), "{key}");
    }
}

#[test]
fn an_event_is_the_same_after_its_way_through_the_stream() {
    let bare = AuditEvent {
        row: None,
        proposal: None,
        run: None,
        step: None,
        reason: None,
        evidence: BTreeMap::new(),
        ..event()
    };
    for before in [event(), bare] {
        let text = serde_json::to_string(&before).unwrap();
        assert_eq!(serde_json::from_str::<AuditEvent>(&text).unwrap(), before);
    }
}

#[test]
fn the_words_of_an_event_are_those_that_people_filter_by() {
    let value = serde_json::to_value(event()).unwrap();
    assert_eq!(value["schema"], json!(1));
    assert_eq!(value["severity"], json!("info"));
    assert_eq!(value["time"], json!("2026-09-21T14:13:20Z"));
    assert_eq!(value["evidence"], json!({ "timeline": "13" }));
    assert_eq!(
        serde_json::to_value(Severity::Critical).unwrap(),
        json!("critical")
    );
}

#[test]
fn an_event_without_its_optional_keys_is_read() {
    let mut value = serde_json::to_value(event()).unwrap();
    let map = value.as_object_mut().unwrap();
    for key in ["row", "proposal", "run", "step", "reason", "evidence"] {
        map.remove(key).unwrap();
    }
    map.insert("later".to_owned(), Value::Bool(true));
    let read: AuditEvent = serde_json::from_value(value).unwrap();
    assert_eq!((read.row, read.step, read.reason), (None, None, None));
    assert!(read.evidence.is_empty());
}
