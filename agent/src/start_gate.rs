//! Whether the database may be started now. Pure: what is asked of disk and store stands in [`inquiry`].
//!
//! A database that would come up writable needs the right to be live, proved by a write at this moment. Without
//! self-fencing a store that does not answer does not hold up a site against which nothing is known: installing
//! Pointsman never makes a healthy site worse. What it must never do: let an old primary come up of which the
//! store or the own ledger says that another site was given its right.

pub mod inquiry;

use shared::epoch::Epoch;
use shared::id::SiteName;
use shared::wire::Ticket;

use crate::ledger::Fenced;
use crate::pgdata::Startup;

/// What is known when the database is to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Circumstances {
    /// The own site.
    pub(crate) site: SiteName,
    /// As what it would come up.
    pub(crate) startup: Startup,
    /// The own ledger's record that it is kept down.
    pub(crate) fenced: Option<Fenced>,
    /// The epoch in which an operator broke the glass for this site, while no ticket has taken it over.
    pub(crate) vouched: Option<Epoch>,
    /// Whether the policy has self-fencing on, as far as it is known.
    pub(crate) enforced: bool,
    /// What the store says.
    pub(crate) store: Store,
}

/// What the store says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Store {
    /// A majority holds this ticket now.
    Proved(Box<Ticket>),
    /// It shows less than this agent has seen.
    Regressed(String),
    /// It holds no right at all: nothing was ever applied.
    Absent(String),
    /// It does not answer.
    Silent(String),
}

/// Whether the database may be started, with the reason as one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It may.
    Open(String),
    /// It may not; the store may yet say otherwise, so that waiting is worth it.
    Wait(String),
    /// It may not.
    Shut(String),
}

/// Judges.
pub(crate) fn judge(circumstances: &Circumstances) -> Admission {
    let Circumstances {
        site,
        startup,
        fenced,
        vouched,
        enforced,
        store,
    } = circumstances;
    if *startup == Startup::Standby {
        return Admission::Open("it starts as a standby, which takes no writes".to_owned());
    }
    let kept_down = fenced.as_ref();
    match store {
        Store::Proved(ticket) => judge_ticket(site, ticket, kept_down),
        Store::Regressed(_) | Store::Absent(_) | Store::Silent(_)
            if kept_down.is_none() && vouched.is_some() =>
        {
            let epoch = vouched.unwrap_or_default();
            Admission::Open(format!(
                "an operator broke the glass for {site} in epoch {epoch}, and no ticket has taken that over: {}",
                said(store)
            ))
        }
        Store::Regressed(_) | Store::Absent(_) | Store::Silent(_) if kept_down.is_some() => {
            let epoch = kept_down.map_or(Epoch(0), |fenced| fenced.epoch);
            let reason = kept_down.map_or("", |fenced| fenced.reason.as_str());
            Admission::Wait(format!(
                "it was fenced in epoch {epoch} ({reason}); needed is a grant of epoch {epoch} or later to {site}, and \
                 the store does not confirm one: {}",
                said(store)
            ))
        }
        Store::Regressed(_) | Store::Silent(_) if *enforced => Admission::Wait(format!(
            "self-fencing is on, so it needs {site}'s grant confirmed by the store now: {}",
            said(store)
        )),
        Store::Regressed(_) | Store::Absent(_) | Store::Silent(_) => Admission::Open(format!(
            "nothing is known against it, and the store confirms nothing: {}",
            said(store)
        )),
    }
}

fn judge_ticket(site: &SiteName, ticket: &Ticket, fenced: Option<&Fenced>) -> Admission {
    let epoch = ticket.epoch;
    if ticket.holder != *site {
        return Admission::Shut(format!(
            "epoch {epoch} is {}'s: this database may only come up as its standby (standby.signal)",
            ticket.holder
        ));
    }
    if ticket.grant.is_none() {
        return Admission::Wait(format!("epoch {epoch} is for {site} and not granted yet"));
    }
    match fenced {
        Some(fenced) if fenced.epoch > epoch => Admission::Shut(format!(
            "it was fenced in epoch {}, the store's epoch is {epoch}",
            fenced.epoch
        )),
        Some(_) | None => Admission::Open(format!(
            "{site} holds epoch {epoch}, confirmed by a write just now"
        )),
    }
}

fn said(store: &Store) -> &str {
    match store {
        Store::Proved(ticket) => &ticket.summary,
        Store::Regressed(why) | Store::Absent(why) | Store::Silent(why) => why,
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::UnixMillis;
    use shared::id::Nonce;
    use uuid::Uuid;

    use super::*;

    fn ticket(holder: &str, epoch: u64, granted: bool) -> Store {
        Store::Proved(Box::new(Ticket {
            summary: String::new(),
            incarnation: Nonce::new(Uuid::from_u128(1)),
            epoch: Epoch(epoch),
            holder: SiteName::new(holder).unwrap(),
            grant: granted.then(|| Nonce::new(Uuid::from_u128(9))),
            changed_at: UnixMillis(0),
            confirmed_by: None,
            confirmations: 0,
            accepted: 0,
            leases: std::collections::BTreeMap::new(),
            automatic_off: None,
        }))
    }

    fn circumstances(store: Store) -> Circumstances {
        Circumstances {
            site: SiteName::new("dc1").unwrap(),
            startup: Startup::Writable,
            fenced: None,
            vouched: None,
            enforced: false,
            store,
        }
    }

    fn fenced(epoch: u64) -> Fenced {
        Fenced {
            epoch: Epoch(epoch),
            at: UnixMillis(0),
            reason: "dc2 is live".to_owned(),
        }
    }

    fn is_open(circumstances: &Circumstances) -> bool {
        matches!(judge(circumstances), Admission::Open(_))
    }

    fn stores() -> Vec<Store> {
        vec![
            ticket("dc1", 3, true),
            ticket("dc1", 3, false),
            ticket("dc2", 3, true),
            ticket("dc2", 3, false),
            Store::Regressed("less".to_owned()),
            Store::Absent("none".to_owned()),
            Store::Silent("nothing".to_owned()),
        ]
    }

    #[test]
    fn a_standby_always_starts() {
        for store in stores() {
            let standby = Circumstances {
                startup: Startup::Standby,
                fenced: Some(fenced(9)),
                enforced: true,
                ..circumstances(store)
            };
            assert!(is_open(&standby), "{standby:?}");
        }
    }

    /// Every word of the store, with self-fencing off, on, and with a record that it was fenced.
    #[test]
    fn every_word_of_the_store_is_answered() {
        let open = [
            [true, true, true],
            [false, false, false],
            [false, false, false],
            [false, false, false],
            [true, false, false],
            [true, true, false],
            [true, false, false],
        ];
        for (store, row) in stores().into_iter().zip(open) {
            let off = circumstances(store.clone());
            let on = Circumstances {
                enforced: true,
                ..off.clone()
            };
            let kept = Circumstances {
                fenced: Some(fenced(3)),
                ..off.clone()
            };
            assert_eq!(
                [is_open(&off), is_open(&on), is_open(&kept)],
                row,
                "{store:?}"
            );
        }
    }

    /// A broken glass stands in for a store that cannot confirm, and for nothing that it does confirm.
    #[test]
    fn a_broken_glass_opens_where_the_store_says_nothing() {
        let open = [true, false, false, false, true, true, true];
        for (store, expected) in stores().into_iter().zip(open) {
            let vouched = Circumstances {
                vouched: Some(Epoch(1_003)),
                enforced: true,
                ..circumstances(store)
            };
            assert_eq!(is_open(&vouched), expected, "{vouched:?}");
            let kept = Circumstances {
                fenced: Some(fenced(1_004)),
                ..vouched
            };
            assert!(!is_open(&kept), "{kept:?}");
        }
    }

    #[test]
    fn a_grant_older_than_the_fence_opens_nothing() {
        let old = Circumstances {
            fenced: Some(fenced(4)),
            ..circumstances(ticket("dc1", 3, true))
        };
        assert!(matches!(judge(&old), Admission::Shut(_)));
    }

    #[test]
    fn only_what_the_store_may_yet_change_is_waited_for() {
        let waits =
            |circumstances: &Circumstances| matches!(judge(circumstances), Admission::Wait(_));
        assert!(waits(&circumstances(ticket("dc1", 3, false))));
        assert!(!waits(&circumstances(ticket("dc2", 3, true))));
        let kept = Circumstances {
            fenced: Some(fenced(3)),
            ..circumstances(Store::Silent("nothing".to_owned()))
        };
        assert!(waits(&kept));
    }
}
