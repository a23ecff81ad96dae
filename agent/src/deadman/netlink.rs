//! The kernel's packet filter, asked and told through a netlink socket: just enough of `nf_tables` for one table.
//!
//! It carries bytes and knows nothing of tables or ports. No other program is started: on a host whose disk hangs
//! one could not be. What must never happen: a change that the kernel did not acknowledge is taken for done.
//! Formats: `include/uapi/linux/netlink.h`, `netfilter/nfnetlink.h`, `netfilter/nf_tables.h`.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto, socket_with,
};

/// Longest wait for one answer. The kernel answers within the call, unless another program's large change is
/// being made just now.
const ANSWER: Duration = Duration::from_millis(500);
/// Larger than any answer of the kernel (`NLMSG_GOODSIZE` is a page, dumps use up to 32 KiB).
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// A listing during which others changed the rules is asked again so often.
const LISTINGS: usize = 8;

const HEADER: usize = 16;
const FAMILY_HEADER: usize = 4;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const SUBSYSTEM: u16 = 10;
const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const INTERRUPTED: u16 = 0x10;
const DUMP: u16 = 0x300;
const NESTED: u16 = 0x8000;
/// `NFPROTO_INET`: both versions of IP.
const INET: u8 = 1;

/// What a message is about, with the number of `nf_tables`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    NewTable,
    GetTable,
    DeleteTable,
    NewChain,
    GetChain,
    NewRule,
    GetRule,
    DeleteRule,
    NewSet,
    GetSet,
    NewElement,
    #[cfg(test)]
    GetElement,
    DeleteElement,
    GetGeneration,
}

impl Verb {
    const fn number(self) -> u16 {
        match self {
            Self::NewTable => 0,
            Self::GetTable => 1,
            Self::DeleteTable => 2,
            Self::NewChain => 3,
            Self::GetChain => 4,
            Self::NewRule => 6,
            Self::GetRule => 7,
            Self::DeleteRule => 8,
            Self::NewSet => 9,
            Self::GetSet => 10,
            Self::NewElement => 12,
            #[cfg(test)]
            Self::GetElement => 13,
            Self::DeleteElement => 14,
            Self::GetGeneration => 16,
        }
    }
}

/// Why the kernel did not do or tell what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// There is no socket to it.
    #[error("the kernel's packet filter cannot be reached")]
    Unreachable(#[source] io::Error),
    /// The agent may not.
    #[error("the kernel's packet filter may not be changed: the agent lacks CAP_NET_ADMIN")]
    NotPermitted,
    /// It refused.
    #[error("the kernel's packet filter refused")]
    Refused(#[source] io::Error),
    /// It did not answer in time.
    #[error("the kernel's packet filter did not answer within {} ms", ANSWER.as_millis())]
    Silent,
    /// Its answer cannot be read.
    #[error("the answer of the kernel's packet filter cannot be read")]
    Malformed,
    /// Others change the rules all the time.
    #[error("the rules were changed during each of {LISTINGS} listings")]
    Restless,
}

/// An attribute: its number and its value, padded.
pub(super) fn attribute(number: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len() + 8);
    bytes.extend(length16(value.len() + 4));
    bytes.extend(number.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// An attribute that holds attributes.
pub(super) fn nest(number: u16, inner: &[Vec<u8>]) -> Vec<u8> {
    attribute(number | NESTED, &inner.concat())
}

/// An attribute with a name.
pub(super) fn name(number: u16, text: &str) -> Vec<u8> {
    let mut value = text.as_bytes().to_vec();
    value.push(0);
    attribute(number, &value)
}

/// An attribute with a number, in the order of the network.
pub(super) fn number32(number: u16, value: u32) -> Vec<u8> {
    attribute(number, &value.to_be_bytes())
}

/// The attributes in a text of bytes, as (number, value).
pub(super) fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let (Some(length), Some(number)) = (u16_at(bytes, 0), u16_at(bytes, 2)) {
        let length = usize::from(length);
        let Some(value) = bytes.get(4..length) else {
            break;
        };
        found.push((number & !NESTED, value));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// Changes that are made all at once or not at all.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    changes: Vec<(Verb, u16, Vec<u8>)>,
}

impl Transaction {
    /// Adds a change. `flags` are those of netlink besides request and acknowledgement.
    pub(super) fn with(mut self, verb: Verb, flags: u16, inner: &[Vec<u8>]) -> Self {
        self.changes.push((verb, flags, inner.concat()));
        self
    }
}

/// A socket to the packet filter of the network namespace that the agent runs in.
#[derive(Debug)]
pub(super) struct Socket {
    kernel: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    payload: &'a [u8],
}

impl Socket {
    pub(super) fn open() -> Result<Self, NetlinkError> {
        let opening = || {
            let socket = socket_with(
                AddressFamily::NETLINK,
                SocketType::RAW,
                SocketFlags::CLOEXEC,
                Some(netlink::NETFILTER),
            )?;
            bind(&socket, &SocketAddrNetlink::new(0, 0))?;
            set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER))?;
            set_socket_timeout(&socket, Timeout::Send, Some(ANSWER))?;
            Ok(socket)
        };
        let socket = opening()
            .map_err(|errno: rustix::io::Errno| NetlinkError::Unreachable(errno.into()))?;
        Ok(Self {
            kernel: socket,
            sequence: 0,
            buffer: vec![0; ANSWER_BYTES_MAX],
        })
    }

    /// Makes changes; they are in force when this returns.
    pub(super) fn change(&mut self, transaction: &Transaction) -> Result<(), NetlinkError> {
        let first = self.next_sequence();
        let mut bytes = message(BATCH_BEGIN, REQUEST, first, 0, SUBSYSTEM, &[]);
        let mut last = first;
        for (verb, flags, inner) in &transaction.changes {
            last = self.next_sequence();
            let kind = SUBSYSTEM << 8 | verb.number();
            bytes.extend(message(kind, REQUEST | ACK | flags, last, INET, 0, inner));
        }
        let end = self.next_sequence();
        bytes.extend(message(BATCH_END, REQUEST, end, 0, SUBSYSTEM, &[]));
        self.send(&bytes)?;
        // A refusal of the whole answers to the first message, one of a change to that change.
        self.receive(|message| {
            if message.sequence < first || message.kind != ERROR {
                return Ok(None);
            }
            acknowledged(message.payload)?;
            Ok((message.sequence == last).then_some(()))
        })
    }

    /// A number that every change of any rule of this namespace raises.
    pub(super) fn generation(&mut self) -> Result<u32, NetlinkError> {
        let sequence = self.next_sequence();
        let kind = SUBSYSTEM << 8 | Verb::GetGeneration.number();
        self.send(&message(kind, REQUEST, sequence, 0, 0, &[]))?;
        self.receive(|message| {
            if message.sequence != sequence {
                return Ok(None);
            }
            if message.kind == ERROR {
                acknowledged(message.payload)?;
                return Ok(None);
            }
            let inner = message.payload.get(FAMILY_HEADER..).unwrap_or_default();
            let id = attributes(inner)
                .into_iter()
                .find(|(number, _)| *number == 1);
            let id = id.and_then(|(_, value)| value.try_into().ok());
            id.map(u32::from_be_bytes)
                .map(Some)
                .ok_or(NetlinkError::Malformed)
        })
    }

    /// All of a kind, each as its attributes. Those of other tables may be among them.
    pub(super) fn list(
        &mut self,
        verb: Verb,
        inner: &[Vec<u8>],
    ) -> Result<Vec<Vec<u8>>, NetlinkError> {
        for _ in 0..LISTINGS {
            let sequence = self.next_sequence();
            let kind = SUBSYSTEM << 8 | verb.number();
            let asking = message(kind, REQUEST | DUMP, sequence, INET, 0, &inner.concat());
            self.send(&asking)?;
            let mut found = Vec::new();
            let mut whole = true;
            self.receive(|message| {
                if message.sequence != sequence {
                    return Ok(None);
                }
                whole &= message.flags & INTERRUPTED == 0;
                match message.kind {
                    DONE => return Ok(Some(())),
                    ERROR => acknowledged(message.payload)?,
                    _ => {
                        let inner = message.payload.get(FAMILY_HEADER..).unwrap_or_default();
                        found.push(inner.to_vec());
                    }
                }
                Ok(None)
            })?;
            if whole {
                return Ok(found);
            }
        }
        Err(NetlinkError::Restless)
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    fn send(&self, bytes: &[u8]) -> Result<(), NetlinkError> {
        let kernel = SocketAddrNetlink::new(0, 0);
        match sendto(&self.kernel, bytes, SendFlags::empty(), &kernel) {
            Ok(sent) if sent == bytes.len() => Ok(()),
            Ok(_) => Err(NetlinkError::Malformed),
            Err(rustix::io::Errno::AGAIN) => Err(NetlinkError::Silent),
            Err(errno) => Err(NetlinkError::Unreachable(errno.into())),
        }
    }

    /// Takes answers until one of them is what was waited for. Answers to what was asked before are passed over.
    fn receive<T>(
        &mut self,
        mut judge: impl FnMut(&Message<'_>) -> Result<Option<T>, NetlinkError>,
    ) -> Result<T, NetlinkError> {
        loop {
            let received = recv(&self.kernel, self.buffer.as_mut_slice(), RecvFlags::empty());
            let length = match received {
                Ok((_, length)) => length,
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::AGAIN) => return Err(NetlinkError::Silent),
                Err(errno) => return Err(NetlinkError::Unreachable(errno.into())),
            };
            let mut rest = self.buffer.get(..length).ok_or(NetlinkError::Malformed)?;
            while !rest.is_empty() {
                let (message, after) = read(rest).ok_or(NetlinkError::Malformed)?;
                rest = after;
                if let Some(found) = judge(&message)? {
                    return Ok(found);
                }
            }
        }
    }
}

fn message(
    kind: u16,
    flags: u16,
    sequence: u32,
    family: u8,
    resource: u16,
    inner: &[u8],
) -> Vec<u8> {
    let length = HEADER + FAMILY_HEADER + inner.len();
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(inner);
    bytes
}

/// The first message of an answer, and what comes after it.
fn read(bytes: &[u8]) -> Option<(Message<'_>, &[u8])> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
    let message = Message {
        kind: u16_at(bytes, 4)?,
        flags: u16_at(bytes, 6)?,
        sequence: u32_at(bytes, 8)?,
        payload: bytes.get(HEADER..length)?,
    };
    let after = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((message, after))
}

/// An error message with the number zero says that all is well.
fn acknowledged(payload: &[u8]) -> Result<(), NetlinkError> {
    let code = payload
        .get(..4)
        .and_then(|code| code.try_into().ok())
        .ok_or(NetlinkError::Malformed)?;
    match i32::from_ne_bytes(code) {
        0 => Ok(()),
        code => {
            let error = io::Error::from_raw_os_error(code.saturating_neg());
            if error.kind() == io::ErrorKind::PermissionDenied {
                Err(NetlinkError::NotPermitted)
            } else {
                Err(NetlinkError::Refused(error))
            }
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_ne_bytes(two))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(four))
}

/// A length that does not fit is one that the kernel refuses.
fn length16(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_read_back() {
        let bytes = [name(1, "abc"), nest(2, &[number32(3, 7)])].concat();
        assert_eq!(bytes.len() % 4, 0);
        let read = attributes(&bytes);
        assert_eq!(read[0], (1, b"abc\0".as_slice()));
        assert_eq!(read[1].0, 2);
        assert_eq!(attributes(read[1].1), [(3, 7_u32.to_be_bytes().as_slice())]);
        // A text that is cut short gives what is whole, and no panic.
        assert_eq!(attributes(&bytes[..bytes.len() - 1]).len(), 1);
        assert!(attributes(&[0, 0, 0, 0]).is_empty());
    }

    #[test]
    fn only_the_number_zero_acknowledges() {
        assert!(acknowledged(&0_i32.to_ne_bytes()).is_ok());
        let refused = acknowledged(&(-17_i32).to_ne_bytes());
        assert!(matches!(refused, Err(NetlinkError::Refused(_))));
        let denied = acknowledged(&(-1_i32).to_ne_bytes());
        assert!(matches!(denied, Err(NetlinkError::NotPermitted)));
        assert!(matches!(acknowledged(&[0]), Err(NetlinkError::Malformed)));
    }

    #[test]
    fn a_message_that_claims_more_than_there_is_is_not_read() {
        let mut bytes = message(ERROR, 0, 7, 0, 0, &[1, 2, 3, 4]);
        assert_eq!(read(&bytes).unwrap().0.sequence, 7);
        bytes.truncate(bytes.len() - 1);
        assert!(read(&bytes).is_none());
        assert!(read(&[]).is_none());
    }
}
