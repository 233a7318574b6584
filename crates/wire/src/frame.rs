//! Ethernet frames (IEEE 802.3, Ethernet II) with at most one VLAN tag (IEEE 802.1Q).
//!
//! ```text
//!  0              6              12     14                    n
//! +--------------+--------------+------+---------------------+
//! | destination  | source       | type | payload, padding    |
//! +--------------+--------------+------+---------------------+
//!                          with a tag: | tag | type | payload |
//! ```

use std::fmt;

use etherparse::{Ethernet2HeaderSlice, SingleVlanHeaderSlice};
use fseg_model::Mac;

use crate::error::take;
use crate::{ArpPacket, ETHERNET_HEADER, Ipv4Packet, Ipv6Packet, Layer, WireError};

const VLAN_TAG: usize = 4;

/// An EtherType (IEEE registry). Values below 0x0600 are a length instead: an IEEE 802.2 frame such as spanning tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: EtherType = EtherType(0x0800);
    /// ARP.
    pub const ARP: EtherType = EtherType(0x0806);
    /// A VLAN tag of a customer (IEEE 802.1Q).
    pub const VLAN: EtherType = EtherType(0x8100);
    /// IPv6.
    pub const IPV6: EtherType = EtherType(0x86dd);
    /// EAP over LANs (IEEE 802.1X).
    pub const EAPOL: EtherType = EtherType(0x888e);
    /// Link layer discovery (IEEE 802.1AB).
    pub const LLDP: EtherType = EtherType(0x88cc);
}

impl fmt::Display for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::IPV4 => f.pad("ipv4"),
            Self::ARP => f.pad("arp"),
            Self::VLAN => f.pad("vlan"),
            Self::IPV6 => f.pad("ipv6"),
            Self::EAPOL => f.pad("eapol"),
            Self::LLDP => f.pad("lldp"),
            Self(n) => write!(f, "{n:#06x}"),
        }
    }
}

/// A VLAN tag (IEEE 802.1Q, 9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Vlan {
    /// The VLAN, 12 bits; 0 is a tag that carries only a priority.
    pub id: u16,
    /// The priority, 3 bits.
    pub priority: u8,
    /// May be dropped first.
    pub drop_eligible: bool,
}

/// An Ethernet frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<'a> {
    /// To whom.
    pub destination: Mac,
    /// From whom, as the frame claims.
    pub source: Mac,
    /// The VLAN tag, if there is one.
    pub vlan: Option<Vlan>,
    /// The type, behind the tag.
    pub ether_type: EtherType,
    /// What it carries.
    pub payload: Payload<'a>,
}

/// What a frame carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload<'a> {
    /// An ARP packet for IPv4 over Ethernet.
    Arp(ArpPacket),
    /// An IPv4 packet.
    Ipv4(Ipv4Packet<'a>),
    /// An IPv6 packet.
    Ipv6(Ipv6Packet<'a>),
    /// An EAPOL packet, with whatever padding follows it.
    Eapol(&'a [u8]),
    /// Anything else, unread.
    Other(EtherType, &'a [u8]),
}

impl<'a> Frame<'a> {
    /// Reads and checks a frame (without its check sequence).
    ///
    /// # Errors
    /// When a header or a stated length goes beyond the bytes, a field is impossible, or a checksum is wrong. A second
    /// VLAN tag is not an error: the payload is then [`Payload::Other`] with [`EtherType::VLAN`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let (head, mut rest) = take(bytes, ETHERNET_HEADER, Layer::Ethernet, 0)?;
        let short = |layer, offset, needed: usize, present: &[u8]| WireError::Short {
            layer,
            offset,
            needed,
            present: present.len(),
        };
        let ethernet =
            Ethernet2HeaderSlice::from_slice(head).map_err(|_| short(Layer::Ethernet, 0, ETHERNET_HEADER, bytes))?;
        let mut ether_type = EtherType(ethernet.ether_type().0);
        let mut offset = ETHERNET_HEADER;
        let mut vlan = None;
        if ether_type == EtherType::VLAN {
            let (tag, inner) = take(rest, VLAN_TAG, Layer::Vlan, offset)?;
            let tag = SingleVlanHeaderSlice::from_slice(tag).map_err(|_| short(Layer::Vlan, offset, VLAN_TAG, rest))?;
            vlan = Some(Vlan {
                id: tag.vlan_identifier().value(),
                priority: tag.priority_code_point().value(),
                drop_eligible: tag.drop_eligible_indicator(),
            });
            ether_type = EtherType(tag.ether_type().0);
            offset += VLAN_TAG;
            rest = inner;
        }
        let payload = match ether_type {
            EtherType::ARP => {
                let packet = rest.get(..ArpPacket::LEN).unwrap_or(rest);
                ArpPacket::decode(packet).map(Payload::Arp)
            }
            EtherType::IPV4 => Ipv4Packet::parse(rest).map(Payload::Ipv4),
            EtherType::IPV6 => Ipv6Packet::parse(rest).map(Payload::Ipv6),
            EtherType::EAPOL => Ok(Payload::Eapol(rest)),
            other => Ok(Payload::Other(other, rest)),
        }
        .map_err(|e| e.moved(offset))?;
        Ok(Self { destination: Mac(ethernet.destination()), source: Mac(ethernet.source()), vlan, ether_type, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(inner: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xff; 6];
        bytes.extend([2, 0, 0, 0, 0, 1, 0x81, 0x00, 0xb0, 0x64]);
        bytes.extend(inner);
        bytes
    }

    #[test]
    fn a_tag_is_read_and_a_second_one_is_left_alone() {
        let bytes = tagged(&[0x88, 0x8e, 1, 1, 0, 0]);
        let frame = Frame::parse(&bytes).unwrap();
        assert_eq!(frame.vlan, Some(Vlan { id: 100, priority: 5, drop_eligible: true }));
        assert_eq!(frame.source.to_string(), "02:00:00:00:00:01");
        assert_eq!(frame.destination, Mac::BROADCAST);
        assert_eq!(frame.payload, Payload::Eapol(&[1, 1, 0, 0]));

        let bytes = tagged(&[0x81, 0x00, 0, 7, 0x08, 0x00]);
        assert_eq!(Frame::parse(&bytes).unwrap().payload, Payload::Other(EtherType::VLAN, &[0, 7, 8, 0]));
    }

    #[test]
    fn a_short_tag_says_where() {
        let bytes = tagged(&[]);
        assert_eq!(
            Frame::parse(&bytes),
            Err(WireError::Short { layer: Layer::Vlan, offset: 14, needed: 4, present: 2 })
        );
        assert_eq!(
            Frame::parse(&bytes[..9]).unwrap_err().to_string(),
            "Ethernet at octet 0: 14 octets needed, 9 present"
        );
    }

    #[test]
    fn lengths_instead_of_types_are_other() {
        let mut bytes = vec![1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 3, 0x42, 0x42, 3];
        let frame = Frame::parse(&bytes).unwrap();
        assert_eq!(frame.payload, Payload::Other(EtherType(3), &[0x42, 0x42, 3]));
        assert_eq!(frame.ether_type.to_string(), "0x0003");
        bytes.truncate(13);
        assert!(Frame::parse(&bytes).is_err());
    }
}
