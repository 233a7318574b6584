//! Building a TCP segment over IPv4 over Ethernet.

use std::net::Ipv4Addr;

use etherparse::{IpNumber, Ipv4Header, TcpHeader};
use fseg_model::Mac;

use crate::udp::TTL;
use crate::{ETHERNET_HEADER, EtherType, MIN_FRAME, TcpSegment};

/// The window that segments built here offer, in octets: the largest without scaling (RFC 9293, section 3.1).
const WINDOW: u16 = u16::MAX;

/// A TCP segment in an untagged frame, without options, with both checksums, padded to [`MIN_FRAME`].
///
/// `None` when the payload does not fit one IPv4 packet. Nothing is fragmented: keeping to the link's MTU is the caller's
/// business.
pub fn build_tcp_v4(
    source_mac: Mac,
    destination_mac: Mac,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    segment: &TcpSegment<'_>,
) -> Option<Vec<u8>> {
    let mut tcp = TcpHeader::new(segment.source_port, segment.destination_port, segment.sequence, WINDOW);
    tcp.acknowledgment_number = segment.acknowledgement;
    (tcp.syn, tcp.ack) = (segment.flags.syn, segment.flags.ack);
    (tcp.fin, tcp.rst) = (segment.flags.fin, segment.flags.rst);
    let length = u16::try_from(segment.payload.len()).ok()?.checked_add(tcp.header_len_u16())?;
    let mut ip = Ipv4Header::new(length, TTL, IpNumber::TCP, source.octets(), destination.octets()).ok()?;
    ip.header_checksum = ip.calc_header_checksum();
    tcp.checksum = tcp.calc_checksum_ipv4(&ip, segment.payload).ok()?;
    let mut out = Vec::with_capacity(MIN_FRAME.max(ETHERNET_HEADER + Ipv4Header::MIN_LEN + usize::from(length)));
    out.extend(destination_mac.0);
    out.extend(source_mac.0);
    out.extend(EtherType::IPV4.0.to_be_bytes());
    out.extend_from_slice(&ip.to_bytes());
    out.extend_from_slice(&tcp.to_bytes());
    out.extend_from_slice(segment.payload);
    if out.len() < MIN_FRAME {
        out.resize(MIN_FRAME, 0);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Frame, Payload, TcpFlags, Transport};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_built_is_read_back(
            macs: [[u8; 6]; 2],
            ips: [[u8; 4]; 2],
            ports: [u16; 2],
            numbers: [u32; 2],
            bits: [bool; 4],
            payload in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let [syn, ack, fin, rst] = bits;
            let segment = TcpSegment {
                source_port: ports[0],
                destination_port: ports[1],
                sequence: numbers[0],
                acknowledgement: numbers[1],
                flags: TcpFlags { syn, ack, fin, rst },
                payload: &payload,
            };
            let bytes = build_tcp_v4(Mac(macs[0]), Mac(macs[1]), ips[0].into(), ips[1].into(), &segment).unwrap();
            let frame = Frame::parse(&bytes).unwrap();
            prop_assert_eq!((frame.source, frame.destination), (Mac(macs[0]), Mac(macs[1])));
            let Payload::Ipv4(ip) = frame.payload else { panic!("not IPv4") };
            prop_assert_eq!((ip.source.octets(), ip.destination.octets()), (ips[0], ips[1]));
            prop_assert_eq!(ip.transport, Transport::Tcp(segment));
            // The reader above does not look at the checksum.
            let sliced = etherparse::SlicedPacket::from_ethernet(&bytes).unwrap();
            let Some(etherparse::TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("not TCP") };
            let Some(etherparse::NetSlice::Ipv4(v4)) = sliced.net else { panic!("not IPv4") };
            let (source, destination) = (v4.header().source(), v4.header().destination());
            let header = tcp.to_header();
            prop_assert_eq!(header.calc_checksum_ipv4_raw(source, destination, tcp.payload()).unwrap(), tcp.checksum());
        }
    }

    #[test]
    fn too_much_is_refused() {
        let segment = |payload| TcpSegment {
            source_port: 1,
            destination_port: 2,
            sequence: 0,
            acknowledgement: 0,
            flags: TcpFlags::default(),
            payload,
        };
        let build = |s| build_tcp_v4(Mac::ZERO, Mac::ZERO, Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, &s);
        let large = vec![0; 70_000];
        assert!(build(segment(&large[..65_495])).is_some());
        assert_eq!(build(segment(&large[..65_496])), None);
        assert_eq!(build(segment(&large)), None);
    }
}
