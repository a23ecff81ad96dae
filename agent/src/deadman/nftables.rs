//! A table of the kernel's packet filter that closes the database's port when a timed element runs out.
//!
//! ```text
//! table inet pointsman_<stack>_<node> {
//!     set open   { type inet_service; flags timeout }              # the port, for as long as it is armed
//!     chain input  { type filter hook input priority -300          # to the port, new and established alike
//!         tcp dport <port> tcp dport != @open drop }
//!     chain output { type filter hook output priority -300         # from the port: replies, replication
//!         tcp sport <port> tcp sport != @open drop }
//! }
//! ```
//! The kernel looks at the element's age at every packet, whatever became of the agent. A verdict of `drop` is
//! final whatever other tables say. Connections that this host opens to the same port elsewhere (a standby's
//! receiver, probes of other sites) pass, and so do Unix sockets. A port in another network namespace than the
//! agent's is not guarded.
//!
//! The table is made closed and outlives the agent. It must never open the port by being mended: the element keeps
//! its age, and one that is gone stays gone.

use std::io::ErrorKind;

use shared::clock::Millis;
use shared::id::{NodeName, StackName};

use super::netlink::{
    NetlinkError, Socket, Transaction, Verb, attribute, attributes, name, nest, number32,
};

const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
const SET: &str = "open";
/// `NFT_SET_TIMEOUT`.
const SET_TIMEOUT: u32 = 0x10;
/// By this number `nft` knows how to print the set's elements.
const TYPE_INET_SERVICE: u32 = 13;
const ACCEPT: u32 = 1;
const DROP: u32 = 0;
const VERDICT_REGISTER: u32 = 0;
const REGISTER: u32 = 1;
const EQUAL: u32 = 0;
const META_L4PROTO: u32 = 16;
const TRANSPORT_HEADER: u32 = 2;
/// `NFT_LOOKUP_F_INV`.
const INVERTED: u32 = 1;
const TCP: u8 = 6;
/// Before other tables, so that their counters do not tell of what never arrived.
const PRIORITY: i32 = -300;

/// Where traffic is looked at: of the hook, its number, and where the port stands in a TCP header.
const CHAINS: [(&str, u32, u32); 2] = [("input", 1, 2), ("output", 3, 0)];

/// One guarded port.
#[derive(Debug)]
pub(super) struct Guard {
    socket: Socket,
    table: String,
    port: u16,
    /// What the kernel showed when the table was made, and the rules' generation at which it was last seen so.
    made: Option<(Vec<Vec<u8>>, u32)>,
}

/// What a look at the table gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is as it was made.
    Whole,
    /// It was removed, or somebody changed it.
    Altered,
}

impl Guard {
    pub(super) fn open(
        stack: &StackName,
        node: &NodeName,
        port: u16,
    ) -> Result<Self, NetlinkError> {
        let mut socket = Socket::open()?;
        // Asked at once, so that a missing right shows before it is needed.
        socket.generation()?;
        Ok(Self {
            socket,
            // Neither name can hold an underscore, so no two agents share a table.
            table: format!("pointsman_{stack}_{node}"),
            port,
            made: None,
        })
    }

    /// Makes the table, or mends it. An element that lives goes on with the time that it has.
    pub(super) fn install(&mut self) -> Result<(), NetlinkError> {
        let rules = self.rules(self.frame(Transaction::default()));
        if self.socket.change(&rules).is_err() {
            // Something of another shape stands there under this name.
            let anew = Transaction::default()
                .with(Verb::NewTable, CREATE, &[self.named(), number32(2, 0)])
                .with(Verb::DeleteTable, 0, &[self.named()]);
            let anew = self.rules(self.frame(anew));
            self.socket.change(&anew)?;
        }
        let generation = self.socket.generation()?;
        self.made = Some((self.shown()?, generation));
        Ok(())
    }

    /// Opens the port for so long from now, and no longer, whatever was set before.
    pub(super) fn arm(&mut self, left: Millis) -> Result<(), NetlinkError> {
        let element = nest(
            1,
            &[
                nest(1, &[attribute(1, &self.port.to_be_bytes())]),
                attribute(4, &left.0.to_be_bytes()),
            ],
        );
        let elements = [self.named(), name(2, SET), nest(3, &[element])];
        let transaction =
            self.closed(Transaction::default())
                .with(Verb::NewElement, CREATE, &elements);
        self.change_own(&transaction)
    }

    /// Closes the port at once, for established connections too.
    pub(super) fn cut(&mut self) -> Result<(), NetlinkError> {
        let transaction = self.closed(Transaction::default());
        self.change_own(&transaction)
    }

    /// Looks whether the table is still as it was made.
    pub(super) fn check(&mut self) -> Result<Standing, NetlinkError> {
        let generation = self.socket.generation()?;
        let Some((made, seen_at)) = &self.made else {
            return Ok(Standing::Altered);
        };
        if *seen_at == generation {
            return Ok(Standing::Whole);
        }
        let made = made.clone();
        if made != self.shown()? {
            return Ok(Standing::Altered);
        }
        self.made = Some((made, generation));
        Ok(Standing::Whole)
    }

    /// Takes the table away: the port is as open as other tables leave it.
    pub(super) fn remove(&mut self) -> Result<(), NetlinkError> {
        self.made = None;
        let transaction = Transaction::default()
            .with(Verb::NewTable, CREATE, &[self.named(), number32(2, 0)])
            .with(Verb::DeleteTable, 0, &[self.named()]);
        self.socket.change(&transaction)
    }

    /// What the port has left, as the kernel tells it; nothing when it is closed.
    #[cfg(test)]
    pub(super) fn left(&mut self) -> Result<Option<Millis>, NetlinkError> {
        let asked = [self.named(), name(2, SET)];
        let list = self.socket.list(Verb::GetElement, &asked)?;
        let find = |bytes: &[u8], number| {
            attributes(bytes)
                .into_iter()
                .find(|(found, _)| *found == number)
                .map(|(_, value)| value.to_vec())
        };
        let mut elements = list.iter().filter_map(|set| find(set, 3));
        let element = elements.find_map(|elements| find(&elements, 1));
        let left = element.and_then(|element| find(&element, 5));
        Ok(left
            .and_then(|left| left.as_slice().try_into().ok())
            .map(|left| Millis(u64::from_be_bytes(left))))
    }

    /// Changes the element. The own change raises the generation by one; when it rose by more, somebody else
    /// changed something too, and the next look goes deep.
    fn change_own(&mut self, transaction: &Transaction) -> Result<(), NetlinkError> {
        self.socket.change(transaction)?;
        let generation = self.socket.generation()?;
        if let Some((_, seen_at)) = &mut self.made
            && generation == seen_at.wrapping_add(1)
        {
            *seen_at = generation;
        }
        Ok(())
    }

    /// Table, set and empty chains, whether they are there or not.
    fn frame(&self, transaction: Transaction) -> Transaction {
        let set = [
            self.named(),
            name(2, SET),
            number32(3, SET_TIMEOUT),
            number32(4, TYPE_INET_SERVICE),
            number32(5, 2),
            number32(10, 1),
        ];
        let mut transaction = transaction
            .with(Verb::NewTable, CREATE, &[self.named(), number32(2, 0)])
            .with(Verb::NewSet, CREATE, &set);
        for (chain, hook, _) in CHAINS {
            let hook = [number32(1, hook), attribute(2, &PRIORITY.to_be_bytes())];
            let new = [
                self.named(),
                name(3, chain),
                nest(4, &hook),
                number32(5, ACCEPT),
                name(7, "filter"),
            ];
            transaction = transaction.with(Verb::NewChain, CREATE, &new).with(
                Verb::DeleteRule,
                0,
                &[self.named(), name(2, chain)],
            );
        }
        transaction
    }

    fn rules(&self, mut transaction: Transaction) -> Transaction {
        for (chain, _, offset) in CHAINS {
            let rule = [
                self.named(),
                name(2, chain),
                nest(4, &self.unless_open(offset)),
            ];
            transaction = transaction.with(Verb::NewRule, CREATE | APPEND, &rule);
        }
        transaction
    }

    /// TCP, this port, not in the set: drop.
    fn unless_open(&self, offset: u32) -> [Vec<u8>; 6] {
        let value = |bytes: &[u8]| attribute(1, bytes);
        let equals = |bytes: &[u8]| {
            let inner = [
                number32(1, REGISTER),
                number32(2, EQUAL),
                nest(3, &[value(bytes)]),
            ];
            expression("cmp", &inner)
        };
        let port = [
            number32(1, REGISTER),
            number32(2, TRANSPORT_HEADER),
            number32(3, offset),
            number32(4, 2),
        ];
        let in_set = [name(1, SET), number32(2, REGISTER), number32(5, INVERTED)];
        let drop = [
            number32(1, VERDICT_REGISTER),
            nest(2, &[nest(2, &[number32(1, DROP)])]),
        ];
        [
            expression("meta", &[number32(2, META_L4PROTO), number32(1, REGISTER)]),
            equals(&[TCP]),
            expression("payload", &port),
            equals(&self.port.to_be_bytes()),
            expression("lookup", &in_set),
            expression("immediate", &drop),
        ]
    }

    /// A deletion without elements empties the set, and succeeds when it is empty.
    fn closed(&self, transaction: Transaction) -> Transaction {
        transaction.with(Verb::DeleteElement, 0, &[self.named(), name(2, SET)])
    }

    /// What the kernel shows of the table: of each part what makes it what it is, without counters and handles.
    fn shown(&mut self) -> Result<Vec<Vec<u8>>, NetlinkError> {
        let own = self.named();
        let parts: [(Verb, &[u16]); 4] = [
            (Verb::GetTable, &[1, 2]),
            (Verb::GetSet, &[1, 2, 3, 4, 5]),
            (Verb::GetChain, &[1, 3, 4, 5, 7]),
            (Verb::GetRule, &[1, 2, 4]),
        ];
        let mut shown = Vec::new();
        for (verb, wanted) in parts {
            let list = match self.socket.list(verb, std::slice::from_ref(&own)) {
                Ok(list) => list,
                // Without the table its parts cannot even be asked for.
                Err(NetlinkError::Refused(why)) if why.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for part in list {
                let inner = attributes(&part);
                if inner
                    .first()
                    .map(|(number, value)| attribute(*number, value))
                    != Some(own.clone())
                {
                    continue;
                }
                let kept = inner.iter().filter(|(number, _)| wanted.contains(number));
                shown.push(
                    kept.flat_map(|(number, value)| attribute(*number, value))
                        .collect(),
                );
            }
        }
        Ok(shown)
    }

    /// The attribute that names the table, which is the first one of every part of it.
    fn named(&self) -> Vec<u8> {
        name(1, &self.table)
    }
}

fn expression(kind: &str, inner: &[Vec<u8>]) -> Vec<u8> {
    nest(1, &[name(1, kind), nest(2, inner)])
}
