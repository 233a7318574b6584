//! IPv6 packets (RFC 8200): the fixed header only. Extension headers are left to who asks for them.

use std::net::Ipv6Addr;

use etherparse::Ipv6HeaderSlice;
use fseg_model::IpProtocol;

use crate::error::take;
use crate::{Layer, WireError};

const HEADER: usize = 40;

/// An IPv6 packet whose lengths are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ipv6Packet<'a> {
    /// From whom, as the packet claims.
    pub source: Ipv6Addr,
    /// To whom.
    pub destination: Ipv6Addr,
    /// The protocol of the first header of the payload, which may be an extension header.
    pub next_header: IpProtocol,
    /// Hops left.
    pub hop_limit: u8,
    /// Traffic class.
    pub traffic_class: u8,
    /// Flow label, 20 bits.
    pub flow_label: u32,
    /// All behind the fixed header.
    pub payload: &'a [u8],
}

impl<'a> Ipv6Packet<'a> {
    /// Reads and checks a packet; octets after its payload length are padding and cut off.
    ///
    /// # Errors
    /// `Short` when the payload length goes beyond the bytes, `Bad` for another version.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let layer = Layer::Ipv6;
        let (head, rest) = take(bytes, HEADER, layer, 0)?;
        let version = head.first().copied().unwrap_or_default() >> 4;
        let header = Ipv6HeaderSlice::from_slice(head).map_err(|_| WireError::Bad {
            layer,
            offset: 0,
            field: "version",
            value: version.into(),
            expected: "6",
        })?;
        let (payload, _) = take(rest, header.payload_length().into(), layer, HEADER)?;
        Ok(Self {
            source: header.source_addr(),
            destination: header.destination_addr(),
            next_header: IpProtocol(header.next_header().0),
            hop_limit: header.hop_limit(),
            traffic_class: header.traffic_class(),
            flow_label: header.flow_label().value(),
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_header_is_read_and_padding_cut() {
        let mut bytes = vec![0x61, 0x2a, 0xbc, 0xde, 0, 3, 58, 255];
        bytes.extend("fe80::1".parse::<Ipv6Addr>().unwrap().octets());
        bytes.extend("ff02::2".parse::<Ipv6Addr>().unwrap().octets());
        bytes.extend([133, 0, 9, 0xee]);
        let packet = Ipv6Packet::parse(&bytes).unwrap();
        assert_eq!((packet.source.to_string(), packet.destination.to_string()), ("fe80::1".into(), "ff02::2".into()));
        assert_eq!((packet.next_header, packet.hop_limit), (IpProtocol::ICMPV6, 255));
        assert_eq!((packet.traffic_class, packet.flow_label), (0x12, 0xabcde));
        assert_eq!(packet.payload, [133, 0, 9]);
        assert_eq!(
            Ipv6Packet::parse(&bytes[..42]).unwrap_err().to_string(),
            "IPv6 at octet 40: 3 octets needed, 2 present"
        );
        bytes[0] = 0x45;
        assert_eq!(Ipv6Packet::parse(&bytes).unwrap_err().to_string(), "IPv6 at octet 0: version is 4, expected 6");
    }
}
