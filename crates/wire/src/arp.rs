//! ARP for IPv4 over Ethernet (RFC 826).
//!
//! ```text
//!  0               2               4       5       6               8
//! +---------------+---------------+-------+-------+---------------+
//! | hardware = 1  | protocol=0800 | 6     | 4     | operation     |
//! +---------------+---------------+-------+-------+---------------+
//! | sender MAC (6) | sender IPv4 (4) | target MAC (6) | target IPv4 (4) |
//! ```

use std::fmt;
use std::net::Ipv4Addr;

use fseg_model::Mac;

use crate::error::take;
use crate::{ETHERNET_HEADER, EtherType, Layer, MIN_FRAME, WireError};

/// What an ARP packet wants (IANA registry "arp-parameters"). Unknown numbers survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArpOperation {
    /// Who has the target's address?
    Request,
    /// The sender has it.
    Reply,
    /// Something else.
    Other(u16),
}

impl ArpOperation {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        match self {
            Self::Request => 1,
            Self::Reply => 2,
            Self::Other(n) => n,
        }
    }
}

impl From<u16> for ArpOperation {
    fn from(n: u16) -> Self {
        match n {
            1 => Self::Request,
            2 => Self::Reply,
            n => Self::Other(n),
        }
    }
}

/// An ARP packet for IPv4 over Ethernet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ArpPacket {
    /// Request or reply.
    pub operation: ArpOperation,
    /// The MAC address the sender claims.
    pub sender_mac: Mac,
    /// The address the sender claims; 0.0.0.0 in a probe (RFC 5227, 2.1.1).
    pub sender_ip: Ipv4Addr,
    /// The MAC address asked; zero in most requests.
    pub target_mac: Mac,
    /// The address asked for.
    pub target_ip: Ipv4Addr,
}

impl ArpPacket {
    /// The octets of such a packet.
    pub const LEN: usize = 28;

    const HARDWARE_ETHERNET: u16 = 1;

    /// Reads exactly [`Self::LEN`] octets.
    ///
    /// # Errors
    /// `Short`, `Trailing`, or `Bad` when it is ARP for something else than IPv4 over Ethernet.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let layer = Layer::Arp;
        let (packet, rest) = take(bytes, Self::LEN, layer, 0)?;
        if !rest.is_empty() {
            return Err(WireError::Trailing { layer, offset: Self::LEN, extra: rest.len() });
        }
        let &[h0, h1, p0, p1, hlen, plen, o0, o1, ref addresses @ ..] = packet else {
            return Err(WireError::Short { layer, offset: 0, needed: Self::LEN, present: packet.len() });
        };
        let check = |found: u16, wanted: u16, offset, field, expected| {
            if found == wanted {
                Ok(())
            } else {
                Err(WireError::Bad { layer, offset, field, value: found.into(), expected })
            }
        };
        check(u16::from_be_bytes([h0, h1]), Self::HARDWARE_ETHERNET, 0, "hardware type", "1 (Ethernet)")?;
        check(u16::from_be_bytes([p0, p1]), EtherType::IPV4.0, 2, "protocol type", "2048 (IPv4)")?;
        check(hlen.into(), 6, 4, "hardware address length", "6")?;
        check(plen.into(), 4, 5, "protocol address length", "4")?;
        let &[a, b, c, d, e, f, s0, s1, s2, s3, g, h, i, j, k, l, t0, t1, t2, t3] = addresses else {
            return Err(WireError::Short { layer, offset: 8, needed: 20, present: addresses.len() });
        };
        Ok(Self {
            operation: u16::from_be_bytes([o0, o1]).into(),
            sender_mac: Mac([a, b, c, d, e, f]),
            sender_ip: Ipv4Addr::new(s0, s1, s2, s3),
            target_mac: Mac([g, h, i, j, k, l]),
            target_ip: Ipv4Addr::new(t0, t1, t2, t3),
        })
    }

    /// Appends the packet's octets.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend(Self::HARDWARE_ETHERNET.to_be_bytes());
        out.extend(EtherType::IPV4.0.to_be_bytes());
        out.extend([6, 4]);
        out.extend(self.operation.number().to_be_bytes());
        out.extend(self.sender_mac.0);
        out.extend(self.sender_ip.octets());
        out.extend(self.target_mac.0);
        out.extend(self.target_ip.octets());
    }

    /// The packet in an untagged frame, padded to [`MIN_FRAME`].
    pub fn to_frame(&self, source: Mac, destination: Mac) -> Vec<u8> {
        let mut out = Vec::with_capacity(MIN_FRAME);
        out.extend(destination.0);
        out.extend(source.0);
        out.extend(EtherType::ARP.0.to_be_bytes());
        debug_assert_eq!(out.len(), ETHERNET_HEADER);
        self.encode(&mut out);
        out.resize(MIN_FRAME, 0);
        out
    }

    /// The answer to this request, saying that `mac` has the address asked for.
    pub fn reply(&self, mac: Mac) -> Self {
        Self {
            operation: ArpOperation::Reply,
            sender_mac: mac,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        }
    }

    /// A request from `sender` for the owner of `target`.
    pub fn request(sender_mac: Mac, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> Self {
        Self { operation: ArpOperation::Request, sender_mac, sender_ip, target_mac: Mac::ZERO, target_ip }
    }

    /// True for a probe: is anybody using this address before I do (RFC 5227, 2.1.1)?
    pub fn is_probe(&self) -> bool {
        self.operation == ArpOperation::Request && self.sender_ip.is_unspecified()
    }

    /// True for an announcement: the sender tells everybody its own address (RFC 5227, 3; "gratuitous ARP").
    pub fn is_announcement(&self) -> bool {
        self.sender_ip == self.target_ip && !self.sender_ip.is_unspecified()
    }
}

impl fmt::Display for ArpPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operation {
            ArpOperation::Request => {
                write!(f, "who has {}? tell {} ({})", self.target_ip, self.sender_ip, self.sender_mac)
            }
            ArpOperation::Reply => write!(f, "{} is at {}", self.sender_ip, self.sender_mac),
            ArpOperation::Other(n) => write!(f, "ARP operation {n} from {} ({})", self.sender_ip, self.sender_mac),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Frame, Payload};
    use proptest::prelude::*;

    const REQUEST: [u8; 28] = [
        0, 1, 8, 0, 6, 4, 0, 1, // Ethernet, IPv4, request
        2, 0, 0, 0, 0, 1, 10, 0, 0, 5, // sender
        0, 0, 0, 0, 0, 0, 10, 0, 0, 1, // target
    ];

    #[test]
    fn the_same_bytes_both_ways() {
        let packet = ArpPacket::decode(&REQUEST).unwrap();
        assert_eq!(packet.to_string(), "who has 10.0.0.1? tell 10.0.0.5 (02:00:00:00:00:01)");
        let mut out = Vec::new();
        packet.encode(&mut out);
        assert_eq!(out, REQUEST);
        let mine = Mac([2, 0xf5, 0xe6, 0, 0, 1]);
        let reply = packet.reply(mine);
        assert_eq!(reply.to_string(), "10.0.0.1 is at 02:f5:e6:00:00:01");
        let bytes = reply.to_frame(mine, packet.sender_mac);
        assert_eq!(bytes.len(), MIN_FRAME);
        let frame = Frame::parse(&bytes).unwrap();
        assert_eq!((frame.source, frame.destination), (mine, packet.sender_mac));
        assert_eq!(frame.payload, Payload::Arp(reply));
    }

    #[test]
    fn three_different_answers() {
        for n in 0..REQUEST.len() {
            let short = WireError::Short { layer: Layer::Arp, offset: 0, needed: 28, present: n };
            assert_eq!(ArpPacket::decode(&REQUEST[..n]), Err(short));
        }
        let mut long = REQUEST.to_vec();
        long.push(0);
        let trailing = WireError::Trailing { layer: Layer::Arp, offset: 28, extra: 1 };
        assert_eq!(ArpPacket::decode(&long), Err(trailing));
        for (at, field) in
            [(1, "hardware type"), (2, "protocol type"), (4, "hardware address length"), (5, "protocol address length")]
        {
            let mut bad = REQUEST;
            bad[at] ^= 0x40;
            assert!(
                matches!(ArpPacket::decode(&bad), Err(WireError::Bad { field: f, .. }) if f == field),
                "octet {at}"
            );
        }
    }

    #[test]
    fn probes_and_announcements() {
        let mut packet = ArpPacket::request(Mac([2, 0, 0, 0, 0, 1]), Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(10, 0, 0, 5));
        assert!(packet.is_probe() && !packet.is_announcement());
        packet.sender_ip = packet.target_ip;
        assert!(packet.is_announcement() && !packet.is_probe());
    }

    proptest! {
        #[test]
        fn every_packet_round_trips(op: u16, macs: [[u8; 6]; 2], ips: [[u8; 4]; 2]) {
            let packet = ArpPacket {
                operation: op.into(),
                sender_mac: Mac(macs[0]),
                sender_ip: ips[0].into(),
                target_mac: Mac(macs[1]),
                target_ip: ips[1].into(),
            };
            let mut out = Vec::new();
            packet.encode(&mut out);
            prop_assert_eq!(ArpPacket::decode(&out), Ok(packet));
        }
    }
}
