//! What a relay of packets must know of one: where it goes, and how a connection is reset by it.
//!
//! It must never change a packet that it passes on.

use std::net::Ipv4Addr;

const TCP: u8 = 6;
const IP_HEADER: usize = 20;
const TCP_HEADER: usize = 20;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// Where an IPv4 packet goes.
pub(super) fn destination(packet: &[u8]) -> Option<Ipv4Addr> {
    (packet.first()? >> 4 == 4).then_some(())?;
    let octets: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    Some(Ipv4Addr::from(octets))
}

/// A TCP segment in an IPv4 packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) from: (Ipv4Addr, u16),
    pub(super) to: (Ipv4Addr, u16),
    sequence: u32,
    acknowledged: u32,
    flags: u8,
    /// Sequence numbers it takes up.
    length: u32,
}

impl Segment {
    /// Reads it; nothing when the packet holds something else, or the later part of a segment.
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        let to = destination(packet)?;
        let octets: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
        let fragment = u16::from_be_bytes(packet.get(6..8)?.try_into().ok()?) & 0x1fff;
        (*packet.get(9)? == TCP && fragment == 0).then_some(())?;
        let start = usize::from(packet.first()? & 0x0f) * 4;
        let tcp = packet.get(start..)?;
        let short = |at: usize| Some(u16::from_be_bytes(tcp.get(at..at + 2)?.try_into().ok()?));
        let long = |at: usize| Some(u32::from_be_bytes(tcp.get(at..at + 4)?.try_into().ok()?));
        let flags = *tcp.get(13)?;
        let head = usize::from(tcp.get(12)? >> 4) * 4;
        let content = u32::try_from(tcp.len().checked_sub(head)?).ok()?;
        let ends = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        Some(Self {
            from: (Ipv4Addr::from(octets), short(0)?),
            to: (to, short(2)?),
            sequence: long(4)?,
            acknowledged: long(8)?,
            flags,
            length: content + ends,
        })
    }

    /// Whether it asks for a new connection.
    pub(super) const fn opens(&self) -> bool {
        self.flags & SYN != 0 && self.flags & ACK == 0
    }

    /// Whether it ends a connection at once.
    pub(super) const fn resets(&self) -> bool {
        self.flags & RST != 0
    }

    /// The packet that tells its sender that there is no such connection.
    pub(super) fn refusal(&self) -> Vec<u8> {
        if self.flags & ACK == 0 {
            let acknowledged = self.sequence.wrapping_add(self.length);
            reset(self.to, self.from, 0, acknowledged, RST | ACK)
        } else {
            reset(self.to, self.from, self.acknowledged, 0, RST)
        }
    }

    /// The packet that tells its receiver that the connection is over.
    pub(super) fn ending(&self) -> Vec<u8> {
        let (sequence, acknowledged) = (self.sequence, self.acknowledged);
        reset(
            self.from,
            self.to,
            sequence,
            acknowledged,
            RST | (self.flags & ACK),
        )
    }
}

fn reset(
    from: (Ipv4Addr, u16),
    to: (Ipv4Addr, u16),
    sequence: u32,
    acknowledged: u32,
    flags: u8,
) -> Vec<u8> {
    let mut tcp = Vec::with_capacity(TCP_HEADER);
    tcp.extend(from.1.to_be_bytes());
    tcp.extend(to.1.to_be_bytes());
    tcp.extend(sequence.to_be_bytes());
    tcp.extend(acknowledged.to_be_bytes());
    // Five words of header; window, checksum and urgent pointer of zero.
    tcp.extend([0x50, flags, 0, 0, 0, 0, 0, 0]);
    let mut pseudo = Vec::with_capacity(12 + TCP_HEADER);
    pseudo.extend(from.0.octets());
    pseudo.extend(to.0.octets());
    pseudo.extend([0, TCP, 0, 20]);
    pseudo.extend(&tcp);
    put(&mut tcp, 16, checksum(&pseudo));
    let mut packet = Vec::with_capacity(IP_HEADER + TCP_HEADER);
    packet.extend([0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, TCP, 0, 0]);
    packet.extend(from.0.octets());
    packet.extend(to.0.octets());
    let sum = checksum(&packet);
    put(&mut packet, 10, sum);
    packet.extend(tcp);
    packet
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// The checksum of the Internet protocols (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        let high = pair.first().copied().unwrap_or(0);
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([high, low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(flags: u8) -> Segment {
        Segment {
            from: (Ipv4Addr::new(198, 18, 0, 1), 40_000),
            to: (Ipv4Addr::new(198, 18, 0, 2), 5432),
            sequence: 1000,
            acknowledged: 77,
            flags,
            length: u32::from(flags & SYN != 0),
        }
    }

    #[test]
    fn a_refusal_is_a_valid_packet_back_to_the_sender() {
        let packet = segment(SYN).refusal();
        assert_eq!(packet.len(), 40);
        assert_eq!(destination(&packet), Some(Ipv4Addr::new(198, 18, 0, 1)));
        // Over a header that holds its own checksum the sum is zero.
        assert_eq!(checksum(&packet[..20]), 0);
        let mut pseudo = packet[12..20].to_vec();
        pseudo.extend([0, TCP, 0, 20]);
        pseudo.extend(&packet[20..]);
        assert_eq!(checksum(&pseudo), 0);
        let read = Segment::read(&packet).unwrap();
        assert!(read.resets() && !read.opens());
        assert_eq!(
            (read.acknowledged, read.from, read.to),
            (1001, segment(SYN).to, segment(SYN).from)
        );
    }

    #[test]
    fn an_ending_stands_where_the_segment_stood() {
        let read = Segment::read(&segment(ACK).ending()).unwrap();
        assert_eq!((read.sequence, read.to), (1000, segment(ACK).to));
        let back = Segment::read(&segment(ACK).refusal()).unwrap();
        assert_eq!((back.sequence, back.to), (77, segment(ACK).from));
    }

    #[test]
    fn what_is_no_whole_packet_is_nothing() {
        let whole = segment(ACK).ending();
        for length in 0..whole.len() {
            assert_eq!(Segment::read(&whole[..length]), None, "{length}");
        }
        assert_eq!(destination(&[0x60; 40]), None);
    }
}
