//! Building UDP over IPv4 over Ethernet.

use std::net::Ipv4Addr;

use etherparse::{IpNumber, Ipv4Header, UdpHeader};
use fseg_model::Mac;

use crate::{ETHERNET_HEADER, EtherType, MIN_FRAME};

/// The time to live of packets built here: the default of RFC 1700.
pub(crate) const TTL: u8 = 64;

/// A UDP datagram in an untagged frame, with both checksums, padded to [`MIN_FRAME`].
///
/// `None` when the payload does not fit one IPv4 packet (more than 65,507 octets). Nothing is fragmented: keeping to
/// the link's MTU is the caller's business.
pub fn build_udp_v4(
    source_mac: Mac,
    destination_mac: Mac,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    source_port: u16,
    destination_port: u16,
    payload: &[u8],
) -> Option<Vec<u8>> {
    let length = u16::try_from(payload.len()).ok()?.checked_add(UdpHeader::LEN as u16)?;
    let mut ip = Ipv4Header::new(length, TTL, IpNumber::UDP, source.octets(), destination.octets()).ok()?;
    ip.header_checksum = ip.calc_header_checksum();
    let udp = UdpHeader::with_ipv4_checksum(source_port, destination_port, &ip, payload).ok()?;
    let mut out = Vec::with_capacity(MIN_FRAME.max(ETHERNET_HEADER + Ipv4Header::MIN_LEN + usize::from(length)));
    out.extend(destination_mac.0);
    out.extend(source_mac.0);
    out.extend(EtherType::IPV4.0.to_be_bytes());
    out.extend_from_slice(&ip.to_bytes());
    out.extend(udp.to_bytes());
    out.extend_from_slice(payload);
    if out.len() < MIN_FRAME {
        out.resize(MIN_FRAME, 0);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Frame, Payload, Transport, UdpDatagram};
    use proptest::prelude::*;

    #[test]
    fn too_much_is_refused() {
        let build =
            |n: usize| build_udp_v4(Mac::ZERO, Mac::ZERO, Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, 1, 2, &vec![0; n]);
        assert!(build(65_507).is_some());
        assert_eq!(build(65_508), None);
        assert_eq!(build(70_000), None);
    }

    proptest! {
        #[test]
        fn what_is_built_is_read_back(
            macs: [[u8; 6]; 2],
            ips: [[u8; 4]; 2],
            ports: [u16; 2],
            payload in prop::collection::vec(any::<u8>(), 0..1200),
        ) {
            let bytes = build_udp_v4(
                Mac(macs[0]), Mac(macs[1]), ips[0].into(), ips[1].into(), ports[0], ports[1], &payload,
            ).unwrap();
            prop_assert!(bytes.len() >= MIN_FRAME);
            let frame = Frame::parse(&bytes).unwrap();
            prop_assert_eq!((frame.source, frame.destination), (Mac(macs[0]), Mac(macs[1])));
            let Payload::Ipv4(ip) = frame.payload else { panic!("not IPv4") };
            prop_assert_eq!((ip.source.octets(), ip.destination.octets()), (ips[0], ips[1]));
            prop_assert_eq!(ip.transport, Transport::Udp(UdpDatagram {
                source_port: ports[0], destination_port: ports[1], payload: &payload,
            }));
            // An oracle that shares no code with the reader above.
            let sliced = etherparse::SlicedPacket::from_ethernet(&bytes).unwrap();
            let Some(etherparse::TransportSlice::Udp(udp)) = sliced.transport else { panic!("not UDP") };
            prop_assert_eq!(udp.payload(), &payload);
        }
    }
}
